"""Codes as organisers write them into a Secret."""

from __future__ import annotations

import pytest

from tiketi_operator.codes import UnreadCodes, codes_in
from tiketi_runtime.contracts.presale_codes import LONGEST, MOST

WHERE = "Key codes of Secret fan-codes"


def test_each_line_is_a_code_and_what_is_around_it_does_not_count() -> None:
    assert codes_in("RED-BALLOON\r\n\n  blue-balloon \n", WHERE) == ["RED-BALLOON", "blue-balloon"]


def test_a_code_may_be_of_any_script() -> None:
    assert codes_in("우리들의첫콘서트", WHERE) == ["우리들의첫콘서트"]


@pytest.mark.parametrize("code", ["SEVEN-7", "x" * (LONGEST + 1)])
def test_a_code_too_short_or_too_long_is_named_by_its_line_and_never_shown(code: str) -> None:
    with pytest.raises(UnreadCodes) as refused:
        codes_in(f"LONG-ENOUGH\n\n{code}\n", WHERE)
    assert refused.value.reason == "PresaleCodeLength"
    assert "line 3" in refused.value.message
    assert code not in refused.value.message


@pytest.mark.parametrize("text", ["", "\n \n\t\n"])
def test_a_presale_without_a_single_code_is_a_mistake(text: str) -> None:
    with pytest.raises(UnreadCodes, match="no code"):
        codes_in(text, WHERE)


def test_more_codes_than_are_taken_is_told_of() -> None:
    text = "\n".join(f"{number:08}" for number in range(MOST))
    assert len(codes_in(text, WHERE)) == MOST
    with pytest.raises(UnreadCodes, match="100001"):
        codes_in(f"{text}\nONE-TOO-MANY", WHERE)
