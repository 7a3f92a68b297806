"""QueuePolicy: how a crowd becomes a line. Says the same as crds/queuepolicies.yaml, which is the manual.

Rules between fields live in the CRD alone: an object that breaks one never gets past the API server.
"""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, StringConstraints

from tiketi_runtime.contracts.duration import GoDuration
from tiketi_runtime.contracts.kubernetes_object import ContractModel, KubernetesObject
from tiketi_runtime.contracts.sale_sheet import QueueingMethod


class Prequeue(ContractModel):
    """The room in which buyers may gather before the sale opens."""

    opens_before: Annotated[timedelta, GoDuration("1s", "24h")] = timedelta(minutes=30)
    shuffle_at_event_start: bool = False


class Abandonment(ContractModel):
    """When a buyer who went silent gives up the place or the offer."""

    ghost_timeout: Annotated[timedelta, GoDuration("5s", "10m")] = timedelta(seconds=30)
    claim_window: Annotated[timedelta, GoDuration("5s", "10m")] = timedelta(seconds=90)


class Adaptive(ContractModel):
    """Slow down admissions while the services suffer."""

    p95_latency_ms: Annotated[int, Field(ge=10, le=60_000)] = 200
    error_rate: Annotated[int, Field(ge=1, le=100)] = 5
    """Percent of requests."""
    floor_per_minute: Annotated[int, Field(ge=1, le=600_000)] = 60


class RateLimit(ContractModel):
    """So many requests in any such stretch of time."""

    requests: Annotated[int, Field(ge=1, le=10_000_000)]
    per: Annotated[timedelta, GoDuration("1s", "1h")]


class RateLimits(ContractModel):
    """Limits the front door holds whatever the queue says."""

    per_buyer: RateLimit = RateLimit(requests=60, per=timedelta(seconds=10))
    per_address: RateLimit = RateLimit(requests=600, per=timedelta(seconds=10))
    per_event: RateLimit = RateLimit(requests=5_000, per=timedelta(seconds=1))


class ProofOfWork(ContractModel):
    """Work a client does before it takes a place: 2^bits hashes on average, one to check."""

    max_bits: Annotated[int, Field(ge=0, le=26)] = 18


class Beacon(ContractModel):
    """A round of a public randomness beacon, named before anybody can know its value."""

    chain: Annotated[str, StringConstraints(max_length=64, pattern="^[0-9a-f]{64}$")]
    round: Annotated[int, Field(ge=1, le=1_000_000_000_000)]


class Lottery(ContractModel):
    """How the draw is made where the order is drawn."""

    draw_before: Annotated[timedelta, GoDuration("5s", "1h")] = timedelta(seconds=30)
    beacon: Beacon | None = None


class QueuePolicySpec(ContractModel):
    """What the organiser asks for."""

    queueing_method: QueueingMethod = QueueingMethod.FIFO
    total_active_users: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    new_users_per_minute: Annotated[int, Field(ge=1, le=600_000)] = 600
    session_duration: Annotated[timedelta, GoDuration("10s", "2h")] = timedelta(minutes=15)
    prequeue: Prequeue | None = None
    abandonment: Abandonment = Abandonment()
    adaptive: Adaptive | None = None
    rate_limits: RateLimits = RateLimits()
    proof_of_work: ProofOfWork = ProofOfWork()
    lottery: Lottery = Lottery()


class QueuePolicy(KubernetesObject):
    """A queue policy as the API server stores it."""

    spec: QueuePolicySpec
