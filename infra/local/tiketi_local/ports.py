"""Which TCP ports a world listens on: one block of neighbours, found once and remembered."""

import hashlib
import socket
from collections.abc import Collection, Iterator

FIRST, LAST = 20_000, 32_000
"""Blocks lie in this range: above the well-known ports, below the kernel's ephemeral ones (32768)."""
BLOCK = 32
"""Ports in a block."""

NAMES = (
    "front",
    "front-admin",
    "auth",
    "ticket",
    "payment",
    "stats",
    "operator",
    "toss",
    "redis",
    "postgres",
    "rabbitmq",
    "rabbitmq-node",
    "epmd",
    "etcd",
    "etcd-peer",
    "kube-apiserver",
    "kube-controller-manager",
    "mail",
    "smtp",
    "beacon",
)
"""Port number = base of the block + place in this list."""
_OFFSETS = {name: offset for offset, name in enumerate(NAMES)}


class NoFreePorts(Exception):
    """Every block has a port that is taken."""


def port(base: int, name: str) -> int:
    """Number of a named port in the block at ``base``. Raises KeyError for an unknown name."""
    return base + _OFFSETS[name]


def blocks(key: str) -> Iterator[int]:
    """Bases of all blocks, beginning where ``key`` hashes to, so that worlds rarely meet."""
    count = (LAST - FIRST) // BLOCK
    start = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) % count
    for step in range(count):
        yield FIRST + (start + step) % count * BLOCK


def is_free(number: int) -> bool:
    """Whether nobody listens on the port, on any address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger do not count
        try:
            probe.bind(("", number))
        except OSError:
            return False
    return True


def choose(key: str, taken: Collection[int]) -> int:
    """Base of the first block from ``key``'s on that is not in ``taken`` and free to the last port.

    Raises NoFreePorts when there is none.
    """
    for base in blocks(key):
        if base not in taken and all(is_free(base + offset) for offset in range(len(NAMES))):
            return base
    raise NoFreePorts(f"no block of {BLOCK} free ports between {FIRST} and {LAST}")
