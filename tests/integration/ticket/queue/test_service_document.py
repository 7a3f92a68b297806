"""The OpenAPI document of the line: its routes read bodies by themselves, so what it says is checked here."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.ticket.queue.service import Service

from tiketi_services.ticket.queue.schemas import JoinView, StateView

SHOW = "/events/demo/show"


async def _documented(service: Service, action: str) -> dict[str, Any]:
    document = (await service.get("/openapi.json")).body
    (operation,) = document["paths"]["/events/{namespace}/{name}/queue/{line}/" + action].values()
    return {**operation, "schemas": document["components"]["schemas"]}


def _properties(operation: dict[str, Any], view: str) -> set[str]:
    return set(operation["schemas"][view]["properties"])


@pytest.mark.parametrize("action", ["join", "claim", "heartbeat", "leave"])
async def test_what_the_document_says_of_a_body_is_what_the_route_takes(service: Service, action: str) -> None:
    operation = await _documented(service, action)
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert names == {"namespace", "name", "line", "Authorization"}
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    path = f"{SHOW}/queue/public/{action}"
    lacking = await service.post(path, "documented", {})
    assert (lacking.status == 422) is bool(schema["required"]), lacking.body
    for name, allowed in schema["properties"].items():
        text = next(kind for kind in allowed.get("anyOf", [allowed]) if kind["type"] != "null")
        wrong: list[object] = [5, [], True]
        if text["type"] == "string":
            wrong += ["x" * (text["maxLength"] + 1)] + [""] * (text.get("minLength", 0) > 0)
        for value in wrong:
            answer = await service.post(path, "documented", {"receipt": "some", name: value})
            assert (answer.status, answer.body["code"]) == (422, "invalid-request"), (name, value)
            assert name in answer.body["detail"]
        if text["type"] == "string":
            longest = await service.post(path, "documented", {"receipt": "some", name: "x" * text["maxLength"]})
            assert longest.status == 401, "it was read, and then found to be no receipt"


@pytest.mark.parametrize("action", ["claim", "heartbeat", "leave"])
async def test_a_body_left_out_is_told_as_the_receipt_that_is_missing(service: Service, action: str) -> None:
    answer = await service.post(f"{SHOW}/queue/public/{action}", "bodiless")
    assert (answer.status, answer.body["code"]) == (422, "invalid-request")
    assert answer.body["detail"].startswith("receipt: ")


async def test_what_the_document_says_of_a_refusal_is_how_it_is_refused(service: Service) -> None:
    token = {"receipt": (await service.join("demo/show", "documenter")).body["receipt"]}
    refused = {
        "join": [
            await service.post(SHOW + "/queue/public/join", authorization="Bearer x"),
            await service.join("demo/later", "anna"),
            await service.join("demo/nothing", "anna"),
            await service.join("demo/show", "anna", line="vip"),
        ],
        "claim": [
            await service.post(SHOW + "/queue/public/claim", "thief", token),
            await service.post(SHOW + "/queue/public/claim", "thief"),
        ],
        "heartbeat": [await service.post(SHOW + "/queue/public/heartbeat", "thief", token)],
        "leave": [await service.post(SHOW + "/queue/public/leave", "thief", {"receipt": "forged"})],
    }
    for action, answers in refused.items():
        responses = (await _documented(service, action))["responses"]
        for answer in answers:
            told = responses[str(answer.status)]
            schema = told["content"][answer.headers["content-type"]]["schema"]
            assert answer.body["code"] in schema["properties"]["code"]["enum"], (action, answer.body)
            assert set(schema["required"]) <= set(answer.body)
            assert ("retry-after" not in answer.headers) or "Retry-After" in told["headers"]


async def test_what_the_document_says_of_answers_is_what_is_answered(service: Service) -> None:
    joined = await service.join("demo/small", "answered")
    join = await _documented(service, "join")
    assert set(joined.body) == _properties(join, "JoinView")
    assert set(joined.body["state"]) == _properties(join, "StateView")
    state = await service.get("/events/demo/small/queue/public/state")
    assert set(state.body) == _properties(join, "StateView") - {"group", "ahead", "alive"}
    StateView.model_validate(state.body)
    JoinView.model_validate(joined.body)
    body = {"receipt": joined.body["receipt"]}
    turn = await service.post("/events/demo/small/queue/public/claim", "answered", body)
    claim = await _documented(service, "claim")
    view = "AdmittedView" if turn.body["status"] == "admitted" else "WaitingView"
    assert set(turn.body) == _properties(claim, view)
    assert {parameter["name"] for parameter in (await _documented(service, "state"))["parameters"]} >= {"group"}
