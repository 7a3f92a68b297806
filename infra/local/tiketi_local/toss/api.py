"""The vendor's HTTP API, /v1: confirm, look-ups, cancel. The edge does what is alike for all of them."""

from __future__ import annotations

import asyncio
import json
import secrets
from datetime import datetime
from typing import Annotated, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from tiketi_local.toss.cards import Mishap, behaviour_of
from tiketi_local.toss.document import KST, payment_document, transaction_document
from tiketi_local.toss.errors import STATUS_OF, TossError
from tiketi_local.toss.idempotency import RequestKey
from tiketi_local.toss.payment import CancelRequest, Payment
from tiketi_local.toss.simulator import SIMULATOR, Simulator, client_kind

SECRET_KEY = web.RequestKey("secret_key", str)
"""The caller, once the edge has let it in."""
MISHAP = web.RequestKey("mishap", Mishap)
"""What becomes of the answer; set by confirm for cards that ask for it."""

routes = web.RouteTableDef()
_Body = TypeVar("_Body", bound=BaseModel)


class _Json(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", strict=True)


class ConfirmBody(_Json):
    """POST /v1/payments/confirm."""

    payment_key: Annotated[str, Field(min_length=1, max_length=200)]
    order_id: Annotated[str, Field(min_length=6, max_length=64)]
    amount: int


class CancelBody(_Json):
    """POST /v1/payments/{paymentKey}/cancel. Fields for virtual accounts and overseas cancels are not simulated."""

    cancel_reason: Annotated[str, Field(min_length=1, max_length=200)]
    cancel_amount: int | None = None
    refundable_amount: int | None = None
    currency: str | None = None


@routes.post("/v1/payments/confirm")
async def confirm(request: web.Request) -> web.Response:
    """Charge the card of an authenticated payment."""
    simulator, body = request.app[SIMULATOR], await _read(request, ConfirmBody)
    payment = simulator.vendor.confirm(
        body.payment_key, body.order_id, body.amount, client_kind(request[SECRET_KEY]), simulator.clock()
    )
    request[MISHAP] = behaviour_of(payment.card_number or "").mishap
    return _answer(request, payment)


@routes.post("/v1/payments/{payment_key}/cancel")
async def cancel(request: web.Request) -> web.Response:
    """Give back all or a part."""
    simulator, body = request.app[SIMULATOR], await _read(request, CancelBody)
    wanted = CancelRequest(
        reason=body.cancel_reason,
        amount=body.cancel_amount,
        refundable_amount=body.refundable_amount,
        currency=body.currency,
    )
    return _answer(request, simulator.vendor.cancel(request.match_info["payment_key"], wanted, simulator.clock()))


@routes.get("/v1/payments/orders/{order_id}")
async def look_up_order(request: web.Request) -> web.Response:
    """The payment of the merchant's order."""
    simulator = request.app[SIMULATOR]
    return _answer(request, simulator.vendor.look_up_order(request.match_info["order_id"], simulator.clock()))


@routes.get("/v1/payments/{payment_key}")
async def look_up(request: web.Request) -> web.Response:
    """One payment."""
    simulator = request.app[SIMULATOR]
    return _answer(request, simulator.vendor.look_up(request.match_info["payment_key"], simulator.clock()))


MOST_TRANSACTIONS = 5000
"""Rows of one page; 100 unless asked otherwise."""


class TransactionsQuery(BaseModel):
    """GET /v1/transactions. Times without an offset are Korean."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")

    start_date: datetime
    end_date: datetime
    starting_after: str | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_TRANSACTIONS)] = 100


@routes.get("/v1/transactions")
async def transactions(request: web.Request) -> web.Response:
    """Charges and cancels of a time, page by page."""
    simulator = request.app[SIMULATOR]
    try:
        query = TransactionsQuery.model_validate(dict(request.query))
    except ValidationError:
        raise TossError("INVALID_REQUEST") from None
    rows = simulator.vendor.transactions(
        _korean(query.start_date), _korean(query.end_date), query.starting_after, query.limit
    )
    base_url = f"{request.scheme}://{request.host}"
    return _json([transaction_document(payment, row, base_url) for payment, row in rows], 200)


def _korean(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=KST)


@web.middleware
async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Key, Test-Code, faults, idempotency, trace id: in the vendor's order. Off /v1 only errors are its business."""
    simulator, trace_id = request.app[SIMULATOR], secrets.token_hex(16)
    try:
        if not request.path.startswith("/v1/"):
            return await handler(request)
        request[SECRET_KEY] = simulator.authorise(request.headers.get("authorization", ""))
        if code := request.headers.get("tosspayments-test-code"):
            raise TossError(code if code in STATUS_OF else "INVALID_REQUEST")  # unknown value: our choice
        simulator.count_call(f"{request.method} {_api(request)}")
        work = (
            _post(simulator, request, handler, trace_id)
            if request.method == "POST"
            else _get(simulator, request, handler)
        )
        answer = await work
    except TossError as error:
        answer = _error(request, error)
    answer.headers.setdefault("x-tosspayments-trace-id", trace_id)
    return answer


def _api(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


async def _get(simulator: Simulator, request: web.Request, handler: Handler) -> web.StreamResponse:
    await asyncio.sleep(simulator.faults.before_look_up.seconds())
    if refusal := simulator.faults.look_up_refusal():
        raise TossError(refusal)
    return await handler(request)


async def _post(simulator: Simulator, request: web.Request, handler: Handler, trace_id: str) -> web.StreamResponse:
    if refusal := simulator.faults.refusal():
        raise TossError(refusal)
    key = request.headers.get("idempotency-key")
    if key is None:
        return await _work(simulator, request, handler, None, trace_id)
    wanted = RequestKey(key, request[SECRET_KEY], request.method, request.path)
    stored = simulator.answers.begin(wanted, simulator.clock())
    if stored is not None:
        answer: web.StreamResponse = web.Response(
            text=stored.body, status=stored.status, content_type="application/json"
        )
        answer.headers["x-tosspayments-trace-id"] = f"{stored.trace_id},{trace_id}"
    else:
        try:
            answer = await _work(simulator, request, handler, wanted, trace_id)
        finally:
            simulator.answers.forget(wanted)
    answer.headers["idempotency-key"] = key
    return answer


async def _work(
    simulator: Simulator,
    request: web.Request,
    handler: Handler,
    key: RequestKey | None,
    trace_id: str,
) -> web.StreamResponse:
    """Do the work, keep the answer, then let happen what shall happen to it."""
    await asyncio.sleep(simulator.faults.before_work.seconds())
    try:
        if code := simulator.faults.passing_error():
            raise TossError(code)
        answer = await handler(request)
    except TossError as error:
        answer = _error(request, error)
    mishap = request.get(MISHAP, Mishap.NONE)
    if mishap is Mishap.NONE:
        mishap = simulator.faults.mishap()
    if key is not None and mishap is not Mishap.SERVER_ERROR and isinstance(answer, web.Response):
        simulator.answers.store(key, answer.status, answer.text or "", trace_id)
    if simulator.faults.webhooks.early:
        await simulator.webhooks.all_tried()
    await asyncio.sleep(simulator.faults.before_answer.seconds())
    if mishap is Mishap.ANSWER_LOST and request.transport is not None:
        request.transport.abort()
    if mishap is Mishap.SERVER_ERROR:
        raise TossError("UNKNOWN_PAYMENT_ERROR")
    if simulator.faults.slow_body and isinstance(answer, web.Response):
        return _SlowBody(answer, simulator.faults.slow_body / 1000)
    return answer


class _SlowBody(web.Response):
    """An answer that stops in the middle of its body for a while."""

    def __init__(self, answer: web.Response, seconds: float) -> None:
        super().__init__(text=answer.text, status=answer.status, content_type="application/json")
        self._seconds = seconds

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the body in two parts."""
        body = self.body if isinstance(self.body, bytes) else b""
        await self.write(body[: len(body) // 2])
        await asyncio.sleep(self._seconds)
        await web.StreamResponse.write_eof(self, body[len(body) // 2 :])


async def _read(request: web.Request, kind: type[_Body]) -> _Body:
    try:
        return kind.model_validate_json(await request.read())
    except ValidationError:
        raise TossError("INVALID_REQUEST") from None


def _answer(request: web.Request, payment: Payment) -> web.Response:
    return _json(payment_document(payment, f"{request.scheme}://{request.host}"), 200)


def _error(request: web.Request, error: TossError) -> web.Response:
    english = request.headers.get("accept-language", "").lower().startswith("en")
    return _json(error.document(english=english), error.status)


def _json(document: object, status: int) -> web.Response:
    return web.Response(
        text=json.dumps(document, ensure_ascii=False, separators=(",", ":")),
        status=status,
        content_type="application/json",
    )
