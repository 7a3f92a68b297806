"""What the routes of the line refuse, for the OpenAPI document."""

from __future__ import annotations

from typing import Final

from tiketi_runtime.errors import InvalidRequest, InvalidToken, TooLarge, Unauthenticated, Unavailable
from tiketi_runtime.problems import MalformedJson
from tiketi_runtime.refusals import Kinds, documented
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
from tiketi_services.ticket.sales.domain import EventCancelled, UnknownEvent

__all__ = ["OF_CLAIM", "OF_HEARTBEAT", "OF_JOIN", "OF_LEAVE", "OF_STATE", "Kinds", "documented"]

_BODY: Final[Kinds] = (MalformedJson, InvalidRequest, TooLarge)
_OF_ANY: Final[Kinds] = (Unauthenticated, InvalidToken, UnknownEvent, UnknownLine, *_BODY, Unavailable, Recovering)
_OF_RECEIPT: Final[Kinds] = (*_OF_ANY, ForeignReceipt)

OF_JOIN: Final[Kinds] = (
    *_OF_RECEIPT, EmailNotVerified, CodeNeeded, WrongCode, TooManyCodes, QueueNotOpen, QueueClosed, SaleClosed,
    AlreadyAdmitted, EventCancelled, WorkNeeded, NotReady,
)  # fmt: skip
OF_CLAIM: Final[Kinds] = (*_OF_RECEIPT, StaleReceipt, NotInLine, AlreadyAdmitted, SaleClosed, EventCancelled, NotReady)
OF_HEARTBEAT: Final[Kinds] = (*_OF_RECEIPT, StaleReceipt, NotInLine, EventCancelled)
OF_LEAVE: Final[Kinds] = _OF_RECEIPT
OF_STATE: Final[Kinds] = (UnknownEvent, UnknownLine, InvalidRequest, Unavailable, Recovering, NotReady)
