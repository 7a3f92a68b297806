"""The line in Redis, one script for each promise; and the claims PostgreSQL keeps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, Final

from redis.exceptions import ResponseError

from tiketi_runtime.contracts.identity import BuyerId, EventId, Line, Seq
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.postgres import Pool, load_queries
from tiketi_runtime.redis import Redis, load_scripts
from tiketi_services.ticket.queue.domain import (
    Claim,
    DrawnOrder,
    LineState,
    NotInLine,
    NotReady,
    Place,
    QueueClosed,
    QueueNotOpen,
    Receipt,
    Recovering,
    SaleClosed,
    StaleReceipt,
    Standing,
    Turn,
    Whereabouts,
    from_ms,
    to_ms,
)
from tiketi_services.ticket.queue.script_keys import keys_of
from tiketi_services.ticket.queue.terms import LineTerms

PACKAGE = "tiketi_services.ticket.queue"
MOST_OFFERS: Final = 500
"""Offers in one call: Redis serves nobody else meanwhile."""
MOST_GHOSTS: Final = 1000
MOST_BEATS: Final = 1000
MOST_CLAIMS: Final = 1000


class Spent(Exception):
    """Redis says that the place was spent for a session that is over. Whether it was, PostgreSQL knows."""

    def __init__(self, session: str) -> None:
        self.session = session


class NumbersUsedUp(Exception):
    """The line may give out no more numbers before PostgreSQL has noted a higher limit."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Who is next in a drawn order: the seqs at the places from ``from_place`` on."""

    from_place: int = 1
    seqs: Sequence[int] = ()


_NOBODY_NAMED: Final = Candidates()


@dataclass(frozen=True, slots=True)
class Served:
    """What one call to serve did."""

    horizon: int
    entries: int
    """Of the draw; 0 for a line that is not drawn (yet)."""
    offered: int
    lapsed: int
    lacks_places: bool
    """There was room for more: give places from the horizon on."""


@dataclass(frozen=True, slots=True)
class Session:
    """The end (ms) of a session that is live, or None when it is over."""

    ends: int | None


Shown = tuple[BuyerId, Seq]
"""A buyer, and the number that the buyer's page shows; 0: none that is to be looked up."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat found."""

    absent: Sequence[BuyerId]
    """Those who are not in line."""
    moved: Mapping[Shown, Seq]
    """For whom another number counts than is shown: after a loss of Redis one account can have got two."""


@dataclass(frozen=True, slots=True)
class Left:
    """What leaving found."""

    was_there: bool
    """In line or shopping."""
    had_session: bool
    """The place was spent; its session, if it was live, is over."""


def _tell_nobody(_: EventId) -> None:
    """For those who only want to know it by the exception."""


class Lines:
    """All lines of all events. Every method raises Recovering while Redis has lost the event's line."""

    def __init__(self, redis: Redis, on_loss: Callable[[EventId], None] = _tell_nobody) -> None:
        """``on_loss`` is told each time that a script finds an event's memory lost."""
        self._redis = redis
        self._scripts = load_scripts(redis, PACKAGE)
        self._on_loss = on_loss

    async def join(
        self,
        terms: LineTerms,
        order: DrawnOrder | None,
        buyer: BuyerId,
        receipt: Receipt | None = None,
        *,
        is_new_welcome: bool = True,
    ) -> Place | None:
        """Take a place, the same one every time; the receipt of a place that Redis has lost restores it.

        None: the buyer has no place, and a new one is not to be given yet. Raises QueueNotOpen, SaleClosed, QueueClosed
        (to those who have no place yet), Spent, NumbersUsedUp, NotReady.
        """
        newcomers = "0" if not terms.takes_new else "1" if is_new_welcome else "?"
        arguments = [buyer, terms.joins_from, terms.closes, terms.draw_at, newcomers]
        arguments += [0, 0] if receipt is None else [receipt.seq, receipt.epoch]
        keys = keys_of(terms.event, terms.line).join
        standing, epoch, now, *rest = await self._run("join", terms.event, keys, [*arguments, 0, 0])
        if standing == b"order" and order is not None:
            places = [rest[0], order.place(rest[0])]
            standing, epoch, now, *rest = await self._run("join", terms.event, keys, [*arguments, *places])
        match standing:
            case b"early":
                raise not_open(terms, now)
            case b"closed":
                raise SaleClosed("The sale of this line is over.")
            case b"refused":
                raise QueueClosed("The organiser lets nobody new join.")
            case b"spent":
                raise Spent(rest[0].decode())
            case b"limit":
                raise NumbersUsedUp
            case b"order":
                raise NotReady("The order that was drawn is not known here yet; try again.", retryAfter=1)
            case b"new":
                return None
        seq, entries, is_drawn, is_new = rest
        place = _place_of(seq, order, terms, entries, is_drawn=bool(is_drawn))
        return Place(Seq(seq), place, epoch, Standing(standing.decode()), from_ms(now), is_new=bool(is_new))

    async def serve(self, terms: LineTerms, candidates: Candidates = _NOBODY_NAMED) -> Served:
        """Offer free slots to the next places, as many as rate, slots and stock allow."""
        others = [keys_of(terms.event, name).offers for name in terms.lines if name != terms.line]
        horizon, entries, offered, lapsed, lacks_places = await self._run(
            "serve",
            terms.event,
            [*keys_of(terms.event, terms.line).serve, *others],
            [
                terms.opens,
                terms.closes,
                terms.draw_at,
                int(terms.is_paused),
                terms.per_minute,
                terms.slots,
                terms.stock,
                terms.claim_window,
                MOST_OFFERS,
                candidates.from_place,
                len(candidates.seqs),
                *candidates.seqs,
                *terms.sections,
            ],
        )
        return Served(horizon, entries, offered, lapsed, bool(lacks_places))

    async def claim(
        self, terms: LineTerms, order: DrawnOrder | None, buyer: BuyerId, receipt: Receipt, session: str
    ) -> Turn:
        """Spend the place of a buyer to whom a slot is offered; asked again, the same session is answered.

        Raises NotInLine, StaleReceipt, Spent, SaleClosed, NotReady.
        """
        standing, epoch, now, *rest = await self._run(
            "claim",
            terms.event,
            keys_of(terms.event, terms.line).claim,
            [
                buyer,
                receipt.seq,
                receipt.epoch,
                0 if order is None else order.place(receipt.seq),
                session,
                terms.session,
                _claim_fields(terms.line, buyer, receipt.seq, session),
                terms.opens,
                terms.closes,
                int(terms.is_paused),
                terms.per_minute,
                terms.slots,
                terms.stock,
                terms.claim_window,
                *terms.sections,
            ],
        )
        match standing:
            case b"unknown" | b"stale":
                raise StaleReceipt("The line does not know this receipt; join again with it, your place is kept.")
            case b"spent":
                raise Spent(rest[0].decode())
            case b"closed":
                raise SaleClosed("The sale of this line is over.")
            case b"gone":
                raise NotInLine("You left the line or went silent. Your place is kept; join again to wait.")
            case b"order":
                raise NotReady("The order that was drawn is not known here yet; try again.", retryAfter=1)
            case b"admitted":
                began, ends, is_new, after = rest
                return Turn(
                    Standing.ADMITTED,
                    epoch,
                    from_ms(now),
                    began.decode(),
                    from_ms(ends),
                    began_now=bool(is_new),
                    after=timedelta(milliseconds=after) if is_new else None,
                )
        return Turn(Standing(standing.decode()), epoch, from_ms(now))

    async def give_back(self, event: EventId, line: Line, buyer: BuyerId, session: str, entry: str = "") -> bool:
        """Let the buyer claim again: PostgreSQL does not have this session. ``entry``: as ``entry_of`` the claim."""
        keys = keys_of(event, line).give_back
        return bool(await self._run("give_back", event, keys, [buyer, session, entry]))

    async def heartbeat(self, event: EventId, line: Line, shown: Sequence[Shown]) -> Beat:
        """Note that these buyers (MOST_BEATS at most) are alive; tells of those who are not in line, or not there."""
        words = [word for each in shown for word in each]
        news = await self._run("heartbeat", event, keys_of(event, line).heartbeat, words)
        found = [(shown[index - 1], Seq(seq)) for index, seq in zip(news[::2], news[1::2], strict=True)]
        return Beat([buyer for (buyer, _), seq in found if seq == 0], {each: seq for each, seq in found if seq > 0})

    async def whereabouts(self, event: EventId, line: Line, buyers: Sequence[BuyerId]) -> list[Whereabouts]:
        """Where these buyers (MOST_BEATS at most) are, who are not in line."""
        found = await self._run("whereabouts", event, keys_of(event, line).whereabouts, buyers)
        return [Whereabouts(each.decode()) for each in found]

    async def leave(self, event: EventId, line: Line, buyer: BuyerId) -> Left:
        """Free the buyer's place, offer or session at once."""
        left, is_spent = await self._run("leave", event, keys_of(event, line).leave, [buyer])
        return Left(bool(left), bool(is_spent))

    async def sweep(self, terms: LineTerms) -> int:
        """Take silent buyers out of the line, MOST_GHOSTS at most; returns how many."""
        keys = keys_of(terms.event, terms.line).sweep
        return int(await self._run("sweep", terms.event, keys, [terms.ghost_timeout, MOST_GHOSTS]))

    async def state(self, terms: LineTerms) -> LineState:
        """One reading of the line."""
        keys = keys_of(terms.event, terms.line).state
        answer = await self._run("state", terms.event, keys, terms.sections)
        now, epoch, horizon, entries, is_drawn, waiting, offered, active, holding, admitted, sold, *rest = answer
        rate, no_shows, pace, crowded, taken, living = rest
        return LineState(
            now=from_ms(now),
            epoch=epoch,
            horizon=horizon,
            entries=None if entries < 0 else entries,
            is_drawn=bool(is_drawn),
            waiting=waiting,
            offered=offered,
            active=active,
            holding=holding,
            admitted=admitted,
            sold=sold,
            taken=dict(zip(terms.sections, taken, strict=True)),
            per_minute=rate or None,
            no_shows=float(no_shows),
            pace={int(stretch): int(number) for stretch, number in zip(pace[::2], pace[1::2], strict=True)},
            crowded={int(at): int(bits).bit_count() for at, bits in zip(crowded[::2], crowded[1::2], strict=True)},
            living=living,
        )

    async def session(self, event: EventId, line: Line, buyer: BuyerId, session: str) -> Session | None:
        """The session, or None if the buyer never had it."""
        status, *ends = await self._run("admitted", event, keys_of(event, line).admitted, [buyer, session])
        if status == b"foreign":
            return None
        return Session(ends[0] if status == b"live" else None)

    async def end_session(self, event: EventId, buyer: BuyerId) -> None:
        """Free the buyer's slot."""
        await self._redis.zrem(EventKeys(event).active, buyer)

    async def _run(self, name: str, event: EventId, keys: Sequence[str], args: Sequence[Any]) -> Any:
        try:
            return await self._scripts[name](keys=keys, args=args)
        except ResponseError as error:
            if str(error).startswith("RECOVERING"):
                self._on_loss(event)
                raise Recovering("The line is being rebuilt; your place is safe. Try again.", retryAfter=2) from error
            raise


class UnrecordedClaims:
    """Claims that wait in Redis until PostgreSQL has them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def oldest(self, events: Sequence[EventId]) -> list[Claim]:
        """The oldest claims of each event, MOST_CLAIMS at most."""
        pipeline = self._redis.pipeline(transaction=False)
        for event in events:
            pipeline.zrange(EventKeys(event).unrecorded, 0, MOST_CLAIMS - 1, withscores=True)
        batches: list[list[tuple[bytes, float]]] = await pipeline.execute() if events else []
        return [
            _read_claim(event, member, claimed_at)
            for event, batch in zip(events, batches, strict=True)
            for member, claimed_at in batch
        ]

    async def forget(self, claims: Sequence[Claim]) -> None:
        """PostgreSQL has these."""
        members: dict[EventId, list[str]] = {}
        for claim in claims:
            members.setdefault(claim.event, []).append(entry_of(claim))
        pipeline = self._redis.pipeline(transaction=False)
        for event, recorded in members.items():
            pipeline.zrem(EventKeys(event).unrecorded, *recorded)
        await pipeline.execute()


class Loss(Enum):
    """Why a claim was not kept."""

    SPENT = "spent"
    """The place was spent before, by another session."""
    LATE = "late"
    """Redis was lost since and is rebuilt without the claim, or its session is over: the place is still the buyer's."""


class ClaimArchive:
    """Spent places, as PostgreSQL has them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = load_queries(PACKAGE)

    async def record(self, claims: Sequence[Claim]) -> dict[Claim, Loss]:
        """Keep claims; returns those that cannot be kept, and why. Keeping one twice changes nothing."""
        columns = [
            [claim.event for claim in claims],
            [claim.line for claim in claims],
            [claim.buyer for claim in claims],
            [claim.session for claim in claims],
        ]
        done = await self._pool.execute(
            self._sql["record_claims"],
            *columns,
            [claim.epoch for claim in claims],
            [claim.seq for claim in claims],
            [claim.claimed_at for claim in claims],
            [claim.ends_at for claim in claims],
        )
        if done == f"INSERT 0 {len(claims)}":
            return {}
        rows = await self._pool.fetch(self._sql["lost_claims"], *columns)
        return {claims[row["number"] - 1]: Loss.SPENT if row["is_spent"] else Loss.LATE for row in rows}

    async def is_spent(self, event: EventId, line: Line, buyer: BuyerId, session: str) -> bool:
        """Whether the place was spent for this session, or for another that is over."""
        row = await self._pool.fetchrow(self._sql["session_of_buyer"], event, line, buyer)
        return row is not None and (row["session"] == session or not row["is_live"])

    async def end(self, event: EventId, buyer: BuyerId, line: Line | None) -> None:
        """End the buyer's session before its time: in one line, or in all."""
        await self._pool.execute(self._sql["end_sessions"], event, buyer, line)


def not_open(terms: LineTerms, now: int) -> QueueNotOpen:
    """The refusal of who comes too early; ``now`` in ms."""
    opens = from_ms(terms.joins_from)
    return QueueNotOpen(
        f"The line takes buyers from {opens:%Y-%m-%dT%H:%M:%SZ}.",
        opensAt=opens.isoformat().replace("+00:00", "Z"),
        retryAfter=min(60, (terms.joins_from - now) / 1000),
    )


def _place_of(seq: int, order: DrawnOrder | None, terms: LineTerms, entries: int, *, is_drawn: bool) -> int | None:
    """The place of a seq; None for an entry whose order is not known (here). ``entries`` -1: still open."""
    if is_drawn and seq <= entries:
        return None if order is None else order.place(seq)
    is_entry = terms.draw_at > 0 and not is_drawn and (entries < 0 or seq <= entries)
    return None if is_entry else seq


def _claim_fields(line: Line, buyer: BuyerId, seq: int, session: str) -> str:
    """The middle of a claim as Redis keeps it; before it stands the epoch, after it the end of the session (ms)."""
    return json.dumps([line, buyer, seq, session])[1:-1]


def entry_of(claim: Claim) -> str:
    """The claim as it stands among the unrecorded ones."""
    fields = _claim_fields(claim.line, claim.buyer, claim.seq, claim.session)
    return f"[{claim.epoch}, {fields}, {to_ms(claim.ends_at)}]"


def _read_claim(event: EventId, member: bytes, claimed_at: float) -> Claim:
    epoch, line, buyer, seq, session, ends = json.loads(member)
    return Claim(event, Line(line), epoch, BuyerId(buyer), Seq(seq), session, from_ms(int(claimed_at)), from_ms(ends))
