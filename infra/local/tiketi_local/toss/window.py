"""What stands in place of the payment window: a page for people, and the same steps for programs.

The buyer comes from the shop's page, chooses a card, and is sent back to ``successUrl`` with paymentKey, orderId and
amount, or to ``failUrl`` with a code. Nothing is charged here.
"""

from __future__ import annotations

import html
import string
from collections.abc import Mapping
from importlib.resources import files
from urllib.parse import urlencode

from aiohttp import web
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from tiketi_local.toss import cards
from tiketi_local.toss.errors import TossError
from tiketi_local.toss.payment import Payment
from tiketi_local.toss.simulator import SIMULATOR
from tiketi_local.toss.vendor import WindowRequest

_PAGE = string.Template(files(__package__).joinpath("window.html").read_text(encoding="utf-8"))
_TEXTS: TypeAdapter[dict[str, object]] = TypeAdapter(dict[str, object])

routes = web.RouteTableDef()


class OpenBody(BaseModel):
    """What the browser SDK would be told."""

    model_config = ConfigDict(alias_generator=to_camel)

    client_key: str
    order_id: str
    order_name: str
    amount: int
    currency: str = "KRW"
    success_url: str
    fail_url: str


@routes.get("/checkout")
async def open_for_browser(request: web.Request) -> web.Response:
    """The shop's page sends the buyer here with the SDK's values as a query."""
    return _redirect(f"/checkout/{_open(request, request.query).payment_key}")


@routes.post("/checkout")
async def open_for_program(request: web.Request) -> web.Response:
    """The same, answered with ``paymentKey`` and ``payUrl``."""
    payment = _open(request, await _sent(request))
    pay_url = f"{request.scheme}://{request.host}/checkout/{payment.payment_key}/pay"
    return web.json_response({"paymentKey": payment.payment_key, "payUrl": pay_url})


@routes.get("/checkout/{payment_key}")
async def show(request: web.Request) -> web.Response:
    """The window itself."""
    simulator = request.app[SIMULATOR]
    payment = simulator.vendor.look_up(request.match_info["payment_key"], simulator.clock())
    page = _PAGE.substitute(
        key=html.escape(payment.payment_key),
        name=html.escape(payment.order_name),
        amount=f"{payment.amount:,}",
        currency=html.escape(payment.currency),
    )
    return web.Response(text=page, content_type="text/html")


@routes.post("/checkout/{payment_key}/pay")
async def pay(request: web.Request) -> web.Response:
    """The buyer authenticates with a card."""
    simulator = request.app[SIMULATOR]
    try:
        number = cards.digits(str((await _sent(request)).get("card", "")))
    except ValueError:
        raise TossError("INVALID_CARD_NUMBER") from None
    payment = simulator.vendor.authenticate(request.match_info["payment_key"], number, simulator.clock())
    values = {"paymentKey": payment.payment_key, "orderId": payment.order_id, "amount": str(payment.amount)}
    return _redirect(_with_query(payment.success_url, {**values, "paymentType": "NORMAL"}))


@routes.post("/checkout/{payment_key}/cancel")
async def cancel(request: web.Request) -> web.Response:
    """The buyer closes the window: back to the shop, without the order's id."""
    payment = _leave(request)
    values = {"code": "PAY_PROCESS_CANCELED", "message": "사용자에 의해 결제가 취소되었습니다."}
    return _redirect(_with_query(payment.fail_url, values))


@routes.post("/checkout/{payment_key}/decline")
async def decline(request: web.Request) -> web.Response:
    """The card's company refuses to authenticate the buyer."""
    payment = _leave(request)
    values = {"code": "REJECT_CARD_COMPANY", "message": "결제 승인이 거절되었습니다.", "orderId": payment.order_id}
    return _redirect(_with_query(payment.fail_url, values))


def _open(request: web.Request, values: Mapping[str, object]) -> Payment:
    try:
        body = OpenBody.model_validate(dict(values))
    except ValidationError:
        raise TossError("INVALID_REQUEST") from None
    simulator = request.app[SIMULATOR]
    simulator.check_client_key(body.client_key)
    return simulator.vendor.open_window(WindowRequest(**body.model_dump()), simulator.clock())


def _leave(request: web.Request) -> Payment:
    simulator = request.app[SIMULATOR]
    return simulator.vendor.leave(request.match_info["payment_key"], simulator.clock())


async def _sent(request: web.Request) -> Mapping[str, object]:
    """Values of a form or of a JSON object."""
    if request.content_type != "application/json":
        return await request.post()
    try:
        return _TEXTS.validate_json(await request.read())
    except ValidationError:
        raise TossError("INVALID_REQUEST") from None


def _with_query(url: str, values: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(values)}"


def _redirect(location: str) -> web.Response:
    return web.Response(status=303, headers={"location": location})
