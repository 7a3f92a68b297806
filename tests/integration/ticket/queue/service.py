"""The ticket service as buyers meet it: HTTP and live connections."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import socketio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tiketi_runtime.redis import Redis
from tiketi_runtime.security import TokenSigner
from tiketi_services.ticket.queue.push.sockets import NAMESPACE
from tiketi_services.ticket.settings import TicketSettings

PATIENCE = 30
"""Seconds to wait for what must happen: a limit for what never does, never a measure of what takes long."""


@dataclass
class Answer:
    status: int
    body: Any
    headers: Any


@dataclass
class Service:
    """A running service, and the keys to speak with it."""

    url: str
    http: aiohttp.ClientSession
    redis: Redis
    auth: TokenSigner

    def token(self, buyer: str, ttl: timedelta = timedelta(minutes=5), **claims: Any) -> str:
        """As auth signs it, of an account with a verified e-mail address unless ``claims`` say otherwise."""
        content = {"sub": buyer, "roles": [{"role": "buyer", "namespaces": ["*"]}], "email_verified": True}
        return self.auth.sign("at+jwt", {**content, **claims}, ttl)

    async def get(self, path: str, **headers: str) -> Answer:
        async with self.http.get(self.url + path, headers=headers) as answer:
            return await _read(answer)

    async def post(self, path: str, buyer: str | None = None, body: Any = None, **headers: str) -> Answer:
        if buyer is not None:
            headers["authorization"] = f"Bearer {self.token(buyer)}"
        while True:
            async with self.http.post(self.url + path, json=body, headers=headers) as answer:
                read = await _read(answer)
            if not path.endswith("/holds") or read.status != 503 or read.body.get("code") != "unavailable":
                return read
            await asyncio.sleep(0.1)  # more came at once than the entrance lets in

    async def until_served(self, name: str, epoch: int = 1) -> None:
        """Wait until the public line of ``demo/<name>`` answers: its memory in Redis was built, ``epoch`` times."""
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = await self.get(f"/events/demo/{name}/queue/public/state")
                if answer.status == 200 and answer.body["epoch"] >= epoch:
                    return
                await asyncio.sleep(0.05)

    async def join(self, event: str, buyer: str, line: str = "public") -> Answer:
        return await self.post(f"/events/{event}/queue/{line}/join", buyer)

    async def credentials(self, event: str, buyer: str, ttl: timedelta = timedelta(minutes=5)) -> dict[str, Any]:
        """Join, and what a page of the buyer's then connects with."""
        joined = await self.join(event, buyer)
        return {"line": "public", "token": self.token(buyer, ttl), "receipt": joined.body["receipt"]}

    def live_url(self, event: str) -> str:
        """Where a websocket of the event's is opened."""
        return f"{self.url.replace('http', 'ws', 1)}/events/{event}/live/?EIO=4&transport=websocket"

    async def claim_until_admitted(self, event: str, buyer: str, receipt: str) -> Answer:
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = await self.post(f"/events/{event}/queue/public/claim", buyer, {"receipt": receipt})
                if answer.body.get("status") not in ("waiting", "next"):
                    return answer
                await asyncio.sleep(0.1)


async def _read(answer: aiohttp.ClientResponse) -> Answer:
    text = await answer.text()
    return Answer(answer.status, json.loads(text) if text else None, answer.headers)


@dataclass
class Page:
    """A buyer's open page."""

    socket: socketio.AsyncClient = field(
        default_factory=lambda: socketio.AsyncClient(reconnection=False, logger=False, engineio_logger=False)
    )
    states: list[dict[str, Any]] = field(default_factory=list)
    places: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self, service: Service, event: str, auth: object, **headers: str) -> None:
        """Connect. Raises socketio.exceptions.ConnectionError when refused; ``refusals`` says why."""
        self.socket.on("state", self._on_state, namespace=NAMESPACE)
        self.socket.on("place", self._on_place, namespace=NAMESPACE)
        self.socket.on("connect_error", self._on_refusal, namespace=NAMESPACE)
        await self.socket.connect(
            service.url,
            socketio_path=f"/events/{event}/live/",
            transports=["websocket"],
            namespaces=[NAMESPACE],
            auth=auth,
            headers=headers,
            wait_timeout=PATIENCE,
        )

    async def close(self) -> None:
        await self.socket.disconnect()
        if self.socket.eio.http is not None:
            await self.socket.eio.http.close()

    async def next_state(self, after: int = 0) -> dict[str, Any]:
        """The first state beyond the first ``after`` ones."""
        async with asyncio.timeout(PATIENCE):
            while len(self.states) <= after:
                self._news.clear()
                await self._news.wait()
        return self.states[after]

    async def _on_state(self, state: dict[str, Any]) -> None:
        self.states.append(state)
        self._news.set()

    async def next_place(self, after: int = 0) -> dict[str, Any]:
        """The first place beyond the first ``after`` ones."""
        async with asyncio.timeout(PATIENCE):
            while len(self.places) <= after:
                self._news.clear()
                await self._news.wait()
        return self.places[after]

    async def until_state(self, is_met: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first state, of those heard already and those to come, that is as asked for."""
        heard = 0
        while not is_met(state := await self.next_state(heard)):
            heard += 1
        return state

    async def _on_place(self, place: dict[str, Any]) -> None:
        self.places.append(place)
        self._news.set()

    async def _on_refusal(self, refusal: dict[str, Any]) -> None:
        self.refusals.append(refusal)


def write_keys(folder: Path, auth: TokenSigner) -> dict[str, Any]:
    """Key files as the platform mounts them; the settings that name them."""
    key = Ed25519PrivateKey.generate()
    (folder / "signing.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "queue.json").write_text(
        json.dumps({"current": "k1", "keys": {"k1": base64.b64encode(bytes(range(32))).decode()}})
    )
    (folder / "draw.key").write_bytes(bytes(range(32)))
    (folder / "auth-jwks.json").write_text(json.dumps(auth.jwks()))
    return {
        "signing_key_file": folder / "signing.pem",
        "queue_keys_file": folder / "queue.json",
        "draw_key_file": folder / "draw.key",
        "auth_jwks_url": f"file://{folder}/auth-jwks.json",
        "payment_jwks_url": f"file://{folder}/auth-jwks.json",
        "payment_url": "http://127.0.0.1:9",
    }


def settings_for(folder: Path, auth: TokenSigner, **changes: Any) -> TicketSettings:
    """Settings of a service in a hurry."""
    return TicketSettings(
        **{
            "sheet_interval": timedelta(milliseconds=50),
            "state_interval": timedelta(milliseconds=200),
            "serve_interval": timedelta(milliseconds=50),
            "record_interval": timedelta(milliseconds=50),
            "connect_deadline": timedelta(seconds=3),
            **write_keys(folder, auth),
            **changes,
        }
    )
