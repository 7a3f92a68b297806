"""Where holds, orders and tickets are kept (PostgreSQL, the judge) and shown (Redis, the paint)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from prometheus_client import Counter

from tiketi_runtime.contracts.identity import BuyerId, EventId, HoldId, OrderId, SeatId
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import LineSheet, SaleSheet
from tiketi_runtime.outages import is_outage
from tiketi_runtime.postgres import Pool, load_queries
from tiketi_runtime.redis import AsyncScript, Redis, load_scripts
from tiketi_services.ticket.orders.domain import (
    MOST_EXTENSIONS,
    Hold,
    MoreTime,
    Order,
    OrderState,
    OrderWithoutSeats,
    Outcome,
    SeatLost,
    TakenSeat,
    Ticket,
)

PACKAGE = "tiketi_services.ticket.orders"
_REFUSED = "TK001"
"""SQLSTATE of our function ``refuse``."""
_BRUSH = 500
"""Seats painted in one script: Redis serves nobody else meanwhile."""

UNPAINTED = Counter("tiketi_seats_unpainted_total", "Times that seats were not painted because Redis was away.")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What PostgreSQL decided about a wanted hold. Only a verdict ``held`` has changed anything."""

    outcome: str
    until: datetime | None
    taken: Sequence[SeatId]
    live: int


@dataclass(frozen=True, slots=True)
class Keeping:
    """What PostgreSQL decided about a hold that is to last longer or to have other seats."""

    outcome: str
    hold: Hold | None
    """As it is now: None if there is none of this buyer; the hold it has become if ``outcome`` is replaced."""
    dropped: Sequence[SeatId] = ()
    """Seats it no longer has, since just now."""
    taken: Sequence[SeatId] = ()
    live: int = 0
    """Other seats of the buyer."""


@dataclass(frozen=True, slots=True)
class Placing:
    """What PostgreSQL decided about a wanted order. ``order`` is there when ``outcome`` is placed or ordered."""

    outcome: str
    order: Order | None
    is_new: bool = False
    """False if an earlier request with the same key had placed it."""


@dataclass(frozen=True, slots=True)
class PaintCounts:
    """What Redis counts of an event's seats. Without drift ``counted`` equals ``painted``."""

    sold: int
    painted: int
    counted: int
    """Taken places, by the counters of the sections."""


@dataclass(frozen=True, slots=True)
class Release:
    """What became of a hold that its buyer gave back."""

    freed: Sequence[SeatId]
    order: OrderId | None


class OrderBook:
    """Holds, orders and tickets. Every method is one statement: it happens whole or not at all."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = load_queries(PACKAGE)

    async def hold(
        self, sale: SaleSheet, line: LineSheet, buyer: BuyerId, hold: HoldId, seats: Sequence[SeatId]
    ) -> Verdict:
        """Decide who gets these seats (sorted). Raises SeatLost: then nothing was decided."""
        row = await self._decide(
            "hold_seats",
            sale.event,
            sale.version,
            line.opens_at,
            line.closes_at,
            sale.max_tickets_per_buyer,
            sale.hold_duration,
            buyer,
            line.name,
            hold,
            seats,
        )
        if row is None:
            return Verdict("stopped", None, (), 0)
        return Verdict(row["outcome"], row["until"], row["taken"] or (), row["live"] or 0)

    async def extend(self, event: EventId, buyer: BuyerId, hold: HoldId, more: MoreTime) -> Keeping:
        """Let a live hold last longer. Raises SeatLost: then nothing was decided."""
        row = await self._decide(
            "extend_hold", event, buyer, hold, more.step, MOST_EXTENSIONS, more.longest, more.enough
        )
        return Keeping(row["outcome"], _hold(row) if row["id"] else None)

    async def change(
        self, sale: SaleSheet, line: LineSheet, buyer: BuyerId, hold: HoldId, new: HoldId, seats: Sequence[SeatId]
    ) -> Keeping:
        """Other seats (sorted) for a live hold, which is ``new`` then. Raises SeatLost: then nothing was decided."""
        row = await self._decide(
            "change_seats",
            sale.event,
            sale.version,
            line.opens_at,
            line.closes_at,
            sale.max_tickets_per_buyer,
            sale.hold_duration,
            buyer,
            hold,
            new,
            seats,
        )
        if row is None:
            return Keeping("stopped", None)
        return Keeping(
            row["outcome"],
            _hold(row) if row["id"] else None,
            row["dropped"] or (),
            row["taken"] or (),
            row["live"] or 0,
        )

    async def holds_of(self, event: EventId, buyer: BuyerId) -> list[Hold]:
        """A buyer's live holds, oldest first."""
        return [_hold(row) for row in await self._pool.fetch(self._sql["holds_of_buyer"], event, buyer)]

    async def count_of(self, event: EventId, buyer: BuyerId, apart_from: HoldId | None) -> int:
        """Seats that count toward a buyer's limit, but for those of one hold."""
        return int(await self._pool.fetchval(self._sql["count_of_buyer"], event, buyer, apart_from))

    async def successor(self, buyer: BuyerId, hold: HoldId) -> HoldId | None:
        """The hold that a buyer's hold has become by changes of seats; None if it has not."""
        found = await self._pool.fetchval(self._sql["successor"], buyer, hold)
        return HoldId(str(found)) if found else None

    async def release(self, event: EventId, buyer: BuyerId, hold: HoldId) -> Release | None:
        """Free a hold's seats; None if it is not this buyer's."""
        row = await self._pool.fetchrow(self._sql["release_hold"], event, buyer, hold)
        if row is None:
            return None
        order = OrderId(str(row["order_id"])) if row["order_id"] else None
        return Release(row["freed"], order)

    async def place(
        self,
        sale: SaleSheet,
        buyer: BuyerId,
        hold: HoldId,
        order: OrderId,
        idempotency_key: str,
        owner: str | None = None,
    ) -> Placing:
        """Turn a hold into an order that must be paid within the sale's hold duration. Raises SeatLost.

        ``owner``: the name that its tickets will carry.
        """
        row = await self._decide(
            "place_order",
            sale.event,
            sale.version,
            [section.name for section in sale.sections],
            [section.price for section in sale.sections],
            sale.currency,
            sale.title,
            sale.hold_duration,
            buyer,
            hold,
            order,
            idempotency_key,
            owner,
        )
        placed = _order(row) if row["id"] else None
        return Placing(row["outcome"], placed, is_new=placed is not None and placed.id == order)

    async def settle(self, outcome: Outcome, message: UUID | None) -> Order | None:
        """Issue the tickets of a paid order; the order, if done now. Raises OrderWithoutSeats."""
        return await self._end(
            "settle_order",
            outcome.order,
            outcome.event,
            outcome.buyer,
            outcome.amount,
            outcome.currency,
            outcome.payment_key,
            message,
        )

    async def close(self, order: OrderId) -> Order | None:
        """Free the seats of an order that payment has closed; the order, if done now. Raises OrderWithoutSeats."""
        return await self._end("close_order", order)

    async def find(self, order: OrderId) -> Order | None:
        """The order of this id."""
        row = await self._pool.fetchrow(self._sql["order"], order)
        return _order(row) if row else None

    async def request_cancel(self, order: OrderId, buyer: BuyerId) -> Order | None:
        """Have an open order closed at once; None if it is not open, or not this buyer's."""
        row = await self._pool.fetchrow(self._sql["request_cancel"], order, buyer)
        return _order(row) if row else None

    async def take_due(self, most: int, set_aside: timedelta) -> list[OrderId]:
        """Open orders that payment is to close now; nobody else gets them for the time ``set_aside``."""
        rows = await self._pool.fetch(self._sql["take_due_orders"], most, set_aside)
        return [OrderId(str(row["id"])) for row in rows]

    async def sweep_holds(self, most: int) -> dict[EventId, list[tuple[SeatId, HoldId]]]:
        """Remove holds that ran out and no longer linger; their seats by event, with the hold each belonged to."""
        swept: dict[EventId, list[tuple[SeatId, HoldId]]] = {}
        for row in await self._pool.fetch(self._sql["sweep_holds"], most):
            swept.setdefault(EventId(row["event"]), []).append((SeatId(row["seat"]), HoldId(str(row["hold"]))))
        return swept

    async def house(self, event: EventId) -> tuple[Sequence[SeatId], Sequence[SeatId], Sequence[str]]:
        """Seats of an event that look held, and sold ones; and sections whose free seats look held, too."""
        row = await self._pool.fetchrow(self._sql["house"], event)
        return row["held"], row["sold"], row["kept"]

    async def taken(self, event: EventId, only: Sequence[SeatId] | None = None) -> list[TakenSeat]:
        """Seats that look taken; of ``only`` some, those that nobody can hold now."""
        if only is None:
            rows = await self._pool.fetch(self._sql["taken_seats"], event)
        else:
            rows = await self._pool.fetch(self._sql["taken_among"], event, only)
        return [
            TakenSeat(SeatId(row["seat"]), row["state"], HoldId(str(row["hold"])), BuyerId(row["buyer"]), row["until"])
            for row in rows
        ]

    async def count_taken(self, events: Sequence[EventId]) -> Mapping[EventId, tuple[int, int]]:
        """Number of sold seats, and of all that have a row, by event."""
        rows = await self._pool.fetch(self._sql["count_taken"], events)
        return {EventId(row["event"]): (row["sold"], row["taken"]) for row in rows}

    async def tickets_of_order(self, order: OrderId) -> list[Ticket]:
        """Tickets of one order, by seat."""
        return [_ticket(row) for row in await self._pool.fetch(self._sql["tickets_of_order"], order)]

    async def _decide(self, query: str, *arguments: Any) -> Any:
        try:
            return await self._pool.fetchrow(self._sql[query], *arguments)
        except asyncpg.PostgresError as error:
            if error.sqlstate == _REFUSED:
                raise SeatLost(f"{query}: {error}") from error
            raise

    async def _end(self, query: str, *arguments: Any) -> Order | None:
        try:
            row = await self._decide(query, *arguments)
        except SeatLost as error:
            raise OrderWithoutSeats(f"order {arguments[0]}: {error}") from error
        return _order(row) if row else None


class SeatPaint:
    """What Redis shows of the seats: turns losers away and tells the queue what is sold. It decides nothing.

    A brush that cannot reach Redis is counted and let go: PostgreSQL decides without it, and the sweeper paints again.
    """

    def __init__(self, redis: Redis, *, is_insistent: bool = False) -> None:
        """``is_insistent``: every stroke matters, an outage is raised."""
        self._redis = redis
        self._is_insistent = is_insistent
        scripts = load_scripts(redis, PACKAGE)
        self._lock = scripts["lock_seats"]
        self._unlock = scripts["unlock_seats"]
        self._paint = scripts["paint_seats"]
        self._recount = scripts["recount_seats"]
        self._unsell = scripts["unsell_seats"]

    def insistent(self) -> SeatPaint:
        """The same paint, for whom an unpainted seat is no small matter: raises what Redis raises when it is away."""
        return SeatPaint(self._redis, is_insistent=True)

    async def lock(
        self, event: EventId, hold: HoldId, buyer: BuyerId, duration: timedelta, seats: Sequence[SeatId]
    ) -> list[SeatId]:
        """Lock all of the seats, or learn which are taken. Without Redis none is known to be."""
        keys = EventKeys(event)
        arguments = [hold, buyer, int(duration.total_seconds() * 1000), *seats]
        taken = await self._brush(self._lock, [keys.seats, keys.counts, keys.holding, keys.sheet], arguments)
        return [SeatId(seat.decode()) for seat in taken or ()]

    async def unlock(self, event: EventId, seats: Iterable[tuple[SeatId, HoldId]]) -> None:
        """Paint seats free that are still painted as these holds'."""
        keys = EventKeys(event)
        for arguments in _brushfuls(seats):
            await self._brush(self._unlock, [keys.seats, keys.counts, keys.holding], arguments)

    async def show(self, event: EventId, taken: Iterable[TakenSeat]) -> None:
        """Paint seats as PostgreSQL has them, and keep the counts right."""
        keys, now = EventKeys(event), datetime.now(UTC)
        for arguments in _brushfuls((seat.seat, seat.paint(now)) for seat in taken):
            await self._brush(self._paint, [keys.seats, keys.counts, keys.holding, keys.sheet], arguments)

    async def unsell(self, event: EventId, seats: Iterable[tuple[SeatId, str]]) -> None:
        """Give seats that are painted as sold another paint; an empty one: they are free."""
        keys = EventKeys(event)
        for arguments in _brushfuls(seats):
            await self._brush(self._unsell, [keys.seats, keys.counts, keys.holding], arguments)

    async def recount(self, event: EventId) -> None:
        """Count the painted seats anew."""
        keys = EventKeys(event)
        await self._brush(self._recount, [keys.seats, keys.counts, keys.holding], [])

    async def counts(self, event: EventId) -> PaintCounts | None:
        """What is counted; None if Redis does not know the event."""
        keys = EventKeys(event)
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.exists(keys.sheet)
            pipeline.hgetall(keys.counts)
            pipeline.hlen(keys.seats)
            is_known, counts, painted = await pipeline.execute()
        taken = sum(int(number) for field, number in counts.items() if field.startswith(b"taken:"))
        return PaintCounts(int(counts.get(b"sold", 0)), int(painted), taken) if is_known else None

    async def painted(self, event: EventId) -> tuple[list[tuple[SeatId, HoldId]], list[SeatId]]:
        """Every seat that is painted as held, with the hold it is painted for; and every one painted as sold."""
        paints: Mapping[bytes, bytes] = await self._redis.hgetall(EventKeys(event).seats)  # type: ignore[assignment]
        held = [
            (SeatId(seat.decode()), HoldId(paint.partition(b"|")[0].decode()))
            for seat, paint in paints.items()
            if paint != b"sold"
        ]
        return held, [SeatId(seat.decode()) for seat, paint in paints.items() if paint == b"sold"]

    async def _brush(self, script: AsyncScript, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        try:
            return await script(keys=keys, args=arguments)
        except Exception as error:
            if self._is_insistent or not is_outage(error):
                raise
            UNPAINTED.inc()
            log.warning("seats not painted", extra={"error": f"{type(error).__name__}: {error}"})
            return None


def _brushfuls(pairs: Iterable[tuple[str, str]]) -> Iterable[list[str]]:
    words = [word for pair in pairs for word in pair]
    return (words[at : at + 2 * _BRUSH] for at in range(0, len(words), 2 * _BRUSH))


def _hold(row: Mapping[str, Any]) -> Hold:
    return Hold(
        id=HoldId(str(row["id"])),
        seats=tuple(map(SeatId, row["seats"])),
        until=row["until"],
        since=row["since"] or row["held_at"],
        extensions=row["extensions"],
    )


def _order(row: Mapping[str, Any]) -> Order:
    return Order(
        id=OrderId(str(row["id"])),
        event=EventId(row["event"]),
        buyer=BuyerId(row["buyer"]),
        hold=HoldId(str(row["hold"])),
        state=OrderState(row["state"]),
        seats=tuple(map(SeatId, row["seats"])),
        amount=row["amount"],
        currency=row["currency"],
        name=row["name"],
        placed_at=row["placed_at"],
        pay_by=row["pay_by"],
        cancel_requested_at=row["cancel_requested_at"],
    )


def _ticket(row: Mapping[str, Any]) -> Ticket:
    return Ticket(
        id=str(row["id"]),
        event=EventId(row["event"]),
        seat=SeatId(row["seat"]),
        order=OrderId(str(row["order_id"])),
        state=row["state"],
        issued_at=row["issued_at"],
    )
