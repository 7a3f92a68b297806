"""The address a request came from, however much the client says about it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from starlette.types import Scope

from tiketi_runtime.web import client_address

PEER = "10.0.0.7"


def scope(*forwarded: str, client: tuple[str, int] | None = (PEER, 1234)) -> Scope:
    """A request with these X-Forwarded-For headers."""
    return {
        "type": "http",
        "client": client,
        "headers": [(b"host", b"x"), *((b"x-forwarded-for", value.encode("latin-1")) for value in forwarded)],
    }


@pytest.mark.parametrize(
    ("hops", "forwarded", "address"),
    [
        (0, [], PEER),
        (0, ["203.0.113.9"], PEER),
        (1, ["203.0.113.9"], "203.0.113.9"),
        (1, ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        (1, ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        (1, ["1.1.1.1, 2.2.2.2, 3.3.3.3,203.0.113.9"], "203.0.113.9"),
        (2, ["1.1.1.1, 203.0.113.9, 10.0.0.1"], "203.0.113.9"),
        (2, ["1.1.1.1", "203.0.113.9, 10.0.0.1"], "203.0.113.9"),
        (2, ["203.0.113.9"], PEER),
        (1, [], PEER),
        (1, [""], PEER),
        (1, ["unknown"], PEER),
        (1, ["1.1.1.1, nonsense"], PEER),
        (1, ["1.1.1.1, \xff"], PEER),
        (1, ["203.0.113.9:4711"], "203.0.113.9"),
        (1, ["2001:db8::1"], "2001:db8::1"),
        (1, ["[2001:db8::1]:4711"], "2001:db8::1"),
        (1, ["::ffff:203.0.113.9"], "203.0.113.9"),
        (1, ["fe80::1%eth0"], "fe80::1"),
    ],
)
def test_only_what_our_own_proxies_wrote_is_believed(hops: int, forwarded: list[str], address: str) -> None:
    assert client_address(scope(*forwarded), hops) == ip_address(address)


def test_a_caller_without_an_address_has_none() -> None:
    assert client_address(scope(client=None), 0) is None
    assert client_address(scope(client=("a-unix-socket", 0)), 0) is None
