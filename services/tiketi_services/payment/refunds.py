"""Gives money of void tickets back: looks, writes the call down, calls, and believes only what the vendor then shows.

Any number of processes may do this: each refund is leased for a while by the one that takes it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from prometheus_client import Counter, Gauge

from tiketi_runtime.background import every
from tiketi_services.payment.refunds_book import RefundsBook
from tiketi_services.payment.refunds_plan import Next, PayBack, Step, cancel_meaning, next_step
from tiketi_services.payment.toss import AnswerLost, TossClient, VendorRefusal
from tiketi_services.payment.vendor import Meaning, VendorPayment, keeps_answer

_AT_ONCE: Final = 8
"""Refunds a process works on at once: a cancelled event has thousands, and confirms need the vendor more."""
_TOO_LONG: Final = timedelta(minutes=30)
"""After this somebody must know."""

REFUNDED = Counter("tiketi_payment_refunds_total", "Refunds that the vendor has made.")
REFUSED = Gauge("tiketi_payment_refunds_refused", "Refunds that the vendor refuses: somebody must look.")
OVERDUE = Gauge("tiketi_payment_refunds_overdue", "Refunds that should have been made 30 minutes ago.")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refunder:
    """The use cases of refunds. ``lease``: longer than the vendor calls made for one refund."""

    book: RefundsBook
    toss: TossClient
    interval: timedelta
    lease: timedelta

    async def run(self) -> None:
        """Give money back until cancelled."""
        await every(self.interval, "refunds", self.pay_back_due)

    async def pay_back_due(self) -> None:
        """Work on what is due until nothing is."""
        while due := await self.book.take(_AT_ONCE, self.lease):
            results = await asyncio.gather(*map(self.pay_back, due), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    async def tell(self) -> None:
        """Count what somebody should look at."""
        refused, overdue = await self.book.count(_TOO_LONG)
        REFUSED.set(refused)
        OVERDUE.set(overdue)

    async def pay_back(self, pay_back: PayBack) -> None:
        """One refund, one step further."""
        try:
            payment = await self.toss.look_up(pay_back.payment_key)
        except (VendorRefusal, AnswerLost) as error:
            await self._later(pay_back, error.code)
            return
        step = next_step(pay_back, payment)
        match step.what:
            case Next.DONE:
                await self._done(pay_back, payment)
            case Next.WAIT:
                await self._later(pay_back, step.code)
            case Next.IMPOSSIBLE:
                await self._refused(pay_back, step.code, pay_back.call)
            case Next.CALL:
                await self._call(pay_back, step, is_whole=step.balance == payment.total_amount == pay_back.amount)

    async def _call(self, pay_back: PayBack, step: Step, *, is_whole: bool) -> None:
        called = replace(pay_back, call=step.call, is_called=True, locked_balance=step.balance)
        if not await self.book.begin(pay_back, step, called.idempotency_key):
            await self._later(pay_back, "ANOTHER_UNDER_WAY")
            return
        try:
            payment = await self.toss.cancel(
                called.payment_key,
                called.vendor_reason,
                called.idempotency_key,
                # Not every payment can be given back in part, and a sum that happens to be all may count as a part.
                amount=None if is_whole else called.amount,
                balance=step.balance,
            )
        except AnswerLost as error:
            await self._later(called, error.code)
        except VendorRefusal as refusal:
            await self._not_made(called, refusal)
        else:
            if next_step(called, payment).what is Next.DONE:
                await self._done(called, payment)
            else:
                await self._later(called, payment.status)

    async def _not_made(self, called: PayBack, refusal: VendorRefusal) -> None:
        is_kept = keeps_answer(refusal.status)
        if cancel_meaning(refusal.status, refusal.code) is not Meaning.UNKNOWN:
            await self._refused(called, refusal.code, called.call + is_kept, is_open=not is_kept)
        else:
            call = called.call + is_kept
            await self.book.failed(called, refusal.code, call=call, is_open=not is_kept, is_refused=False)

    async def _later(self, pay_back: PayBack, code: str) -> None:
        await self.book.failed(pay_back, code, call=pay_back.call, is_open=pay_back.is_called, is_refused=False)

    async def _refused(self, pay_back: PayBack, code: str, call: int, *, is_open: bool = False) -> None:
        """The tickets are void and their price is not back: this is for people, at once."""
        facts = {"refund": str(pay_back.refund_id), "order": str(pay_back.order_id), "code": code}
        log.error("refund refused; see docs/refunds.md", extra=facts)
        await self.book.failed(pay_back, code, call=call, is_open=is_open, is_refused=True)

    async def _done(self, pay_back: PayBack, payment: VendorPayment) -> None:
        if await self.book.done(pay_back, payment.kept):
            REFUNDED.inc()
            facts = {"refund": str(pay_back.refund_id), "order": str(pay_back.order_id), "balance": payment.kept}
            log.info("refunded", extra=facts)
