"""Toss Payments' HTTP API, as far as payment needs it: confirm, look up, cancel in full, list transactions.

Every POST carries an Idempotency-Key that is in our database already. An answer is either a payment, a refusal with
a code, or lost; this client decides nothing and tries nothing twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

import aiohttp
from prometheus_client import Histogram
from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from tiketi_services.payment.books import KST, Transaction
from tiketi_services.payment.vendor import VendorCancel, VendorPayment

SECONDS = Histogram(
    "tiketi_payment_vendor_seconds",
    "Time of calls to the payment vendor, by call and result (ok, the vendor's code, or lost).",
    ["call", "result"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
_UNREADABLE = "UNREADABLE_ANSWER"
_PAGE: Final = 1000
"""Transactions asked for at once; the vendor gives 5,000 at most."""
_LIST_TIMEOUT: Final = aiohttp.ClientTimeout(total=75)
"""The vendor may take a minute for a list."""

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

    class Cancel(BaseModel):
        model_config = ConfigDict(alias_generator=to_camel, extra="ignore")

        cancel_reason: str
        cancel_amount: int
        cancel_status: str = "DONE"

    cancels: list[Cancel] | None = None


class _TransactionDocument(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")

    transaction_key: str
    payment_key: str
    order_id: str
    status: str
    transaction_at: AwareDatetime
    currency: str
    amount: int


_TRANSACTIONS: Final = TypeAdapter(list[_TransactionDocument])


class TossClient:
    """One merchant at the vendor. Open it as an asynchronous context."""

    def __init__(self, settings: TossSettings) -> None:
        connect, read = settings.connect_timeout.total_seconds(), settings.read_timeout.total_seconds()
        self._url = settings.url.rstrip("/")
        self._limits = aiohttp.ClientTimeout(total=connect + read, connect=connect, sock_read=read)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # as many as buyers confirm; waiting here would eat their timeout
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

    async def cancel(
        self,
        payment_key: str,
        reason: str,
        idempotency_key: str,
        *,
        amount: int | None = None,
        balance: int | None = None,
    ) -> VendorPayment:
        """Give back ``amount`` of a payment, or all that is left of it. Raises VendorRefusal or AnswerLost.

        ``balance``: what must be left of it now, or the vendor does nothing.
        """
        path = f"/v1/payments/{quote(payment_key, safe='')}/cancel"
        body = {"cancelReason": reason, "cancelAmount": amount, "refundableAmount": balance}
        said = {name: value for name, value in body.items() if value is not None}
        return await self._call("cancel", "POST", path, idempotency_key, said)

    async def look_up(self, payment_key: str) -> VendorPayment:
        """The payment as it stands. Raises VendorRefusal or AnswerLost."""
        return await self._call("look_up", "GET", f"/v1/payments/{quote(payment_key, safe='')}")

    async def transactions(self, start: datetime, end: datetime) -> AsyncIterator[Transaction]:
        """Charges and cancels of a time, page by page. Raises VendorRefusal or AnswerLost."""
        query = {"startDate": _korean(start), "endDate": _korean(end), "limit": str(_PAGE)}
        while True:
            content, trace_id = await self._timed(
                "transactions", "GET", f"/v1/transactions?{urlencode(query)}", limits=_LIST_TIMEOUT
            )
            page = _transactions(content, trace_id)
            for each in page:
                yield each
            if len(page) < _PAGE:
                return
            query["startingAfter"] = page[-1].transaction_key

    async def _call(
        self, call: str, method: str, path: str, idempotency_key: str | None = None, body: Any = None
    ) -> VendorPayment:
        return _payment(*await self._timed(call, method, path, idempotency_key, body))

    async def _timed(
        self,
        call: str,
        method: str,
        path: str,
        idempotency_key: str | None = None,
        body: Any = None,
        limits: aiohttp.ClientTimeout | None = None,
    ) -> tuple[bytes, str]:
        started, result = time.perf_counter(), "given-up"
        try:
            content = await self._ask(method, path, idempotency_key, body, limits or self._limits)
            result = "ok"
        except (VendorRefusal, AnswerLost) as error:
            result = error.code
            raise
        finally:
            SECONDS.labels(call, result).observe(time.perf_counter() - started)
        return content

    async def _ask(
        self, method: str, path: str, idempotency_key: str | None, body: Any, limits: aiohttp.ClientTimeout
    ) -> tuple[bytes, str]:
        """The body of a 200, and the vendor's trace id."""
        headers = {"idempotency-key": idempotency_key} if idempotency_key else {}
        try:
            async with self._session.request(
                method, self._url + path, json=body, headers=headers, timeout=limits, allow_redirects=False
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            log.warning("vendor did not answer", extra={"path": path, "error": f"{type(error).__name__}: {error}"})
            raise AnswerLost from error
        trace_id = answer.headers.get("x-tosspayments-trace-id", "")
        if answer.status == 200:
            return content, trace_id
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
        cancels=tuple(
            VendorCancel(each.cancel_reason, each.cancel_amount, each.cancel_status) for each in document.cancels or ()
        ),
    )


def _transactions(content: bytes, trace_id: str) -> list[Transaction]:
    try:
        documents = _TRANSACTIONS.validate_json(content)
    except ValidationError as error:
        log.error("vendor's transactions cannot be read", extra={"vendor_trace_id": trace_id, "error": str(error)})
        raise AnswerLost from error
    return [
        Transaction(
            transaction_key=each.transaction_key,
            payment_key=each.payment_key,
            order_id=each.order_id,
            status=each.status,
            amount=abs(each.amount),  # whether a cancel has a sign is not documented
            currency=each.currency,
            at=each.transaction_at,
        )
        for each in documents
    ]


def _korean(moment: datetime) -> str:
    return moment.astimezone(KST).strftime("%Y-%m-%dT%H:%M:%S")


class _ErrorDocument(BaseModel):
    code: str


def _code(content: bytes) -> str:
    try:
        return _ErrorDocument.model_validate_json(content).code[:100]
    except ValidationError:
        return _UNREADABLE
