"""What only the simulator has, /__sim: the ledger that tests believe, and the fault switches."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from tiketi_local.toss.faults import Faults
from tiketi_local.toss.payment import Payment
from tiketi_local.toss.simulator import SIMULATOR, Simulator

routes = web.RouteTableDef()


@routes.get("/__sim/ledger")
async def ledger(request: web.Request) -> web.Response:
    """All payments, sums, and sums by the merchant's order. Amounts in minor units."""
    simulator = request.app[SIMULATOR]
    return web.json_response(ledger_document(simulator.vendor.payments(simulator.clock())))


@routes.get("/__sim/faults")
async def show_faults(request: web.Request) -> web.Response:
    """The switches as they stand."""
    return _faults(request.app[SIMULATOR])


@routes.post("/__sim/faults")
async def set_faults(request: web.Request) -> web.Response:
    """Replace all switches; ``{}`` switches everything off."""
    simulator = request.app[SIMULATOR]
    try:
        simulator.faults = Faults.model_validate_json(await request.read())
    except ValidationError as error:
        return web.Response(status=422, text=error.json(include_url=False), content_type="application/json")
    return _faults(simulator)


@routes.get("/healthz")
async def healthz(_: web.Request) -> web.Response:
    """Whether the simulator answers."""
    return web.Response(text="ok")


def ledger_document(payments: list[Payment]) -> dict[str, Any]:
    """The ledger: what was charged and what was given back."""
    orders: dict[str, dict[str, int]] = defaultdict(lambda: {"charged": 0, "cancelled": 0})
    for payment in payments:
        orders[payment.order_id]["charged"] += payment.charged
        orders[payment.order_id]["cancelled"] += payment.cancelled
    charged = sum(payment.charged for payment in payments)
    cancelled = sum(payment.cancelled for payment in payments)
    return {
        "totals": {"charged": charged, "cancelled": cancelled, "kept": charged - cancelled},
        "orders": orders,
        "payments": [_entry(payment) for payment in payments],
    }


def _faults(simulator: Simulator) -> web.Response:
    return web.json_response(simulator.faults.model_dump(by_alias=True))


def _entry(payment: Payment) -> dict[str, Any]:
    return {
        "paymentKey": payment.payment_key,
        "orderId": payment.order_id,
        "status": payment.status.value,
        "currency": payment.currency,
        "totalAmount": payment.amount,
        "balanceAmount": payment.balance,
        "charged": payment.charged,
        "cancelled": payment.cancelled,
        "requestedAt": payment.requested_at.isoformat(),
        "approvedAt": payment.approved_at.isoformat() if payment.approved_at else None,
    }
