"""What payment does, one method an intent. The buyer is always told from the rows, never from what a call returned."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from prometheus_client import Counter

from tiketi_runtime.errors import TiketiError
from tiketi_runtime.security import TokenSigner
from tiketi_services.payment.domain import (
    MAX_ATTEMPTS,
    AmountDiffers,
    Attempt,
    AttemptState,
    CloseStatus,
    Confirmation,
    ForeignIntent,
    OpenAttempt,
    Order,
    OrderState,
    PaymentCancelled,
    PaymentKeyDiffers,
    PaymentRefused,
    Standing,
    TooManyAttempts,
    UnknownAttempt,
    UnknownOrder,
    VendorCall,
    cancel_key,
    check_currency,
    check_request,
    is_vendor_order_id,
    new_vendor_order_id,
    why_not_payable,
)
from tiketi_services.payment.repository import (
    AnotherUnderWay,
    AttemptView,
    Cancellation,
    Hinted,
    OrderView,
    PaymentKeyTaken,
    Payments,
    Unresolved,
)
from tiketi_services.payment.toss import AnswerLost, TossClient, VendorRefusal
from tiketi_services.payment.vendor import (
    FOREIGN_PAYMENT,
    Decision,
    Meaning,
    VendorPayment,
    Webhook,
    buyers_mistake,
    judge,
    keeps_answer,
    meaning,
)

OUTCOME_TYP = "payment-outcome+jwt"
_FOREIGN_KEY = "This payment key belongs to a payment of another attempt. Nothing was charged; open a new attempt."
NOT_OPEN = "ORDER_NOT_OPEN"
"""Reason of a cancellation: the order has its outcome already, or is closed."""

WEBHOOKS = Counter(
    "tiketi_payment_webhooks_total",
    "Webhooks by what became of them: look (the attempt will be looked at), known (nothing to do), again, not-ours,"
    " malformed.",
    ["outcome"],
)
ENDED = Counter("tiketi_payment_attempts_ended_total", "Attempts by how they ended.", ["result"])
VENDOR_FAULTS = Counter(
    "tiketi_payment_vendor_faults_total", "Answers which say that our own calls, keys or settings are wrong.", ["code"]
)

FOUND_OUT = VendorCall(took=None, is_fault=True)
"""The buyer's own call had no answer, or the process died."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cashier:
    """The use cases and what they need.

    ``patience``: how long a confirm may be CONFIRMING before the resolver asks; longer than the vendor's timeouts.
    ``outcome_lifetime``: how long a signed outcome proves the payment to ticket.
    ``webhook_patience``: how long a webhook about a confirm that is under way leaves it to be answered.
    ``currencies``: those the merchant's contract has.
    """

    payments: Payments
    toss: TossClient
    signer: TokenSigner
    patience: timedelta
    outcome_lifetime: timedelta
    webhook_patience: timedelta = timedelta(seconds=2)
    currencies: frozenset[str] = frozenset({"KRW"})

    async def open_attempt(self, buyer: str, order: Order) -> OpenAttempt:
        """Store the order that a verified intent tells of, and a READY attempt for it.

        Raises ForeignIntent, CurrencyNotSupported, OrderDiffers, or why the order takes no payment now.
        """
        if order.buyer != buyer:
            raise ForeignIntent("This payment intent was made for another buyer.")
        check_currency(order, self.currencies)
        await self.payments.learn(order)
        attempt = OpenAttempt(uuid4(), new_vendor_order_id(), order)
        if not await self.payments.open_attempt(attempt.attempt_id, order.order_id, attempt.vendor_order_id):
            raise await self._why_no_attempt(order)
        return attempt

    async def _why_no_attempt(self, order: Order) -> TiketiError:
        view, attempts = await self.order(order.order_id, order.buyer)
        if len(attempts) >= MAX_ATTEMPTS and view.state is OrderState.OPEN and not view.overdue:
            return TooManyAttempts("This order was tried too often.")
        return why_not_payable(view.state, overdue=view.overdue)

    async def order(self, order_id: UUID, buyer: str) -> tuple[OrderView, list[AttemptView]]:
        """A buyer's own order and its attempts, oldest first. Raises UnknownOrder."""
        view = await self.payments.order(order_id, buyer)
        if view is None:
            raise UnknownOrder("There is no such order of yours.")
        return view, await self.payments.attempts(order_id)

    async def close(self, order_id: UUID) -> tuple[CloseStatus, str | None]:
        """Close an order unless it is paid or an attempt is under way; for ever, also if it was never seen.

        A paid order comes with its signed outcome, so that ticket can settle it with the broker down.
        """
        status = await self.payments.close(order_id)
        return status, await self.payments.outcome(order_id) if status is CloseStatus.PAID else None

    async def confirm(self, buyer: str, vendor_order_id: str, payment_key: str, amount: int) -> Confirmation:
        """Charge what the buyer has authenticated; a repeated call is answered from the rows.

        Raises UnknownAttempt, AmountDiffers, PaymentKeyDiffers, why the order takes no payment now, PaymentRefused or
        PaymentCancelled.
        """
        if len(self.currencies) > 1:
            await self._compare_window(buyer, vendor_order_id, payment_key, amount)
        attempt = await self._begin(buyer, vendor_order_id, payment_key, amount)
        if attempt is not None:
            await self._ask_vendor(attempt, is_first=True)
        standing = await self._standing(vendor_order_id, buyer)
        check_request(standing, payment_key, amount)
        return _answer(standing)

    async def _compare_window(self, buyer: str, vendor_order_id: str, payment_key: str, amount: int) -> None:
        """Neither redirect nor confirm names the currency: where a window could be opened in another one, the payment
        is read first. Without an answer the confirm goes on: what it charges is compared again.
        """
        standing = await self._standing(vendor_order_id, buyer)
        check_request(standing, payment_key, amount)
        if standing.attempt_state is not AttemptState.READY:
            return
        payment = await self._look(payment_key)
        mistake = payment and buyers_mistake(vendor_order_id, standing.order.amount, standing.order.currency, payment)
        if mistake == FOREIGN_PAYMENT:
            raise PaymentKeyDiffers(_FOREIGN_KEY)
        if mistake:
            raise AmountDiffers("The vendor's window was opened with another amount or currency. Nothing was charged.")

    async def window_failed(self, buyer: str, vendor_order_id: str, code: str) -> Standing:
        """The buyer is back from the vendor's window without having authenticated: nothing was charged, and the order
        stands as it stood. Raises UnknownAttempt.
        """
        standing = await self._standing(vendor_order_id, buyer)
        if standing.attempt_state is AttemptState.READY:
            await self.payments.window_left(vendor_order_id, code)
        return standing

    async def _begin(self, buyer: str, vendor_order_id: str, payment_key: str, amount: int) -> Attempt | None:
        try:
            return await self.payments.begin_confirm(vendor_order_id, buyer, payment_key, amount, self.patience)
        except PaymentKeyTaken:
            raise PaymentKeyDiffers("This payment key belongs to another attempt.") from None
        except AnotherUnderWay:
            raise why_not_payable(OrderState.OPEN, overdue=False) from None

    async def _standing(self, vendor_order_id: str, buyer: str) -> Standing:
        standing = await self.payments.standing(vendor_order_id, buyer)
        if standing is None:
            raise UnknownAttempt("There is no such payment of yours.")
        return standing

    async def _ask_vendor(self, attempt: Attempt, *, is_first: bool) -> None:
        """Confirm at the vendor under the key that is stored, and write down what came of it."""
        started = time.perf_counter()
        try:
            payment = await self.toss.confirm(
                attempt.payment_key, attempt.vendor_order_id, attempt.order.amount, attempt.idempotency_key
            )
        except AnswerLost as error:
            await self.payments.mark_unknown(attempt, error.code, attempt.call)
        except VendorRefusal as refusal:
            await self._apply_refusal(attempt, refusal, _call(started, is_first=is_first), is_first=is_first)
        else:
            if not await self.apply(attempt, payment, _call(started, is_first=is_first)):
                await self.payments.mark_unknown(attempt, payment.status, attempt.call)

    async def _apply_refusal(
        self, attempt: Attempt, refusal: VendorRefusal, call: VendorCall, *, is_first: bool
    ) -> None:
        what = meaning(refusal.status, refusal.code)
        if what is Meaning.OURS and is_first and (mistake := await self._buyers_mistake(attempt, refusal)):
            await self._refuse(attempt, mistake, call)
            return
        if what is Meaning.OURS:
            VENDOR_FAULTS.labels(refusal.code).inc()
            log.error(
                "vendor does not accept our call", extra={"attempt": str(attempt.attempt_id), "code": refusal.code}
            )
        # That a call of ours was not accepted proves that nothing was charged only if it was the first.
        if what is Meaning.REFUSED or (what is Meaning.OURS and is_first):
            await self._refuse(attempt, refusal.code, replace(call, is_fault=call.is_fault or what is Meaning.OURS))
        else:
            next_call = attempt.call + keeps_answer(refusal.status)
            await self.payments.mark_unknown(attempt, refusal.code, next_call)

    async def _buyers_mistake(self, attempt: Attempt, refusal: VendorRefusal) -> str | None:
        """Whether the vendor found fault with our call because the buyer came with a payment that is another's."""
        payment = await self._look(attempt.payment_key) if refusal.code == "INVALID_REQUEST" else None
        order = attempt.order
        if payment is None:
            return None
        return buyers_mistake(attempt.vendor_order_id, order.amount, order.currency, payment)

    async def apply(self, attempt: Attempt, payment: VendorPayment, call: VendorCall) -> bool:
        """Write down what the vendor's payment means for the attempt; False if it decides nothing yet."""
        verdict = judge(attempt, payment)
        match verdict.decision:
            case Decision.APPROVED:
                if await self.payments.settle(attempt, self._outcome(attempt), call):
                    ENDED.labels("paid").inc()
                else:
                    await self._give_back(attempt, NOT_OPEN)
            case Decision.CANCEL:
                await self._give_back(attempt, verdict.code)
            case Decision.REFUSED:
                await self._refuse(attempt, verdict.code, call)
            case Decision.UNDECIDED:
                return False
        return True

    def _outcome(self, attempt: Attempt) -> str:
        order = attempt.order
        claims = {
            "order": str(order.order_id),
            "event": order.event,
            "buyer": order.buyer,
            "status": OrderState.PAID.value,
            "amount": order.amount,
            "currency": order.currency,
            "paymentKey": attempt.payment_key,
        }
        return self.signer.sign(OUTCOME_TYP, claims, self.outcome_lifetime)

    async def _refuse(self, attempt: Attempt, code: str, call: VendorCall) -> None:
        if await self.payments.refuse(attempt, code, call):
            ENDED.labels("refused").inc()

    async def _give_back(self, attempt: Attempt, reason: str) -> None:
        if await self.payments.cancel_instead(attempt, reason):
            log.warning("charged, to be cancelled", extra={"attempt": str(attempt.attempt_id), "reason": reason})
            ENDED.labels("cancelled").inc()

    async def resolve(self, unresolved: Unresolved) -> None:
        """Find out what became of an attempt: look; if that decides nothing and payBy has not passed, confirm again."""
        attempt = unresolved.attempt
        try:
            payment = await self.toss.look_up(attempt.payment_key)
        except (VendorRefusal, AnswerLost) as error:
            code = error.code
        else:
            if await self.apply(attempt, payment, FOUND_OUT):
                return
            code = payment.status
        if unresolved.overdue:
            await self.payments.mark_unknown(attempt, code, attempt.call)
        else:
            await self.payments.keep(attempt, self.patience)
            await self._ask_vendor(attempt, is_first=False)
        await self.payments.looked(attempt)

    async def receive_webhook(self, webhook: Webhook) -> None:
        """Keep it if it is about an attempt of ours, and have that looked at. Nothing in it is believed."""
        if webhook.order_id is None or not is_vendor_order_id(webhook.order_id):
            WEBHOOKS.labels("not-ours").inc()
            return
        known, stored, hinted = await self.payments.receive_webhook(webhook, self.webhook_patience)
        outcome = "look" if hinted else "known" if stored else "again" if known else "not-ours"
        WEBHOOKS.labels(outcome).inc()

    async def look_again(self, hinted: Hinted) -> None:
        """Look once at an attempt that a webhook was about; if that decides nothing, it stays with the resolver."""
        attempt = hinted.attempt
        try:
            payment = await self.toss.look_up(attempt.payment_key)
        except (VendorRefusal, AnswerLost):
            pass
        else:
            if await self.apply(attempt, payment, replace(FOUND_OUT, is_fault=hinted.answer_lost)):
                return
        await self.payments.looked(attempt)

    async def give_back(self, cancellation: Cancellation) -> None:
        """Cancel a payment in full at the vendor; done only when its balance is zero."""
        call, code = cancellation.call, "BALANCE_LEFT"
        try:
            payment = await self.toss.cancel(
                cancellation.payment_key, cancellation.reason, cancel_key(cancellation.cancellation_id, call)
            )
        except AnswerLost as error:
            code, payment = error.code, None
        except VendorRefusal as refusal:
            code, call = refusal.code, call + keeps_answer(refusal.status)
            payment = await self._look(cancellation.payment_key)
        if payment is not None and payment.balance_amount == 0:
            await self.payments.cancellation_done(cancellation)
            return
        log.error("not given back yet", extra={"cancellation": str(cancellation.cancellation_id), "code": code})
        await self.payments.cancellation_failed(cancellation, code, call)

    async def _look(self, payment_key: str) -> VendorPayment | None:
        try:
            return await self.toss.look_up(payment_key)
        except (VendorRefusal, AnswerLost):
            return None


def _call(started: float, *, is_first: bool) -> VendorCall:
    """A confirm that was just answered; one that had to be repeated counts as a fault."""
    return VendorCall(timedelta(seconds=time.perf_counter() - started), is_fault=False) if is_first else FOUND_OUT


def _answer(standing: Standing) -> Confirmation:
    """What the buyer is told of an attempt, by its rows."""
    match standing.attempt_state:
        case AttemptState.READY:
            raise why_not_payable(standing.order_state, overdue=standing.overdue)
        case AttemptState.REFUSED:
            raise _refused(standing)
        case AttemptState.DONE if standing.outcome is None:
            raise PaymentCancelled("The order could not take this payment; it is given back in full.")
        case _:
            return Confirmation(standing.order.order_id, standing.outcome)


def _refused(standing: Standing) -> TiketiError:
    order = standing.order
    if standing.code == FOREIGN_PAYMENT:
        return PaymentKeyDiffers(_FOREIGN_KEY)
    still_open = standing.order_state is OrderState.OPEN and not standing.overdue
    advice = "The order is still open: try again until payBy." if still_open else "The order takes no payment any more."
    return PaymentRefused(
        f"The payment was refused ({standing.code}). Nothing was charged. {advice}",
        vendorCode=standing.code,
        order=str(order.order_id),
        payBy=_iso(order.pay_by),
        orderOpen=still_open,
    )


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
