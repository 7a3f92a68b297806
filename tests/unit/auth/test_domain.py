"""Addresses, names, passwords, roles."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiketi_services.auth.domain import (
    RoleGrant,
    check_name,
    check_namespace,
    check_password,
    check_role,
    normalise_email,
    roles_claim,
)


@pytest.mark.parametrize(
    "text",
    ["anna@example.com", " Anna@Example.COM\n", "ANNA@EXAMPLE.COM", "ａｎｎａ@example.com", "anna@EXAMPLE.com\t"],
)
def test_all_spellings_of_an_address_are_one(text: str) -> None:
    assert normalise_email(text) == "anna@example.com"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "anna",
        "@example.com",
        "anna@",
        "anna@example",
        "anna@.com",
        "anna@example..com",
        "anna@@example.com",
        "an na@example.com",
        "anna@exa mple.com",
        "anna\0@example.com",
        "anna\ud800@example.com",
        "anna@example.com\0",
        "a" * 65 + "@example.com",
        "a@" + "b" * 260 + ".com",
    ],
)
def test_what_cannot_be_an_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="e-mail address"):
        normalise_email(text)


@given(st.emails())
def test_a_normalised_address_stays_as_it_is(text: str) -> None:
    try:
        once = normalise_email(text)
    except ValueError:  # folding may make it longer than an address may be
        return
    assert normalise_email(once) == once


@pytest.mark.parametrize(
    "text", ["1234567890", "correct horse battery staple", "ㅂㅣㅁㅣㄹㅂㅓㄴㅎㅗ", "x" * 128, " " * 10]
)
def test_a_long_enough_password_is_taken(text: str) -> None:
    check_password(text)


@pytest.mark.parametrize("text", ["", "123456789", "x" * 129, "1234567890\0", "12345\n67890", "123456789\ud800"])
def test_a_password_too_short_too_long_or_with_control_characters_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="10 to 128"):
        check_password(text)


def test_a_password_typed_on_another_system_is_the_same() -> None:
    composed = "비밀번호를잊지마세요"
    decomposed = unicodedata.normalize("NFD", composed)
    assert decomposed != composed
    assert check_password(composed) == check_password(decomposed)


@pytest.mark.parametrize("text", ["", "  ", "x" * 101, "An\0na", "An\nna", "\ud800"])
def test_what_cannot_be_a_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="name"):
        check_name(text)


def test_a_name_is_trimmed() -> None:
    assert check_name("  안나 Anna ") == "안나 Anna"


def test_roles_and_namespaces_are_checked() -> None:
    assert check_role("organiser") == "organiser"
    assert [check_namespace(text) for text in ("arena", "a", "a-1", "*")] == ["arena", "a", "a-1", "*"]
    for text in ("admin", "", "SRE"):
        with pytest.raises(ValueError, match="buyer, organiser, gate, sre"):
            check_role(text)
    for text in ("", "Arena", "-a", "a-", "a.b", "a/b", "a" * 64, "**", "a\n"):
        with pytest.raises(ValueError, match="DNS label"):
            check_namespace(text)


def test_everybody_may_buy() -> None:
    assert roles_claim([]) == [{"role": "buyer", "namespaces": ["*"]}]


def test_a_role_is_claimed_once_with_all_its_namespaces() -> None:
    grants = [RoleGrant("organiser", "b"), RoleGrant("gate", "a"), RoleGrant("organiser", "a"), RoleGrant("buyer", "a")]
    assert roles_claim(grants) == [
        {"role": "buyer", "namespaces": ["*"]},
        {"role": "gate", "namespaces": ["a"]},
        {"role": "organiser", "namespaces": ["a", "b"]},
    ]


def test_everywhere_swallows_single_namespaces() -> None:
    assert roles_claim([RoleGrant("sre", "a"), RoleGrant("sre", "*")])[1] == {"role": "sre", "namespaces": ["*"]}
