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


class WebhookFaults(BaseModel):
    """What goes wrong with webhooks. Counts fall to 0 as they are used up; -1 means every one."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    missing: Count = 0
    """Never sent."""
    duplicates: Annotated[int, Field(ge=0, le=100)] = 0
    """Each is sent so many times more, at the same moment, under the same transmission id."""
    backwards: Annotated[int, Field(ge=0, le=100)] = 0
    """The next ones are held until there are so many, and leave newest first."""
    early: bool = False
    """Sent, and answered, before the call that caused them is answered."""
    delay: Latency = Latency()
    """Wait before the first try."""

    def is_missing(self) -> bool:
        """Whether the next one gets lost."""
        left, self.missing = self.missing, self.missing - (self.missing > 0)
        return left != 0

    def is_held(self) -> bool:
        """Whether the next one is held; once ``backwards`` is 0 those held may go."""
        held, self.backwards = self.backwards > 0, max(0, self.backwards - 1)
        return held

    def copies(self) -> int:
        """How often the next one is sent at once."""
        return 1 + self.duplicates


class Faults(BaseModel):
    """What goes wrong with calls to /v1. Counts fall to 0 as they are used up; -1 means every one."""

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
    slow_body: Milliseconds = 0
    """Pause in the middle of an answer's body."""
    fail_look_ups: Count = 0
    """Answer 500 to a GET."""
    before_look_up: Latency = Latency()
    """Wait before a GET is answered."""
    requests_per_minute: Annotated[int, Field(ge=0)] = 0
    """Limit of each call, like the vendor's test environment's 100; beyond it 429. 0: none."""
    webhooks: WebhookFaults = WebhookFaults()

    def refusal(self) -> str | None:
        """Code to answer instead of doing anything."""
        if self._use_up("too_many_requests"):
            return "TOO_MANY_REQUESTS"
        if self._use_up("fail_before_work"):
            return "FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING"
        return None

    def look_up_refusal(self) -> str | None:
        """Code to answer to a GET."""
        return "FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING" if self._use_up("fail_look_ups") else None

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
