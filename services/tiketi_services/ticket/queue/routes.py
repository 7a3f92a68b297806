"""The line over HTTP.

A whole crowd asks these routes at the same second. So they take the bare request, are called without the framework
(``tiketi_runtime.edge``), and read bodies with msgspec. The OpenAPI document is told what they take.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
from fastapi import APIRouter, Request, Response

from tiketi_runtime.contracts.identity import BuyerId, event_id
from tiketi_runtime.contracts.sale_sheet import LineSheet, SaleSheet
from tiketi_runtime.edge import JsonBytes, body_of
from tiketi_runtime.errors import InvalidRequest
from tiketi_runtime.outages import is_outage
from tiketi_runtime.problems import MalformedJson
from tiketi_runtime.security import Identity
from tiketi_runtime.web import bearer_identity, client_address
from tiketi_services.ticket.queue import usecases
from tiketi_services.ticket.queue.domain import (
    Applicant,
    JoinRequest,
    Place,
    Recovering,
    Standing,
    WorkProof,
    find_line,
)
from tiketi_services.ticket.queue.gates.work import network_of
from tiketi_services.ticket.queue.open_door import utc_now
from tiketi_services.ticket.queue.places.positions import group_of
from tiketi_services.ticket.queue.places.states import StateMessage, States
from tiketi_services.ticket.queue.refusals import OF_CLAIM, OF_HEARTBEAT, OF_JOIN, OF_LEAVE, OF_STATE, Kinds, documented
from tiketi_services.ticket.queue.schemas import (
    AdmittedView,
    JoinBody,
    JoinView,
    ReceiptBody,
    StateView,
    WaitingView,
    schema_of,
)
from tiketi_services.ticket.queue.usecases import Queue
from tiketi_services.ticket.sales.conditional import cacheable
from tiketi_services.ticket.sales.domain import is_cancelled
from tiketi_services.ticket.sales.sales import Sales

router = APIRouter(prefix="/events/{namespace}/{name}/queue/{line}", tags=["queue"])

_NEXT_RETRY_SECONDS = 1
_WAITING_RETRY_SECONDS = 3
_MOST_DIGITS = 9
"""Of a group; a line of 64 thousand million has no more."""
_ALONE: Final = JoinRequest()
_NO_STORE: Final = [(b"cache-control", b"no-store")]

B = TypeVar("B", bound=msgspec.Struct)


_UNCHANGED: Final = {"304": {"description": "If-None-Match named this very state."}}


def _takes(
    *parameters: dict[str, Any], body: type[msgspec.Struct] | None = None, refuses: Kinds = ()
) -> dict[str, Any]:
    """What the OpenAPI document says of a route that takes the bare request."""
    path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in ("namespace", "name", "line")
    ]
    if body is None:
        return {"parameters": [*path, *parameters], "responses": {**_UNCHANGED, **documented(refuses)}}
    is_required = body is not JoinBody
    content = {"application/json": {"schema": schema_of(body)}}
    return {
        "parameters": [*path, *parameters],
        "requestBody": {"required": is_required, "content": content},
        "responses": documented(refuses),
    }


_NAMED: Final[dict[str, Any]] = {
    "name": "Authorization",
    "in": "header",
    "required": True,
    "schema": {"type": "string"},
    "description": "Bearer and the access token.",
}
_GROUP: Final[dict[str, Any]] = {
    "name": "group",
    "in": "query",
    "schema": {"type": "integer", "minimum": 0},
    "description": "(place - 1) / 64, rounded down: adds what your own position is found by.",
}


@router.post("/join", response_model=JoinView, openapi_extra=_takes(_NAMED, body=JoinBody, refuses=OF_JOIN))
async def join(request: Request) -> Response:
    """Take a place in line. Joining again, on any device, answers the same place, and so does its receipt.

    A new place may cost work: 428 `work-needed` brings `challenge`, `bits` and `expiresAt`. Find a nonce so that
    SHA-256(challenge + nonce), both as UTF-8 text, begins with `bits` zero bits; join again with
    `{"proof": {"challenge": ..., "nonce": ...}}`. The nonce is ASCII, 32 characters at most: count up from 0.
    A presale asks for the work first and for the `code` after; both may come in one body.
    """
    sale, line = await _sale_and_line(request)
    applicant = _applicant(request, await bearer_identity(request))
    place, receipt = await usecases.join(_queue(request), sale, line, applicant, await _join_request(request))
    return _private(
        {
            "seq": place.seq,
            "place": place.place,
            "receipt": receipt,
            "standing": place.standing,
            "epoch": place.epoch,
            "state": msgspec.Raw(await _state_after(_states(request), sale, find_line(sale, line), place)),
        }
    )


async def _state_after(states: States, sale: SaleSheet, line: LineSheet, place: Place) -> bytes:
    """What the buyer who has just joined is told: a state that shows the place. Nobody reads a line he is led past."""
    if place.is_past_line:
        return states.unread(sale, line, place.now).body
    reading = await states.reading(sale, line, since=place.now)
    return reading.body(None if place.place is None else group_of(place.place))


@router.get("/state", response_model=StateView, openapi_extra=_takes(_GROUP, refuses=OF_STATE))
async def state(request: Request) -> Response:
    """The line as everybody sees it; for clients without a live connection. Ask once a second at most.

    `phase` is `Cancelled` once the event is: there is nothing to wait for any more.
    """
    sale, line = await _sale_and_line(request)
    message = await _told(request, sale, find_line(sale, line), _group(request))
    return cacheable(request, message.body, message.tag)


async def _told(request: Request, sale: SaleSheet, line: LineSheet, group: int | None) -> StateMessage:
    """The line; or what can be told without it, while buyers come in past it, or the event is cancelled."""
    states, door = _states(request), _queue(request).door
    try:
        return await states.current(sale, line, group)
    except Exception as error:
        is_told_anyway = is_cancelled(sale) and (isinstance(error, Recovering) or is_outage(error))
        if not (is_told_anyway or door.leads_past(sale.event, error)):
            raise
    return states.unread(sale, line, utc_now())


@router.post(
    "/claim",
    response_model=AdmittedView | WaitingView,
    openapi_extra=_takes(_NAMED, body=ReceiptBody, refuses=OF_CLAIM),
)
async def claim(request: Request) -> Response:
    """Ask for admission once the horizon has passed your place. Asking again answers the same pass."""
    sale, line = await _sale_and_line(request)
    buyer = await _buyer(request)
    turn, admission_pass = await usecases.claim(_queue(request), sale, line, buyer, await _receipt(request))
    if admission_pass is not None:
        return _private({"status": turn.standing, "pass": admission_pass, "until": turn.until})
    retry = _NEXT_RETRY_SECONDS if turn.standing is Standing.NEXT else _WAITING_RETRY_SECONDS
    return _private({"status": turn.standing, "retryAfter": retry})


@router.post("/heartbeat", status_code=204, openapi_extra=_takes(_NAMED, body=ReceiptBody, refuses=OF_HEARTBEAT))
async def heartbeat(request: Request) -> Response:
    """Say that you still wait; needed only without a live connection, several times in the policy's ghostTimeout."""
    sale, line = await _sale_and_line(request)
    buyer = await _buyer(request)
    await usecases.heartbeat(_queue(request), sale, line, buyer, await _receipt(request))
    return Response(status_code=204)


@router.post("/leave", status_code=204, openapi_extra=_takes(_NAMED, body=ReceiptBody, refuses=OF_LEAVE))
async def leave(request: Request) -> Response:
    """Give up place, offer or session for others at once. Joining again answers the same place, unless it was spent."""
    sale, line = await _sale_and_line(request)
    buyer = await _buyer(request)
    await usecases.leave(_queue(request), sale, line, buyer, await _receipt(request))
    return Response(status_code=204)


async def _sale_and_line(request: Request) -> tuple[SaleSheet, str]:
    path = request.path_params
    sales: Sales = request.app.state.sales
    return await sales.sheet(event_id(path["namespace"], path["name"])), path["line"]


async def _buyer(request: Request) -> BuyerId:
    return BuyerId((await bearer_identity(request)).subject)


def _applicant(request: Request, identity: Identity) -> Applicant:
    """What the access token and the connection say of the buyer."""
    registered = identity.claims.get("registered_at")
    return Applicant(
        BuyerId(identity.subject),
        is_verified=identity.claims.get("email_verified") is True,
        registered_at=datetime.fromtimestamp(registered, UTC) if isinstance(registered, int) else None,
        network=_network(request),
    )


def _network(request: Request) -> str:
    """Where the request came from, as limits are kept by it; empty if that cannot be told."""
    address = client_address(request.scope, request.app.state.trusted_proxies)
    return "" if address is None else network_of(address)


async def _join_request(request: Request) -> JoinRequest:
    """What came along. Raises MalformedJson, InvalidRequest."""
    content = await body_of(request)
    if not content:
        return _ALONE
    body = _read(content, JoinBody)
    proof = None if body.proof is None else WorkProof(body.proof.challenge, body.proof.nonce)
    return JoinRequest(body.receipt, body.code, proof)


async def _receipt(request: Request) -> str:
    """The receipt in the body. Raises MalformedJson, InvalidRequest."""
    content = await body_of(request)
    if not content:
        raise InvalidRequest('receipt: it is missing: send the one that joining answered, as {"receipt": "..."}.')
    return _read(content, ReceiptBody).receipt


def _read(content: bytes, kind: type[B]) -> B:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"body: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedJson("The body is not JSON.") from error


def _group(request: Request) -> int | None:
    """The group asked for. Raises InvalidRequest."""
    given = request.query_params.get("group")
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal()) or len(given) > _MOST_DIGITS:
        raise InvalidRequest("group: a whole number is needed: (place - 1) / 64, rounded down.")
    return int(given)


def _queue(request: Request) -> Queue:
    queue: Queue = request.app.state.queue
    return queue


def _states(request: Request) -> States:
    states: States = request.app.state.states
    return states


def _private(content: dict[str, Any]) -> Response:
    return JsonBytes(msgspec.json.encode(content), _NO_STORE)
