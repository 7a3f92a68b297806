"""TicketEvent: one object for a whole ticket sale. Says the same as crds/ticketevents.yaml, the manual.

Rules between fields live in the CRD alone: an object that breaks one never gets past the API server.
"""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from tiketi_runtime.contracts.duration import GoDuration
from tiketi_runtime.contracts.identity import EventId, event_id
from tiketi_runtime.contracts.instant import Instant
from tiketi_runtime.contracts.kubernetes_object import ContractModel, DnsLabel, KubernetesObject
from tiketi_runtime.contracts.sale_sheet import Admission, CodeUse
from tiketi_runtime.contracts.seating import SECTION_NAME, Section
from tiketi_runtime.contracts.ticket_event_status import TicketEventStatus

SectionName = Annotated[str, StringConstraints(max_length=12, pattern=SECTION_NAME)]
OneLine = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""Text without control characters: PostgreSQL does not store NUL, and nobody means the others."""
PLAIN_TEXT = r"^[^\x00-\x08\x0b-\x1f\x7f]*$"
"""Text with line ends and tabs, else without control characters."""
Replicas = Annotated[int, Field(ge=1, le=1_000)]


class Currency(StrEnum):
    """ISO 4217; every amount is in its minor unit (KRW and JPY have none: 1 = 1 won)."""

    KRW = "KRW"
    USD = "USD"
    JPY = "JPY"


class Lane(StrEnum):
    """Where the event is served."""

    DEDICATED = "Dedicated"
    SHARED = "Shared"


class Venue(ContractModel):
    """Where it takes place."""

    name: OneLine
    time_zone: Annotated[str, StringConstraints(max_length=64, pattern="^[A-Za-z]+(/[A-Za-z0-9_+-]+)*$")]


class SecretKeyRef(ContractModel):
    """One key of a Secret in the event's namespace."""

    name: DnsLabel
    key: Annotated[str, StringConstraints(max_length=253, pattern="^[-._a-zA-Z0-9]+$")] = "codes"


class Presale(ContractModel):
    """A line of its own that ends before the public sale opens."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=40, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    opens_at: Instant
    closes_at: Instant
    code_use: CodeUse = CodeUse.ONCE
    codes_secret_ref: SecretKeyRef | None = None
    """None: nobody is asked for a code."""
    sections: Annotated[tuple[SectionName, ...], Field(max_length=64)] = ()
    """Empty means all."""


class Sale(ContractModel):
    """When tickets are sold and on which terms."""

    opens_at: Instant
    closes_at: Instant
    currency: Currency = Currency.KRW
    max_tickets_per_buyer: Annotated[int, Field(ge=1, le=20)] = 4
    hold_duration: Annotated[timedelta, GoDuration("10s", "30m")] = timedelta(minutes=10)
    refunds_until: Instant | None = None
    presales: Annotated[tuple[Presale, ...], Field(max_length=8)] = ()


class Seating(ContractModel):
    """Everything there is to sell."""

    sections: Annotated[tuple[Section, ...], Field(min_length=1, max_length=64)]

    @property
    def size(self) -> int:
        """Number of places, seated and standing together."""
        return sum(section.size for section in self.sections)


class QueuePolicyRef(ContractModel):
    """The QueuePolicy of the same namespace that forms the line."""

    name: DnsLabel


class Capacity(ContractModel):
    """How many pods serve the event, and from when."""

    lane: Lane = Lane.DEDICATED
    min_replicas: Replicas = 2
    peak_replicas: Replicas = 4
    max_replicas: Replicas = 10
    prewarm_lead_time: Annotated[timedelta, GoDuration("0s", "24h")] = timedelta(minutes=15)


class Routing(ContractModel):
    """Under which name buyers reach the event."""

    host: Annotated[
        str,
        StringConstraints(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
    ]
    gateway: Annotated[
        str,
        StringConstraints(max_length=127, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9]*[a-z0-9])?$"),
    ] = "tiketi-system/tiketi"


class TicketEventSpec(ContractModel):
    """What the organiser asks for."""

    title: OneLine
    description: Annotated[str, StringConstraints(max_length=4_000, pattern=PLAIN_TEXT)] = ""
    venue: Venue
    starts_at: Instant
    sale: Sale
    seating: Seating
    queue_policy_ref: QueuePolicyRef
    capacity: Capacity = Capacity()
    routing: Routing
    admission: Admission = Admission.OPEN
    message: Annotated[str, StringConstraints(max_length=500, pattern=PLAIN_TEXT)] = ""


class TicketEvent(KubernetesObject):
    """A ticket event as the API server stores it."""

    spec: TicketEventSpec
    status: TicketEventStatus = TicketEventStatus()

    @property
    def id(self) -> EventId:
        """Identity of the event in Redis, PostgreSQL, messages and URLs."""
        return event_id(self.namespace, self.name)
