"""Bad usage is one line and exit code 2."""

import pytest

from tiketi_local.__main__ import parse


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
