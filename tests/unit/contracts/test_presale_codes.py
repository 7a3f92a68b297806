"""What operator and ticket both take a code for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiketi_runtime.contracts.identity import Line, event_id
from tiketi_runtime.contracts.presale_codes import CodeBook, digest_of, normalised

SHOW = event_id("demo", "show")
FANS = Line("fans")
CODES = st.text(min_size=1)


@given(CODES)
def test_a_code_is_the_same_however_it_was_copied(code: str) -> None:
    assert digest_of(SHOW, FANS, f"\t {code} \r\n") == digest_of(SHOW, FANS, code)
    assert normalised(normalised(code)) == normalised(code)


@given(st.lists(CODES, max_size=20))
def test_a_book_reads_back_as_it_was_written(codes: list[str]) -> None:
    book = CodeBook.of(SHOW, FANS, codes)
    assert CodeBook.from_bytes(book.to_bytes()) == book
    assert CodeBook.of(SHOW, FANS, reversed(codes)).version == book.version


def test_capital_letters_event_and_line_all_count() -> None:
    code = "RED-BALLOON"
    others = [
        digest_of(SHOW, FANS, code.lower()),
        digest_of(SHOW, Line("sponsors"), code),
        digest_of(event_id("demo", "other"), FANS, code),
        digest_of(event_id("demo", "show\0fans"), Line(""), code),
    ]
    assert digest_of(SHOW, FANS, code) not in others


@pytest.mark.parametrize("spoil", [lambda stored: stored[:-1], lambda stored: stored + stored[-32:], lambda _: b""])
def test_a_book_that_was_altered_is_noticed(spoil: object) -> None:
    stored = CodeBook.of(SHOW, FANS, ["RED-BALLOON", "BLUE-BALLOON"]).to_bytes()
    assert callable(spoil)
    with pytest.raises(ValueError, match="presale codes"):
        CodeBook.from_bytes(spoil(stored))
