"""Run steps side by side, each as soon as those it needs are done."""

import asyncio
import graphlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One thing to bring about. ``run`` answers with a few words on what it did."""

    name: str
    run: Callable[[], Awaitable[str]]
    after: tuple[str, ...] = ()


def selected(steps: Sequence[Step], wanted: Iterable[str]) -> list[Step]:
    """The wanted steps and everything they need, in an order that works.

    Raises KeyError for an unknown name and graphlib.CycleError for steps that wait for each other.
    """
    by_name = {step.name: step for step in steps}
    graph: dict[str, tuple[str, ...]] = {}
    todo = list(wanted)
    while todo:
        name = todo.pop()
        if name not in graph:
            graph[name] = by_name[name].after
            todo.extend(graph[name])
    return [by_name[name] for name in graphlib.TopologicalSorter(graph).static_order()]


async def run(steps: Sequence[Step], report: Callable[[str, float, str], None]) -> None:
    """Run all steps; ``report(name, seconds, words)`` after each. The first failure stops the others.

    The failure is raised as it was, not wrapped in a group.
    """
    done: Mapping[str, asyncio.Event] = {step.name: asyncio.Event() for step in steps}

    async def follow(step: Step) -> None:
        for name in step.after:
            if name in done:
                await done[name].wait()
        began = time.monotonic()
        words = await step.run()
        report(step.name, time.monotonic() - began, words)
        done[step.name].set()

    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(follow(step), name=step.name)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
