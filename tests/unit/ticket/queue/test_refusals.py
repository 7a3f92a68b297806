"""The OpenAPI document tells of the problems that the line answers with."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI

from tiketi_services.ticket.orders.routes import router as orders
from tiketi_services.ticket.queue.gates.work import LONGEST_NONCE
from tiketi_services.ticket.queue.routes import router as queue

_LINE = "/events/{namespace}/{name}/queue/{line}/"


@pytest.fixture(scope="module")
def paths() -> dict[str, Any]:
    app = FastAPI()
    app.include_router(queue)
    app.include_router(orders)
    found: dict[str, Any] = app.openapi()["paths"]
    return found


def codes(response: dict[str, Any]) -> set[str]:
    schema = response["content"]["application/problem+json"]["schema"]
    return set(schema["properties"]["code"]["enum"])


@pytest.mark.parametrize("action", ["join", "claim", "heartbeat", "leave"])
def test_every_route_tells_its_problems_and_when_to_come_back(paths: dict[str, Any], action: str) -> None:
    responses = paths[_LINE + action]["post"]["responses"]
    assert {"200", "204"} & set(responses)
    assert codes(responses["401"]) == {"unauthenticated", "invalid-token"}
    assert "foreign-receipt" in codes(responses["403"])
    assert "rate-limited" in codes(responses["429"])
    assert "queue-recovering" in codes(responses["503"])
    for status in ("429", "503"):
        assert "Retry-After" in responses[status]["headers"]
    for status in set(responses) - {"200", "204"}:
        assert all(f"`{code}`: " in responses[status]["description"] for code in codes(responses[status]))


def test_joining_tells_of_work_and_how_it_is_done(paths: dict[str, Any]) -> None:
    join = paths[_LINE + "join"]["post"]
    needed = join["responses"]["428"]["content"]["application/problem+json"]["schema"]
    assert {"challenge", "bits", "expiresAt"} <= set(needed["required"])
    told = " ".join(join["description"].split())
    assert "SHA-256(challenge + nonce), both as UTF-8 text, begins with `bits` zero bits" in told
    assert {"email-not-verified", "code-needed", "wrong-code"} <= codes(join["responses"]["403"])
    assert "too-many-codes" in codes(join["responses"]["429"])
    conflicts = {"queue-not-open", "queue-closed", "sale-closed", "event-cancelled", "already-admitted"}
    assert conflicts == codes(join["responses"]["409"])


def test_a_nonce_may_be_as_long_as_the_document_says(paths: dict[str, Any]) -> None:
    join = paths[_LINE + "join"]["post"]
    body = join["requestBody"]["content"]["application/json"]["schema"]
    proof = next(kind for kind in body["properties"]["proof"]["anyOf"] if kind["type"] == "object")
    assert proof["properties"]["nonce"]["maxLength"] == LONGEST_NONCE
    assert f"{LONGEST_NONCE} characters" in join["description"]


@pytest.mark.parametrize(("action", "header"), [("orders", "Idempotency-Key"), ("holds", "Tiketi-Pass")])
def test_a_header_that_is_needed_is_told_to_be(paths: dict[str, Any], action: str, header: str) -> None:
    (told,) = [
        parameter
        for parameter in paths["/events/{namespace}/{name}/" + action]["post"]["parameters"]
        if parameter["name"].lower() == header.lower()
    ]
    assert (told["in"], told["required"]) == ("header", True)
