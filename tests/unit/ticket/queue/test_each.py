"""Background work for many events."""

from __future__ import annotations

import asyncio

import pytest

from tiketi_services.ticket.queue.domain import Recovering
from tiketi_services.ticket.queue.each import for_each


async def test_one_that_is_being_rebuilt_keeps_no_other_waiting_and_is_no_fault() -> None:
    done: list[str] = []

    async def step(event: str) -> None:
        if event == "lost":
            raise Recovering("The line is being rebuilt.")
        await asyncio.sleep(0)
        done.append(event)

    await for_each(step, ["lost", "first", "second"])
    assert done == ["first", "second"]


async def test_another_fault_is_raised_once_all_were_tried() -> None:
    done: list[str] = []

    async def step(event: str) -> None:
        if event == "broken":
            raise ValueError(event)
        await asyncio.sleep(0.01)
        done.append(event)

    with pytest.raises(ValueError, match="broken"):
        await for_each(step, ["broken", "first"])
    assert done == ["first"]
