from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiketi_runtime.contracts.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5_400), ("1h0m1s", 3_601), ("0s", 0), ("24h", 86_400)]
)
def test_durations_are_read_as_kubernetes_writes_them(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "10", "10 m", "m", "-5s", "1.5h", "5m1h", "1d", "500ms", "10m\n", "١٠m"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration: write it like 1h30m, 10m or 90s"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=9_999 * 3_600 + 3_599))
def test_a_written_duration_reads_the_same(seconds: int) -> None:
    assert parse_duration(format_duration(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (90, "1m30s"), (3_600, "1h"), (86_400, "24h")])
def test_durations_are_written_in_their_shortest_form(seconds: int, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize("duration", [timedelta(seconds=-1), timedelta(milliseconds=1_500)])
def test_what_the_crds_cannot_say_is_not_written(duration: timedelta) -> None:
    with pytest.raises(ValueError, match="cannot be written as whole hours, minutes and seconds"):
        format_duration(duration)
