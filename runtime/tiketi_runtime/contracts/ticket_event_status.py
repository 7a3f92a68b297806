"""Status of a TicketEvent: two writers and no shared field. Says the same as crds/ticketevents.yaml.

The operator writes everything but `sales`; stats writes `sales`. A field missing here would be dropped by the
API server without a word, which is why both writers build their patches from these models.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from tiketi_runtime.contracts.kubernetes_object import ContractModel
from tiketi_runtime.contracts.sale_sheet import Phase

Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Hash = Annotated[str, StringConstraints(max_length=64, pattern="^[0-9a-f]{64}$")]
"""32 bytes, hexadecimal."""


class ConditionStatus(StrEnum):
    """Three-valued truth of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ContractModel):
    """A metav1.Condition."""

    type: Annotated[str, StringConstraints(max_length=316, pattern="^[A-Za-z][A-Za-z0-9]*$")]
    status: ConditionStatus
    reason: Annotated[
        str,
        StringConstraints(min_length=1, max_length=1_024, pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"),
    ]
    message: Annotated[str, StringConstraints(max_length=32_768)]
    last_transition_time: AwareDatetime
    observed_generation: Annotated[int, Field(ge=0)] | None = None


class PresaleTimes(ContractModel):
    """When one presale is open."""

    name: Annotated[str, StringConstraints(max_length=40)]
    opens_at: AwareDatetime
    closes_at: AwareDatetime


class Timeline(ContractModel):
    """The instants everything happens at, worked out from spec and policy: those in effect."""

    arm_at: AwareDatetime | None = None
    prequeue_at: AwareDatetime | None = None
    presales: Annotated[tuple[PresaleTimes, ...], Field(max_length=8)] | None = None
    opens_at: AwareDatetime | None = None
    closes_at: AwareDatetime | None = None
    asleep_at: AwareDatetime | None = None


class DrawTrust(StrEnum):
    """Whom a buyer has to trust that a draw was fair."""

    OPERATOR = "Operator"
    BEACON = "Beacon"


class DrawBeacon(ContractModel):
    """The round of a public randomness beacon that goes into a draw."""

    chain: Hash
    round: Annotated[int, Field(ge=1, le=1_000_000_000_000)]
    randomness: Hash | None = None


class Draw(ContractModel):
    """The draw of one line, as far as it is public."""

    line: Annotated[str, StringConstraints(max_length=40)]
    commitment: Hash
    draw_at: AwareDatetime
    entries: Count | None = None
    root: Hash | None = None
    secret: Hash | None = None
    beacon: DrawBeacon | None = None
    trust: DrawTrust
    drawn_at: AwareDatetime | None = None
    file: Annotated[str, StringConstraints(max_length=253)] | None = None


class AuditReport(ContractModel):
    """What came of comparing every order with its payment, seats and tickets."""

    completed_at: AwareDatetime
    orders: Count = 0
    under_way: Count = 0
    mismatches: Count = 0
    accepted: Count = 0
    stopped: bool = False
    message: Annotated[str, StringConstraints(max_length=1_024)] = ""


class Sales(ContractModel):
    """Figures of the sale, written by stats alone."""

    waiting: Count | None = None
    active: Count | None = None
    held: Count | None = None
    sold: Count | None = None
    remaining: Count | None = None
    revenue: Annotated[int, Field(ge=0, le=1_000_000_000_000_000)] | None = None
    admitted_per_minute: Count | None = None
    p95_ms: Count | None = None
    audit: AuditReport | None = None
    updated_at: AwareDatetime | None = None


class TicketEventStatus(ContractModel):
    """What is, as the operator and stats last saw it."""

    phase: Phase | None = None
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    conditions: Annotated[tuple[Condition, ...], Field(max_length=32)] = ()
    timeline: Timeline | None = None
    draws: Annotated[tuple[Draw, ...], Field(max_length=9)] = ()
    replicas: Annotated[int, Field(ge=0, le=1_000)] | None = None
    sales: Sales | None = None
