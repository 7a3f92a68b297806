"""Idempotency keys as the vendor keeps them: the body is no part of the match, 4xx answers are kept as well."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict

from tiketi_local.toss.errors import TossError

MAX_KEY_CHARACTERS = 300
KEPT_FOR = timedelta(days=15)
"""From first use."""


class RequestKey(NamedTuple):
    """What makes two requests the same one."""

    idempotency_key: str
    api_key: str
    method: str
    path: str


class StoredAnswer(BaseModel):
    """An answer, to be given again byte for byte."""

    model_config = ConfigDict(frozen=True)

    key: RequestKey
    first_used_at: AwareDatetime
    status: int
    body: str
    trace_id: str


class Answers:
    """All stored answers, and which requests are under way."""

    def __init__(self, record: Callable[[StoredAnswer], None], answers: Iterable[StoredAnswer] = ()) -> None:
        self._record = record
        self._stored = {answer.key: answer for answer in answers}
        self._under_way: dict[RequestKey, datetime] = {}

    def begin(self, key: RequestKey, now: datetime) -> StoredAnswer | None:
        """The stored answer, or None: then the caller does the work and ends with ``store`` or ``forget``.

        Raises TossError when the key is too long or its first request is still under way.
        """
        if len(key.idempotency_key) > MAX_KEY_CHARACTERS:
            raise TossError("INVALID_IDEMPOTENCY_KEY")
        if key in self._under_way:
            raise TossError("IDEMPOTENT_REQUEST_PROCESSING")
        stored = self._stored.get(key)
        if stored is not None and now < stored.first_used_at + KEPT_FOR:
            return stored
        self._under_way[key] = now
        return None

    def store(self, key: RequestKey, status: int, body: str, trace_id: str) -> None:
        """Keep the answer of a request that ``begin`` let through."""
        answer = StoredAnswer(
            key=key, first_used_at=self._under_way.pop(key), status=status, body=body, trace_id=trace_id
        )
        self._record(answer)
        self._stored[key] = answer

    def forget(self, key: RequestKey) -> None:
        """The request ended without an answer to keep (5xx, our choice: not documented); it may run again."""
        self._under_way.pop(key, None)
