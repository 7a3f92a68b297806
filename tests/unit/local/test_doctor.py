"""The doctor says in one line each what is there, what is missing, and how to get it."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from tiketi_local import doctor
from tiketi_local.doctor import Finding


def shown(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> tuple[int, list[str]]:
    def examine() -> Iterator[Finding]:
        yield from findings

    monkeypatch.setattr(doctor, "examine", examine)
    output = io.StringIO()
    code = doctor.show(Console(file=output, soft_wrap=True))
    return code, output.getvalue().splitlines()


def test_a_healthy_machine_gets_one_line_for_each_thing_and_code_0(monkeypatch: pytest.MonkeyPatch) -> None:
    code, lines = shown(monkeypatch, Finding("a", "there"), Finding("b", "there too"))
    assert code == 0
    assert len(lines) == 2


def test_something_missing_gives_the_mend_and_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    code, lines = shown(monkeypatch, Finding("redis-server", "is not installed", "apt-get install redis-server"))
    assert code == 1
    assert lines == ["✗ redis-server     is not installed: apt-get install redis-server"]


def test_without_the_packages_each_one_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiketi_local.process.find_program", lambda *_: None)
    monkeypatch.setattr("tiketi_local.postgres.bin_folder", lambda: None)
    missing = {finding.name: finding.mend for finding in doctor.examine() if finding.mend}
    for package in ("redis-server", "postgresql", "rabbitmq-server"):
        assert missing[package] == f"apt-get install -y --no-install-recommends {package}"
    assert "envoy" in missing


def test_an_unsupported_system_is_named() -> None:
    assert doctor.judge_system("Darwin", "arm64").mend is not None
    assert doctor.judge_system("Linux", "x86_64").mend is None


def test_an_old_python_is_named() -> None:
    assert doctor.judge_python((3, 10, 1)).mend is not None
    assert doctor.judge_python((3, 11, 0)).mend is None


def test_a_full_disk_is_named_with_what_is_wanted() -> None:
    assert "4 GiB" in (doctor.judge_disk(1 * 2**30, 4 * 2**30).mend or "")
    assert doctor.judge_disk(5 * 2**30, 4 * 2**30).mend is None
