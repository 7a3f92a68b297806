"""Faults the vendor cannot be asked for: slow, lost and failed answers, switched on by tests and the demo."""

from __future__ import annotations

import random
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from tiketi_local.toss.cards import Mishap

EVERY = -1
"""As a count: until switched off."""
Count = Annotated[int, Field(ge=EVERY)]
Milliseconds = Annotated[int, Field(ge=0, le=120_000)]


class Latency(BaseModel):
    """Evenly distributed between ``min`` and ``max`` ms."""

    model_config = ConfigDict(extra="forbid")

    min: Milliseconds = 0
    max: Milliseconds = 0

    @model_validator(mode="after")
    def _is_a_range(self) -> Latency:
        if self.max < self.min:
            raise ValueError("max is less than min")
        return self

    def seconds(self) -> float:
        """One draw."""
        return random.uniform(self.min, self.max) / 1000  # noqa: S311 - not a secret


class Faults(BaseModel):
    """What goes wrong with POSTs to /v1. Counts fall to 0 as they are used up; -1 means every one."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    before_work: Latency = Latency()
    """Wait before anything is done."""
    before_answer: Latency = Latency()
    """Wait after the commit, before the answer."""
    lose_answers: Count = 0
    """Close the connection after the commit, without an answer."""
    fail_after_commit: Count = 0
    """Answer 500 after the commit."""
    fail_before_work: Count = 0
    """Answer 500 and do nothing."""
    passing_errors: Count = 0
    """Answer PROVIDER_ERROR and do nothing; kept under the idempotency key like every 4xx."""
    too_many_requests: Count = 0
    """Answer 429 and do nothing."""

    def refusal(self) -> str | None:
        """Code to answer instead of doing anything."""
        if self._use_up("too_many_requests"):
            return "TOO_MANY_REQUESTS"
        if self._use_up("fail_before_work"):
            return "FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING"
        return None

    def passing_error(self) -> str | None:
        """Code to answer as the work's result."""
        return "PROVIDER_ERROR" if self._use_up("passing_errors") else None

    def mishap(self) -> Mishap:
        """What becomes of the next answer."""
        if self._use_up("lose_answers"):
            return Mishap.ANSWER_LOST
        if self._use_up("fail_after_commit"):
            return Mishap.SERVER_ERROR
        return Mishap.NONE

    def _use_up(self, name: str) -> bool:
        left: int = getattr(self, name)
        if left > 0:
            setattr(self, name, left - 1)
        return left != 0
