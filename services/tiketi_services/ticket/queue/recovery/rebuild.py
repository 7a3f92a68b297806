"""``Rebuild``: one attempt to build Redis' memory of an event anew. Every step stops once somebody else took over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from redis.exceptions import ResponseError

from tiketi_runtime.contracts.identity import BuyerId, EventId, Line, Seq
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.redis import AsyncScript, Redis, load_scripts
from tiketi_services.ticket.queue.domain import Recovering, to_ms
from tiketi_services.ticket.queue.recovery.marks import PACKAGE, ClosedDraw, Fenced, SpentPlace

HOLD: Final = timedelta(seconds=8)
"""How long a line that was lost waits for those who were in it before it is served to those who came back."""
SMALL_STEP: Final = timedelta(seconds=5)
"""By so much clocks are set right, and servers differ, without harm: an event's time stands still for as long."""


class Superseded(Exception):
    """This attempt is over: another process took it over, Redis was lost again, or the event was deleted."""


@dataclass(frozen=True, slots=True)
class Look:
    """What Redis shows of an event."""

    is_open: bool
    """Whether its memory was built on the server that answers, and is still there."""
    epoch: int
    """The highest epoch noted there; 0 if none is."""


class Rebuild:
    """The Redis side of recovery, by event and epoch. Methods raise Superseded."""

    def __init__(self, redis: Redis) -> None:
        scripts = load_scripts(redis, PACKAGE)
        self._look = scripts["recover_look"]
        self._begin = scripts["recover_begin"]
        self._claims = scripts["recover_claims"]
        self._sheet = scripts["recover_sheet"]
        self._line = scripts["recover_line"]
        self._open = scripts["recover_open"]
        self._places = scripts["recover_places"]

    async def look(self, event: EventId) -> Look:
        """What Redis shows of the event. Never raises Superseded."""
        is_open, epoch = await self._look(keys=[EventKeys(event).epoch])
        return Look(bool(is_open), epoch)

    async def begin(self, event: EventId, epoch: int, lines: Iterable[Line]) -> None:
        """Forget what is left of the old memory; the event's time, too, if the server's clock was set back far."""
        keys = EventKeys(event)
        answer = await self._begin(
            keys=[keys.epoch, keys.clock, *_memory(event, lines)],
            args=[epoch, round(SMALL_STEP.total_seconds() * 1000)],
        )
        if answer != b"begun":
            raise Superseded(answer.decode())

    async def spend(self, event: EventId, epoch: int, line: Line, places: list[SpentPlace]) -> None:
        """Put back a batch of spent places, and the sessions that go on."""
        keys = EventKeys(event)
        names = keys.line(line)
        words = (
            word
            for place in places
            for word in (place.buyer, place.seq, place.session, 0 if place.ends_at is None else to_ms(place.ends_at))
        )
        _check(
            await self._claims(
                keys=[keys.epoch, keys.clock, names.places, names.claimed, keys.active, keys.counts, keys.sessions],
                args=[epoch, *words],
            )
        )

    async def sheet(self, event: EventId, epoch: int, sheet: SaleSheet) -> None:
        """Put back the sale sheet, unless the operator wrote a newer one."""
        keys = EventKeys(event)
        # Letter by letter what the operator would write: it need not number the same content anew.
        content = sheet.content().model_dump_json(by_alias=True)
        document = f'{{"version":{sheet.version},{content[1:]}'
        _check(
            await self._sheet(keys=[keys.epoch, keys.sheet, keys.sheet_version], args=[epoch, sheet.version, document])
        )

    async def line(self, event: EventId, epoch: int, line: Fenced, draw: ClosedDraw | None) -> None:
        """Let a line go on beyond its marks."""
        keys = EventKeys(event)
        names = keys.line(line.line)
        drawn = ["", 0, 0] if draw is None else [draw.n, to_ms(draw.closed_at), int(draw.is_drawn)]
        _check(
            await self._line(
                keys=[
                    keys.epoch,
                    keys.clock,
                    names.seq,
                    names.serving,
                    names.limits,
                    names.draw,
                    names.pace,
                    names.crowded,
                ],
                args=[epoch, line.seq, line.horizon, line.seq_limit, line.serving_limit, *drawn],
            )
        )

    async def open(self, event: EventId, epoch: int, version: int, lines: Iterable[Fenced], note: str) -> None:
        """Serve the event again; ``note`` becomes a Kubernetes Event, if there is one to be told."""
        keys = EventKeys(event)
        living = {line.line: line.living for line in lines}
        _check(
            await self._open(
                keys=[keys.epoch, keys.clock, keys.adopted, keys.notes, *(keys.line(line).serving for line in living)],
                args=[epoch, version, round(HOLD.total_seconds() * 1000), note, *living.values()],
            )
        )

    async def bring_back(self, event: EventId, line: Line, places: Iterable[tuple[BuyerId, Seq, int]]) -> int:
        """Give buyers back the places of their receipts: (buyer, seq, place; 0 if it is not known). Answers how many.

        For an event that is open: raises Recovering instead of Superseded.
        """
        keys = EventKeys(event)
        names = keys.line(line)
        return int(
            await decide(
                self._places,
                [
                    keys.epoch,
                    keys.clock,
                    names.places,
                    names.waiting,
                    names.returning,
                    names.living,
                    names.alive,
                    names.serving,
                    names.offers,
                    names.claimed,
                    keys.counts,
                    names.draw,
                    names.limits,
                ],
                [word for place in places for word in place],
            )
        )


async def decide(script: AsyncScript, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
    """Run a script of an open event. Raises Recovering while Redis has lost it."""
    try:
        return await script(keys=keys, args=args)
    except ResponseError as error:
        if str(error).startswith("RECOVERING"):
            raise Recovering("The line is being rebuilt; your place is safe. Try again.", retryAfter=2) from error
        raise


def _memory(event: EventId, lines: Iterable[Line]) -> Iterator[str]:
    """Every key that is built anew. Sheet, codes, notes and what adaptive admission learnt stay as they are."""
    keys = EventKeys(event)
    yield from (keys.active, keys.sessions, keys.holding, keys.seats, keys.counts, keys.unrecorded)
    for line in map(keys.line, lines):
        yield from (line.seq, line.places, line.waiting, line.returning, line.living, line.alive, line.serving)
        yield from (line.offers, line.claimed, line.limits, line.draw, line.sweeping)


def _check(answer: Any) -> None:
    if answer != 1:
        raise Superseded("taken over, or lost again")
