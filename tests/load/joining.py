"""Buyers who join over HTTP, for the rows that need them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import chain

import msgspec
from tests.load.load import Reply, request_bytes, send_all
from tests.load.stand import Server, Stand

CONNECTIONS = 256
_IDLE_SECONDS = 2


class Joined(msgspec.Struct):
    """What a row needs of an answer to join."""

    seq: int
    receipt: str


def requests(event: str, action: str, tokens: Sequence[str], bodies: Sequence[bytes] | None = None) -> list[bytes]:
    """One request for each token: ``POST .../queue/public/<action>`` of the event ``demo/<event>``."""
    path = f"/events/demo/{event}/queue/public/{action}"
    return [
        request_bytes("POST", path, token, body)
        for token, body in zip(tokens, bodies or [b""] * len(tokens), strict=True)
    ]


async def verify_tokens(server: Server, event: str, tokens: Sequence[str]) -> None:
    """Let the server see the tokens: it verifies them, and refuses the claims for they bring no receipt."""
    refused = await send_all(
        server.url, requests(event, "claim", tokens, [b"{}"] * len(tokens)), connections=CONNECTIONS
    )
    assert {reply.status for reply in refused} == {422}


async def idle_share(stand: Stand, server: Server) -> float:
    """CPU seconds a second that ticket and Redis use without buyers: serving, sweeping, looking for new sheets.

    It does not grow with joins; on a machine that others use as well it would be counted to joins that had to wait.
    """
    began, before = time.monotonic(), server.cpu() + await stand.redis_cpu()
    await asyncio.sleep(_IDLE_SECONDS)
    return (server.cpu() + await stand.redis_cpu() - before) / (time.monotonic() - began)


async def join_us(stand: Stand, server: Server, joins: Sequence[bytes], idle: float) -> float:
    """CPU (us) of ticket and Redis for one of the joins, beyond their ``idle_share``.

    Raises AssertionError if one is refused.
    """
    began, before = time.monotonic(), server.cpu() + await stand.redis_cpu()
    replies = await send_all(server.url, joins, connections=CONNECTIONS, stays_awake=True)
    spent = server.cpu() + await stand.redis_cpu() - before - idle * (time.monotonic() - began)
    read_joins(replies)
    return spent / len(joins) * 1e6


async def join_everywhere(
    server: Server, joins: Sequence[bytes], *, connections: int, due: Sequence[float] | None = None
) -> list[Reply]:
    """Send the joins to all processes of the server by turns, as a front door would; replies in order."""
    count = len(server.urls)
    shares = await asyncio.gather(
        *(
            send_all(url, joins[index::count], connections=connections, due=None if due is None else due[index::count])
            for index, url in enumerate(server.urls)
        )
    )
    return list(chain.from_iterable(zip(*shares, strict=True)))


def read_joins(replies: Sequence[Reply]) -> list[Joined]:
    """What was answered. Raises AssertionError if a join was refused."""
    refused = [reply for reply in replies if reply.status != 200]
    assert not refused, f"{len(refused)} of {len(replies)} refused: {refused[0]}"
    return [msgspec.json.decode(reply.body, type=Joined) for reply in replies]
