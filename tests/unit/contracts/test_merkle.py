"""Trees against the vectors of Certificate Transparency's reference implementation (RFC 6962, RFC 9162)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiketi_runtime.contracts.merkle import EMPTY_ROOT, inclusion_path, leaf_hash, node_hash, root_from_path, root_of

INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
LEAVES = [leaf_hash(bytes.fromhex(data)) for data in INPUTS]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATHS = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_the_published_vectors(size: int) -> None:
    assert root_of(LEAVES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), PATHS)
def test_paths_are_those_of_the_published_vectors(index: int, size: int) -> None:
    assert [node.hex() for node in inclusion_path(LEAVES[:size], index)] == PATHS[index, size]


@given(st.integers(1, 70), st.data())
def test_every_leaf_has_a_path_to_the_root(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_path(leaves, index)
    assert root_from_path(leaves[index], index, size, path) == root_of(leaves)


@given(st.integers(2, 70), st.data())
def test_no_path_proves_a_leaf_at_another_index(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1).filter(lambda number: number != index))
    path = inclusion_path(leaves, index)
    try:
        proven = root_from_path(leaves[index], other, size, path)
    except ValueError:
        return  # a path of that length proves nothing at that index
    assert proven != root_of(leaves)


def test_a_path_of_the_wrong_length_is_refused() -> None:
    path = inclusion_path(LEAVES, 3)
    with pytest.raises(ValueError, match="too short"):
        root_from_path(LEAVES[3], 3, 8, path[:-1])
    with pytest.raises(ValueError, match="too long"):
        root_from_path(LEAVES[3], 3, 8, [*path, EMPTY_ROOT])
    with pytest.raises(ValueError, match="no leaf 8 among 8"):
        root_from_path(LEAVES[3], 8, 8, path)


def test_there_is_no_path_for_a_leaf_that_does_not_exist() -> None:
    for index in (-1, 8):
        with pytest.raises(IndexError):
            inclusion_path(LEAVES, index)


def test_a_node_is_never_taken_for_a_leaf() -> None:
    """Without different first bytes, a tree over two nodes would have the root of the tree over their leaves."""
    left, right = LEAVES[:2]
    assert leaf_hash(left + right) != node_hash(left, right)
