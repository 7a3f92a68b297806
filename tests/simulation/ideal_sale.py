"""A sale as the line means it, second by second, in plain Python: fast enough to run thousands of them.

Its crowd is drawn from a seed, its line obeys rate, slots and stock. It is what promises to buyers are checked against:
at every moment it knows what the services would have measured, and in the end it knows what became of everybody.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum

from tiketi_services.ticket.queue.places.outlook import STRETCH, Gate, Pace, Reach, Stock, pace_of, reach_of

OPENS = datetime(2030, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Crowd:
    """How buyers of one sale behave, and what they meet. Times in seconds, shares 0..1."""

    buyers: int
    stock: int
    slots: int
    per_minute: float
    most_per_buyer: int
    session: float
    lasts: float
    claim_window: float
    shows: float
    """Share that claims an offer."""
    claims_after: float
    """Mean; slow ones take up to the claim window."""
    leaves_per_minute: float
    holds_after: float
    """Mean, from admission."""
    pays_after: float
    """Mean, from the hold."""
    buys: float
    """Share of the admitted that holds anything; ``pays`` of these pays."""
    pays: float
    wants: tuple[float, ...]
    """Weights of wanting 1, 2, ... places."""


def any_crowd(rng: random.Random) -> Crowd:
    """A sale nobody has planned: popular or not, with a patient crowd or a fickle one."""
    buyers = rng.randint(60, 500)
    most = rng.choice([1, 2, 4, 4, 6, 8])
    per_minute = buyers / rng.uniform(2, 15)
    shopping = rng.uniform(20, 180)
    return Crowd(
        buyers=buyers,
        stock=max(1, round(buyers * (1 + most) / 2 * rng.uniform(0.1, 1.2))),
        slots=max(1, round(per_minute * shopping / 60 * rng.uniform(0.3, 2))),
        per_minute=per_minute,
        most_per_buyer=most,
        session=rng.choice([300.0, 600.0]),
        lasts=rng.choice([600.0, 1800.0, 1800.0]),
        claim_window=rng.choice([15.0, 30.0, 90.0]),
        shows=rng.uniform(0.5, 1),
        claims_after=rng.uniform(1, 10),
        leaves_per_minute=rng.choice([0, 0, 0.01, 0.03]),
        holds_after=shopping / 2,
        pays_after=shopping / 2,
        buys=rng.uniform(0.6, 1),
        pays=rng.uniform(0.6, 1),
        wants=tuple(rng.random() for _ in range(most)),
    )


class _What(Enum):
    CLAIM, LAPSE, HOLD, PAY, END = range(5)


@dataclass
class IdealSale:
    """One run; ``offered_at`` tells in the end who was served, and when (s from the opening)."""

    crowd: Crowd
    rng: random.Random
    now: int = 0
    waiting: list[int] = field(default_factory=list)
    """Living places, the next one last."""
    offered_at: dict[int, int] = field(default_factory=dict)
    left: set[int] = field(default_factory=set)
    admitted: Counter[int] = field(default_factory=Counter)
    """By stretch, as Redis counts them."""
    crowded: Counter[int] = field(default_factory=Counter)
    """Seconds in which somebody waited, by stretch."""
    outstanding: int = 0
    active: int = 0
    holding: int = 0
    held: int = 0
    sold: int = 0
    claimed: int = 0
    lapsed: int = 0
    _tokens: float = 1.0
    _events: list[tuple[float, int, _What, int]] = field(default_factory=list)
    _number: int = 0

    def __post_init__(self) -> None:
        self.waiting = list(range(self.crowd.buyers - 1, -1, -1))

    def run(self) -> Iterator[int]:
        """Second after second until it is over: sold out, closed, or nobody waits."""
        while self.now < self.crowd.lasts and self.waiting and self.sold < self.crowd.stock:
            yield self.now
            self.step()

    def step(self) -> None:
        """One second."""
        self.now += 1
        while self._events and self._events[0][0] <= self.now:
            _, _, what, places = heapq.heappop(self._events)
            self._happen(what, places)
        self._some_leave()
        self._serve()
        if self.waiting:
            self.crowded[self._stretch] += 1

    @property
    def _stretch(self) -> int:
        return int((OPENS.timestamp() + self.now) // STRETCH.total_seconds())

    @property
    def free(self) -> int:
        """Places neither held nor sold."""
        return self.crowd.stock - self.held - self.sold

    @property
    def show_share(self) -> float:
        """As serving measures it; 1 before anything is known."""
        ended = self.claimed + self.lapsed
        return max(0.2, self.claimed / ended) if ended else 1.0

    def _serve(self) -> None:
        crowd, share = self.crowd, self.show_share
        rate = crowd.per_minute / 60
        self._tokens = min(max(1.0, 5 * rate), self._tokens + rate)
        while self.waiting and self._tokens >= share:
            expected = self.outstanding * share
            browsing = self.active - self.holding
            if self.active + expected + share > crowd.slots or browsing + expected + share > self.free:
                return
            self._tokens -= share
            self._offer(self.waiting.pop())

    def _offer(self, place: int) -> None:
        self.offered_at[place] = self.now
        self.outstanding += 1
        delay = self.rng.expovariate(1 / self.crowd.claims_after)
        if self.rng.random() < self.crowd.shows and delay < self.crowd.claim_window:
            self._later(delay, _What.CLAIM)
        else:
            self._later(self.crowd.claim_window, _What.LAPSE)

    def _some_leave(self) -> None:
        chance = self.crowd.leaves_per_minute / 60 * len(self.waiting)
        if chance and self.rng.random() < chance:
            place = self.rng.choice(self.waiting)
            self.waiting.remove(place)
            self.left.add(place)

    def _later(self, delay: float, what: _What, places: int = 0) -> None:
        self._number += 1
        heapq.heappush(self._events, (self.now + delay, self._number, what, places))

    def _happen(self, what: _What, places: int) -> None:
        match what:
            case _What.CLAIM:
                self._admit()
            case _What.LAPSE:
                self.outstanding -= 1
                self.lapsed += 1
            case _What.HOLD:
                self._hold(places)
            case _What.PAY:
                self.held, self.sold = self.held - places, self.sold + places
                self.holding, self.active = self.holding - 1, self.active - 1
            case _What.END:
                self.held, self.active = self.held - places, self.active - 1
                self.holding -= places > 0

    def _admit(self) -> None:
        crowd = self.crowd
        self.outstanding -= 1
        self.claimed += 1
        self.active += 1
        self.admitted[self._stretch] += 1
        delay = self.rng.gammavariate(2, crowd.holds_after / 2)
        if self.rng.random() < crowd.buys and delay < crowd.session:
            wanted = self.rng.choices(range(1, crowd.most_per_buyer + 1), crowd.wants)[0]
            self._later(delay, _What.HOLD, wanted)
        else:
            self._later(min(crowd.session, self.rng.expovariate(1 / crowd.holds_after)), _What.END)

    def _hold(self, wanted: int) -> None:
        places = min(wanted, self.free)
        if places == 0:
            self.active -= 1
            return
        self.held += places
        self.holding += 1
        if self.rng.random() < self.crowd.pays:
            self._later(self.rng.expovariate(1 / self.crowd.pays_after), _What.PAY, places)
        else:
            self._later(self.rng.uniform(0.3, 1) * self.crowd.session, _What.END, places)

    # --- What buyers are told

    def pace(self) -> Pace | None:
        """As the state message has it now."""
        crowd, expected = self.crowd, self.outstanding * self.show_share
        return pace_of(
            self.admitted,
            self.crowded,
            OPENS + timedelta(seconds=self.now),
            Gate(
                opens_at=OPENS,
                per_minute=crowd.per_minute,
                slots=crowd.slots,
                session=timedelta(seconds=crowd.session),
                active=self.active,
                claim_window=timedelta(seconds=crowd.claim_window),
                show_share=self.show_share,
                waiting=len(self.waiting),
                room=max(0.0, min(crowd.slots - self.active, self.free - self.active + self.holding) - expected),
            ),
        )

    def reach(self) -> Reach:
        """As the state message has it now."""
        crowd = self.crowd
        stock = Stock(
            free=self.free,
            held=self.held,
            sold=self.sold,
            active=self.active,
            holding=self.holding,
            admitted=self.claimed,
            most_per_buyer=crowd.most_per_buyer,
        )
        return reach_of(stock, self.show_share, self.pace(), timedelta(seconds=crowd.lasts - self.now))
