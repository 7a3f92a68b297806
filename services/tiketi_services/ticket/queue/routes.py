"""The line over HTTP.

A whole crowd asks these routes at the same second. So they take the bare request and read bodies with msgspec: the
framework's dependencies and validation would cost more than the answer. The OpenAPI document is told what they take.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Request, Response

from tiketi_runtime.contracts.identity import BuyerId, event_id
from tiketi_runtime.contracts.sale_sheet import SaleSheet
from tiketi_runtime.errors import InvalidRequest
from tiketi_runtime.web import MalformedJson, bearer_identity
from tiketi_services.ticket.queue import usecases
from tiketi_services.ticket.queue.domain import Standing, find_line
from tiketi_services.ticket.queue.schemas import AdmittedView, JoinView, StateView, WaitingView
from tiketi_services.ticket.queue.states import States
from tiketi_services.ticket.queue.usecases import Queue
from tiketi_services.ticket.sales.conditional import cacheable
from tiketi_services.ticket.sales.sales import Sales

router = APIRouter(prefix="/events/{namespace}/{name}/queue/{line}", tags=["queue"])

_NEXT_RETRY_SECONDS = 1
_WAITING_RETRY_SECONDS = 3


class ReceiptBody(msgspec.Struct):
    """Who asks: the receipt that joining answered."""

    receipt: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]


_PATH: Final = [
    {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    for name in ("namespace", "name", "line")
]
_NAMED: Final[dict[str, Any]] = {
    "parameters": [
        *_PATH,
        {"name": "Authorization", "in": "header", "required": True, "schema": {"type": "string"}},
    ]
}
_WITH_RECEIPT: Final[dict[str, Any]] = {
    **_NAMED,
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["receipt"],
                    "properties": {"receipt": {"type": "string", "minLength": 1, "maxLength": 2048}},
                }
            }
        },
    },
}


@router.post("/join", response_model=JoinView, openapi_extra=_NAMED)
async def join(request: Request) -> Response:
    """Take a place in line. Joining again, on any device, answers the same place."""
    sale, line = await _sale_and_line(request)
    place, receipt = await usecases.join(_queue(request), sale, line, await _buyer(request))
    state = await _states(request).current(sale, find_line(sale, line))
    return _private(
        {"seq": place.seq, "receipt": receipt, "standing": place.standing, "state": msgspec.Raw(state.body)}
    )


@router.get("/state", response_model=StateView, openapi_extra={"parameters": _PATH})
async def state(request: Request) -> Response:
    """The line as everybody sees it; for clients without a live connection. Ask once a second at most."""
    sale, line = await _sale_and_line(request)
    message = await _states(request).current(sale, find_line(sale, line))
    return cacheable(request, message.body, message.tag)


@router.post("/claim", response_model=AdmittedView | WaitingView, openapi_extra=_WITH_RECEIPT)
async def claim(request: Request) -> Response:
    """Ask for admission once the horizon has passed your place. Asking again answers the same pass."""
    sale, line = await _sale_and_line(request)
    buyer = await _buyer(request)
    turn, admission_pass = await usecases.claim(_queue(request), sale, line, buyer, await _receipt(request))
    if admission_pass is not None:
        return _private({"status": turn.standing, "pass": admission_pass, "until": turn.until})
    retry = _NEXT_RETRY_SECONDS if turn.standing is Standing.NEXT else _WAITING_RETRY_SECONDS
    return _private({"status": turn.standing, "retryAfter": retry})


@router.post("/heartbeat", status_code=204, openapi_extra=_WITH_RECEIPT)
async def heartbeat(request: Request) -> Response:
    """Say that you still wait; needed only without a live connection, several times in the policy's ghostTimeout."""
    sale, line = await _sale_and_line(request)
    buyer = await _buyer(request)
    await usecases.heartbeat(_queue(request), sale, line, buyer, await _receipt(request))
    return Response(status_code=204)


@router.post("/leave", status_code=204, openapi_extra=_WITH_RECEIPT)
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


async def _receipt(request: Request) -> str:
    """The receipt in the body. Raises MalformedJson, InvalidRequest."""
    try:
        return msgspec.json.decode(await request.body(), type=ReceiptBody).receipt
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"body: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedJson("The body is not JSON.") from error


def _queue(request: Request) -> Queue:
    queue: Queue = request.app.state.queue
    return queue


def _states(request: Request) -> States:
    states: States = request.app.state.states
    return states


def _private(content: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(content), headers={"cache-control": "no-store"}, media_type="application/json")
