"""HTTP: for buyers under /payments, for ticket under /internal (which the gateway does not route)."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from tiketi_runtime.edge import body_of, header
from tiketi_runtime.errors import InvalidToken, TooLarge, Unauthenticated
from tiketi_runtime.refusals import Kinds, refuses
from tiketi_runtime.security import Identity
from tiketi_runtime.web import bearer_identity
from tiketi_services.payment.domain import (
    AmountDiffers,
    AttemptUnderWay,
    CurrencyNotSupported,
    ForeignIntent,
    InvalidIntent,
    MalformedWebhook,
    OrderAlreadyPaid,
    OrderDiffers,
    OrderIsClosed,
    PayByPassed,
    PaymentCancelled,
    PaymentKeyDiffers,
    PaymentRefused,
    TooManyAttempts,
    UnknownAttempt,
    UnknownOrder,
)
from tiketi_services.payment.schemas import (
    CloseClaims,
    CloseRequest,
    CloseView,
    ConfirmationView,
    ConfirmRequest,
    IntentClaims,
    OpenAttemptRequest,
    OpenAttemptView,
    OrderStateView,
    WindowFailedRequest,
    WindowFailedView,
)
from tiketi_services.payment.usecases import WEBHOOKS, Cashier
from tiketi_services.payment.vendor import read_webhook

TICKET = "tiketi-ticket"
MAX_WEBHOOK_BYTES = 16 * 1024
"""The vendor's are 2 KiB."""
_SIGNED_IN: Final[Kinds] = (Unauthenticated, InvalidToken)
_NOT_PAYABLE: Final[Kinds] = (OrderAlreadyPaid, OrderIsClosed, PayByPassed, AttemptUnderWay)
_OF_ATTEMPT: Final[Kinds] = (
    *_SIGNED_IN, *_NOT_PAYABLE, InvalidIntent, ForeignIntent, CurrencyNotSupported, OrderDiffers, TooManyAttempts,
)  # fmt: skip
_OF_CONFIRM: Final[Kinds] = (
    *_SIGNED_IN, *_NOT_PAYABLE, UnknownAttempt, AmountDiffers, PaymentKeyDiffers, PaymentRefused, PaymentCancelled,
)  # fmt: skip

router = APIRouter(tags=["payment"])
webhooks_router = APIRouter(tags=["payment"])
"""One webhook comes for every payment: called without the framework, see runtime/edge.py."""
Buyer = Annotated[Identity, Depends(bearer_identity)]


async def _cashier(request: Request) -> Cashier:
    cashier: Cashier = request.app.state.cashier
    return cashier


TheCashier = Annotated[Cashier, Depends(_cashier)]


@router.post("/payments/attempts", status_code=201, responses=refuses(*_OF_ATTEMPT))
async def open_attempt(
    body: OpenAttemptRequest, buyer: Buyer, cashier: TheCashier, request: Request
) -> OpenAttemptView:
    """Begin to pay an order: only after this may the vendor's window be opened."""
    intent = await _intent(request, body.intent)
    attempt = await cashier.open_attempt(buyer.subject, intent.to_order())
    return OpenAttemptView.of(attempt, request.app.state.toss_client_key)


@router.post("/payments/confirm", responses={202: {"model": ConfirmationView}, **refuses(*_OF_CONFIRM)})
async def confirm(body: ConfirmRequest, buyer: Buyer, cashier: TheCashier, response: Response) -> ConfirmationView:
    """Charge what the buyer has authenticated at the vendor. Sending it again is safe."""
    confirmation = await cashier.confirm(buyer.subject, body.order_id, body.payment_key, body.amount)
    response.status_code = 202 if confirmation.outcome is None else 200
    return ConfirmationView.of(confirmation)


@router.post("/payments/failed", responses=refuses(*_SIGNED_IN, UnknownAttempt))
async def window_failed(body: WindowFailedRequest, buyer: Buyer, cashier: TheCashier) -> WindowFailedView:
    """Tell that the vendor's window sent the buyer to failUrl. Nothing was charged, and the order stays as it is."""
    standing = await cashier.window_failed(buyer.subject, body.order_id, body.code)
    return WindowFailedView.of(standing, body.code)


_WEBHOOK_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}


@webhooks_router.post(
    "/payments/webhooks",
    response_class=Response,
    openapi_extra=_WEBHOOK_BODY,
    responses={200: {"description": "Kept. The answer is empty."}, **refuses(MalformedWebhook)},
)
async def receive_webhook(request: Request) -> Response:
    """The vendor's webhooks. They are not signed: each is kept as a hint, and the payment is read at the vendor."""
    try:
        if int(request.headers.get("content-length") or 0) > MAX_WEBHOOK_BYTES:
            raise TooLarge(f"A webhook has {MAX_WEBHOOK_BYTES} bytes at most.")
        body = await body_of(request)
        if len(body) > MAX_WEBHOOK_BYTES:
            raise TooLarge(f"A webhook has {MAX_WEBHOOK_BYTES} bytes at most.")
        transmission, retried = (
            header(request.scope, name)
            for name in (
                b"tosspayments-webhook-transmission-id",
                b"tosspayments-webhook-transmission-retried-count",
            )
        )
        webhook = read_webhook(transmission, retried, body)
    except (TooLarge, MalformedWebhook):
        WEBHOOKS.labels("malformed").inc()
        raise
    cashier: Cashier = request.app.state.cashier
    await cashier.receive_webhook(webhook)
    return Response(status_code=200)


@router.get("/payments/orders/{order}", responses=refuses(*_SIGNED_IN, UnknownOrder))
async def show_order(order: UUID, buyer: Buyer, cashier: TheCashier) -> OrderStateView:
    """Whether an order of one's own is paid, with the proof."""
    return OrderStateView.of(*await cashier.order(order, buyer.subject))


@router.post("/internal/orders/close", include_in_schema=False)
async def close_order(body: CloseRequest, cashier: TheCashier, request: Request) -> CloseView:
    """Ticket asks before it frees seats. Idempotent; an order never seen is closed as well, and for ever."""
    claims = await request.app.state.ticket_tokens.verify(body.request, "order-close+jwt", TICKET)
    try:
        order = CloseClaims.model_validate(claims).order
    except ValidationError:
        raise InvalidToken("The token names no order.") from None
    status, outcome = await cashier.close(order)
    return CloseView(status=status, outcome=outcome)


@router.get("/.well-known/jwks.json")
async def jwks(request: Request) -> dict[str, Any]:
    """The key that outcomes are signed with."""
    keys: dict[str, Any] = request.app.state.signer.jwks()
    return keys


async def _intent(request: Request, token: str) -> IntentClaims:
    """Claims of a payment intent that ticket signed. Raises InvalidIntent, or Unavailable without ticket's keys."""
    try:
        claims = await request.app.state.ticket_tokens.verify(token, "payment-intent+jwt", TICKET)
        return IntentClaims.model_validate(claims)
    except InvalidToken as error:
        raise InvalidIntent(f"intent: {error.detail}") from error
    except ValidationError as error:
        raise InvalidIntent("intent: the token does not tell all of the order.") from error
