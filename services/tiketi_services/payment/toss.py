"""Toss Payments' HTTP API, as far as payment needs it: confirm, look up, cancel in full.

Every POST carries an Idempotency-Key that is in our database already. An answer is either a payment, a refusal with
a code, or lost; this client decides nothing and tries nothing twice.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from prometheus_client import Histogram
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from tiketi_services.payment.vendor import VendorPayment

SECONDS = Histogram(
    "tiketi_payment_vendor_seconds",
    "Time of calls to the payment vendor, by call and result (ok, the vendor's code, or lost).",
    ["call", "result"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
_UNREADABLE = "UNREADABLE_ANSWER"

log = logging.getLogger(__name__)


class VendorRefusal(Exception):
    """The vendor answered, and not with a payment."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code


class AnswerLost(Exception):
    """No answer came, or none that can be read: what the vendor has done is not known."""

    code = "ANSWER_LOST"


@dataclass(frozen=True, slots=True)
class TossSettings:
    """Where the vendor is and who we are. ``read_timeout``: the longest silence while an answer is awaited."""

    url: str
    secret_key: str
    connect_timeout: timedelta
    read_timeout: timedelta


class _PaymentDocument(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")

    class Failure(BaseModel):
        code: str

    payment_key: str
    order_id: str
    status: str
    currency: str
    total_amount: int
    balance_amount: int
    failure: Failure | None = None


class TossClient:
    """One merchant at the vendor. Open it as an asynchronous context."""

    def __init__(self, settings: TossSettings) -> None:
        connect, read = settings.connect_timeout.total_seconds(), settings.read_timeout.total_seconds()
        self._url = settings.url.rstrip("/")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # as many as buyers confirm; waiting here would eat their timeout
            timeout=aiohttp.ClientTimeout(total=connect + read, connect=connect, sock_read=read),
            headers={"authorization": aiohttp.encode_basic_auth(settings.secret_key, ""), "accept-language": "en-US"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def confirm(self, payment_key: str, order_id: str, amount: int, idempotency_key: str) -> VendorPayment:
        """Charge an authenticated payment. ``amount`` in minor units. Raises VendorRefusal or AnswerLost."""
        body = {"paymentKey": payment_key, "orderId": order_id, "amount": amount}
        return await self._call("confirm", "POST", "/v1/payments/confirm", idempotency_key, body)

    async def cancel(self, payment_key: str, reason: str, idempotency_key: str) -> VendorPayment:
        """Give back all that is left of a payment. Raises VendorRefusal or AnswerLost."""
        path = f"/v1/payments/{quote(payment_key, safe='')}/cancel"
        return await self._call("cancel", "POST", path, idempotency_key, {"cancelReason": reason})

    async def look_up(self, payment_key: str) -> VendorPayment:
        """The payment as it stands. Raises VendorRefusal or AnswerLost."""
        return await self._call("look_up", "GET", f"/v1/payments/{quote(payment_key, safe='')}")

    async def _call(
        self, call: str, method: str, path: str, idempotency_key: str | None = None, body: Any = None
    ) -> VendorPayment:
        started, result = time.perf_counter(), "given-up"
        try:
            payment = await self._ask(method, path, idempotency_key, body)
            result = "ok"
        except (VendorRefusal, AnswerLost) as error:
            result = error.code
            raise
        finally:
            SECONDS.labels(call, result).observe(time.perf_counter() - started)
        return payment

    async def _ask(self, method: str, path: str, idempotency_key: str | None, body: Any) -> VendorPayment:
        headers = {"idempotency-key": idempotency_key} if idempotency_key else {}
        try:
            async with self._session.request(
                method, self._url + path, json=body, headers=headers, allow_redirects=False
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            log.warning("vendor did not answer", extra={"path": path, "error": f"{type(error).__name__}: {error}"})
            raise AnswerLost from error
        trace_id = answer.headers.get("x-tosspayments-trace-id", "")
        if answer.status == 200:
            return _payment(content, trace_id)
        refusal = VendorRefusal(answer.status, _code(content))
        log.info("vendor refused", extra={"path": path, "vendor_trace_id": trace_id, "answer": str(refusal)})
        raise refusal


def _payment(content: bytes, trace_id: str) -> VendorPayment:
    try:
        document = _PaymentDocument.model_validate_json(content)
    except ValidationError as error:
        log.error("vendor's payment cannot be read", extra={"vendor_trace_id": trace_id, "error": str(error)})
        raise AnswerLost from error
    return VendorPayment(
        payment_key=document.payment_key,
        order_id=document.order_id,
        status=document.status,
        currency=document.currency,
        total_amount=document.total_amount,
        balance_amount=document.balance_amount,
        failure_code=document.failure.code if document.failure else None,
    )


class _ErrorDocument(BaseModel):
    code: str


def _code(content: bytes) -> str:
    try:
        return _ErrorDocument.model_validate_json(content).code[:100]
    except ValidationError:
        return _UNREADABLE
