"""What is built once is found again, and only what is of the right version."""

from pathlib import Path

import pytest

from tiketi_local import binaries
from tiketi_local.errors import WorldError


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "go.mod").write_text("module m\n", encoding="utf-8")
    (tmp_path / "go.sum").write_text("", encoding="utf-8")
    return tmp_path


@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return tmp_path


def put_programs(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    for name in binaries.PROGRAMS:
        (folder / name).write_text(f"#!/bin/sh\necho Kubernetes {version}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


def test_the_cache_is_named_by_everything_that_goes_into_the_build(module: Path) -> None:
    before = binaries.fingerprint(module, ["-a"])
    assert binaries.fingerprint(module, ["-a"]) == before
    assert binaries.fingerprint(module, ["-b"]) != before
    (module / "go.sum").write_text("changed\n", encoding="utf-8")
    assert binaries.fingerprint(module, ["-a"]) != before


def test_programs_of_the_right_version_are_taken_from_the_assets_folder(
    empty_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = put_programs(empty_machine / "assets", binaries.VERSION)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    assert binaries.where_found() == assets


def test_programs_of_another_version_are_left_alone(empty_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(put_programs(empty_machine / "bin", "v1.30.0")))
    assert binaries.where_found() is None


def test_the_cache_is_used_when_nothing_else_has_them(empty_machine: Path) -> None:
    assert binaries.where_found() is None
    put_programs(binaries.programs_cache(), binaries.VERSION)
    assert binaries.where_found() == binaries.programs_cache()


async def test_without_go_the_mend_is_named(empty_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiketi_local.process.find_program", lambda *_: None)
    with pytest.raises(WorldError, match="Go is not installed") as error:
        await binaries.programs(lambda _words: None)
    assert "KUBEBUILDER_ASSETS" in error.value.mend


async def test_a_disk_too_full_to_build_is_named(empty_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "BUILD_DISK", 2**60)
    with pytest.raises(WorldError, match="too few to build Kubernetes"):
        await binaries.programs(lambda _words: None)
