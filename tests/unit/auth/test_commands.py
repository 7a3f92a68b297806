"""The command line, as far as it touches nothing."""

from __future__ import annotations

import pytest

from tiketi_services.auth.commands import parse


def test_no_command_means_serve() -> None:
    assert parse([]).command is None


def test_a_grant_is_read() -> None:
    arguments = parse(["grant", "Anna@Example.com", "organiser", "--namespace", "arena"])
    assert vars(arguments) == {
        "command": "grant",
        "email": "anna@example.com",
        "role": "organiser",
        "namespace": "arena",
    }


def test_the_roles_of_one_account_or_of_all_are_listed() -> None:
    assert parse(["roles"]).email is None
    assert parse(["roles", "Anna@Example.com"]).email == "anna@example.com"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["give"], "give"),
        (["grant"], "EMAIL"),
        (["grant", "anna", "sre", "--namespace", "*"], "e-mail address"),
        (["grant", "anna@example.com", "king", "--namespace", "*"], "buyer, organiser, gate, sre"),
        (["grant", "anna@example.com", "sre", "--namespace", "Not A Namespace"], "DNS label"),
        (["grant", "anna@example.com", "sre", "arena"], "--namespace"),
        (["revoke", "anna@example.com", "sre"], "--namespace"),
        (["roles", "anna"], "e-mail address"),
        (["roles", "anna@example.com", "more"], "more"),
        (["--port=1"], "--port"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_one_line(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(argv)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("tiketi-auth")
    assert says in err
