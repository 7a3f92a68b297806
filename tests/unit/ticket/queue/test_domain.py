"""What a sale sheet means for a line, and what receipts and passes say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.sale_sheets import sale_sheet

from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, Line, Seq, event_id
from tiketi_runtime.contracts.sale_sheet import LineSheet, SaleSheet
from tiketi_runtime.errors import InvalidToken
from tiketi_runtime.security import Mac
from tiketi_services.ticket.queue.domain import (
    ForeignReceipt,
    Receipt,
    UnknownLine,
    find_line,
    from_ms,
    next_change,
    to_ms,
)
from tiketi_services.ticket.queue.proofs import Proofs
from tiketi_services.ticket.queue.terms import UNLIMITED, may_serve, may_wait, terms_of

OPENS = datetime(2027, 1, 10, 11, 0, tzinfo=UTC)
SHOW = event_id("demo", "show")
ANNA = BuyerId("anna")


def a_sale(**changes: Any) -> SaleSheet:
    """A presale of one section, then the public sale of both."""
    fields: dict[str, Any] = {
        "lines": [
            _line("vip", OPENS - timedelta(hours=2), OPENS - timedelta(hours=1), ["VIP"]),
            _line("public", OPENS, OPENS + timedelta(hours=1), ["VIP", "A"]),
        ],
        "sections": [
            {"name": "VIP", "price": 150_000, "rows": 2, "seatsPerRow": 5},
            {"name": "A", "price": 99_000, "capacity": 100},
        ],
        **changes,
    }
    numbers = {"totalActiveUsers": 5, "newUsersPerMinute": 30, "claimWindow": timedelta(seconds=90)}
    return sale_sheet(SHOW, OPENS, **{**fields, "queue": {**numbers, **changes.get("queue", {})}})


def _line(name: str, opens_at: datetime, closes_at: datetime, sections: list[str]) -> dict[str, Any]:
    return {"name": name, "opensAt": opens_at, "closesAt": closes_at, "sections": sections}


def the_line(sale: SaleSheet, name: str = "public") -> LineSheet:
    return find_line(sale, name)


def test_terms_count_in_milliseconds() -> None:
    terms = terms_of(a_sale(), the_line(a_sale()))
    assert (terms.opens, terms.closes) == (to_ms(OPENS), to_ms(OPENS) + 3_600_000)
    assert (terms.session, terms.ghost_timeout, terms.claim_window) == (600_000, 30_000, 90_000)


def test_a_lines_stock_is_what_its_sections_hold() -> None:
    sale = a_sale()
    assert terms_of(sale, the_line(sale, "vip")).stock == 10
    assert terms_of(sale, the_line(sale)).stock == 110


def test_a_line_without_named_sections_sells_all() -> None:
    sale = a_sale(lines=[_line("public", OPENS, OPENS + timedelta(hours=1), [])])
    assert terms_of(sale, the_line(sale)).sections == ("VIP", "A")


def test_every_line_shares_the_slots_of_the_event() -> None:
    sale = a_sale()
    assert terms_of(sale, the_line(sale)).lines == (Line("vip"), PUBLIC)


def test_buyers_may_line_up_from_the_prequeue_else_from_arming() -> None:
    assert terms_of(a_sale(), the_line(a_sale())).joins_from == to_ms(OPENS - timedelta(minutes=15))
    gathering = a_sale(prequeueAt=OPENS - timedelta(minutes=30))
    assert terms_of(gathering, the_line(gathering)).joins_from == to_ms(OPENS - timedelta(minutes=30))


def test_passthrough_knows_no_slots_and_no_rate() -> None:
    sale = a_sale(queue={"method": "passthrough"})
    terms = terms_of(sale, the_line(sale))
    assert (terms.slots, terms.per_minute) == (UNLIMITED, UNLIMITED)


@pytest.mark.parametrize(
    ("changes", "takes_new"),
    [
        ({}, True),
        ({"admission": "Paused"}, True),
        ({"admission": "Drain"}, False),
        ({"queue": {"method": "reject"}}, False),
    ],
)
def test_who_may_join_is_the_organisers_choice(changes: dict[str, Any], takes_new: bool) -> None:
    sale = a_sale(**changes)
    assert terms_of(sale, the_line(sale)).takes_new is takes_new


def test_an_unknown_line_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownLine, match="vip, public"):
        find_line(a_sale(), "gold")


def test_a_line_whose_order_is_drawn_says_when() -> None:
    sale = a_sale(lines=[{**_line("public", OPENS, OPENS + timedelta(hours=1), []), "drawAt": OPENS}])
    assert terms_of(sale, the_line(sale)).draw_at == to_ms(OPENS)
    assert terms_of(a_sale(), the_line(a_sale())).draw_at == 0


def test_pods_begin_a_little_early_so_that_the_scripts_decide() -> None:
    sale = a_sale()
    line = the_line(sale)
    assert may_serve(line, OPENS - timedelta(seconds=5))
    assert not may_serve(line, OPENS - timedelta(minutes=5))
    assert may_wait(sale, line, OPENS - timedelta(minutes=5))
    assert not may_wait(sale, line, OPENS + timedelta(hours=2))


def test_the_next_change_is_the_next_boundary_and_none_after_the_last() -> None:
    sale = a_sale()
    assert next_change(sale, OPENS - timedelta(minutes=1)) == OPENS
    assert next_change(sale, OPENS) == OPENS + timedelta(hours=1)
    assert next_change(sale, OPENS + timedelta(hours=1)) is None


def test_a_receipt_reads_back_as_it_was_sealed() -> None:
    proofs = Proofs(Mac("k1", {"k1": bytes(range(32))}))
    receipt = Receipt(SHOW, PUBLIC, 1, Seq(4), ANNA, "nonce", to_ms(OPENS))
    drawn = Receipt(SHOW, PUBLIC, 1, Seq(4), ANNA, "nonce", to_ms(OPENS), "c0ffee")
    assert [proofs.open_receipt(proofs.receipt(each)) for each in (receipt, drawn)] == [receipt, drawn]


def test_a_sealed_word_of_another_shape_is_no_receipt_and_no_pass() -> None:
    mac = Mac("k1", {"k1": bytes(range(32))})
    with pytest.raises(InvalidToken):
        Proofs(mac).open_receipt(mac.seal("place-receipt", {"event": SHOW}))
    with pytest.raises(InvalidToken):
        Proofs(mac).open_pass(mac.seal("admission-pass", {"event": SHOW}))


@pytest.mark.parametrize(
    ("event", "line", "buyer"),
    [(SHOW, "public", "boris"), (SHOW, "vip", "anna"), (event_id("demo", "other"), "public", "anna")],
)
def test_a_receipt_serves_only_its_buyer_in_its_line(event: Any, line: str, buyer: str) -> None:
    with pytest.raises(ForeignReceipt):
        Receipt(SHOW, PUBLIC, 1, Seq(4), ANNA, "nonce", 0).check(event, line, buyer)


def test_milliseconds_and_instants_are_the_same_time() -> None:
    assert from_ms(to_ms(OPENS)) == OPENS
