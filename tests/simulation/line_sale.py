"""A whole sale on a virtual clock, through the real scripts: no-shows, slow claimers, leavers, ghosts, shopping.

Everything the services do at intervals is done at these intervals, everything buyers do at times drawn from a seed. The
promises of the line are checked at each step; what is left is who waited how long.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, TypeVar

from tests.simulation.virtual_redis import VirtualRedis

from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, Seq, event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_services.ticket.queue.domain import NotInLine, Receipt, SaleClosed, Standing
from tiketi_services.ticket.queue.repository import Lines
from tiketi_services.ticket.queue.terms import LineTerms

T = TypeVar("T")
OPENS = 1_900_000_000_000
SERVE_MS, TELL_MS, BEAT_MS, SWEEP_MS, RETRY_MS = 200, 1_000, 5_000, 1_000, 1_000
"""Intervals of the services, and how soon a client asks again that was told it is next."""


@dataclass(frozen=True, slots=True)
class Buyer:
    """What one buyer will do. Times in ms."""

    number: int
    joins_at: int
    reacts_in: int
    """From learning of an offer to claiming it."""
    shops_for: int
    wants: int
    """Places bought; 0: looks only."""
    comes: bool = True
    """False: is connected, but never claims."""
    returns_in: int | None = None
    """Did not come at first, but asks so long after the offer."""
    leaves_at: int | None = None
    falls_silent_at: int | None = None

    @property
    def name(self) -> BuyerId:
        """As the services know the buyer."""
        return BuyerId(f"b{self.number}")


@dataclass(frozen=True, slots=True)
class House:
    """What is sold, and how the line is served."""

    per_minute: int
    slots: int
    stock: int
    claim_window: int = 30_000
    session: int = 600_000
    ghost_timeout: int = 30_000
    lasts: int = 3_600_000


class PromiseBroken(AssertionError):
    """The line did what it must never do."""


@dataclass
class LineSale:
    """One sale. ``run`` it, then ask who was admitted when."""

    BEGINS: ClassVar[int] = OPENS - 600_000
    """When buyers may begin to join; ms."""

    house: House
    buyers: list[Buyer]
    """Each at the index of its number."""
    redis: VirtualRedis = field(default_factory=lambda: VirtualRedis(LineSale.BEGINS))
    admitted_at: dict[int, int] = field(default_factory=dict)
    """By number of buyer; ms."""
    offered_at: dict[int, int] = field(default_factory=dict)
    """When the horizon passed the place first, as told to the buyer."""
    most_overtaken: int = 0
    """Buyers with later places admitted before one who had asked already. More than one batch breaks a promise: those
    who were offered a slot at the time, and what the gate lets in at once.
    """
    sold: int = 0

    def __post_init__(self) -> None:
        self._lines = Lines(self.redis)  # type: ignore[arg-type]
        house = self.house
        self._terms = LineTerms(
            event=event_id("demo", "sale"),
            line=PUBLIC,
            lines=(PUBLIC,),
            joins_from=self.BEGINS,
            draw_at=0,
            opens=OPENS,
            closes=OPENS + house.lasts,
            per_minute=house.per_minute,
            slots=house.slots,
            stock=house.stock,
            sections=("A",),
            session=house.session,
            claim_window=house.claim_window,
            ghost_timeout=house.ghost_timeout,
            is_paused=False,
            takes_new=True,
        )
        self._keys = EventKeys(self._terms.event)
        self._line = self._keys.line(PUBLIC)
        self.redis.command("HSET", self._keys.epoch, "epoch", 1, "run_id", self.redis.run_id)
        self.redis.command("HSET", self._line.limits, "seq", 1_000_000, "serving", 1_000_000)
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0
        self._by_seq: dict[int, Buyer] = {}
        self._seqs: dict[int, Seq] = {}
        self._present: set[int] = set()
        self._told = 0
        self._horizon = 0
        self._sessions: dict[int, int] = {}
        self._asked: dict[int, int] = {}
        """Later places admitted since a buyer was told to be next, by number of buyer."""
        self._tolerated: dict[int, int] = {}
        """How many of these may be, by number of buyer."""

    def run(self) -> None:
        """Until nobody who would still come waits, the house is sold out, or the sale closes."""
        for buyer in self.buyers:
            self._at(buyer.joins_at, partial(self._join, buyer))
        self._each(OPENS, SERVE_MS, self._serve)
        self._each(OPENS, TELL_MS, self._tell)
        self._each(self.BEGINS, BEAT_MS, self._beat)
        self._each(self.BEGINS + 500, SWEEP_MS, self._sweep)
        expected = {buyer.number for buyer in self.buyers if _would_come(buyer)}
        while self._agenda and not self._is_over(expected):
            self.redis.now, _, act = heapq.heappop(self._agenda)
            act()

    def _is_over(self, expected: set[int]) -> bool:
        return (
            self.sold >= self.house.stock or self.redis.now >= self._terms.closes or expected <= self.admitted_at.keys()
        )

    def _at(self, when: int, act: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._agenda, (max(when, self.redis.now), self._number, act))

    def _each(self, first: int, every: int, act: Callable[[], None]) -> None:
        def again() -> None:
            act()
            self._at(self.redis.now + every, again)

        self._at(first, again)

    # --- What the services do

    def _serve(self) -> None:
        served = at_once(self._lines.serve(self._terms))
        if served.horizon < self._horizon:
            raise PromiseBroken("The horizon went back.")
        self._horizon = served.horizon

    def _tell(self) -> None:
        """Clients learn the horizon, once a second; whose place it passed claims after a moment."""
        for seq in range(self._told + 1, self._horizon + 1):
            buyer = self._by_seq.get(seq)
            if buyer is None or buyer.number not in self._present:
                continue
            self.offered_at[buyer.number] = self.redis.now
            if buyer.comes:
                self._at(self.redis.now + buyer.reacts_in, partial(self._claim, buyer))
            elif buyer.returns_in is not None:
                self._at(self.redis.now + buyer.returns_in, partial(self._claim, buyer))
        self._told = self._horizon

    def _beat(self) -> None:
        shown = [(self.buyers[number].name, self._seqs[number]) for number in self._present]
        if shown:
            at_once(self._lines.heartbeat(self._terms.event, PUBLIC, shown))

    def _sweep(self) -> None:
        at_once(self._lines.sweep(self._terms))

    # --- What buyers do

    def _join(self, buyer: Buyer) -> None:
        place = at_once(self._lines.join(self._terms, None, buyer.name))
        if place is None:
            raise PromiseBroken("A buyer who may join got no place.")
        self._seqs[buyer.number] = place.seq
        self._by_seq[place.seq] = buyer
        self._present.add(buyer.number)
        if buyer.leaves_at is not None:
            self._at(buyer.leaves_at, partial(self._leave, buyer))
        if buyer.falls_silent_at is not None:
            self._at(buyer.falls_silent_at, partial(self._present.discard, buyer.number))

    def _leave(self, buyer: Buyer) -> None:
        if buyer.number in self._present:
            self._present.discard(buyer.number)
            at_once(self._lines.leave(self._terms.event, PUBLIC, buyer.name))

    def _claim(self, buyer: Buyer) -> None:
        if buyer.number not in self._present:
            return
        seq = self._seqs[buyer.number]
        receipt = Receipt(self._terms.event, PUBLIC, 1, seq, buyer.name, "", 0)
        try:
            turn = at_once(self._lines.claim(self._terms, None, buyer.name, receipt, f"session {buyer.number}"))
        except (NotInLine, SaleClosed):
            return
        if turn.standing is Standing.ADMITTED:
            self._enter(buyer)
        else:
            if buyer.number not in self._asked:
                batch = self.redis.command("ZCARD", self._line.offers) + max(1, self.house.per_minute // 12)
                self._asked[buyer.number], self._tolerated[buyer.number] = 0, batch + 1
            self._at(self.redis.now + RETRY_MS, partial(self._claim, buyer))

    def _enter(self, buyer: Buyer) -> None:
        now, seq = self.redis.now, self._seqs[buyer.number]
        self._present.discard(buyer.number)
        self.admitted_at[buyer.number] = now
        overtaken = self._asked.pop(buyer.number, 0)
        self.most_overtaken = max(self.most_overtaken, overtaken)
        if overtaken > self._tolerated.pop(buyer.number, 0):
            raise PromiseBroken(f"{overtaken} buyers with later places went in before one who had asked.")
        for number in self._asked.keys() & self._present:
            self._asked[number] += self._seqs[number] < seq
        self._sessions = {number: end for number, end in self._sessions.items() if end > now}
        self._sessions[buyer.number] = now + self.house.session
        if len(self._sessions) > self.house.slots:
            raise PromiseBroken(f"{len(self._sessions)} buyers shop in {self.house.slots} slots.")
        if seq > self._horizon:
            raise PromiseBroken("A place beyond the horizon was admitted.")
        self._at(now + min(buyer.shops_for, self.house.session) // 2, partial(self._hold, buyer))

    def _hold(self, buyer: Buyer) -> None:
        """As the scripts of orders keep the counts."""
        free = self.house.stock - int(self.redis.command("HGET", self._keys.counts, "taken:A") or 0)
        places = min(buyer.wants, free)
        if places:
            self.redis.command("HINCRBY", self._keys.counts, "taken:A", places)
            self.redis.command("ZADD", self._keys.holding, self.redis.now + self.house.session, buyer.name)
        self._at(self.redis.now + min(buyer.shops_for, self.house.session) // 2, partial(self._finish, buyer, places))

    def _finish(self, buyer: Buyer, places: int) -> None:
        self.sold += places
        self._sessions.pop(buyer.number, None)
        self.redis.command("ZREM", self._keys.holding, buyer.name)
        at_once(self._lines.end_session(self._terms.event, buyer.name))


def _would_come(buyer: Buyer) -> bool:
    return (buyer.comes or buyer.returns_in is not None) and buyer.leaves_at is None and buyer.falls_silent_at is None


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never has to wait."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise RuntimeError("Something waits on a virtual clock.")


# --- What a perfect line would do


def ideal_admissions(house: House, buyers: list[Buyer]) -> dict[int, int]:
    """When each buyer who comes would be admitted by a line that knows who that is. ms, by number of buyer.

    In the order of joining, at the rate, as soon as a slot is free; nobody needs time to react.
    """
    interval = 60_000 / house.per_minute
    turn, slots, admitted = float(OPENS), [0.0] * house.slots, {}
    for buyer in sorted(filter(_would_come, buyers), key=lambda buyer: (buyer.joins_at, buyer.number)):
        at = max(turn, buyer.joins_at, heapq.heappop(slots))
        admitted[buyer.number] = round(at)
        turn = at + interval
        heapq.heappush(slots, at + min(buyer.shops_for, house.session))
    return admitted


def waits(buyers: list[Buyer], admitted_at: dict[int, int]) -> int:
    """Sum of waits since the opening, or joining if that was later; ms."""
    return sum(
        admitted_at[buyer.number] - max(OPENS, buyer.joins_at) for buyer in buyers if buyer.number in admitted_at
    )
