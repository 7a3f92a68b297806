"""The rate that adaptive admission has set, and what it is judged by, as all pods share them in Redis."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from redis.exceptions import ResponseError

from tiketi_runtime.contracts.answer_times import KEPT, WINDOW
from tiketi_runtime.contracts.identity import EventId, Line
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.redis import Redis, load_scripts
from tiketi_services.ticket.queue.domain import Recovering
from tiketi_services.ticket.queue.pace.adaptive import JUDGED_WINDOWS, Change, Rate
from tiketi_services.ticket.queue.repository import PACKAGE


@dataclass(frozen=True, slots=True)
class Standing:
    """The rate in force."""

    rate: Rate
    window: int
    """In which it was set; 0: never, it is the policy's."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the windows that are over, since the last change, have counted."""

    counts: Mapping[str, int]
    admitted_per_minute: float


class Rates:
    """Windows are numbered by time: seconds since 1970 // 10."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._scripts = load_scripts(redis, PACKAGE)

    async def count(self, event: EventId, window: int, counts: Mapping[str, int]) -> None:
        """Add to the counters of a window."""
        pairs = [part for pair in counts.items() for part in pair]
        keys = [EventKeys(event).samples(window)]
        await self._scripts["count_answers"](keys=keys, args=[_seconds(KEPT), *pairs])

    async def standing(self, event: EventId, ceiling: int, window: int) -> Standing:
        """The rate in force in a window."""
        fields = ["perMinute", "window", "knee", "cut"]
        per_minute, changed, knee, cut = await self._redis.hmget(EventKeys(event).rate, fields)
        if changed is None or cut is None:
            return Standing(Rate(ceiling), 0)
        rate = Rate(
            per_minute=ceiling if per_minute is None else min(float(per_minute), ceiling),
            knee=math.inf if knee is None else float(knee),
            unchanged=window - int(changed),
            uncut=window - int(cut),
        )
        return Standing(rate, int(changed))

    async def judge(self, event: EventId, lines: Sequence[Line], window: int, since: int) -> Judged:
        """What is known in ``window`` of those before it, at most as far back as the window ``since``."""
        keys = EventKeys(event)
        windows = range(max(since, window - JUDGED_WINDOWS), window)
        pipeline = self._redis.pipeline(transaction=False)
        for each in windows:
            pipeline.hgetall(keys.samples(each))
        for line in lines:
            pipeline.hmget(keys.line(line).pace, [window, *windows])
        answers = await pipeline.execute()
        counts: Counter[str] = Counter()
        for found in answers[: len(windows)]:
            counts.update({name.decode(): int(number) for name, number in found.items()})
        admitted = sum(int(number or 0) for numbers in answers[len(windows) :] for number in numbers[1:])
        return Judged(counts, admitted / len(windows) * (60 / _seconds(WINDOW)) if windows else 0.0)

    async def change(self, event: EventId, change: Change, message: str, standing: Standing, window: int) -> bool:
        """Set a rate; False if another pod has in the meantime. Raises Recovering."""
        keys = EventKeys(event)
        rate = change.rate
        arguments: list[str | int] = [
            window,
            standing.window,
            "" if change.is_full else f"{rate.per_minute:.3f}",
            "" if rate.knee == math.inf else f"{rate.knee:.3f}",
            window - rate.uncut,
            change.direction,
            message,
            int(change.is_warning),
        ]
        try:
            answer = await self._scripts["set_rate"](
                keys=[keys.epoch, keys.clock, keys.rate, keys.notes], args=arguments
            )
        except ResponseError as error:
            if str(error).startswith("RECOVERING"):
                raise Recovering("The line is being rebuilt.", retryAfter=2) from error
            raise
        return bool(answer)

    async def restore(self, event: EventId, reason: str, message: str) -> bool:
        """Back to the policy's rate; True if another was in force."""
        keys = EventKeys(event)
        return bool(await self._scripts["restore_rate"](keys=[keys.rate, keys.notes], args=[reason, message]))


def _seconds(duration: timedelta) -> int:
    return round(duration.total_seconds())
