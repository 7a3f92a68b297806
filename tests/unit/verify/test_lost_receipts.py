"""``tiketi verify`` and receipts of numbers that were lost with Redis: not in the draw, and not dropped from it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.verify.a_draw import (
    BUYERS,
    CLOSED_AT,
    Desk,
    a_loss,
    draw_of,
    receipt_of,
)

from tiketi_runtime.contracts.draw_file import DrawFile, Loss

GAP: list[str | None] = [*BUYERS[:4], None, *BUYERS[5:]]
ANNA = BUYERS[4]
"""Whose number 5 is nobody's."""


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def lossy(*losses: Loss, buyers: list[str | None] = GAP) -> DrawFile:
    return draw_of(buyers, losses=losses or (a_loss(),))


def text_of(desk: Desk, file: DrawFile, *receipts: str, code: int) -> str:
    paths = [desk.write(f"{number}.jwt", receipt) for number, receipt in enumerate(receipts)]
    said = desk.verify(file, *(word for path in paths for word in ("--receipt", path)))
    assert said.code == code, said
    return " ".join(said.out.split())


def test_a_number_of_before_the_loss_is_lost_and_not_dropped(desk: Desk) -> None:
    text = text_of(desk, lossy(), receipt_of(5, ANNA), code=3)
    assert "lost receipt 0.jwt number 5 was lost in the loss of 2026-11-01 09:59:30Z" in text
    assert "dropped" not in text
    assert text.endswith("VERIFIED, BUT AN ENTRY WAS LOST")
    said = desk.verify(lossy(), "--receipt", desk.write("a.jwt", receipt_of(5, ANNA)), "--json")
    found = json.loads(said.out)
    assert (said.code, found["verified"], found["lost"]) == (3, True, True)


def test_a_receipt_that_tells_no_epoch_is_judged_by_its_time(desk: Desk) -> None:
    assert "was lost in the loss" in text_of(desk, lossy(), receipt_of(5, ANNA, epoch=None), code=3)
    after = ms(CLOSED_AT - timedelta(seconds=15))
    assert "dropped" in text_of(desk, lossy(), receipt_of(5, ANNA, epoch=None, joined_at=after), code=1)


BACK_IN_TIME = ms(CLOSED_AT - timedelta(seconds=10))


@pytest.mark.parametrize(
    ("losses", "changes"),
    [
        pytest.param([a_loss()], {"epoch": 2, "joined_at": BACK_IN_TIME}, id="was back after the loss"),
        pytest.param([a_loss(numbers_to=4)], {}, id="the number is beyond the mark of the loss"),
        pytest.param([a_loss()], {"epoch": 1, "joined_at": BACK_IN_TIME}, id="given out long after the loss"),
        pytest.param(
            [a_loss(at=CLOSED_AT - timedelta(minutes=5)), a_loss(epoch=4, at=CLOSED_AT - timedelta(minutes=4))],
            {"epoch": 4},
            id="was back after the last of two losses",
        ),
    ],
)
def test_a_loss_excuses_no_more_than_it_took(desk: Desk, losses: list[Loss], changes: dict[str, Any]) -> None:
    text = text_of(desk, lossy(*losses), receipt_of(5, ANNA, **changes), code=1)
    assert "dropped: the file says that number 5 belongs to nobody" in text


def test_who_came_back_when_the_entries_had_closed_was_too_late(desk: Desk) -> None:
    late = receipt_of(5, ANNA, epoch=2, joined_at=ms(CLOSED_AT))
    assert "was lost in the loss" in text_of(desk, lossy(), late, code=3)


def test_a_loss_excuses_no_other_entry_in_the_place(desk: Desk) -> None:
    swapped = lossy(buyers=[*BUYERS[:4], "friend", *BUYERS[5:]])
    assert "altered: at number 5 stands another entry" in text_of(desk, swapped, receipt_of(5, ANNA), code=1)


def test_a_lost_place_that_was_given_anew_is_found_by_the_newer_receipt(desk: Desk) -> None:
    buyers = [*GAP[:10], ANNA, None]
    both = receipt_of(5, ANNA), receipt_of(11, ANNA, epoch=2, joined_at=BACK_IN_TIME)
    text = text_of(desk, lossy(a_loss(numbers_to=10), buyers=buyers), *both, code=0)
    assert "number 5 was lost in the loss of 2026-11-01 09:59:30Z; your place was given anew: 11" in text


def test_the_second_number_of_an_account_that_came_back_to_its_first_is_not_dropped(desk: Desk) -> None:
    """The page joined anew after the loss, another one of the same account presented the receipt later."""
    file = lossy(a_loss(numbers_to=10), buyers=[*BUYERS[:10], None, BUYERS[11]])
    second = receipt_of(11, ANNA, epoch=2, joined_at=BACK_IN_TIME)
    assert "Unless your account came back to an earlier number" in text_of(desk, file, second, code=1)
    text = text_of(desk, file, second, receipt_of(5, ANNA), code=0)
    assert "number 11 was given up: after the loss of 2026-11-01 09:59:30Z your account came back to its" in text
    assert "dropped" in text_of(desk, file, second, receipt_of(4, BUYERS[3]), code=1)


def test_without_a_loss_between_them_one_account_has_no_second_number(desk: Desk) -> None:
    file = lossy(a_loss(numbers_to=2), buyers=[*BUYERS[:10], None, BUYERS[11]])
    second = receipt_of(11, ANNA, epoch=2, joined_at=BACK_IN_TIME)
    first = receipt_of(5, ANNA, epoch=2, joined_at=BACK_IN_TIME)
    assert "dropped" in text_of(desk, file, second, first, code=1)


@pytest.mark.parametrize(
    ("epoch", "seconds", "how"), [(1, 15, "without"), (2, -15, "with"), (1, -5, None), (2, -5, None)]
)
def test_a_loss_that_others_know_nothing_of_is_told(desk: Desk, epoch: int, seconds: int, how: str | None) -> None:
    given = a_loss().at + timedelta(seconds=seconds)
    witness = receipt_of(6, BUYERS[5], epoch=epoch, joined_at=ms(given))
    text = text_of(desk, lossy(), witness, code=0)
    assert "number 6 is in the draw" in text
    assert ("the loss was not then" in text) is (how is not None)
    assert how is None or f"given at {given:%Y-%m-%d %H:%M:%S}Z {how} the loss of 2026-11-01 09:59:30Z" in text


def test_a_file_of_version_1_excuses_nothing(desk: Desk) -> None:
    text = text_of(desk, draw_of(GAP, losses=None), receipt_of(5, ANNA), code=1)
    assert "a number lost with Redis looks as if it was dropped" in text
    assert "dropped: the file says that number 5 belongs to nobody" in text
