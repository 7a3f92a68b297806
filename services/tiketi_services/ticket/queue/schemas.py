"""What the queue takes and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tiketi_runtime.contracts.sale_sheet import Admission, Phase
from tiketi_services.ticket.queue.domain import Standing
from tiketi_services.ticket.queue.gates.work import LONGEST_NONCE

# --- Bodies of requests. Read by msgspec: a crowd sends them in the same second.

_Receipt = Annotated[str, msgspec.Meta(min_length=1, max_length=2048, description="The receipt that joining answered.")]


class ReceiptBody(msgspec.Struct):
    """Who asks."""

    receipt: _Receipt


class ProofBody(msgspec.Struct):
    """The answer to a challenge of work (428)."""

    challenge: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    nonce: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=LONGEST_NONCE,
            description="ASCII: SHA-256(challenge + nonce), both as UTF-8 text, begins with `bits` zero bits.",
        ),
    ]


class JoinBody(msgspec.Struct):
    """What may be sent along when joining; all of it may be left out, and the body too."""

    receipt: _Receipt | None = None
    code: Annotated[str, msgspec.Meta(max_length=256, description="Of a presale.")] | None = None
    proof: ProofBody | None = None


def schema_of(body: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON schema of a body, whole in itself, as an OpenAPI document shows it."""
    (schema,), named = msgspec.json.schema_components((body,), ref_template="{name}")

    def inlined(node: Any) -> Any:
        if isinstance(node, list):
            return [inlined(item) for item in node]
        if not isinstance(node, dict):
            return node
        return inlined(named[node["$ref"]]) if "$ref" in node else {key: inlined(value) for key, value in node.items()}

    whole: dict[str, Any] = inlined(schema)
    return whole


# --- Answers, as the OpenAPI document describes them


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class PaceView(_Body):
    """Buyers per minute to expect."""

    low: float
    high: float


class ReachView(_Body):
    """How far the stock may reach."""

    likely: int = Field(description="With so many ahead of you, or fewer, you will likely get a ticket.")
    doubtful: int = Field(description="With so many, or fewer, it is doubtful; with more it is unlikely.")


class StateView(_Body):
    """A line as everybody in it sees it: the same bytes for all of a group.

    Your position is `ahead`, plus the bits of `alive` below your own, plus one; your bit is (place - 1) modulo 64.
    Minutes to wait: what is left until `opensAt`, and then position / `pace.high` to position / `pace.low`.
    """

    event: str
    line: str
    epoch: int
    version: int = Field(description="Grows with every change; ms.")
    phase: Phase = Field(
        description="`Cancelled`: the event does not take place. Nobody is admitted, `join`, `claim` and `heartbeat`"
        " are refused with 409 `event-cancelled`, and that is for ever, unlike `Paused`. `Delayed` is never told here."
    )
    server_time: datetime
    opens_at: datetime
    closes_at: datetime
    draw_at: datetime | None = Field(description="When the entries close; null: the order is that of joining.")
    entries: int | None = Field(description="Entries of the draw, once their number is fixed.")
    drawn: bool = Field(description="Whether the order of the entries is known.")
    horizon: int = Field(description="Places up to this one have been offered: POST claim when yours is.")
    waiting: int
    offered: int
    active: int
    rate_per_minute: int
    pace: PaceView | None = Field(description="null: unknown.")
    remaining: int = Field(description="Places of all sections that are not sold yet.")
    free: int = Field(description="Places of this line's sections that could be bought now.")
    reach: ReachView | None
    message: str = Field(description="From the organiser.")
    admission: Admission = Field(description="`Paused` also while the sale is stopped, as that of a cancelled event.")
    group: int | None = Field(None, description="(place - 1) / 64, rounded down: ask with ?group=.")
    ahead: int | None = Field(None, description="Living buyers with a place before the group.")
    alive: str | None = Field(None, description="16 hex digits; bit k: place 64 group + 1 + k waits.")


class JoinView(_Body):
    """A place in line."""

    seq: int = Field(description="Number of joining; 0: none is needed, claim as soon as the sale is open.")
    place: int | None = Field(
        description="Number in the order of the line; null until it is drawn, 0 if none is needed."
    )
    receipt: str = Field(description="Keep it: it brings your place back whatever happens to us.")
    standing: Standing
    epoch: int
    state: StateView


class AdmittedView(_Body):
    """The right to buy."""

    status: Literal["admitted"] = "admitted"
    admission_pass: str = Field(alias="pass", description="Send it as Tiketi-Pass with every hold and order.")
    until: datetime


class WaitingView(_Body):
    """Not yet."""

    status: Literal["waiting", "next"]
    retry_after: int = Field(description="Seconds; or wait for the horizon to pass your place.")
