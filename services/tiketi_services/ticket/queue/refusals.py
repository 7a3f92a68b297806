"""What the OpenAPI document says of refusals: every route's problems with their codes, told from the error classes."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final

from tiketi_runtime.errors import InvalidRequest, InvalidToken, TiketiError, TooLarge, Unauthenticated, Unavailable
from tiketi_runtime.problems import MalformedJson
from tiketi_services.ticket.queue.domain import (
    AlreadyAdmitted,
    EmailNotVerified,
    ForeignReceipt,
    NotInLine,
    NotReady,
    QueueClosed,
    QueueNotOpen,
    Recovering,
    SaleClosed,
    StaleReceipt,
    UnknownLine,
)
from tiketi_services.ticket.queue.gates.codes import CodeNeeded, TooManyCodes, WrongCode
from tiketi_services.ticket.queue.gates.gate import WorkNeeded
from tiketi_services.ticket.sales.domain import UnknownEvent

Kinds = tuple[type[TiketiError], ...]
Schema = dict[str, Any]

_BODY: Final[Kinds] = (MalformedJson, InvalidRequest, TooLarge)
_OF_ANY: Final[Kinds] = (Unauthenticated, InvalidToken, UnknownEvent, UnknownLine, *_BODY, Unavailable, Recovering)
_OF_RECEIPT: Final[Kinds] = (*_OF_ANY, ForeignReceipt)

OF_JOIN: Final[Kinds] = (
    *_OF_RECEIPT, EmailNotVerified, CodeNeeded, WrongCode, TooManyCodes, QueueNotOpen, QueueClosed, SaleClosed,
    AlreadyAdmitted, WorkNeeded, NotReady,
)  # fmt: skip
OF_CLAIM: Final[Kinds] = (*_OF_RECEIPT, StaleReceipt, NotInLine, AlreadyAdmitted, SaleClosed, NotReady)
OF_HEARTBEAT: Final[Kinds] = (*_OF_RECEIPT, NotInLine)
OF_LEAVE: Final[Kinds] = _OF_RECEIPT

_FRONT_DOOR: Final = "`rate-limited`: The front door's limits per buyer, address and event."
_TEXT: Final[Schema] = {"type": "string"}
_PROBLEM: Final[Schema] = {
    "type": _TEXT,
    "title": _TEXT,
    "status": {"type": "integer"},
    "code": {**_TEXT, "description": "Stable; decide by it."},
    "detail": {**_TEXT, "description": "For people: what is wrong, and the mend."},
}
_WORK: Final[Schema] = {
    "challenge": {**_TEXT, "description": "Send it back as it is, as `proof.challenge`."},
    "bits": {"type": "integer", "description": "Zero bits that the hash must begin with."},
    "expiresAt": {**_TEXT, "format": "date-time", "description": "The proof must be here before."},
}
_RETRY_AFTER: Final[Schema] = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
}
_SIGN_IN: Final[Schema] = {"WWW-Authenticate": {"description": "Bearer.", "schema": _TEXT}}


def documented(kinds: Kinds) -> Schema:
    """The ``responses`` of a route that may raise these: one for each status, all codes in its description."""
    ordered = sorted(kinds, key=lambda kind: kind.status)
    found = {
        str(status): _response(status, list(group)) for status, group in groupby(ordered, lambda kind: kind.status)
    }
    found.setdefault("429", _response(429, []))
    return dict(sorted(found.items()))


def _response(status: int, kinds: list[type[TiketiError]]) -> Schema:
    lines = [f"`{kind.code}`: {(kind.__doc__ or '').strip().splitlines()[0].replace('``', '`')}" for kind in kinds]
    codes: list[str] = [kind.code for kind in kinds]
    if status == 429:
        lines, codes = [*lines, _FRONT_DOOR], [*codes, "rate-limited"]
    properties = {**_PROBLEM, "code": {**_PROBLEM["code"], "enum": codes}}
    if WorkNeeded in kinds:
        properties |= _WORK
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    response: Schema = {
        "description": "\n\n".join(lines),
        "content": {"application/problem+json": {"schema": schema}},
    }
    if status in (429, 503):
        response["headers"] = _RETRY_AFTER
    elif QueueNotOpen in kinds:
        response["headers"] = {"Retry-After": {**_RETRY_AFTER["Retry-After"], "description": "With `queue-not-open`."}}
    elif status == 401:
        response["headers"] = _SIGN_IN
    return response
