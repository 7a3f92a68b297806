"""The line over HTTP: everything a caller can do wrong, and what is answered."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.integration.ticket.queue.service import Service

from tiketi_runtime.security import Mac, TokenSigner

SHOW = "/events/demo/show"


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        ("demo/later", 409, "queue-not-open"),
        ("demo/over", 409, "sale-closed"),
        ("demo/draining", 409, "queue-closed"),
        ("demo/rejecting", 409, "queue-closed"),
        ("demo/nothing", 404, "unknown-event"),
        ("other/show", 404, "unknown-event"),
    ],
)
async def test_a_join_that_cannot_be_is_refused_with_its_reason(
    service: Service, event: str, status: int, code: str
) -> None:
    answer = await service.join(event, "anna")
    assert (answer.status, answer.body["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_account_without_a_verified_address_gets_no_new_place_but_keeps_one_it_has(service: Service) -> None:
    path = f"{service.url}{SHOW}/queue/public/join"
    headers = {"authorization": f"Bearer {service.token('unproved', email_verified=False)}"}
    async with service.http.post(path, headers=headers) as refused:
        assert (refused.status, (await refused.json(content_type=None))["code"]) == (403, "email-not-verified")
    seq = (await service.join("demo/show", "unproved")).body["seq"]
    async with service.http.post(path, headers=headers) as again:
        assert (again.status, (await again.json())["seq"]) == (200, seq)


async def test_a_join_before_the_lead_in_says_when_to_come_back(service: Service) -> None:
    answer = await service.join("demo/later", "anna")
    assert answer.body["opensAt"].endswith("Z")
    assert int(answer.headers["retry-after"]) >= 1


async def test_an_unknown_line_is_refused(service: Service) -> None:
    answer = await service.join("demo/show", "anna", line="vip")
    assert (answer.status, answer.body["code"]) == (404, "unknown-line")
    assert (await service.get(SHOW + "/queue/vip/state")).status == 404


async def test_nobody_joins_unnamed_or_with_an_expired_or_foreign_token(service: Service) -> None:
    stranger = TokenSigner(Ed25519PrivateKey.generate(), "tiketi-auth")
    for token in ("", "x.y.z", service.token("anna", timedelta(minutes=-5)), stranger.sign("at+jwt", {}, timedelta(1))):
        answer = await service.post(SHOW + "/queue/public/join", authorization=f"Bearer {token}")
        assert answer.status == 401
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_receipt_opens_nothing_for_another_buyer_event_or_line(service: Service) -> None:
    receipt = (await service.join("demo/show", "owner")).body["receipt"]
    for action in ("claim", "heartbeat", "leave"):
        stolen = await service.post(f"{SHOW}/queue/public/{action}", "thief", {"receipt": receipt})
        assert (stolen.status, stolen.body["code"]) == (403, "foreign-receipt")
        elsewhere = await service.post(f"/events/demo/small/queue/public/{action}", "owner", {"receipt": receipt})
        assert (elsewhere.status, elsewhere.body["code"]) == (403, "foreign-receipt")


async def test_a_forged_receipt_or_a_pass_in_its_place_is_refused(service: Service) -> None:
    receipt = (await service.join("demo/show", "forger")).body["receipt"]
    turn = await service.claim_until_admitted("demo/show", "forger", receipt)
    own_key = Mac("k1", {"k1": bytes(32)}).seal("place-receipt", {"event": "demo/show"})
    for word in (receipt[:-2] + "AA", turn.body["pass"], own_key, "x", "k1..", "é"):
        answer = await service.post(SHOW + "/queue/public/claim", "forger", {"receipt": word})
        assert (answer.status, answer.body["code"]) == (401, "invalid-token"), word


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"", 422),
        (b'{"receipt": "\xff"}', 400),
        (b"{}", 422),
        (b"[]", 422),
        (b'{"receipt": 5}', 422),
        (b'{"receipt": ""}', 422),
        (b'{"receipt": "' + b"x" * 3000 + b'"}', 422),
        (b'{"receipt": "' + b"x" * 70_000 + b'"}', 413),
    ],
)
async def test_a_body_that_makes_no_sense_is_a_problem_and_never_a_500(
    service: Service, body: bytes, status: int
) -> None:
    headers = {"authorization": f"Bearer {service.token('anna')}", "content-type": "application/json"}
    async with service.http.post(f"{service.url}{SHOW}/queue/public/claim", data=body, headers=headers) as answer:
        assert answer.status == status
        assert (await answer.json(content_type=None))["code"]


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"receipt": 5}', b'{"receipt": ""}', b'{"proof": {}}', b'{"proof": {"challenge": "x"}}', b"\xff"],
)
async def test_a_join_with_a_body_that_makes_no_sense_is_a_problem(service: Service, body: bytes) -> None:
    headers = {"authorization": f"Bearer {service.token('anna')}"}
    async with service.http.post(f"{service.url}{SHOW}/queue/public/join", data=body, headers=headers) as answer:
        assert answer.status in (400, 422)
        assert (await answer.json(content_type=None))["code"] in ("malformed-json", "invalid-request")


async def test_who_went_silent_or_left_is_told_that_the_place_is_kept(service: Service) -> None:
    body = {"receipt": (await service.join("demo/small", "wavering")).body["receipt"]}
    await service.post("/events/demo/small/queue/public/leave", "wavering", body)
    for action in ("claim", "heartbeat"):
        gone = await service.post(f"/events/demo/small/queue/public/{action}", "wavering", body)
        assert (gone.status, gone.body["code"]) == (409, "not-in-line")
        assert "Your place is kept; join again to wait." in gone.body["detail"]
