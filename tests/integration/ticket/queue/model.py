"""The line as it is meant, in the plainest Python: what the scripts are compared with."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from tiketi_runtime.contracts.draw import Draw
from tiketi_runtime.contracts.identity import BuyerId
from tiketi_services.ticket.queue.terms import LineTerms

BLOCK = 5
"""How far marks are raised at a time."""
PATIENCE = 4_000
"""How long an offer may wait until it is missed; ms."""
HOLD = 8_000
"""ms"""


@dataclass
class Gauge:
    """How fast buyers come in, and how many of those offered a slot do not."""

    tokens: float = 1
    claims: float = 1
    at: int | None = None
    shows: float = 0
    no_shows: float = 0
    share: float = 0
    missed: int = 0
    """Offers that lapse up to then were found missed."""

    def later(self, now: int, opens: int, per_minute: int, is_open: bool) -> Gauge:
        """What it is at ``now``; it stays as it was until it is kept."""
        per_ms = per_minute / 60_000
        elapsed = max(0, now - (now if self.at is None else self.at))
        filled = min(2000, elapsed, now - opens) * per_ms if is_open else 0
        faded = math.exp(-elapsed / 300_000)
        return replace(
            self,
            tokens=min(max(1, per_ms * 2000), self.tokens + filled),
            claims=min(max(1, per_ms * 5000), self.claims + filled),
            shows=self.shows * faded,
            no_shows=self.no_shows * faded,
        )


@dataclass
class ModelLine:
    """One line with one clock; times in ms."""

    terms: LineTerms
    now: int
    seq_limit: int
    serving_limit: int
    epoch: int = 1
    last: int = 0
    places: dict[BuyerId, int] = field(default_factory=dict)
    waiting: set[BuyerId] = field(default_factory=set)
    returning: set[BuyerId] = field(default_factory=set)
    alive: dict[BuyerId, int] = field(default_factory=dict)
    offers: dict[BuyerId, int] = field(default_factory=dict)
    claimed: dict[BuyerId, int] = field(default_factory=dict)
    """The seqs that were spent."""
    active: dict[BuyerId, int] = field(default_factory=dict)
    holding: dict[BuyerId, int] = field(default_factory=dict)
    taken: int = 0
    rate: int | None = None
    horizon: int = 0
    gauge: Gauge = field(default_factory=Gauge)
    hold: tuple[int, int] | None = None
    """After a recovery: until when, and how many are waited for."""
    entries: int | None = None
    order: Draw | None = None

    # --- What buyers do

    def join(self, buyer: BuyerId, receipt: tuple[int, int] | None = None, *, is_new_welcome: bool = True) -> str:
        self._close_entries()
        if buyer in self.claimed:
            return "admitted" if self.is_shopping(buyer) else "spent"
        known = self.places.get(buyer)
        seq = known
        is_entry = known is not None and self.entries is not None and known <= self.entries
        if receipt is not None and receipt[0] <= self.seq_limit and receipt[1] <= self.epoch and not is_entry:
            seq = min(receipt[0], receipt[0] if known is None else known)
        if seq is None:
            return self._take_number(buyer, is_new_welcome)
        self.alive[buyer] = self.now
        if seq == known and (standing := self._standing(buyer)) is not None:
            return standing
        self._step_out(buyer)
        self.places[buyer] = seq
        if self.is_offered(buyer):
            return "offered"
        self._line_up(buyer)
        return "next" if buyer in self.returning else "waiting"

    def claim(self, buyer: BuyerId, seq: int, epoch: int) -> str:
        if self.places.get(buyer) != seq or epoch > self.epoch:
            return "stale"
        if buyer in self.claimed:
            return "admitted" if self.is_shopping(buyer) else "spent"
        if self.is_offered(buyer):
            return self._take_offer(buyer)
        if buyer not in self.alive:
            return "gone"
        self.alive[buyer] = self.now
        if buyer in self.waiting:
            return "waiting"
        self.returning.add(buyer)
        return "next"

    def leave(self, buyer: BuyerId) -> None:
        self._step_out(buyer)
        self.alive.pop(buyer, None)
        if self.offers.pop(buyer, 0) > self.gauge.missed:
            self.gauge.tokens += 1 - self.gauge.share
        if buyer in self.claimed:
            self.active.pop(buyer, None)

    def beat(self, buyer: BuyerId) -> None:
        if buyer in self.alive:
            self.alive[buyer] = self.now

    # --- What pods do

    def serve(self) -> int:
        self._close_entries()
        is_known = self.order is not None or self.terms.draw_at == 0
        is_open = not self.terms.is_paused and is_known
        gauge = self._gauge(is_open)
        young = self.now + max(0, self.terms.claim_window - PATIENCE)
        missed = sum(gauge.missed < until <= young for until in self.offers.values())
        gauge.missed = young
        gauge.tokens += missed * (1 - gauge.share)
        if not self.terms.is_paused:
            gauge.no_shows += missed
        lapsed = [buyer for buyer, until in self.offers.items() if until <= self.now]
        for buyer in lapsed:
            del self.offers[buyer]
        self._end_sessions()
        room = self._room(gauge, young) if is_open and not self._is_held() else 0
        offered, passed = self._offer(room, gauge.share) if room > 0 else (0, 0)
        is_moved = self.gauge.at is None or (gauge.tokens, gauge.claims) != (self.gauge.tokens, self.gauge.claims)
        if offered or missed or passed > self.horizon or is_moved:
            gauge.tokens -= offered * (1 - gauge.share)
            self.horizon = max(self.horizon, passed)
            self._keep(gauge)
        return offered

    def sweep(self) -> int:
        ghosts = [buyer for buyer, beat in self.alive.items() if beat < self.now - self.terms.ghost_timeout]
        for ghost in ghosts:
            del self.alive[ghost]
            self._step_out(ghost)
        return len(ghosts)

    def be_lost(self) -> None:
        """Redis forgets everything, and is rebuilt from what PostgreSQL knows."""
        living = len(self.waiting) + len(self.returning)
        self.epoch += 1
        self.last, self.seq_limit = self.seq_limit, self.seq_limit + BLOCK
        if self.serving_limit > 0:
            self.horizon, self.serving_limit = self.serving_limit, self.serving_limit + BLOCK
        self.places = dict(self.claimed)
        self._end_sessions()
        self.waiting, self.returning, self.alive, self.offers = set(), set(), {}, {}
        self.gauge = Gauge(tokens=0, at=self.now)
        self.hold = (self.now + HOLD, living)

    # --- What it is asked

    def place(self, seq: int) -> int:
        return seq if self.order is None else self.order.place(seq)

    def in_order(self, buyers: set[BuyerId]) -> list[BuyerId]:
        return sorted(buyers, key=lambda buyer: self.place(self.places[buyer]))

    def is_shopping(self, buyer: BuyerId) -> bool:
        return self.active.get(buyer, 0) > self.now

    def is_offered(self, buyer: BuyerId) -> bool:
        return self.offers.get(buyer, 0) > self.now

    def free_stock(self) -> int:
        """Places nobody has, and nobody who is shopping may still take."""
        empty_handed = [b for b in self.active if self.is_shopping(b) and self.holding.get(b, 0) <= self.now]
        return self.terms.stock - self.taken - len(empty_handed)

    # --- Its parts

    def _take_number(self, buyer: BuyerId, is_new_welcome: bool) -> str:
        if not self.terms.takes_new:
            return "refused"
        if not is_new_welcome:
            return "new"
        if self.last >= self.seq_limit:
            return "limit"
        self.last += 1
        self.places[buyer] = self.last
        self.alive[buyer] = self.now
        self.waiting.add(buyer)
        return "waiting"

    def _standing(self, buyer: BuyerId) -> str | None:
        if self.is_offered(buyer):
            return "offered"
        if buyer in self.waiting:
            return "waiting"
        return "next" if buyer in self.returning else None

    def _line_up(self, buyer: BuyerId) -> None:
        passed = self.place(self.places[buyer]) <= self.horizon
        (self.returning if passed else self.waiting).add(buyer)

    def _step_out(self, buyer: BuyerId) -> None:
        self.waiting.discard(buyer)
        self.returning.discard(buyer)

    def _close_entries(self) -> None:
        if self.entries is None and 0 < self.terms.draw_at <= self.now:
            self.entries = self.last

    def _take_offer(self, buyer: BuyerId) -> str:
        gauge = self._gauge(is_open=not self.terms.is_paused)
        until = self.offers.pop(buyer)
        if self._has_room(buyer, gauge):
            self.alive.pop(buyer, None)
            self.claimed[buyer] = self.places[buyer]
            self.active[buyer] = min(self.now + self.terms.session, self.terms.closes)
            if until > gauge.missed:
                gauge.tokens -= gauge.share
            else:
                gauge.tokens -= 1
                gauge.no_shows = max(0, gauge.no_shows - 1)
            gauge.claims -= 1
            gauge.shows += 1
            self._keep(gauge)
            return "admitted"
        self.alive[buyer] = self.now
        self.returning.add(buyer)
        if until > gauge.missed:
            gauge.tokens += 1 - gauge.share
        self._keep(gauge)
        return "next"

    def _has_room(self, buyer: BuyerId, gauge: Gauge) -> bool:
        if self.terms.is_paused:
            return False
        self._end_sessions()
        mine = self.place(self.places[buyer])
        wanted = 1 + sum(self.place(self.places[other]) < mine for other in self.returning)
        room = min(self.terms.slots - len(self.active), self.free_stock())
        return gauge.claims + 1e-9 >= wanted and room >= wanted

    def _gauge(self, is_open: bool) -> Gauge:
        per_minute = self.terms.per_minute if self.rate is None else min(self.rate, self.terms.per_minute)
        return self.gauge.later(self.now, self.terms.opens, per_minute, is_open)

    def _keep(self, gauge: Gauge) -> None:
        gauge.at = self.now
        self.gauge = gauge

    def _end_sessions(self) -> None:
        self.active = {buyer: end for buyer, end in self.active.items() if end > self.now}

    def _is_held(self) -> bool:
        if self.hold is not None:
            until, living = self.hold
            if self.now < until and len(self.waiting) + len(self.returning) < 0.9 * living:
                return True
            self.hold = None
        return False

    def _room(self, gauge: Gauge, young: int) -> float:
        """How many more claims there is room for."""
        expected = sum(until > young for until in self.offers.values())
        gauge.share = min(0.8, gauge.no_shows / (gauge.shows + gauge.no_shows + 5))
        if gauge.tokens + 1e-9 < 1:
            return 0
        room = min(self.terms.slots - len(self.active), self.free_stock()) - expected * (1 - gauge.share)
        return max(0, min(gauge.tokens, room))

    def _offer(self, room: float, share: float) -> tuple[int, int]:
        """Offer for so many claims: to those who were passed, then by place, to more of these as some do not come.

        Answers how many were offered, and how far the horizon got.
        """
        first = self.in_order(self.returning)[: math.floor(room + 1e-9)]
        free = len(first) + math.floor((room - len(first)) / (1 - share) + 1e-9)
        ahead = [b for b in self.in_order(self.waiting) if self.place(self.places[b]) <= self.serving_limit]
        then = ahead[: free - len(first)]
        passed = max((self.place(self.places[buyer]) for buyer in then), default=self.horizon)
        for buyer in first + then:
            self._step_out(buyer)
            self.offers[buyer] = self.now + self.terms.claim_window
        offered = len(first) + len(then)
        return offered, self._pass_the_dead(passed) if offered < free else passed

    def _pass_the_dead(self, passed: int) -> int:
        """Room is left: every entry has had its turn, and where only later places wait, every place up to the mark."""
        entries = 0 if self.order is None else self.order.n
        passed = max(passed, min(entries, self.serving_limit))
        return max(passed, self.serving_limit) if self.waiting and passed >= entries else passed
