"""A run: a crowd buys, one fault after the other, everything comes to rest, and the books are checked."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import asyncpg
from rich.table import Table
from tests.faults.buyers import crowd
from tests.faults.checks import Rest, come_to_rest, everything_wrong, false_alarms, history
from tests.faults.contest import contest
from tests.faults.faults import FAULTS
from tests.faults.journal import Journal
from tests.faults.stage import Stage, set_up
from tests.invariants import violations

from tiketi_local.errors import WorldError
from tiketi_runtime.outages import is_outage

CALM = 1.0
"""Seconds of calm after each fault, so that the next one finds purchases under way."""

_UNPLAYABLE = (RuntimeError, OSError, asyncpg.PostgresError, WorldError)

Say = Callable[[str], None]


@dataclass
class Report:
    """What a run was and found."""

    seed: int
    seconds: float = 0.0
    visits: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    looks: int = 0
    payments: int = 0
    """Attempts to pay whose confirm was begun, so far."""
    contest: Counter[str] = field(default_factory=Counter)
    rest: Rest = field(default_factory=Rest)
    sums: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)

    def table(self) -> Table:
        """For people."""
        table = Table(title=f"purchases under faults, seed {self.seed}", show_header=False)
        table.add_row("seconds", f"{self.seconds:.0f}")
        table.add_row("faults", f"{self.faults.total()} of {len(self.faults)} kinds")
        table.add_row("visits", f"{self.visits:,}")
        for name, number in self.sums.items():
            table.add_row(name, f"{number:,}")
        for how in ("ok", "fail", "unknown"):
            told = sum(n for name, n in self.answers.items() if f": {how}" in name)
            table.add_row(f"answers: {how}", f"{told:,}")
        for end, number in self.contest.most_common():
            table.add_row(f"contested tries: {end}", f"{number:,}")
        table.add_row("invariants checked in mid-sale", f"{self.looks:,} times")
        table.add_row("at rest after", f"{self.rest.took:.1f} s")
        table.add_row("attempts that only the vendor could end", f"{self.rest.waiting_for_vendor:,}")
        table.add_row("violations", f"{len(self.wrong):,}")
        return table


async def run(
    seed: int,
    plan: Iterator[str],
    name: str,
    folder: Path,
    buyers: int = 12,
    tries: int = 0,
    say: Say = print,
    *,
    is_doubled: bool = False,
    payments: int = 0,
) -> Report:
    """Play the faults of ``plan`` one after the other, then a contest of ``tries`` for few seats; the report says
    whether all is well. ``is_doubled``: two processes of ticket and of payment behind Envoy. ``payments``:
    enough, once every fault was played; 0: as many as come about.
    """
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # the vendor's connections are cut on purpose
    journal, report, began = Journal.at(folder / "journal.jsonl"), Report(seed), time.monotonic()
    try:
        async with set_up(name, folder, is_doubled=is_doubled) as stage:
            await _storm(stage, journal, report, plan, buyers, say, payments)
            if tries:
                say(f"{time.strftime('%H:%M:%S')} contest: {tries:,} tries to hold few seats")
                report.contest, found = await contest(stage, tries, seed)
                report.wrong += found
            say(f"{time.strftime('%H:%M:%S')} all is mended; waiting for rest")
            report.rest = await come_to_rest(stage)
            say(f"{time.strftime('%H:%M:%S')} at rest after {report.rest.took:.1f} s: {report.rest.left}")
            report.wrong += await everything_wrong(stage, journal, report.rest)
            report.history = history(journal, report.wrong)
            report.sums = await _sums(stage)
            if report.wrong:
                _keep_logs(stage, folder)
    finally:
        journal.close()
    report.answers, report.seconds = journal.answers, time.monotonic() - began
    return report


async def _storm(
    stage: Stage, journal: Journal, report: Report, plan: Iterator[str], buyers: int, say: Say, payments: int
) -> None:
    is_over = False
    buying = asyncio.create_task(crowd(stage, journal, report.seed, buyers, lambda: is_over))
    looking = asyncio.create_task(_look_all_the_time(stage, report))
    chance = Random(report.seed)
    try:
        await asyncio.sleep(CALM)
        for name in plan:
            journal.note("fault", name=name)
            say(f"{time.strftime('%H:%M:%S')} {name} ({report.payments:,} payments)")
            try:
                await FAULTS[name](stage, chance)
            except _UNPLAYABLE as error:  # what was found so far is not lost
                report.wrong.append(f"{name} could not be played: {error!r}")
            journal.note("mended", name=name)
            report.faults[name] += 1
            report.wrong += [f"{dead} ended by itself after: {name}" for dead in await stage.revive()]
            await asyncio.sleep(CALM)
            report.wrong += [f"{line} after: {name}" for line in await false_alarms(stage)]
            report.payments = await _payments(stage)
            is_enough = 0 < payments <= report.payments and len(report.faults) == len(FAULTS)
            if is_enough or buying.done() or looking.done():
                break
    finally:
        is_over = True
        report.visits = await buying
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking


async def _look_all_the_time(stage: Stage, report: Report) -> None:
    """The invariants hold at every commit, not only at rest."""
    while True:
        began = time.monotonic()
        try:
            found = await violations(stage.ticket_database, stage.payment_database)
        except Exception as error:
            if not is_outage(error):
                raise
        else:
            report.looks += 1
            report.wrong += [f"in mid-sale: {line}" for line in found if f"in mid-sale: {line}" not in report.wrong]
        await asyncio.sleep(max(0.5, 2 * (time.monotonic() - began)))


async def _payments(stage: Stage) -> int:
    return int(await stage.payment_database.fetchval("SELECT count(*) FROM attempts WHERE state <> 'READY'"))


async def _sums(stage: Stage) -> dict[str, int]:
    ticket, payment = stage.ticket_database, stage.payment_database
    ledger = stage.vendor.simulator.vendor.payments(stage.vendor.simulator.clock())
    return {
        "holds": await ticket.fetchval("SELECT count(*) FROM holds"),
        "orders": await ticket.fetchval("SELECT count(*) FROM orders"),
        "orders paid": await ticket.fetchval("SELECT count(*) FROM orders WHERE state IN ('PAID', 'REFUNDED')"),
        "tickets": await ticket.fetchval("SELECT count(*) FROM tickets"),
        "refunds": await ticket.fetchval("SELECT count(*) FROM refunds"),
        "check-ins": await ticket.fetchval("SELECT count(*) FROM tickets WHERE state = 'USED'"),
        "webhooks kept": await payment.fetchval("SELECT count(*) FROM webhooks"),
        "payments begun at the vendor": await _payments(stage),
        "attempts to pay": await payment.fetchval("SELECT count(*) FROM attempts"),
        "charges": sum(each.charged > 0 for each in ledger),
        "charges given back, in part or whole": sum(each.cancelled > 0 for each in ledger),
    }


def _keep_logs(stage: Stage, folder: Path) -> None:
    for name in (*stage.services, "postgres"):
        (folder / f"{name}.log").write_bytes(stage.site.log(name).read_bytes())


def shuffled(seed: int, seconds: float) -> Iterator[str]:
    """All faults in an order that the seed tells, over and over, until the time is up."""
    chance, ends = Random(seed), time.monotonic() + seconds
    for _ in itertools.count():
        names = list(FAULTS)
        chance.shuffle(names)
        for name in names:
            if time.monotonic() > ends:
                return
            yield name


def world_name() -> str:
    """A world that nothing else uses: its stores are killed."""
    return f"{os.environ.get('TIKETI_WORLD', 'test')}-faults"


def told(report: Report, lines: Sequence[str] = ()) -> str:
    """What a failed run says: its seed, what is wrong, and the history of what it names."""
    kinds = Counter(line.partition(":")[0] if not line.startswith("in mid") else line[:60] for line in report.wrong)
    counted = [f"{number} times: {kind}" for kind, number in kinds.most_common(20)]
    head = [f"seed {report.seed}: {len(report.wrong)} violations", *counted, *report.wrong[:20]]
    head += ["history:", *report.history]
    return "\n".join([*head, *lines])
