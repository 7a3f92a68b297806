"""The Payment object as the vendor writes it: every documented key, null where there is nothing."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from tiketi_local.toss.cards import masked
from tiketi_local.toss.payment import Cancel, Payment, Status, Transaction

API_VERSION = "2022-11-16"
MERCHANT = "tiketisim"
"""At most 14 characters."""
KST = timezone(timedelta(hours=9))

_ISSUER = "41"
_ACQUIRE_STATUS = {Status.DONE: "READY", Status.PARTIAL_CANCELED: "READY", Status.CANCELED: "CANCELED"}


def payment_document(payment: Payment, base_url: str) -> dict[str, Any]:
    """The object that confirm, cancel and look-up answer. Unlike ours, ``vat`` is part of the price."""
    vat = _vat(payment.balance)
    return {
        "version": API_VERSION,
        "mId": MERCHANT,
        "type": "NORMAL",
        "paymentKey": payment.payment_key,
        "orderId": payment.order_id,
        "orderName": payment.order_name,
        "status": payment.status.value,
        "method": "카드" if payment.card_number and payment.status is not Status.EXPIRED else None,
        "currency": payment.currency,
        "totalAmount": payment.amount,
        "balanceAmount": payment.balance,
        "suppliedAmount": payment.balance - vat,
        "vat": vat,
        "taxFreeAmount": 0,
        "taxExemptionAmount": 0,
        "requestedAt": _time(payment.requested_at),
        "approvedAt": _time(payment.approved_at),
        "lastTransactionKey": payment.last_transaction_key,
        "cancels": [_cancel(cancel) for cancel in payment.cancels] or None,
        "isPartialCancelable": payment.is_partially_cancelable,
        "useEscrow": None if payment.status is Status.EXPIRED else False,
        "cultureExpense": False,
        "card": _card(payment),
        "virtualAccount": None,
        "transfer": None,
        "mobilePhone": None,
        "giftCertificate": None,
        "easyPay": None,
        "secret": f"ps_{payment.payment_key[-12:]}" if payment.approved_at else None,
        "metadata": None,
        "receipt": {"url": f"{base_url}/receipt/{payment.payment_key}"} if payment.approved_at else None,
        "checkout": {"url": f"{base_url}/v1/payments/{payment.payment_key}/checkout"},
        "country": "KR",
        "discount": None,
        "cashReceipt": None,
        "cashReceipts": None,
        "failure": payment.failure.model_dump() if payment.failure else None,
    }


def transaction_document(payment: Payment, transaction: Transaction, base_url: str) -> dict[str, Any]:
    """A row of GET /v1/transactions. Which fields a row has exactly is not documented; these were seen."""
    return {
        "mId": MERCHANT,
        "transactionKey": transaction.transaction_key,
        "paymentKey": payment.payment_key,
        "orderId": payment.order_id,
        "method": "카드",
        "customerKey": None,
        "useEscrow": False,
        "receiptUrl": f"{base_url}/receipt/{payment.payment_key}",
        "status": transaction.status.value,
        "transactionAt": _time(transaction.at),
        "currency": payment.currency,
        "amount": transaction.amount,
    }


def _vat(amount: int) -> int:
    """A tenth of the price without tax, rounded half up; after cancels of what is left."""
    return (2 * amount + 11) // 22


def _card(payment: Payment) -> dict[str, Any] | None:
    if payment.card_number is None or payment.approved_at is None:
        return None
    return {
        "amount": payment.amount,
        "issuerCode": _ISSUER,
        "acquirerCode": _ISSUER,
        "number": masked(payment.card_number),
        "installmentPlanMonths": 0,
        "approveNo": payment.payment_key[-13:-5],  # the key's time: eight digits
        "useCardPoint": False,
        "cardType": "신용",
        "ownerType": "개인",
        "acquireStatus": _ACQUIRE_STATUS[payment.status],
        "isInterestFree": False,
        "interestPayer": None,
    }


def _cancel(cancel: Cancel) -> dict[str, Any]:
    return {
        "transactionKey": cancel.transaction_key,
        "cancelReason": cancel.reason,
        "cancelAmount": cancel.amount,
        "taxFreeAmount": 0,
        "taxExemptionAmount": 0,
        "refundableAmount": cancel.refundable_amount,
        "cardDiscountAmount": 0,
        "transferDiscountAmount": 0,
        "easyPayDiscountAmount": 0,
        "canceledAt": _time(cancel.at),
        "receiptKey": None,
        "cancelStatus": "DONE",
        "cancelRequestId": None,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(KST).isoformat(timespec="seconds")
