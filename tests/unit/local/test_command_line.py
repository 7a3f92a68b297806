"""Bad usage is one line and exit code 2."""

import pytest

from tiketi_local.__main__ import main, parse


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "required"),
        (["rise"], "invalid choice: 'rise'"),
        (["up", "--only", "everything"], "invalid choice: 'everything'"),
        (["up", "--world", "My World"], "no world's name"),
        (["up", "--world", "../etc"], "no world's name"),
        (["demo", "--buyers", "0"], "whole number"),
        (["demo", "--buyers", "many"], "whole number"),
        (["run"], "required"),
        (["run", "redis", "--", "redis-cli"], "invalid choice: 'redis'"),
        (["run", "auth"], "name a command: run auth -- tiketi-auth --help"),
        (["run", "auth", "--"], "name a command"),
    ],
)
def test_bad_usage(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(words)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1


def test_the_world_comes_from_the_environment_when_it_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKETI_WORLD", "from-env")
    assert parse(["up"]).world.name == "from-env"
    assert parse(["up", "--world", "given"]).world.name == "given"
    monkeypatch.delenv("TIKETI_WORLD")
    assert parse(["up"]).world.name == "demo"


@pytest.mark.parametrize("dashes", [["--"], []])
def test_the_words_of_a_command_are_its_own(dashes: list[str]) -> None:
    words = ["tiketi-auth", "grant", "sora@example.com", "gate", "--namespace", "demo"]
    arguments = parse(["run", "--world", "given", "auth", *dashes, *words])
    assert (arguments.world.name, arguments.part, arguments.words) == ("given", "auth", words)


def test_a_command_beside_no_world_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--world", "never-was", "auth", "--", "tiketi-auth", "roles"]) == 2
    assert capsys.readouterr().err == "tiketi_local run: there is no world never-was; make up WORLD=never-was\n"
