"""The draws of all lines: how far each has come, in PostgreSQL; and the orders that came out, in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

from redis.exceptions import ResponseError

from tiketi_runtime.contracts.beacon import Chain
from tiketi_runtime.contracts.draw import Draw, DrawKey, commitment_of, entry_leaf
from tiketi_runtime.contracts.draw_file import (
    RECEIPT_TYP,
    DrawnBeacon,
    DrawNotice,
    Loss,
    NamedBeacon,
    ReceiptClaims,
    SignedFacts,
    Trust,
    trust_in,
)
from tiketi_runtime.contracts.identity import BuyerId, EventId, Line, Seq
from tiketi_runtime.contracts.merkle import HASH_BYTES
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import BeaconSheet, LineSheet, SaleSheet
from tiketi_runtime.errors import NotFound
from tiketi_runtime.postgres import Pool, load_queries
from tiketi_runtime.redis import Redis, load_scripts
from tiketi_runtime.security import TokenSigner
from tiketi_services.ticket.queue.domain import Receipt, Recovering, StaleReceipt, from_ms, to_ms
from tiketi_services.ticket.queue.notes import Notes

PACKAGE: Final = "tiketi_services.ticket.queue"
EVIDENCE_LIFE: Final = timedelta(days=36525)
"""Signed receipts and statements are evidence: they end only because a token must."""
_SCAN_COUNT: Final = 2000
"""Buyers in one answer of Redis, which serves nobody else meanwhile."""
_TURN_MS: Final = 5000
_ENTRIES_FIXED: Final = "EntriesFixed"
"""Reason of the Kubernetes Event."""
_BEACON_OVERDUE: Final = "BeaconOverdue"
_MOST_NOTES: Final = 1000


class NotDrawn(NotFound):
    """The order of the line is not drawn (yet)."""

    code, title = "not-drawn", "Not drawn"


@dataclass(frozen=True, slots=True)
class Closed:
    """The entries are closed."""

    n: int
    draw_at: datetime
    """When they were to close."""
    at: datetime
    """When they did."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """The entries are fixed."""

    root: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class DrawRecord:
    """How far a draw has come. A field that is set never changes; ``beacons`` only grows."""

    event: EventId
    line: Line
    commitment: bytes
    committed_at: datetime
    beacons: tuple[NamedBeacon, ...]
    closed: Closed | None
    fixed: Fixed | None
    facts: SignedFacts | None
    """The order is drawn."""
    losses: tuple[Loss, ...] | None = None
    """Of Redis, until the entries were fixed; None before, and for a draw begun when nobody noted losses."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Read a row of ``draws.sql``."""
        return cls(
            event=EventId(row["event"]),
            line=Line(row["line"]),
            commitment=row["commitment"],
            committed_at=row["committed_at"],
            beacons=tuple(map(NamedBeacon.model_validate, row["beacons"])),
            closed=None if row["n"] is None else Closed(row["n"], row["draw_at"], row["closed_at"]),
            fixed=None if row["root"] is None else Fixed(row["root"], row["fixed_at"]),
            facts=None if row["facts"] is None else SignedFacts.model_validate(row["facts"]),
            losses=None if row["losses"] is None else tuple(map(Loss.model_validate, row["losses"])),
        )

    @property
    def beacon(self) -> BeaconSheet | None:
        """The beacon the order will depend on, as named last; None if none is."""
        if not self.beacons or self.beacons[-1].chain is None or self.beacons[-1].round is None:
            return None
        return BeaconSheet(chain=self.beacons[-1].chain, round=self.beacons[-1].round)

    def notice(self, line: LineSheet, chains: Mapping[str, Chain]) -> DrawNotice:
        """What the public may know by now."""
        draw_at = self.closed.draw_at if self.closed is not None else line.draw_at or line.opens_at
        return DrawNotice(
            line=self.line,
            commitment=self.commitment.hex(),
            draw_at=draw_at,
            n=self.closed.n if self.closed is not None and self.fixed is not None else None,
            root=None if self.fixed is None else self.fixed.root.hex(),
            secret=None if self.facts is None else self.facts.secret,
            beacon=self._shown_beacon(),
            trust=self._trust(chains, draw_at),
            drawn_at=None if self.facts is None else self.facts.drawn_at,
            losses=self.losses,
        )

    def _shown_beacon(self) -> DrawnBeacon | None:
        if self.beacon is None:
            return None
        value = None if self.facts is None else self.facts.beacon
        return DrawnBeacon(
            chain=self.beacon.chain, round=self.beacon.round, randomness=None if value is None else value.randomness
        )

    def _trust(self, chains: Mapping[str, Chain], draw_at: datetime) -> Trust:
        """What the order's fairness rests on; before the entries are fixed: if they are on time."""
        if self.beacon is None:
            return Trust.OPERATOR
        fixed_at = draw_at if self.fixed is None else self.fixed.at
        return trust_in(chains.get(self.beacon.chain), self.beacon.round, fixed_at)


class DrawArchive:
    """The table ``draws``. Every step is kept by whoever takes it first; taking it again changes nothing."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sql = load_queries(PACKAGE)

    async def records(self, events: Sequence[EventId]) -> list[DrawRecord]:
        """All draws of these events."""
        return [DrawRecord.from_row(row) for row in await self._pool.fetch(self._sql["draws"], events)]

    async def commit(self, event: EventId, line: Line, commitment: bytes) -> None:
        """Bind the operator to a secret."""
        await self._pool.execute(self._sql["commit_draw"], event, line, commitment)

    async def name_beacon(self, event: EventId, line: Line, version: int, beacon: BeaconSheet | None) -> None:
        """Note what the sheet of this version says of the beacon."""
        chain, number = (None, None) if beacon is None else (beacon.chain, beacon.round)
        await self._pool.execute(self._sql["name_beacon"], event, line, version, chain, number)

    async def close(self, event: EventId, line: Line, closed: Closed) -> Closed:
        """Close the entries; answers the closing in force."""
        row = await self._pool.fetchrow(self._sql["close_entries"], event, line, closed.n, closed.draw_at, closed.at)
        return Closed(row["n"], row["draw_at"], row["closed_at"])

    async def fix(self, event: EventId, line: Line, root: bytes, leaves: bytes, epoch: int) -> Fixed:
        """Fix the entries, their leaves one behind the other, as read in ``epoch``; answers the root in force.

        With them stands every loss of Redis by which entries may be missing.
        """
        row = await self._pool.fetchrow(self._sql["fix_root"], event, line, root, leaves, epoch)
        return Fixed(row["root"], row["fixed_at"])

    async def reveal(self, facts: SignedFacts) -> None:
        """Show the order; nothing happens if another beacon was named since the facts were put together."""
        await self._pool.execute(
            self._sql["reveal_draw"],
            facts.event,
            facts.line,
            facts.model_dump(mode="json", by_alias=True),
            facts.drawn_at,
            len(facts.beacons_named),
        )

    async def now(self) -> datetime:
        """The database's clock."""
        now: datetime = await self._pool.fetchval(self._sql["database_time"])
        return now

    async def leaves(self, event: EventId, line: Line, first: int, count: int) -> list[bytes]:
        """``count`` leaves from index ``first`` (from 0) on."""
        piece: bytes = await self._pool.fetchval(
            self._sql["draw_leaves"], event, line, 1 + first * HASH_BYTES, count * HASH_BYTES
        )
        return [piece[start : start + HASH_BYTES] for start in range(0, len(piece), HASH_BYTES)]


@dataclass(frozen=True, slots=True)
class Closing:
    """What Redis says of the closing of a line's entries."""

    closed: Closed
    is_complete: bool
    """False for seconds after a loss of Redis, while buyers are still coming back with their receipts."""
    epoch: int
    """Of the memory that says so."""


class Entries:
    """What Redis knows of a draw: the numbers given out, whose they are, and what is shown of it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._notes = Notes(redis)
        scripts = load_scripts(redis, PACKAGE)
        self._close = scripts["close_entries"]
        self._show = scripts["show_draw"]

    async def close(self, event: EventId, line: Line, draw_at: datetime) -> Closing | None:
        """Close the entries if it is time; None if it is not. Raises Recovering."""
        keys = EventKeys(event)
        names = keys.line(line)
        answer, *rest = await _run(
            self._close(
                keys=[keys.epoch, keys.clock, names.draw, names.seq, names.serving, names.waiting, names.returning],
                args=[to_ms(draw_at)],
            )
        )
        if answer == b"early":
            return None
        n, at, is_complete, epoch = rest
        return Closing(Closed(n, draw_at, from_ms(at)), bool(is_complete), epoch)

    async def seq_of(self, event: EventId, line: Line, buyer: BuyerId) -> Seq | None:
        """The number that counts for a buyer; None if Redis knows none."""
        seq = await self._redis.hget(EventKeys(event).line(line).places, buyer)
        return None if seq is None else Seq(int(seq))

    @asynccontextmanager
    async def turn(self, event: EventId, line: Line) -> AsyncIterator[bool]:
        """Whether it is ours to take the draw's next step during the block. It spares work, and decides nothing."""
        key = EventKeys(event).line(line).drawing
        if not await self._redis.set(key, 1, nx=True, px=_TURN_MS):
            yield False
            return
        renewing = asyncio.create_task(self._renew(key))
        try:
            yield True
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            await self._redis.delete(key)

    async def _renew(self, key: str) -> None:
        while True:
            await asyncio.sleep(_TURN_MS / 3000)
            await self._redis.pexpire(key, _TURN_MS)

    async def buyers(self, event: EventId, line: Line, n: int) -> list[BuyerId | None]:
        """The buyers of the numbers 1 to ``n``; None where Redis knows nobody."""
        buyers: list[BuyerId | None] = [None] * n
        async for buyer, seq in self._redis.hscan_iter(EventKeys(event).line(line).places, count=_SCAN_COUNT):
            if int(seq) <= n:
                buyers[int(seq) - 1] = BuyerId(buyer.decode())
        return buyers

    async def is_shown(self, event: EventId, notice: DrawNotice, n: int | None) -> bool:
        """Whether Redis knows all of this."""
        keys = EventKeys(event)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hget(keys.draws, notice.line)
        pipeline.hmget(keys.line(Line(notice.line)).draw, ["n", "ready"])
        shown, (entries, ready) = await pipeline.execute()
        return bool(
            shown == notice.to_json().encode()
            and (n is None or entries == str(n).encode())
            and (notice.drawn_at is None or ready == b"1")
        )

    async def show(self, event: EventId, notice: DrawNotice, n: int | None) -> None:
        """Tell Redis: for the event's status, for joins, for serving. Raises Recovering."""
        keys = EventKeys(event)
        await _run(
            self._show(
                keys=[keys.epoch, keys.line(Line(notice.line)).draw, keys.draws],
                args=[notice.line, notice.to_json(), "" if n is None else n, int(notice.drawn_at is not None)],
            )
        )

    async def tell_fixed(self, event: EventId, line: Line, n: int, fixed: Fixed, losses: int) -> None:
        """Leave a note for a Kubernetes Event: the root is worth most with whoever saw it early."""
        message = f"Line {line}: {n} numbers are fixed under the root {fixed.root.hex()}.{_tell_losses(losses)}"
        note: dict[Any, Any] = {"reason": _ENTRIES_FIXED, "message": message, "warning": 0}
        await self._redis.xadd(EventKeys(event).notes, note, maxlen=_MOST_NOTES)

    async def warn_of_beacon(self, event: EventId, line: Line, beacon: BeaconSheet, waiting: timedelta) -> None:
        """Leave a note for a Kubernetes Event, once, while there is time to do something about it."""
        message = (
            f"Line {line} cannot be drawn: round {beacon.round} of beacon {beacon.chain} is overdue by "
            f"{waiting.total_seconds():.0f} s. Check that ticket reaches the relays, or withdraw the beacon."
        )
        occasion = f"{beacon.chain}/{beacon.round}"
        await self._notes.warn_once(event, f"beacon:{line}", occasion, _BEACON_OVERDUE, message)


class Draws:
    """What this process knows of the draws: answers at once, from memory."""

    def __init__(self, archive: DrawArchive, key: DrawKey) -> None:
        self._archive = archive
        self._key = key
        self._loaded: set[EventId] = set()
        self._records: dict[tuple[EventId, Line], DrawRecord] = {}
        self._orders: dict[tuple[EventId, Line], Draw] = {}

    def of(self, event: EventId, line: Line) -> Draw | None:
        """The order of a line; None while it is not drawn, or this process has yet to learn it."""
        return self._orders.get((event, line))

    def record(self, event: EventId, line: Line) -> DrawRecord | None:
        """How far the draw of a line has come; None if nobody has begun it."""
        return self._records.get((event, line))

    def nonce(self, event: EventId, line: Line, seq: Seq, buyer: BuyerId) -> str:
        """What hides the buyer in the entry's leaf; the same for ever."""
        return self._key.nonce(event, line, seq, buyer)

    def secret(self, event: EventId, line: Line) -> bytes:
        """The secret of a draw. Not for the public before the entries are fixed."""
        return self._key.secret(event, line)

    def commitment(self, event: EventId, line: LineSheet) -> str | None:
        """What the operator is bound to; None for a line whose order is that of joining."""
        if line.draw_at is None:
            return None
        record = self.record(event, line.name)
        return (commitment_of(self.secret(event, line.name)) if record is None else record.commitment).hex()

    async def refresh(self, sales: Mapping[EventId, SaleSheet]) -> None:
        """Learn of every draw that is not over. What is drawn never changes and is not read again."""
        await self.reload([event for event, sale in sales.items() if event not in self._loaded or self._awaits(sale)])

    async def reload(self, events: Sequence[EventId]) -> None:
        """Learn of all draws of these events."""
        if not events:
            return
        for record in await self._archive.records(events):
            name = (record.event, record.line)
            self._records[name] = record
            if record.facts is not None and name not in self._orders:
                self._orders[name] = record.facts.draw
        self._loaded.update(events)

    def _awaits(self, sale: SaleSheet) -> bool:
        return any(line.draw_at is not None and self.of(sale.event, line.name) is None for line in sale.lines)


class EntryReceipts:
    """Receipts that prove an entry to others: signed, where those of joining are sealed for us alone."""

    def __init__(self, draws: Draws, entries: Entries, signer: TokenSigner) -> None:
        self._draws = draws
        self._entries = entries
        self._signer = signer

    async def sign(self, receipt: Receipt, beacon: BeaconSheet | None) -> str:
        """A JWS that says what the receipt says, and what the entry's leaf in the draw must be.

        Raises StaleReceipt if another number counts for this buyer: who joined anew after a loss of Redis keeps the
        lower one, and the higher one will be nobody's.
        """
        seq = await self._entries.seq_of(receipt.event, receipt.line, receipt.buyer)
        if seq not in (None, receipt.seq):
            raise StaleReceipt(f"Your place has the number {seq}; join again for its receipt.")
        leaf = entry_leaf(receipt.event, receipt.line, receipt.seq, receipt.buyer, receipt.nonce)
        claims = ReceiptClaims(
            sub=receipt.buyer,
            event=receipt.event,
            line=receipt.line,
            seq=receipt.seq,
            nonce=receipt.nonce,
            leaf=leaf.hex(),
            commitment=receipt.commitment,
            joined_at=receipt.joined_at,
            beacon=beacon,
            epoch=receipt.epoch,
        )
        said = claims.model_dump(mode="json", by_alias=True)
        return self._signer.sign(RECEIPT_TYP, said, EVIDENCE_LIFE, issued_at=from_ms(receipt.joined_at))


@dataclass(frozen=True, slots=True)
class Lottery:
    """What the rest of the service needs of the draws."""

    draws: Draws
    archive: DrawArchive
    receipts: EntryReceipts
    chains: Mapping[str, Chain]
    """Beacons whose values can be verified."""


def file_head(facts: SignedFacts) -> bytes:
    """The draw file up to its leaves, each of which follows as a JSON string, separated by commas, then ``]}``."""
    head = {"format": "tiketi-draw", "version": facts.version, "facts": facts.model_dump(mode="json", by_alias=True)}
    return json.dumps(head, separators=(",", ":")).encode()[:-1] + b',"leaves":['


def _tell_losses(count: int) -> str:
    if count == 0:
        return ""
    return f" Redis was lost {'once' if count == 1 else f'{count} times'} before; the draw file will tell when."


async def _run(script: Awaitable[Any]) -> Any:
    try:
        return await script
    except ResponseError as error:
        if str(error).startswith("RECOVERING"):
            raise Recovering("The line is being rebuilt.", retryAfter=2) from error
        raise
