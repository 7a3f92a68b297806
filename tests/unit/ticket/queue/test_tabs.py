"""Connections of an account: the oldest makes room."""

from __future__ import annotations

from tiketi_runtime.contracts.identity import BuyerId
from tiketi_services.ticket.queue.push.tabs import Tabs

ANNA, BORIS = BuyerId("anna"), BuyerId("boris")


def test_the_oldest_makes_room_and_is_not_counted_any_more() -> None:
    tabs = Tabs(2)
    assert [tabs.open(ANNA, sid) for sid in ("a", "b", "c", "d")] == [None, None, "a", "b"]


def test_each_account_has_room_of_its_own() -> None:
    tabs = Tabs(1)
    assert (tabs.open(ANNA, "a"), tabs.open(BORIS, "b")) == (None, None)


def test_a_closed_connection_needs_no_room() -> None:
    tabs = Tabs(1)
    tabs.open(ANNA, "a")
    tabs.close(ANNA, "a")
    tabs.close(ANNA, "a")
    assert tabs.open(ANNA, "b") is None


def test_the_end_of_one_that_made_room_takes_none_away() -> None:
    tabs = Tabs(1)
    tabs.open(ANNA, "a")
    assert tabs.open(ANNA, "b") == "a"
    tabs.close(ANNA, "a")
    assert tabs.open(ANNA, "c") == "b"
