"""Rounds: who is woken by what, and how a dead operator shows."""

import asyncio
from datetime import timedelta

from tiketi_operator.rounds import Rounds
from tiketi_runtime.contracts.identity import event_id

ANNA, BORIS = event_id("demo", "anna"), event_id("other", "boris")
LONG = timedelta(seconds=30)


async def never() -> None:
    await asyncio.Event().wait()


async def test_a_sleeping_event_is_woken() -> None:
    rounds = Rounds()
    rounds.of(ANNA)
    asyncio.get_running_loop().call_later(0.01, rounds.wake, ANNA)
    async with asyncio.timeout(5):
        await rounds.sleep(ANNA, LONG, never())


async def test_a_call_during_a_visit_is_not_lost() -> None:
    rounds = Rounds()
    rounds.of(ANNA)
    rounds.wake(ANNA)
    async with asyncio.timeout(5):
        await rounds.sleep(ANNA, LONG, never())


async def test_a_policy_wakes_the_events_of_its_namespace() -> None:
    rounds = Rounds()
    rounds.of(ANNA)
    rounds.of(BORIS)
    rounds.wake_namespace("demo")
    assert rounds.of(ANNA).bell.is_set()
    assert not rounds.of(BORIS).bell.is_set()


async def test_sleep_ends_with_its_time_and_with_the_operator() -> None:
    rounds = Rounds()
    async with asyncio.timeout(5):
        await rounds.sleep(ANNA, timedelta(milliseconds=1), never())
        await rounds.sleep(ANNA, LONG, asyncio.sleep(0))


async def test_an_event_nobody_visits_shows() -> None:
    rounds = Rounds()
    assert rounds.longest_silence() == timedelta(0)
    rounds.of(BORIS)
    rounds.of(ANNA).begun -= 300
    assert rounds.longest_silence() > timedelta(seconds=299)
    rounds.forget(ANNA)
    assert rounds.longest_silence() < timedelta(seconds=299)


async def test_a_late_call_for_an_event_that_is_gone_brings_it_not_back() -> None:
    rounds = Rounds()
    rounds.wake(ANNA)
    rounds.wake_namespace("demo")
    await asyncio.sleep(0.01)
    assert rounds.longest_silence() == timedelta(0)
