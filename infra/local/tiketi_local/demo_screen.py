"""What the demo shows: one live table, and the report."""

from __future__ import annotations

from rich.columns import Columns
from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table

from tiketi_local.books import Books
from tiketi_local.crowd.buyer import Step
from tiketi_local.crowd.crowd import Crowd
from tiketi_runtime.kubernetes import Manifest


def progress_table(event: Manifest, crowd: Crowd) -> RenderableType:
    """The event as ``kubectl get te`` has it, beside the crowd as it sees itself."""
    return Columns([_event_table(event), _crowd_table(crowd)], padding=(0, 3))


def report_tables(crowd: Crowd, books: Books, event: Manifest) -> list[RenderableType]:
    """The end: who got what, how long it took, and the books."""
    return [progress_table(event, crowd), _timings_table(crowd), _books_table(crowd, books)]


def _event_table(event: Manifest) -> Table:
    status = event.get("status", {})
    sales = status.get("sales", {})
    table = Table(
        title=f"TicketEvent {event['metadata']['namespace']}/{event['metadata']['name']}", title_justify="left"
    )
    for column in ("phase", "ready", "waiting", "admit/min", "active", "held", "sold", "left"):
        table.add_column(column, justify="right")
    ready = next((c["status"] for c in status.get("conditions", []) if c["type"] == "Ready"), "")
    table.add_row(
        str(status.get("phase", "")),
        ready,
        *(str(sales.get(key, "")) for key in ("waiting", "admittedPerMinute", "active", "held", "sold", "remaining")),
    )
    return table


def _crowd_table(crowd: Crowd) -> Table:
    table = Table(title=f"Crowd of {crowd.size}", title_justify="left")
    table.add_column("buyers who are / have")
    table.add_column("", justify="right")
    table.add_column("")
    counts = crowd.steps()
    for step in Step:
        if counts[step]:
            bar = ProgressBar(total=crowd.size, completed=counts[step], width=24)
            table.add_row(step, str(counts[step]), bar)
    return table


def _timings_table(crowd: Crowd) -> Table:
    table = Table(title="As buyers saw it, retries of 429 apart (ms)", title_justify="left")
    table.add_column("step")
    for column in ("calls", "p50", "p99", "worst"):
        table.add_column(column, justify="right")
    for row in crowd.timings.summaries():
        table.add_row(row.step, str(row.count), *(f"{value:.1f}" for value in (row.p50, row.p99, row.worst)))
    return table


def _books_table(crowd: Crowd, books: Books) -> Table:
    table = Table(title="The books (PostgreSQL against the vendor's ledger)", title_justify="left")
    table.add_column("what")
    table.add_column("", justify="right")
    for what, value in [("buyers admitted", f"{crowd.admitted:,}"), *books.rows()]:
        table.add_row(what, value)
    return table
