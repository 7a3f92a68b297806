"""Steps run as early as what they need allows, side by side."""

import asyncio
import graphlib

import pytest

from tiketi_local.steps import Step, run, selected


def step(name: str, *after: str, seen: list[str] | None = None, fails: bool = False) -> Step:
    async def work() -> str:
        await asyncio.sleep(0)
        if fails:
            raise RuntimeError(name)
        if seen is not None:
            seen.append(name)
        return "done"

    return Step(name, work, after)


def silent(_name: str, _seconds: float, _words: str) -> None: ...


def names(steps: list[Step]) -> set[str]:
    return {one.name for one in steps}


def test_what_a_wanted_step_needs_comes_along_and_nothing_else() -> None:
    steps = [step("a"), step("b", "a"), step("c", "b"), step("other")]
    assert names(selected(steps, ["c"])) == {"a", "b", "c"}


def test_an_unknown_step_is_an_error() -> None:
    with pytest.raises(KeyError, match="b"):
        selected([step("a", "b")], ["a"])


def test_steps_that_wait_for_each_other_are_an_error() -> None:
    with pytest.raises(graphlib.CycleError):
        selected([step("a", "b"), step("b", "a")], ["a"])


async def test_a_step_runs_after_those_it_needs() -> None:
    seen: list[str] = []
    await run([step("c", "b", seen=seen), step("a", seen=seen), step("b", "a", seen=seen)], silent)
    assert seen == ["a", "b", "c"]


async def test_independent_steps_run_side_by_side() -> None:
    both = asyncio.Barrier(2)

    async def meet() -> str:
        async with asyncio.timeout(5):
            await both.wait()
        return ""

    await run([Step("a", meet), Step("b", meet)], silent)


async def test_each_step_is_reported_with_its_words() -> None:
    heard: list[tuple[str, str]] = []

    def report(name: str, _seconds: float, words: str) -> None:
        heard.append((name, words))

    await run([step("a"), step("b", "a")], report)
    assert heard == [("a", "done"), ("b", "done")]


async def test_a_failure_is_raised_as_it_was_and_keeps_later_steps_from_running() -> None:
    seen: list[str] = []
    with pytest.raises(RuntimeError, match="a"):
        await run([step("a", fails=True), step("b", "a", seen=seen)], silent)
    assert seen == []
