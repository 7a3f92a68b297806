"""Attempts on what is another's, or is nothing: refused alike, nothing changed, the log names nobody."""

from __future__ import annotations

import logging
from uuid import uuid4

import pytest
from tests.integration.payment.shop import Answer
from tests.integration.refunds.house import House

BUYER, THIEF = "77777777-0000-4000-8000-000000000000", "88888888-0000-4000-8000-000000000000"


async def test_anothers_order_is_answered_as_one_that_never_was(house: House, caplog: pytest.LogCaptureFixture) -> None:
    order = await house.buy("paid", buyer=BUYER)
    for method, path, body in (
        ("GET", "/orders/{}", None),
        ("POST", "/orders/{}/cancel", None),
        ("POST", "/orders/{}/refunds", {"all": True}),
        ("GET", "/payments/orders/{}", None),
    ):
        caplog.clear()
        with caplog.at_level(logging.INFO, "tiketi_runtime.edge"):
            foreign = await house.send(method, path.format(order["order"]), THIEF, body)
        none = await house.send(method, path.format(uuid4()), THIEF, body)
        assert foreign.status == 404
        assert foreign == none, "no hint"
        (line,) = [record for record in caplog.records if record.message == "refused"]
        assert (vars(line)["code"], vars(line)["status"]) == (foreign.code, 404)
        assert vars(line)["route"] == path.format("{order}")
        said = " ".join(map(str, vars(line).values()))
        assert THIEF not in said
        assert BUYER not in said
    assert await house.look(order) == order
    assert (await house.send("GET", "/me/tickets", THIEF)).body == {"tickets": []}


async def test_anothers_hold_is_answered_as_one_that_never_was(house: House) -> None:
    joined = await house.service.join("demo/show", BUYER)
    claimed = await house.service.claim_until_admitted("demo/show", BUYER, joined.body["receipt"])
    wish = {"section": "A", "quantity": 1}
    held = await house.service.post("/events/demo/show/holds", BUYER, wish, **{"tiketi-pass": claimed.body["pass"]})
    assert held.status == 201
    path = "/events/demo/show"
    for method, end in (("POST", "/extend"), ("DELETE", "")):
        answers = [
            await house.send(method, f"{path}/holds/{hold}{end}", THIEF) for hold in (held.body["hold"], uuid4())
        ]
        assert _told(answers[0]) == _told(answers[1])
    orders = [
        await house.send("POST", f"{path}/orders", THIEF, {"hold": str(hold)}) for hold in (held.body["hold"], uuid4())
    ]
    assert orders[0].status >= 400
    assert _told(orders[0]) == _told(orders[1])
    mine = await house.send("GET", f"{path}/holds", BUYER)
    assert [hold["hold"] for hold in mine.body["holds"]] == [held.body["hold"]]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"eventType": 5}', b"\xff", b'"' + b"x" * 17_000 + b'"', b'{"a":' * 3000]
)
async def test_a_webhook_of_nonsense_is_refused_and_not_kept(house: House, body: bytes) -> None:
    async with house.service.http.post(f"{house.payment_url}/payments/webhooks", data=body) as answer:
        document = await answer.json(content_type="application/problem+json")
    expected = (413, "body-too-large") if len(body) > 16 * 1024 else (400, "malformed-webhook")
    assert (answer.status, document["code"]) == expected


def _told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.code
