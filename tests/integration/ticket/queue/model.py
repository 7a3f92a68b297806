"""The line as it is meant, in the plainest Python: what the scripts are compared with."""

from __future__ import annotations

from dataclasses import dataclass, field

from tiketi_runtime.contracts.identity import BuyerId
from tiketi_services.ticket.queue.domain import LineTerms


@dataclass
class ModelLine:
    """One line with one clock; times in ms."""

    terms: LineTerms
    now: int
    places: dict[BuyerId, int] = field(default_factory=dict)
    waiting: set[BuyerId] = field(default_factory=set)
    alive: dict[BuyerId, int] = field(default_factory=dict)
    offers: dict[BuyerId, int] = field(default_factory=dict)
    returning: set[BuyerId] = field(default_factory=set)
    claimed: set[BuyerId] = field(default_factory=set)
    active: dict[BuyerId, int] = field(default_factory=dict)
    horizon: int = 0
    tokens: float = 1
    served_at: int | None = None
    sold: int = 0

    def join(self, buyer: BuyerId) -> str:
        if buyer not in self.places:
            self.places[buyer] = len(self.places) + 1
            self.waiting.add(buyer)
            self.alive[buyer] = self.now
            return "waiting"
        if buyer in self.claimed:
            return "admitted" if self.is_shopping(buyer) else "spent"
        self.alive[buyer] = self.now
        if self.is_offered(buyer):
            return "offered"
        if self.places[buyer] <= self.horizon:
            self.returning.add(buyer)
            return "next"
        self.waiting.add(buyer)
        return "waiting"

    def serve(self) -> int:
        lapsed = [buyer for buyer, until in self.offers.items() if until <= self.now]
        for buyer in lapsed:
            del self.offers[buyer]
        self.active = {buyer: end for buyer, end in self.active.items() if end > self.now}
        per_ms = self.terms.per_minute / 60_000
        if not self.terms.is_paused:
            self.tokens += min(2000, self.now - (self.now if self.served_at is None else self.served_at)) * per_ms
        self.tokens = min(max(1, per_ms * 2000), self.tokens + len(lapsed))
        self.served_at = self.now
        offered = 0
        while not self.terms.is_paused and self._has_room(self.tokens - offered):
            candidates = self.returning or self.waiting
            if not candidates:
                break
            first = min(candidates, key=self.places.__getitem__)
            candidates.remove(first)
            self.horizon = max(self.horizon, self.places[first])
            self.offers[first] = self.now + self.terms.claim_window
            offered += 1
        self.tokens -= offered
        return offered

    def claim(self, buyer: BuyerId) -> str:
        if buyer in self.claimed:
            return "admitted" if self.is_shopping(buyer) else "spent"
        if self.is_offered(buyer):
            if self.terms.is_paused:
                return "next"
            del self.offers[buyer]
            self.alive.pop(buyer, None)
            self.claimed.add(buyer)
            self.active[buyer] = min(self.now + self.terms.session, self.terms.closes)
            return "admitted"
        if buyer not in self.alive:
            return "gone"
        self.alive[buyer] = self.now
        if buyer in self.waiting:
            return "waiting"
        self.returning.add(buyer)
        return "next"

    def leave(self, buyer: BuyerId) -> None:
        self.waiting.discard(buyer)
        self.returning.discard(buyer)
        self.alive.pop(buyer, None)
        self.offers.pop(buyer, None)
        if buyer in self.claimed:
            self.active.pop(buyer, None)

    def beat(self, buyer: BuyerId) -> None:
        if buyer in self.alive:
            self.alive[buyer] = self.now

    def sweep(self) -> int:
        ghosts = [buyer for buyer, beat in self.alive.items() if beat < self.now - self.terms.ghost_timeout]
        for ghost in ghosts:
            del self.alive[ghost]
            self.waiting.discard(ghost)
            self.returning.discard(ghost)
        return len(ghosts)

    def in_order(self, buyers: set[BuyerId]) -> list[BuyerId]:
        return sorted(buyers, key=self.places.__getitem__)

    def is_shopping(self, buyer: BuyerId) -> bool:
        return self.active.get(buyer, 0) > self.now

    def is_offered(self, buyer: BuyerId) -> bool:
        return self.offers.get(buyer, 0) > self.now

    @property
    def taken(self) -> int:
        """Slots that are shopped in or kept for somebody."""
        return sum(map(self.is_shopping, self.active)) + sum(map(self.is_offered, self.offers))

    def _has_room(self, tokens: float) -> bool:
        room = min(self.terms.slots, self.terms.stock - self.sold)
        return tokens >= 1 and self.taken < room
