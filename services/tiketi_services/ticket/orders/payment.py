"""Payment, asked to close orders: the one call that ticket makes to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

import aiohttp
from pydantic import BaseModel, ValidationError

from tiketi_runtime.contracts.identity import OrderId
from tiketi_runtime.errors import Unavailable
from tiketi_runtime.security import TokenSigner

_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)
_REQUEST_TTL: Final = timedelta(minutes=1)


class Closing(StrEnum):
    """What payment answers."""

    PAID = "PAID"
    CLOSED = "CLOSED"
    """For ever: whatever is charged from now on is given back."""
    PENDING = "PENDING"
    """An attempt is under way; ask again."""


class PaymentAway(Unavailable):
    """Payment could not be asked, or did not answer as agreed. The order stays as it is."""

    code, title = "payment-away", "Payment away"


class ClosingAnswer(BaseModel):
    """Payment's word about one order."""

    status: Closing
    outcome: str | None = None
    """The signed outcome, if the order is paid."""


@dataclass(frozen=True, slots=True)
class PaymentDesk:
    """The way to payment."""

    session: aiohttp.ClientSession
    url: str
    """Base URL, without a slash at the end."""
    signer: TokenSigner

    async def close(self, order: OrderId) -> ClosingAnswer:
        """Ask payment to close the order. Raises PaymentAway."""
        request = self.signer.sign("order-close+jwt", {"order": order}, _REQUEST_TTL)
        try:
            async with self.session.post(
                f"{self.url}/internal/orders/close", json={"request": request}, timeout=_TIMEOUT, raise_for_status=True
            ) as answer:
                return ClosingAnswer.model_validate_json(await answer.read())
        except (aiohttp.ClientError, OSError, ValidationError) as error:
            raise PaymentAway(f"Order {order} was not closed: {type(error).__name__}: {error}") from error
