"""Things that are really there, written into a document as the values to try."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from tests.integration.refunds.house import House
from tests.integration.ticket.tickets.gates import role

Json = dict[str, Any]
QUEUE: Final[Json] = {"queue": {"totalActiveUsers": 1000}}
SALES: Final[dict[str, Json]] = {
    "show": QUEUE,
    "paid": QUEUE,
    "unpaid": QUEUE,
    "over": {**QUEUE, "opens_in": timedelta(hours=-2)},
}
BUYER: Final = "99999999-0000-4000-8000-000000000000"
ROLES: Final = [*role("gate"), *role("organiser")]


def bearer(house: House, buyer: str = BUYER) -> str:
    """Of somebody who may do everything that a token allows."""
    return f"Bearer {house.service.token(buyer, timedelta(hours=1), roles=ROLES)}"


async def known_values(house: House) -> Json:
    """Parameters and fields by name, with values of things that are there: one's own, another's, and none's."""
    mine, other = await house.buy("paid", buyer=BUYER), await house.buy("paid")
    unpaid = await house.order("unpaid", BUYER, 1)
    joined = await house.service.join("demo/show", BUYER)
    claimed = await house.service.claim_until_admitted("demo/show", BUYER, joined.body["receipt"])
    wish = {"section": "A", "quantity": 1}
    held = await house.service.post("/events/demo/show/holds", BUYER, wish, **{"tiketi-pass": claimed.body["pass"]})
    assert held.status == 201, held.body
    attempt = await house.send("POST", "/payments/attempts", BUYER, {"intent": unpaid["intent"]})
    return {
        "namespace": ["demo", "none"],
        "name": [*SALES, "nothing"],
        "line": ["public", "none"],
        "order": [mine["order"], other["order"], unpaid["order"], str(uuid4())],
        "hold": [held.body["hold"], str(uuid4())],
        "Tiketi-Pass": [claimed.body["pass"]],
        "receipt": [joined.body["receipt"]],
        "intent": [unpaid["intent"]],
        "orderId": [attempt.body["vendorOrderId"]],
        "section": ["A"],
        "code": [await house.code(mine, mine["tickets"][0]["ticket"])],
    }


def with_values(document: Json, values: Json) -> str:
    """The document, with what is there as examples; of the answers that it promises nothing is changed."""
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] in values:
                    found = values[parameter["name"]]
                    parameter["examples"] = {str(number): {"value": each} for number, each in enumerate(found)}
                    if parameter["in"] == "path":  # made-up names alone would lead nowhere
                        parameter["schema"] = {"anyOf": [{"enum": found}, parameter["schema"]]}
    for schema in document["components"]["schemas"].values():
        _add_examples(schema, values)
    return json.dumps(document)


def _add_examples(schema: Json, values: Json) -> None:
    for name, field in schema.get("properties", {}).items():
        if name in values and "$ref" not in field and field.get("type") == "string":
            field["examples"] = values[name]
