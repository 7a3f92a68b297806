"""The mail that asks to verify an address, and the page its link leads to."""

from __future__ import annotations

from datetime import timedelta

from tiketi_services.auth.letters import verification_text
from tiketi_services.auth.verification_page import PAGE, PAGE_HEADERS

TEXT = verification_text("https://tickets.example.com", "k.token.tag", timedelta(hours=6))


def test_the_mail_has_one_link_with_the_token_where_no_server_sees_it() -> None:
    links = [word for word in TEXT.split() if "://" in word]
    assert links == ["https://tickets.example.com/auth/verify-email#k.token.tag"]


def test_the_mail_says_in_both_languages_how_long_the_link_works() -> None:
    assert "6시간" in TEXT
    assert "6 hours" in TEXT


def test_the_page_loads_nothing_and_runs_only_its_own_script() -> None:
    assert "src=" not in PAGE
    assert "http:" not in PAGE
    assert "https:" not in PAGE
    policy = PAGE_HEADERS["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
