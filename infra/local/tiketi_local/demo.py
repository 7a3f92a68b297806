"""The main job, to watch: an event goes on sale, a crowd buys it empty, and the books are checked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.live import Live

from tiketi_local.books import Books, read_books
from tiketi_local.crowd.buyer import Step
from tiketi_local.crowd.client import SaleAddress
from tiketi_local.crowd.crowd import Crowd
from tiketi_local.demo_screen import progress_table, report_tables
from tiketi_local.errors import WorldError
from tiketi_local.site import CHECKOUT
from tiketi_local.world import World
from tiketi_runtime.kubernetes import Cluster, Manifest

EXAMPLE = CHECKOUT / "examples" / "first-sale.yaml"
TICKET_EVENT = ("tiketi.dev/v1alpha1", "TicketEvent")
ARMED_SECONDS = 60
SALE_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Pace:
    """How long buyers may take: durations as the objects have them."""

    hold: str
    session: str
    most_work_bits: int = 8
    """Buyers work on machines of their own; a crowd has one between all, and shares it with the platform."""


BRISK = Pace(hold="10s", session="12s")
"""What silent buyers keep, a hold or a slot, comes back while one watches."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What is shown."""

    buyers: int
    lead: timedelta
    """Time between applying the event and its on-sale second."""


async def run_demo(world: World, demo: Demo, console: Console) -> int:
    """Play the sale; returns 0 if the books are right, else 1."""
    async with await Cluster.connect(world.kubeconfig) as cluster:
        name = _new_name()
        sale = SaleAddress(world.url("front"), "demo", name)
        async with Crowd(sale, world.url("toss"), world.url("mail"), demo.buyers) as crowd:
            event = await apply_sale(cluster, EXAMPLE, name, datetime.now(UTC) + demo.lead)
            opens_at = f"{_opens_at(event):%H:%M:%S} UTC"
            console.print(f"[bold]kubectl apply[/]: TicketEvent demo/{name}, on sale at {opens_at}", highlight=False)
            with console.status(f"{demo.buyers} buyers sign up and verify their addresses ..."):
                await crowd.sign_up()
            await until_armed(cluster, name)
            await _watch(console, cluster, name, crowd, event)
        await _until_reported(cluster, name)
        books = await read_books(world, f"demo/{name}")
        status = await _get(cluster, name)
    for table in report_tables(crowd, books, status):
        console.print(table)
    exit_code = 0 if _is_right(console, crowd, books) else 1
    _say_what_next(console, world, name)
    return exit_code


async def apply_sale(
    cluster: Cluster,
    example: Path,
    name: str,
    opens_at: datetime,
    pace: Pace = BRISK,
    changes: Mapping[str, Any] | None = None,
) -> Manifest:
    """Apply an example's policy and event with its times moved to ``opens_at``; returns the event as stored."""
    event: Manifest = {}
    for document in _documents(example):
        if document["kind"] == "TicketEvent":
            document["metadata"]["name"] = name
            document["spec"]["sale"].update(
                opensAt=_instant(opens_at), closesAt=_instant(opens_at + timedelta(hours=1)), holdDuration=pace.hold
            )
            document["spec"]["startsAt"] = _instant(opens_at + timedelta(days=60))
            document["spec"]["queuePolicyRef"]["name"] = name
            document["spec"].update(changes or {})
            event = await cluster.apply(document, "kubectl")
        else:
            document["metadata"]["name"] = name
            document["spec"]["sessionDuration"] = pace.session
            document["spec"]["proofOfWork"] = {"maxBits": pace.most_work_bits}
            await cluster.apply(document, "kubectl")
    return event


def _documents(example: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(example.read_text(encoding="utf-8")))


async def until_armed(cluster: Cluster, name: str) -> None:
    """Wait for the condition Armed. Raises WorldError with the conditions when it does not come."""
    conditions: list[Manifest] = []
    for _ in range(ARMED_SECONDS * 4):
        conditions = (await _get(cluster, name)).get("status", {}).get("conditions", [])
        if any(c["type"] == "Armed" and c["status"] == "True" for c in conditions):
            return
        await asyncio.sleep(0.25)
    wrong = "; ".join(f"{c['type']}={c['status']} ({c['reason']})" for c in conditions if c["status"] != "True")
    raise WorldError(f"the event was not armed in {ARMED_SECONDS} s: {wrong}", f"kubectl -n demo describe te {name}")


async def _watch(console: Console, cluster: Cluster, name: str, crowd: Crowd, event: Manifest) -> None:
    sections = [section["name"] for section in event["spec"]["seating"]["sections"]]
    until_open = (_opens_at(event) - datetime.now(UTC)).total_seconds()
    with Live(console=console, refresh_per_second=2, transient=True) as live:
        async with asyncio.timeout(SALE_SECONDS), asyncio.TaskGroup() as group:
            going = group.create_task(crowd.go(sections, within=max(1.0, until_open * 0.8)))
            while not going.done():
                live.update(progress_table(await _get(cluster, name), crowd))
                await asyncio.wait([going], timeout=1)
            live.update(progress_table(await _get(cluster, name), crowd))


async def _until_reported(cluster: Cluster, name: str) -> None:
    """Give stats one writing interval to bring the last sale into the status."""
    for _ in range(20):
        before = (await _get(cluster, name)).get("status", {}).get("sales")
        await asyncio.sleep(6)
        if (await _get(cluster, name)).get("status", {}).get("sales") == before:
            return


async def _get(cluster: Cluster, name: str) -> Manifest:
    event = await cluster.get(*TICKET_EVENT, name, "demo")
    if event is None:
        raise WorldError(f"TicketEvent demo/{name} is gone", "run the demo again")
    return event


def _new_name() -> str:
    """What is sold stays sold, even when the event is deleted: each demo needs an event of its own."""
    return f"first-sale-{datetime.now(UTC):%H%M%S}"


def _is_right(console: Console, crowd: Crowd, books: Books) -> bool:
    winners = sum(len(buyer.seats) for buyer in crowd.buyers if buyer.step is Step.BOUGHT)
    wrong = [*books.mismatches(), *dict.fromkeys(crowd.faults())]
    if winners != books.tickets:
        wrong.append(f"buyers count {winners} tickets, ticket has issued {books.tickets}")
    for (step, status, code), count in crowd.timings.server_errors.items():
        wrong.append(f"{step} was answered {status} {code} {count} times")
    for text in wrong[:20]:
        console.print(f"[red]wrong:[/] {text}")
    if put_off := crowd.timings.put_off.total():
        console.print(
            f"{put_off} requests were asked to come again (503 with Retry-After): a store was slow to answer."
        )
    if not wrong:
        console.print("[green]The books agree:[/] oversold 0, charged = sold, every buyer with an answer.")
    return not wrong


def _say_what_next(console: Console, world: World, name: str) -> None:
    kubectl = f"{world.kubectl} --kubeconfig {world.kubeconfig}"
    console.print(
        f"\nThe world is still up. Look at it:\n"
        f"  {kubectl} -n demo get te -o wide\n"
        f"  {kubectl} -n demo describe te {name}\n"
        f"  buyers' API   {world.url('front')}/events/demo/{name}\n"
        f"  stats         {world.url('front')}/stats/events/demo/{name}\n"
        f"  vendor ledger {world.url('toss')}/__sim/ledger\n"
        f"  buyers' mail  {world.url('mail')} (addresses to verify, tickets bought)\n"
        f"  {world.command('down'):<13} when you have seen enough",
        soft_wrap=True,
        highlight=False,
    )


def _opens_at(event: Manifest) -> datetime:
    return datetime.fromisoformat(event["spec"]["sale"]["opensAt"])


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
