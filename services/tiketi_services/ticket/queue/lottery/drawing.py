"""Draws the order of lines, one step after the other. Any pod may take any step, and finish what another began.

commitment > entries closed > root fixed and published > beacon awaited, if one is named > secret shown, order known
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import aiohttp

from tiketi_runtime.background import every, running
from tiketi_runtime.beacon_chains import read_chains
from tiketi_runtime.contracts.draw import DrawKey, commitment_of, entry_leaf, hole_leaf, order_key
from tiketi_runtime.contracts.draw_file import DRAW_TYP, BeaconValue, DrawFacts, SignedFacts
from tiketi_runtime.contracts.identity import BuyerId, EventId, Line, Seq
from tiketi_runtime.contracts.merkle import root_of
from tiketi_runtime.contracts.sale_sheet import LineSheet, SaleSheet
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_runtime.security import TokenSigner
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.domain import Recovering
from tiketi_services.ticket.queue.lottery.beacon import Beacons, is_overdue, waiting_of
from tiketi_services.ticket.queue.lottery.draws import (
    EVIDENCE_LIFE,
    Closed,
    DrawArchive,
    DrawRecord,
    Draws,
    Entries,
    EntryReceipts,
    Fixed,
    Lottery,
)
from tiketi_services.ticket.settings import TicketSettings

_CLOCK_SKEW: Final = timedelta(seconds=10)
"""A pod's clock may differ from Redis' by this much without harm."""
_PATIENCE: Final = timedelta(seconds=1)

log = logging.getLogger(__name__)


class Sheets(Protocol):
    """The sale sheets in force."""

    def all(self) -> Mapping[EventId, SaleSheet]:
        """Every sheet, by event."""
        ...


class Drawing:
    """Brings every draw forward. A crash, or a loss of Redis, between any two steps is made good by the next call."""

    def __init__(
        self,
        sales: Sheets,
        draws: Draws,
        archive: DrawArchive,
        entries: Entries,
        beacons: Beacons,
        signer: TokenSigner,
        patience: timedelta = _PATIENCE,
    ) -> None:
        """``patience``: how long a call waits for the slowest line."""
        self._patience = patience
        self._under_way: dict[tuple[EventId, Line], asyncio.Task[None]] = {}
        self._sales = sales
        self._draws = draws
        self._archive = archive
        self._entries = entries
        self._beacons = beacons
        self._signer = signer
        self._measured: set[tuple[EventId, Line]] = set()
        self._without_key: set[tuple[EventId, Line]] = set()

    async def step(self) -> None:
        """Take the steps that are due, in every line whose order is drawn. Raises the first fault, once all were tried.

        A line that takes long, as one of a million entries or one whose beacon's relays hang, goes on beside the next
        calls and keeps no other waiting.
        """
        await self._draws.refresh(self._sales.all())
        now, due = datetime.now(UTC), set()
        for sale in self._sales.all().values():
            for line in sale.lines:
                name = (sale.event, line.name)
                if self._is_drawn(sale, line) and now < line.closes_at + _CLOCK_SKEW:
                    due.add(name)
                    if name not in self._under_way:
                        self._under_way[name] = asyncio.create_task(self._go_on(sale, line, now))
        for name in self._measured - due:
            metrics.forget(metrics.OF_DRAW, *name)
        self._measured = due
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=self._patience.total_seconds())
        ended = [name for name, task in self._under_way.items() if task.done()]
        faults = [self._under_way.pop(name).exception() for name in ended]
        for fault in faults:
            if fault is not None and not isinstance(fault, Recovering):
                raise fault

    async def close(self) -> None:
        """Stop what is under way; any pod goes on with it."""
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _is_drawn(self, sale: SaleSheet, line: LineSheet) -> bool:
        return line.draw_at is not None or self._draws.of(sale.event, line.name) is not None

    async def _go_on(self, sale: SaleSheet, line: LineSheet, now: datetime) -> None:
        record = await self._committed(sale, line)
        if record.facts is None:
            record = await self._with_beacon(sale, line, record)
        await self._show(record, line)
        await self._watch_beacon(record)
        if record.facts is not None or not self._has_key(record):
            return
        if line.draw_at is None or now < line.draw_at - _CLOCK_SKEW:
            return
        async with self._entries.turn(record.event, record.line) as is_ours:
            if is_ours:
                await self._draw(await self._reload(record.event, record.line), line, line.draw_at)

    def _has_key(self, record: DrawRecord) -> bool:
        """Whether the draw key is the one that was committed to. Without it the line can never be drawn."""
        has_key = commitment_of(self._draws.secret(record.event, record.line)) == record.commitment
        is_news = has_key is ((record.event, record.line) in self._without_key)
        if is_news and has_key:
            self._without_key.remove((record.event, record.line))
        elif is_news:
            self._without_key.add((record.event, record.line))
            log.error(
                "the draw key is not the one that was committed to; mount it again",
                extra={"event": record.event, "line": record.line},
            )
        metrics.DRAWS_BLOCKED.labels(record.event, record.line).set(not has_key)
        return has_key

    async def _watch_beacon(self, record: DrawRecord) -> None:
        """Measure how long the order waits for its beacon, and warn when that will not come by itself."""
        waiting, beacon = timedelta(0), record.beacon
        if beacon is not None and record.fixed is not None and record.facts is None:
            chain = self._beacons.chains.get(beacon.chain)
            waiting = waiting_of(chain, beacon.round, record.fixed.at, datetime.now(UTC))
            if is_overdue(chain, waiting):
                await self._entries.warn_of_beacon(record.event, record.line, beacon, waiting)
        metrics.BEACON_OVERDUE.labels(record.event, record.line).set(waiting.total_seconds())

    async def _committed(self, sale: SaleSheet, line: LineSheet) -> DrawRecord:
        """The draw, begun before anybody can join: sheets are adopted long before."""
        record = self._draws.record(sale.event, line.name)
        if record is None:
            commitment = commitment_of(self._draws.secret(sale.event, line.name))
            await self._archive.commit(sale.event, line.name, commitment)
            record = await self._reload(sale.event, line.name)
            log.info("draw committed", extra={"event": sale.event, "line": line.name})
        return record

    async def _with_beacon(self, sale: SaleSheet, line: LineSheet, record: DrawRecord) -> DrawRecord:
        if record.beacon == line.beacon or (record.beacons and record.beacons[-1].version >= sale.version):
            return record
        if record.fixed is not None and line.beacon is not None:
            return record
        await self._archive.name_beacon(record.event, record.line, sale.version, line.beacon)
        return await self._reload(record.event, record.line)

    async def _draw(self, record: DrawRecord, line: LineSheet, draw_at: datetime) -> None:
        """Take every step that can be taken now, each of them public before the next one."""
        closed, fixed = record.closed, record.fixed
        if closed is None or fixed is None:
            closing = await self._entries.close(record.event, record.line, draw_at)
            if closing is None:
                return
            if closed is None:
                closed = await self._archive.close(record.event, record.line, closing.closed)
                await self._reload_and_show(record, line)
            if not closing.is_complete:
                return
            fixed = await self._fix(record, closed, closing.epoch)
            record = await self._reload_and_show(record, line)
            await self._entries.tell_fixed(record.event, record.line, closed.n, fixed, len(record.losses or ()))
        if record.facts is None:
            await self._reveal(record, closed, fixed)
            await self._reload_and_show(record, line)

    async def _fix(self, record: DrawRecord, closed: Closed, epoch: int) -> Fixed:
        """Read the entries and fix their root.

        Raises Recovering if Redis was lost since ``epoch``: then some are missing, by a loss that is not noted yet.
        """
        buyers = await self._entries.buyers(record.event, record.line, closed.n)
        after = await self._entries.close(record.event, record.line, closed.draw_at)
        if after is None or after.epoch != epoch:
            raise Recovering("Redis was lost while the entries were read.", retryAfter=2)
        leaves, root = await asyncio.to_thread(self._tree, record.event, record.line, buyers)
        entries = closed.n - buyers.count(None)
        metrics.DRAW_ENTRIES.labels(record.event, record.line).set(entries)
        log.info("entries fixed", extra={"event": record.event, "line": record.line, "entries": entries})
        return await self._archive.fix(record.event, record.line, root, leaves, epoch)

    def _tree(self, event: EventId, line: Line, buyers: Sequence[BuyerId | None]) -> tuple[bytes, bytes]:
        """Leaves, one behind the other, and their root."""
        leaves = []
        for number, buyer in enumerate(buyers, start=1):
            seq = Seq(number)
            if buyer is None:
                leaves.append(hole_leaf(event, line, seq))
            else:
                leaves.append(entry_leaf(event, line, seq, buyer, self._draws.nonce(event, line, seq, buyer)))
        return b"".join(leaves), root_of(leaves)

    async def _reveal(self, record: DrawRecord, closed: Closed, fixed: Fixed) -> None:
        """Show the secret, once the beacon's round is there."""
        value = None
        if record.beacon is not None:
            value = await self._beacons.value(record.beacon.chain, record.beacon.round)
            if value is None:
                return
        facts = self._facts(record, closed, fixed, value, await self._archive.now())
        await self._archive.reveal(self._sign(facts))
        metrics.DRAW_SECONDS.observe((facts.drawn_at - closed.at).total_seconds())
        log.info("order drawn", extra={"event": record.event, "line": record.line})

    def _facts(
        self, record: DrawRecord, closed: Closed, fixed: Fixed, beacon: BeaconValue | None, now: datetime
    ) -> DrawFacts:
        secret = self._draws.secret(record.event, record.line)
        randomness = None if beacon is None else bytes.fromhex(beacon.randomness)
        return DrawFacts(
            event=record.event,
            line=record.line,
            entries=closed.n,
            commitment=record.commitment.hex(),
            root=fixed.root.hex(),
            secret=secret.hex(),
            beacon=beacon,
            key=order_key(secret, closed.n, fixed.root, randomness).hex(),
            beacons_named=record.beacons,
            committed_at=record.committed_at,
            draw_at=closed.draw_at,
            closed_at=closed.at,
            fixed_at=fixed.at,
            drawn_at=now,
            losses=record.losses,
        )

    def _sign(self, facts: DrawFacts) -> SignedFacts:
        claims = facts.model_dump(mode="json", by_alias=True)
        statement = self._signer.sign(DRAW_TYP, claims, EVIDENCE_LIFE, issued_at=facts.drawn_at)
        return SignedFacts(**dict(facts), statement=statement)

    async def _show(self, record: DrawRecord, line: LineSheet) -> None:
        notice = record.notice(line, self._beacons.chains)
        n = None if record.closed is None else record.closed.n
        if not await self._entries.is_shown(record.event, notice, n):
            await self._entries.show(record.event, notice, n)

    async def _reload_and_show(self, record: DrawRecord, line: LineSheet) -> DrawRecord:
        record = await self._reload(record.event, record.line)
        await self._show(record, line)
        return record

    async def _reload(self, event: EventId, line: Line) -> DrawRecord:
        await self._draws.reload([event])
        record = self._draws.record(event, line)
        if record is None:
            raise LookupError(f"{event}, line {line}: the draw was begun and is not there")
        return record


@asynccontextmanager
async def open_lottery(
    settings: TicketSettings, pool: Pool, redis: Redis, sales: Sheets, signer: TokenSigner
) -> AsyncIterator[Lottery]:
    """Bring every draw forward while the block runs."""
    archive, entries = DrawArchive(pool), Entries(redis)
    draws = Draws(archive, DrawKey.from_file(settings.draw_key_file))
    chains = read_chains(settings.beacon_chains_file)
    await draws.refresh(sales.all())
    async with aiohttp.ClientSession() as http:
        beacons = Beacons(http, settings.beacon_urls, chains)
        drawing = Drawing(sales, draws, archive, entries, beacons, signer)
        async with running(every(settings.draw_interval, "drawing", drawing.step)):
            try:
                yield Lottery(draws, archive, EntryReceipts(draws, entries, signer), chains)
            finally:
                await drawing.close()
