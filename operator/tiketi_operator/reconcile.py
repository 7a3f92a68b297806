"""One visit to an event: read, compile, write the sheet, plan, apply, prove, report. Any number of times."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from tiketi_operator.children import ChildRefused
from tiketi_operator.codes import UnreadCodes
from tiketi_operator.manifests.metadata import MANAGER
from tiketi_operator.metrics import BOUNDARY_LAG_SECONDS, RECONCILE_SECONDS, RECONCILES
from tiketi_operator.phase import GUARDED_PHASES, instants, next_instant, phase_without_sale, shown_phase
from tiketi_operator.plan import SharedNeed, plan, shared_objects
from tiketi_operator.ports import Ports
from tiketi_operator.probes import queue_fact
from tiketi_operator.queue_setup import Provisioned, Stored
from tiketi_operator.sale import (
    Books,
    Unsellable,
    check_draws,
    check_sale,
    compile_sale,
    keep_draws,
    late_refunds,
    opened_before_creation,
)
from tiketi_operator.settings import OperatorSettings
from tiketi_operator.status import (
    FALSE,
    TRUE,
    Fact,
    Facts,
    Notice,
    compose,
    document,
    is_cancelled,
    is_served,
    is_settled,
    is_written,
    notices,
    published,
    unknown,
)
from tiketi_runtime.contracts.identity import EventId, namespace_and_name
from tiketi_runtime.contracts.kubernetes_object import API_VERSION
from tiketi_runtime.contracts.phase import phase_at
from tiketi_runtime.contracts.queue_policy import QueuePolicy
from tiketi_runtime.contracts.sale_sheet import Phase, SaleContent
from tiketi_runtime.contracts.ticket_event import TicketEvent
from tiketi_runtime.contracts.ticket_event_status import Draw, Sales, TicketEventStatus
from tiketi_runtime.errors import NotFound
from tiketi_runtime.kubernetes import Cluster, Manifest
from tiketi_runtime.redis import RedisError

CONFIRM_DELETE = "tiketi.dev/confirm-delete"
"""Annotation that lets an event be deleted although buyers are in it; its value is the reason."""

_JUST_AFTER = timedelta(milliseconds=20)
"""A visit for an instant comes a little after it, so that every clock agrees that it has come."""
_SOON = timedelta(seconds=1)
_LATER = timedelta(seconds=5)
_OVERDUE = timedelta(minutes=1)
"""A draw that is not held by so long after the opening waits for somebody's hand."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Visit:
    """What came of a visit."""

    at: datetime
    notices: tuple[Notice, ...] = ()
    sleep: timedelta = timedelta(0)
    """How long the event needs no other visit unless something happens."""
    refusal: str = ""
    """Why the event is not deleted yet; empty if nobody asked for it, or it is done."""


@dataclass(frozen=True)
class Case:
    """An event, and the sale it stands for at one instant."""

    event: TicketEvent
    now: datetime
    queue: Fact
    sale: SaleContent | None = None
    """What the services sell by; None while there is nothing they could."""
    provisioned: Provisioned | None = None
    draws: tuple[Draw, ...] = ()
    """What is public about the draws."""
    obstacle: Fact | None = None
    is_unread: bool = False
    """Whether what is in the way may be mended without anybody telling the operator."""
    refusal: Fact | None = None

    def phase(self, facts: Facts) -> Phase:
        """Where the sale stands, for people."""
        sales, before = _sales(self.event), self.event.status.phase
        if sales.audit is not None and is_cancelled(sales.audit):
            return Phase.CANCELLED
        if self.sale is None:
            return phase_without_sale(self.event.spec.sale, before, self.now)
        return shown_phase(
            phase_at(self.sale, self.now, sold=sales.sold or 0),
            before,
            is_served=is_served(facts),
            has_buyers=bool(sales.active or sales.held or sales.sold),
        )

    @property
    def changed_at(self) -> datetime:
        """When something new was last asked of services or mesh."""
        armed_at = [self.sale.arm_at] if self.sale is not None and self.sale.arm_at <= self.now else []
        written_at = [self.provisioned.since] if self.provisioned is not None else []
        return max([*armed_at, *written_at], default=datetime.min.replace(tzinfo=UTC))

    @property
    def is_being_drawn(self) -> bool:
        """Whether the entries of a line have closed lately and their order is not known yet."""
        drawn = {draw.line for draw in self.draws if draw.drawn_at is not None}
        return self.sale is not None and any(
            line.draw_at is not None and line.draw_at <= self.now < line.opens_at + _OVERDUE
            for line in self.sale.lines
            if line.name not in drawn
        )


async def reconcile(
    event: EventId, ports: Ports, needs: Sequence[SharedNeed], last_visit: datetime | None = None
) -> Visit | None:
    """Bring one event to what it should be now; None if there is no such event.

    ``needs`` are what all events ask of the shared ticket service; ``last_visit`` is for the metrics alone.
    Raises ApiUnavailable, and RedisError when Redis goes away during the visit.
    """
    body = await _read(event, ports.cluster)
    if body is None:
        return None
    with RECONCILE_SECONDS.time():
        case = await _prepare(TicketEvent.from_body(body), ports)
        _count_lag(case, last_visit)
        if case.provisioned is not None:
            await ports.reports.tell_notes(case.event, case.now)
        return await _carry_out(case, body, ports, needs)


async def dismiss(event: EventId, ports: Ports, needs: Sequence[SharedNeed]) -> Visit:
    """Take down an event that is being deleted; or, while buyers are in it, keep it going and say why.

    Raises ApiUnavailable and RedisError.
    """
    body = await _read(event, ports.cluster)
    stored = await ports.sheets.stored(event)
    now = await ports.sheets.now()
    if body is not None and stored is not None:
        found = TicketEvent.from_body(body)
        refusal = _refusal(found, stored.sale, now)
        if refusal is not None:
            case = replace(await _prepare(found, ports), refusal=refusal)
            return replace(await _carry_out(case, body, ports, needs), refusal=refusal.message)
    await ports.children.sweep(event)
    others = [need for need in needs if need.event != event]
    await ports.children.put_shared(shared_objects(others, now, ports.settings))
    swept = await ports.sheets.sweep(event)
    ports.codes.forget(event)
    ports.reports.forget(event)
    log.info("event dismissed", extra={"event": event, "keys": swept})
    return Visit(now)


async def _read(event: EventId, cluster: Cluster) -> Manifest | None:
    namespace, name = namespace_and_name(event)
    return await cluster.get(API_VERSION, "TicketEvent", name, namespace)


async def _prepare(event: TicketEvent, ports: Ports) -> Case:
    """Compile the sale and write its sheet. Without Redis it is compiled all the same, for the children's sake."""
    books: Books = {}
    sale, obstacle, is_unread = None, None, False
    try:
        policy = check_sale(event, await _policy(event, ports.cluster))
        books = await ports.codes.read(event, datetime.now(UTC))
        compiled = compile_sale(event, policy, books)
        check_draws(compiled, policy, ports.chains)
        sale = compiled
    except Unsellable as error:
        obstacle, is_unread = Fact(TRUE, error.reason, error.message), isinstance(error, UnreadCodes)
    try:
        case = await _with_sheet(event, sale, books, ports)
    except RedisError as error:
        log.warning("Redis is away", extra={"event": event.id, "error": str(error)})
        away = Fact(FALSE, "RedisUnavailable", f"The operator does not reach Redis: {error}", settles=False)
        case = Case(event, datetime.now(UTC), away, sale, draws=event.status.draws)
    return replace(case, obstacle=obstacle or case.obstacle, is_unread=is_unread)


async def _policy(event: TicketEvent, cluster: Cluster) -> QueuePolicy | None:
    body = await cluster.get(API_VERSION, "QueuePolicy", event.spec.queue_policy_ref.name, event.namespace)
    return None if body is None else QueuePolicy.from_body(body)


async def _with_sheet(event: TicketEvent, sale: SaleContent | None, books: Books, ports: Ports) -> Case:
    """What cannot be compiled now goes on as it was last compiled: a sale under way does not stop for a mistake."""
    if sale is not None:
        return await _with_new_sheet(event, sale, books, ports)
    stored = await ports.sheets.stored(event.id)
    if stored is None:
        nothing = unknown("NoSale", "There is no sale sheet: the services do not know the event.")
        return Case(event, await ports.sheets.now(), nothing, draws=event.status.draws)
    return await _with_reports(event, stored.sale, stored.provisioned, ports)


async def _with_new_sheet(event: TicketEvent, compiled: SaleContent, books: Books, ports: Ports) -> Case:
    """What buyers were promised when they joined stays, whatever is asked for now."""
    before = await _sheet_before(event.id, ports)
    stored = None if before is None else before.sale
    owed = () if before is None else await ports.reports.owed(event.id, before.provisioned.version)
    sale, kept = keep_draws(compiled, stored, await ports.sheets.now(), event.status.draws, owed)
    case = await _with_reports(event, sale, await ports.sheets.provision(sale, books), ports)
    message = " ".join(each.message for each in kept)
    return replace(case, obstacle=Fact(TRUE, kept[0].reason, message) if kept else None)


async def _sheet_before(event: EventId, ports: Ports) -> Stored | None:
    """The sheet that is about to be replaced; one that cannot be read must not be in the way."""
    try:
        return await ports.sheets.stored(event)
    except ValidationError as error:
        log.error("stored sheet cannot be read", extra={"event": event, "error": str(error)})
        return None


async def _with_reports(event: TicketEvent, sale: SaleContent, provisioned: Provisioned, ports: Ports) -> Case:
    """What the services say of the sale they were given."""
    draws = published(sale, await ports.reports.draws(event.id), event.status.draws)
    return Case(event, provisioned.now, queue_fact(provisioned, sale, draws), sale, provisioned, draws)


async def _carry_out(case: Case, body: Manifest, ports: Ports, needs: Sequence[SharedNeed]) -> Visit:
    facts = await _apply(case, ports, needs)
    status = compose(
        case.event,
        case.sale,
        facts,
        phase=case.phase(facts),
        now=case.now,
        changed_at=case.changed_at,
        settling=ports.settings.settling_time,
    )
    await _write(status, body, ports.cluster)
    RECONCILES.labels("settled" if is_settled(status) else "unsettled").inc()
    return Visit(case.now, _notices(case, status), _sleep(case, status, ports.settings))


async def _apply(case: Case, ports: Ports, needs: Sequence[SharedNeed]) -> Facts:
    if case.sale is None:
        return replace(Facts.without_sale(case.queue, case.obstacle), draws=case.draws)
    observed = await ports.children.observe(case.event, needs)
    planned = plan(case.event, case.sale, case.now, observed, ports.settings)
    obstacle = case.obstacle
    try:
        await ports.children.put(case.event.id, planned)
    except ChildRefused as error:
        log.error("children refused", extra={"event": case.event.id, "error": error.detail})
        obstacle = obstacle or Fact(TRUE, "ChildRefused", error.detail)
    facts = await ports.prover.prove(case.event, case.sale, planned, case.queue)
    return replace(facts, draws=case.draws, obstacle=obstacle, refusal=case.refusal)


async def _write(status: TicketEventStatus, body: Manifest, cluster: Cluster) -> None:
    """Apply the status unless the object says so already. An object that is gone meanwhile needs none."""
    wanted = document(status)
    if is_written(body, wanted):
        return
    metadata = {name: body["metadata"][name] for name in ("name", "namespace", "uid")}
    manifest = {"apiVersion": API_VERSION, "kind": "TicketEvent", "metadata": metadata, "status": wanted}
    try:
        await cluster.apply_status(manifest, MANAGER)
    except NotFound:
        log.info("event gone before its status was written", extra={"event": metadata["name"]})


def _refusal(event: TicketEvent, sale: SaleContent, now: datetime) -> Fact | None:
    sales = _sales(event)
    phase, held, sold = phase_at(sale, now, sold=sales.sold or 0), sales.held or 0, sales.sold or 0
    has_buyers = phase in GUARDED_PHASES or held or (sold and phase is not Phase.CLOSED)
    if event.annotations.get(CONFIRM_DELETE) or not has_buyers:
        return None
    return Fact(
        TRUE,
        "DeletionRefused",
        f"Buyers are in the sale (phase {phase}, {held} seats held, {sold} sold): it goes on until it closes. "
        f"To delete it all the same, say why: "
        f"kubectl annotate te {event.name} -n {event.namespace} {CONFIRM_DELETE}=<reason>",
    )


def _sales(event: TicketEvent) -> Sales:
    """What stats has counted so far."""
    return event.status.sales or Sales()


def _notices(case: Case, status: TicketEventStatus) -> tuple[Notice, ...]:
    found = notices(case.event.status, status)
    if case.event.status.phase is None and case.sale is not None and opened_before_creation(case.event):
        message = "spec.sale.opensAt was past when the event was created: it opens at once, without being prepared."
        found.append(Notice("OpensAtOnce", message, is_warning=True))
    is_new = case.event.status.observed_generation != case.event.generation
    if is_new and case.sale is not None and (late := late_refunds(case.event)) is not None:
        found.append(Notice("RefundsEndLate", late, is_warning=True))
    return tuple(found)


def _sleep(case: Case, status: TicketEventStatus, settings: OperatorSettings) -> timedelta:
    longest = settings.longest_sleep
    if not is_settled(status) or case.is_unread or case.is_being_drawn:
        is_young = case.now < case.changed_at + settings.settling_time
        longest = min(longest, _SOON if is_young or case.is_being_drawn else _LATER)
    instant = None if case.sale is None else next_instant(case.sale, case.now)
    return longest if instant is None else min(longest, instant - case.now + _JUST_AFTER)


def _count_lag(case: Case, last_visit: datetime | None) -> None:
    if last_visit is not None and case.sale is not None:
        for instant in instants(case.sale):
            if last_visit < instant <= case.now:
                BOUNDARY_LAG_SECONDS.observe((case.now - instant).total_seconds())
