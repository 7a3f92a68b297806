"""What only the simulator has, /__sim: the ledger that tests believe, the fault switches, and the webhooks' console."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

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


class WebhookConsole(BaseModel):
    """What the developer centre would be told. ``secondsPerMinute``: pace of the retry schedule."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    url: str | None
    seconds_per_minute: Annotated[float, Field(ge=0.001, le=60)] = 60.0


@routes.get("/__sim/webhooks")
async def show_webhooks(request: web.Request) -> web.Response:
    """Where they go, and what became of each."""
    return _webhooks(request.app[SIMULATOR])


@routes.post("/__sim/webhooks")
async def set_webhooks(request: web.Request) -> web.Response:
    """Where they go from now on; ``{"url": null}``: nowhere."""
    simulator = request.app[SIMULATOR]
    try:
        console = WebhookConsole.model_validate_json(await request.read())
    except ValidationError as error:
        return web.Response(status=422, text=error.json(include_url=False), content_type="application/json")
    simulator.webhooks.url, simulator.webhooks.minute = console.url, console.seconds_per_minute
    return _webhooks(simulator)


@routes.post("/__sim/webhooks/send")
async def send_webhook(request: web.Request) -> web.Response:
    """Send any JSON object as if it were an event, e.g. a documented example."""
    return web.json_response({"id": request.app[SIMULATOR].webhooks.send(await request.json())})


@routes.post("/__sim/webhooks/{transmission_id}/resend")
async def resend_webhook(request: web.Request) -> web.Response:
    """Send once more by hand, which ends its retries."""
    try:
        request.app[SIMULATOR].webhooks.resend(request.match_info["transmission_id"])
    except LookupError:
        return web.Response(status=404)
    return web.Response(status=202)


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


def _webhooks(simulator: Simulator) -> web.Response:
    webhooks = simulator.webhooks
    rows = [
        {
            "id": each.transmission_id,
            "about": each.about,
            "state": each.state,
            "retried": each.retried,
            "answers": each.answers,
        }
        for each in webhooks.log
    ]
    return web.json_response({"url": webhooks.url, "secondsPerMinute": webhooks.minute, "transmissions": rows})


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
