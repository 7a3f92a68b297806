"""Merkle trees over SHA-256, as in Certificate Transparency (RFC 9162, section 2.1; the tree of RFC 6962).

A leaf and an inner node are hashed with different first bytes, so that neither can be passed off as the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import starmap

HASH_BYTES = 32
EMPTY_ROOT = sha256().digest()
"""Root of a tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """Hash of the leaf that stands for ``data``."""
    return sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of the node above two hashes."""
    return sha256(b"\1" + left + right).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes."""
    level = leaves
    while len(level) > 1:
        level = _next_level(level)
    return level[0] if level else EMPTY_ROOT


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes, from the leaf upwards, that lead from leaf ``index`` (from 0) to the root.

    Raises IndexError if there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of {len(leaves)}")
    path = []
    level = leaves
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level, index = _next_level(level), index // 2
    return path


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that ``path`` proves for the leaf hash at ``index`` of ``size`` (RFC 9162, section 2.1.3.2).

    Raises ValueError if the path does not have the length such a proof has.
    """
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} among {size}")
    at, last = index, size - 1
    root = leaf
    for sibling in path:
        if last == 0:
            raise ValueError("the path is too long")
        if at & 1 or at == last:
            root = node_hash(sibling, root)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        at, last = at >> 1, last >> 1
    if last != 0:
        raise ValueError("the path is too short")
    return root


def _next_level(level: Sequence[bytes]) -> list[bytes]:
    """The nodes above; the last one of an odd number is carried up as it is."""
    above = list(starmap(node_hash, zip(level[::2], level[1::2], strict=False)))
    if len(level) % 2:
        above.append(level[-1])
    return above
