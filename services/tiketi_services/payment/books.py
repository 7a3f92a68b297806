"""Our books against the vendor's: what agrees, what is only late, and what somebody must know. Pure.

The transactions list is an index: which fields its rows have exactly is not documented. Where it does not agree with us
at first sight, the payment itself is read, and only that decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, timezone
from enum import StrEnum
from typing import Final
from uuid import UUID

from tiketi_services.payment.domain import AttemptState
from tiketi_services.payment.vendor import CHARGED, VendorPayment

KST: Final = timezone(timedelta(hours=9))
"""The vendor's day."""


class Kind(StrEnum):
    """What does not agree."""

    UNKNOWN_PAYMENT = "unknown-payment"
    """Charged under an order id that is not ours: another shop, or another database, of the same merchant."""
    STRAY_CHARGE = "stray-charge"
    """Charged under an order id of ours by a payment that the attempt is not bound to."""
    CHARGED_THOUGH_REFUSED = "charged-though-refused"
    """Our attempt ended as refused, and the vendor charged."""
    MISSING_AT_VENDOR = "missing-at-vendor"
    """Our attempt is DONE, and the vendor has charged nothing."""
    AMOUNT_DIFFERS = "amount-differs"
    """Charged in another amount or currency than the outcome says."""
    CANCELLED_THERE = "cancelled-there"
    """The vendor gave back more than our books say."""
    NOT_GIVEN_BACK = "not-given-back"
    """Our books say it was given back, and the vendor keeps it."""


class Action(StrEnum):
    """What was done about it."""

    RECORDED = "recorded"
    APPLIED = "applied"
    """The vendor's word was applied to the attempt, as if it had just come."""
    CANCELLED = "cancelled"
    """A cancellation in full was written down; it is done like every other."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """A row of the vendor's list. ``amount`` in minor units, without a sign."""

    transaction_key: str
    payment_key: str
    order_id: str
    status: str
    amount: int
    currency: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Listed:
    """What a day's transactions say of one payment."""

    payment_key: str
    order_id: str
    currency: str
    charged: int = 0
    given_back: int = 0


@dataclass(frozen=True, slots=True)
class OurPayment:
    """What we say of one attempt. ``given_back``: by our books. ``is_moving``: a cancellation is under way."""

    attempt_id: UUID
    vendor_order_id: str
    payment_key: str | None
    state: AttemptState
    amount: int
    currency: str
    is_outcome: bool
    given_back: int
    is_moving: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not agree. ``told``: both sides, for people."""

    kind: Kind
    payment_key: str
    vendor_order_id: str | None
    attempt_id: UUID | None
    told: str


def day_of(moment: datetime) -> date:
    """The vendor's day."""
    return moment.astimezone(KST).date()


def bounds(day: date) -> tuple[datetime, datetime]:
    """Begin of a day, and of the next."""
    begin = datetime.combine(day, time(), KST)
    return begin, begin + timedelta(days=1)


def by_payment(rows: Iterable[Transaction], day: date) -> dict[str, Listed]:
    """A day's rows, put together by payment. What is neither a charge nor a cancel moved no money."""
    begin, end = bounds(day)
    found: dict[str, Listed] = {}
    for row in rows:
        if not begin <= row.at < end or row.status not in CHARGED:
            continue
        listed = found.get(row.payment_key) or Listed(row.payment_key, row.order_id, row.currency)
        if row.status == "DONE":
            listed = replace(listed, charged=listed.charged + row.amount)
        else:
            listed = replace(listed, given_back=listed.given_back + row.amount)
        found[row.payment_key] = listed
    return found


def agrees(listed: Listed, ours: OurPayment | None) -> bool:
    """Whether there is nothing to ask: a settled payment, charged as it should be, given back as we say."""
    return (
        ours is not None
        and ours.is_outcome
        and (ours.payment_key, ours.vendor_order_id) == (listed.payment_key, listed.order_id)
        and ours.currency == listed.currency
        and listed.charged == ours.amount
        and listed.given_back == ours.given_back
    )


def find_ours(payment_key: str, order_id: str, ours: Iterable[OurPayment]) -> OurPayment | None:
    """The attempt that a payment belongs to: the one bound to it, else the one whose order id it has."""
    candidates = [each for each in ours if each.payment_key == payment_key or each.vendor_order_id == order_id]
    bound = [each for each in candidates if each.payment_key == payment_key]
    return next(iter(bound or candidates), None)


def judge_books(payment: VendorPayment, ours: OurPayment | None) -> Finding | None:
    """What a payment, just read, and our books do not agree on. None: they agree, or one of them is only late."""
    kind = _kind(payment, ours)
    if kind is None:
        return None
    return Finding(
        kind,
        payment.payment_key,
        payment.order_id if ours is None else ours.vendor_order_id,
        None if ours is None else ours.attempt_id,
        told(payment, ours),
    )


def _kind(payment: VendorPayment, ours: OurPayment | None) -> Kind | None:
    charged, kept = payment.charged, payment.kept
    if ours is None:
        return Kind.UNKNOWN_PAYMENT if charged else None
    if ours.payment_key != payment.payment_key:
        return Kind.STRAY_CHARGE if kept else None
    match ours.state:
        case AttemptState.REFUSED:
            return Kind.CHARGED_THOUGH_REFUSED if kept else None
        case AttemptState.DONE:
            return _kind_of_done(payment, ours)
        case _:
            return None  # the resolver is about to find out


def _kind_of_done(payment: VendorPayment, ours: OurPayment) -> Kind | None:
    if not payment.charged:
        return Kind.MISSING_AT_VENDOR
    if ours.is_moving:
        return None
    if not ours.is_outcome:
        return Kind.NOT_GIVEN_BACK if payment.kept else None
    if (payment.charged, payment.currency) != (ours.amount, ours.currency):
        return Kind.AMOUNT_DIFFERS
    given_back = payment.charged - payment.kept
    if given_back == ours.given_back:
        return None
    return Kind.CANCELLED_THERE if given_back > ours.given_back else Kind.NOT_GIVEN_BACK


def missing(ours: OurPayment) -> Finding:
    """The vendor says that there is no such payment."""
    words = f"vendor: no such payment; ours: {_ours(ours)}"
    return Finding(Kind.MISSING_AT_VENDOR, ours.payment_key or "", ours.vendor_order_id, ours.attempt_id, words)


def told(payment: VendorPayment, ours: OurPayment | None) -> str:
    """Both sides in words."""
    vendor = f"{payment.status} {payment.charged} {payment.currency}, keeps {payment.kept}"
    return f"vendor: {vendor}; ours: {'nothing' if ours is None else _ours(ours)}"


def _ours(ours: OurPayment) -> str:
    role = "outcome" if ours.is_outcome else "no outcome"
    bound = "" if ours.payment_key else ", bound to no payment"
    return f"{ours.state} {ours.amount} {ours.currency}, {role}, given back {ours.given_back}{bound}"


def counts(findings: Iterable[Finding]) -> Mapping[Kind, int]:
    """How many of each kind."""
    found = dict.fromkeys(Kind, 0)
    for finding in findings:
        found[finding.kind] += 1
    return found
