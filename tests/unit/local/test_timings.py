"""What the crowd counts against the platform, and what it does not."""

import pytest

from tiketi_local.crowd.timings import Timings


@pytest.mark.parametrize(("status", "says_when"), [(500, False), (500, True), (502, True), (503, False), (504, True)])
def test_an_answer_of_500_or_above_is_a_server_error(status: int, says_when: bool) -> None:
    timings = Timings()
    timings.note_refusal("hold", status, "unavailable", says_when=says_when)
    assert timings.server_errors == {("hold", status, "unavailable"): 1}
    assert not timings.put_off


def test_who_is_told_when_to_come_again_is_put_off() -> None:
    timings = Timings()
    timings.note_refusal("hold", 503, "unavailable", says_when=True)
    assert timings.put_off == {("hold", "unavailable"): 1}
    assert not timings.server_errors


@pytest.mark.parametrize("status", [402, 409, 429])
def test_a_refusal_below_500_is_neither(status: int) -> None:
    timings = Timings()
    timings.note_refusal("hold", status, "seat-taken", says_when=True)
    assert not timings.server_errors
    assert not timings.put_off
