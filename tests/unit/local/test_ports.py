"""A world gets a block of ports of its own and keeps clear of others."""

import socket

import pytest

from tiketi_local import ports


def test_the_same_key_begins_with_the_same_block() -> None:
    assert next(ports.blocks("a")) == next(ports.blocks("a"))


def test_every_block_is_tried_once_and_lies_below_the_ephemeral_ports() -> None:
    bases = list(ports.blocks("a"))
    assert len(bases) == len(set(bases)) == (ports.LAST - ports.FIRST) // ports.BLOCK
    assert all(base >= ports.FIRST and base + ports.BLOCK <= 32_768 for base in bases)


def test_a_block_has_room_for_all_names_and_no_two_share_a_port() -> None:
    numbers = [ports.port(20_000, name) for name in ports.NAMES]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) < 20_000 + ports.BLOCK


def test_a_block_that_another_world_remembers_is_left_alone() -> None:
    first = ports.choose("a", taken=())
    assert ports.choose("a", taken={first}) != first


def test_a_block_with_one_listening_port_is_moved_on_from() -> None:
    first = ports.choose("a", taken=())
    with socket.create_server(("127.0.0.1", first + 3)):
        assert not ports.is_free(first + 3)
        assert ports.choose("a", taken=()) != first
    assert ports.is_free(first + 3)


def test_no_block_left_is_said() -> None:
    with pytest.raises(ports.NoFreePorts, match="free ports"):
        ports.choose("a", taken=set(ports.blocks("a")))


def test_an_unknown_name_has_no_port() -> None:
    with pytest.raises(KeyError, match="nonsense"):
        ports.port(20_000, "nonsense")
