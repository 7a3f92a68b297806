"""Checks the code of a ticket, as a gate without a network can."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jwt

from tiketi_runtime.contracts.ticket_code import TYP, TicketCode
from tiketi_runtime.errors import InvalidToken
from tiketi_runtime.security import ForeignSignature, PublicKeys
from tiketi_services.verify.findings import BadInput, Finding, fault, note, ok, verdict


def read_keys(jwks: Any) -> PublicKeys:
    """The ticket service's public keys. Raises BadInput if they are none."""
    try:
        return PublicKeys(jwks)
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        raise BadInput(f"the keys cannot be used: {error}") from error


def read_void_list(document: Any) -> tuple[str, frozenset[str]]:
    """Event and ids of a void list, as the service answers it. Raises BadInput if it is something else."""
    if isinstance(document, Mapping):
        event, void = document.get("event"), document.get("void")
        if isinstance(event, str) and isinstance(void, list) and all(isinstance(ticket, str) for ticket in void):
            return event, frozenset(void)
    raise BadInput("not a void list of the ticket service")


def open_code(code: str, keys: PublicKeys) -> TicketCode | None:
    """What a code says; None if it is not signed with these keys. Raises BadInput if it is no ticket at all."""
    try:
        return TicketCode.from_claims(keys.read(code, TYP))
    except ForeignSignature:
        return None
    except InvalidToken as error:
        raise BadInput(f"not a ticket: {error.detail}") from error


def check_ticket(
    content: TicketCode | None, event: str | None, void: tuple[str, Collection[str]] | None
) -> Iterator[Finding]:
    """Everything that can be told offline. ``event``: whose gate this is. ``void``: the event's void list.

    Nothing is said of what stands in a code that is not ours: whoever made it wrote it.
    """
    if content is None:
        yield fault("signature", "is not signed with the keys given, or was altered")
        return
    yield ok("signature", "signed by the ticket service")
    if event is not None:
        yield verdict(
            "event", holds=content.event == event, yes=event, no=f"is a ticket of {content.event}, not {event}"
        )
    if void is None:
        yield note("void list", "give --void to check that it was not refunded")
    elif void[0] != content.event:
        yield fault("void list", f"is that of {void[0]}")
    else:
        yield verdict("void list", holds=content.ticket not in void[1], yes="not on it", no="refunded or withdrawn")
    yield note("use", "whether somebody went in with it, only the service knows")
