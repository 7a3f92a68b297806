"""Answers of the queue, as the OpenAPI document describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tiketi_runtime.contracts.sale_sheet import Phase
from tiketi_services.ticket.queue.domain import Standing


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class StateView(_Body):
    """A line as everybody in it sees it: the same bytes for all. A client finds its own position by its ``seq``."""

    event: str
    line: str
    version: int = Field(description="Grows with every change; ms.")
    phase: Phase
    server_time: datetime
    opens_at: datetime
    closes_at: datetime
    horizon: int = Field(description="Places up to this one have been offered: POST claim when yours is.")
    waiting: int
    active: int
    rate_per_minute: int
    remaining: int = Field(description="Places not sold yet.")
    message: str = Field(description="From the organiser.")


class JoinView(_Body):
    """A place in line."""

    seq: int
    receipt: str
    standing: Standing
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
