"""The chart: every row as a bar against what must be reached, in plain SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

from tests.load.report import Result, told

_BAR: Final = 18
_GAP: Final = 16
_LEFT: Final = 330
_WIDTH: Final = 360
"""Of a bar that ends exactly at what must be reached."""
_MOST: Final = 1.3
"""Bars end here, as parts of ``_WIDTH``: a row missed by far must not make the others invisible."""
_COLOURS: Final = {"missed": "#c0392b", "reached": "#d4a017", "aim reached": "#2e8b57"}


def chart(results: Sequence[Result], path: Path) -> None:
    """Draw the rows that have something to reach, as parts of it, into an SVG file."""
    shown = [result for result in results if result.must is not None]
    height = _GAP + len(shown) * (_BAR + _GAP) + 24
    must = _LEFT + _WIDTH
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + round(_WIDTH * _MOST) + 190}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        *(part for index, result in enumerate(shown) for part in _bar(result, _GAP + index * (_BAR + _GAP))),
        f'<line x1="{must}" x2="{must}" y1="4" y2="{height - 22}" stroke="#333" stroke-dasharray="4 3"/>',
        f'<text x="{must}" y="{height - 6}" text-anchor="middle">must</text>',
        "</svg>",
    ]
    path.write_text("\n".join(parts) + "\n")


def _bar(result: Result, top: int) -> list[str]:
    assert result.must is not None
    text = top + _BAR - 4
    length = round(_WIDTH * _part(result, result.value))
    spread = [_LEFT + round(_WIDTH * _part(result, end)) for end in result.spread]
    middle = top + _BAR // 2
    parts = [
        f'<text x="{_LEFT - 10}" y="{text}" text-anchor="end">{escape(f"{result.id} {_short(result.what)}")}</text>',
        f'<rect x="{_LEFT}" y="{top}" width="{length}" height="{_BAR}" fill="{_COLOURS[result.verdict]}"/>',
        f'<line x1="{spread[0]}" x2="{spread[1]}" y1="{middle}" y2="{middle}" stroke="black"/>',
        f'<text x="{_LEFT + round(_WIDTH * _MOST) + 8}" y="{text}">'
        f"{told(result.value)} {escape(result.unit)} (must {told(result.must)})</text>",
    ]
    if result.aim is not None:
        aim = _LEFT + round(_WIDTH * _part(result, result.aim))
        parts.append(
            f'<line x1="{aim}" x2="{aim}" y1="{top - 3}" y2="{top + _BAR + 3}" stroke="#2e8b57" stroke-width="2"/>'
        )
    return parts


def _part(result: Result, value: float) -> float:
    """How long the bar of a value is, in ``_WIDTH``: short is good, also where more is better."""
    assert result.must is not None
    part = result.must / max(value, 1e-9) if result.more_is_better else value / result.must
    return min(_MOST, part)


def _short(what: str) -> str:
    words = what.partition(":")[0]
    return words if len(words) <= 42 else f"{words[:41]}…"
