"""Webhooks as the vendor sends them: a hint for every change, unsigned, again and again until it is answered 200.

Where they go is set at run time, as in the vendor's developer centre. A transmission that is under way is lost when the
simulator stops: one more webhook that never came.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import aiohttp

from tiketi_local.toss.document import KST, payment_document
from tiketi_local.toss.faults import WebhookFaults
from tiketi_local.toss.payment import Payment, Status

RETRY_AFTER: Final = tuple(timedelta(minutes=4**retry) for retry in range(7))
"""1, 4, 16, 64, 256, 1024 and 4096 minutes."""
ANSWER_WITHIN: Final = 10.0
"""Seconds; a later answer counts as none."""
ANNOUNCED: Final = frozenset({Status.DONE, Status.CANCELED, Status.PARTIAL_CANCELED, Status.ABORTED, Status.EXPIRED})
"""States that a webhook tells of: never READY or IN_PROGRESS."""
REMEMBERED: Final = 10_000
"""Transmissions that /__sim/webhooks still shows."""

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Transmission:
    """One webhook and what became of it: ``waiting``, ``delivered``, ``given-up``, ``missing`` or ``stopped``."""

    transmission_id: str
    about: str
    """Payment key and status, for people."""
    body: bytes
    retried: int = 0
    state: str = "waiting"
    answers: list[int] = field(default_factory=list)
    """HTTP statuses; 0 for none."""
    tried: asyncio.Event = field(default_factory=asyncio.Event)

    def headers(self, now: datetime) -> dict[str, str]:
        """As documented; payment events carry no signature."""
        return {
            "content-type": "application/json",
            "user-agent": "TossPayments-Webhook",
            "tosspayments-webhook-transmission-id": self.transmission_id,
            "tosspayments-webhook-transmission-time": now.astimezone(KST).isoformat(timespec="seconds"),
            "tosspayments-webhook-transmission-retried-count": str(self.retried),
        }


@dataclass
class Webhooks:
    """All transmissions of one merchant. ``faults``: the switches as they stand. ``clock``: the vendor's."""

    faults: Callable[[], WebhookFaults]
    clock: Callable[[], datetime]
    url: str | None = None
    """Where they go; None: nowhere."""
    minute: float = 60.0
    """Seconds that a minute of the retry schedule lasts."""
    own_url: str = "https://api.tosspayments.example"
    """What links in the bodies begin with."""
    log: deque[Transmission] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _held: list[Transmission] = field(default_factory=list)
    _works: set[asyncio.Task[None]] = field(default_factory=set)
    _http: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send while the block runs."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as self._http:
            try:
                yield
            finally:
                works = list(self._works)
                for work in works:
                    work.cancel()
                await asyncio.gather(*works, return_exceptions=True)
                self._http = None

    # --- What there is to tell

    def on_change(self, payment: Payment) -> None:
        """Tell of a payment's new state, if it is one that is told."""
        if payment.status in ANNOUNCED and self.url is not None and self._http is not None:
            about = f"{payment.payment_key} {payment.status}"
            self._emit(self._transmission(about, payment_changed(payment, self.own_url, self.clock())))

    def send(self, body: Mapping[str, Any]) -> str:
        """Send any body, as if it were an event; returns the transmission's id."""
        transmission = self._transmission("by hand", body)
        self._emit(transmission)
        return transmission.transmission_id

    def resend(self, transmission_id: str) -> None:
        """What the console's button does: once more now, and no more retries. Raises LookupError."""
        found = next((each for each in self.log if each.transmission_id == transmission_id), None)
        if found is None:
            raise LookupError(transmission_id)
        found.state = "stopped"
        self._start(self._try(found))

    async def all_tried(self) -> None:
        """Wait until each that is on its way has been tried once."""
        waiting = [each for each in self.log if each.state == "waiting" and each not in self._held]
        await asyncio.gather(*(each.tried.wait() for each in waiting))

    def _transmission(self, about: str, body: Mapping[str, Any]) -> Transmission:
        raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        return Transmission(f"whtrans_{secrets.token_hex(12)}", about, raw)

    # --- Sending

    def _emit(self, transmission: Transmission) -> None:
        faults = self.faults()
        self.log.append(transmission)
        if faults.is_missing():
            transmission.state = "missing"
            return
        if faults.is_held():
            self._held.append(transmission)
        else:
            self._start(self._deliver(transmission, faults))
        if self._held and faults.backwards == 0:
            held, self._held = self._held[::-1], []
            self._start(self._one_after_the_other(held, faults))

    async def _one_after_the_other(self, transmissions: list[Transmission], faults: WebhookFaults) -> None:
        for transmission in transmissions:
            self._start(self._deliver(transmission, faults))
            await transmission.tried.wait()

    async def _deliver(self, transmission: Transmission, faults: WebhookFaults) -> None:
        if not faults.early:
            await asyncio.sleep(faults.delay.seconds())
        copies = faults.copies()
        await asyncio.gather(*(self._try(transmission) for _ in range(copies)))
        for pause in RETRY_AFTER:
            if transmission.state != "waiting":
                return
            await asyncio.sleep(pause / timedelta(minutes=1) * self.minute)
            if transmission.state == "waiting":
                transmission.retried += 1
                await self._try(transmission)
        if transmission.state == "waiting":
            transmission.state = "given-up"
            log.warning("webhook given up", extra={"about": transmission.about})

    async def _try(self, transmission: Transmission) -> None:
        """One POST. Exactly 200 within 10 s will do."""
        status = await self._post(transmission)
        transmission.answers.append(status)
        if status == 200 and transmission.state == "waiting":
            transmission.state = "delivered"
        transmission.tried.set()

    async def _post(self, transmission: Transmission) -> int:
        if self._http is None or self.url is None:
            return 0
        limit = aiohttp.ClientTimeout(total=ANSWER_WITHIN)
        headers = transmission.headers(self.clock())
        try:
            async with self._http.post(
                self.url, data=transmission.body, headers=headers, timeout=limit, allow_redirects=False
            ) as answer:
                return answer.status
        except (aiohttp.ClientError, OSError):
            return 0

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._works.add(task)
        task.add_done_callback(self._works.discard)


def payment_changed(payment: Payment, own_url: str, now: datetime) -> dict[str, Any]:
    """PAYMENT_STATUS_CHANGED. ``createdAt`` is Korean time without an offset, with five or six digits."""
    created_at = f"{now.astimezone(KST).replace(tzinfo=None).isoformat(timespec='microseconds')}"
    if random.random() < 0.1:  # noqa: S311 - both were seen
        created_at = created_at[:-1]
    return {
        "eventType": "PAYMENT_STATUS_CHANGED",
        "createdAt": created_at,
        "data": payment_document(payment, own_url),
    }
