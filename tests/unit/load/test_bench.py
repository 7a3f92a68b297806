"""What becomes of measured numbers: kept, judged, shown."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.load.chart import chart
from tests.load.readme import rendered
from tests.load.report import Result, keep, markdown, read, told
from tests.load.row import Row, Sample

COST = Row("X1", "cost: of a thing", unit="x", must=2.0, aim=1.0, floor="none", floor_unit="us", load="1,000 of them")


def measured(*values: float, row: Row = COST) -> Result:
    return Result.of(row, [Sample(value, floor=10 * value) for value in values])


def test_a_result_is_the_median_with_its_spread_and_the_floor_of_the_same_rounds() -> None:
    result = measured(1.5, 9.0, 1.0, 1.25, 1.75)
    assert (result.value, result.spread, result.rounds) == (1.5, (1.0, 9.0), 5)
    assert result.floor is not None
    assert (result.floor.value, result.floor.unit) == (15.0, "us")


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.9, "aim reached"), (1.0, "aim reached"), (2.0, "reached"), (2.1, "missed")]
)
def test_a_result_is_judged_by_its_median(value: float, verdict: str) -> None:
    assert measured(value).verdict == verdict


def test_a_row_that_must_reach_nothing_is_told() -> None:
    assert measured(5.0, row=Row("X2", "told", unit="us")).verdict == "told"


def test_a_new_result_takes_the_place_of_the_old_one_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "bench" / "line.json"
    other = measured(3.0, row=Row("X2", "other", unit="s"))
    keep([measured(1.0), other], path)
    keep([measured(2.0)], path)
    assert {result.id: result.value for result in read(path)} == {"X1": 2.0, "X2": 3.0}


def test_the_table_stands_between_its_marks_and_nothing_else_is_touched() -> None:
    document = "before\n<!-- bench-line -->\nold\n<!-- /bench-line -->\nafter\n"
    once = rendered(document, "line", [measured(1.5)])
    assert once is not None
    assert once.startswith("before\n<!-- bench-line -->\n| id |")
    assert once.endswith("<!-- /bench-line -->\nafter\n")
    assert "old" not in once
    assert "| X1 | cost: of a thing | 1.5 x |" in once
    assert "- X1: 1,000 of them.\n" in once
    assert rendered(once, "line", [measured(1.5)]) == once


def test_in_short_only_what_must_be_reached_is_shown() -> None:
    told_only = measured(1.0, row=Row("X2", "told only", unit="us"))
    shown = rendered("<!-- bench-line: in short -->\n<!-- /bench-line -->", "line", [measured(1.5), told_only])
    assert shown is not None
    assert "| cost: of a thing | 1.5 x | at most 2 |" in shown
    assert "told only" not in shown


def test_a_document_without_marks_has_no_place_for_the_table() -> None:
    assert rendered("<!-- bench-line -->\nno end", "line", [measured(1.5)]) is None


def test_a_sign_that_would_end_a_cell_is_escaped() -> None:
    assert r"a \| b" in markdown([measured(1.0, row=Row("X3", "a | b", unit="s"))])


def test_the_chart_is_a_drawing_with_a_bar_for_each_row_that_must_reach_something(tmp_path: Path) -> None:
    path = tmp_path / "line.svg"
    chart([measured(1.0), measured(5.0), measured(1.0, row=Row("X2", "told <only>", unit="us"))], path)
    drawing = ElementTree.fromstring(path.read_text())
    texts = [element.text or "" for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert sum(text.startswith("X1") for text in texts) == 2
    assert not any("told" in text for text in texts)


@pytest.mark.parametrize(
    ("value", "text"), [(0.974, "0.974"), (12.345, "12.3"), (4321.0, "4,320"), (1_234_567.0, "1,230,000"), (None, "")]
)
def test_numbers_are_told_in_three_figures(value: float | None, text: str) -> None:
    assert told(value) == text
