"""A started process is recognised, ended, and never mistaken for another."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

from tiketi_local import process
from tiketi_local.process import Command, Process


def sleeper(folder: Path, *argv: str) -> Process:
    return process.spawn(Command(argv or ("sleep", "60"), folder, folder / "log"))


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 (another process decides)
            await asyncio.sleep(0.01)


async def ended(started: Process) -> None:
    await until(lambda: not process.alive(started))


def said(folder: Path) -> str:
    return (folder / "log").read_text(encoding="utf-8").strip()


def gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or ") Z " in stat.read_text(encoding="utf-8")


async def test_a_process_works_in_its_folder_and_writes_to_its_log(tmp_path: Path) -> None:
    started = sleeper(tmp_path, "sh", "-c", "pwd; echo $0 >&2; test -z \"$HOME\" && echo 'no stray variables'")
    await ended(started)
    assert said(tmp_path).splitlines()[0] == str(tmp_path)
    assert process.last_words(tmp_path / "log", lines=1) == "no stray variables"


async def test_a_process_is_alive_until_it_is_stopped(tmp_path: Path) -> None:
    started = sleeper(tmp_path)
    assert process.alive(started)
    assert process.uptime(started) < 5
    await process.stop(started, signal.SIGTERM, grace=5)
    assert not process.alive(started)


async def test_what_does_not_listen_to_the_first_signal_is_killed(tmp_path: Path) -> None:
    started = sleeper(tmp_path, "sh", "-c", "trap '' TERM; echo up; while true; do sleep 0.05; done")
    await until(lambda: said(tmp_path))
    await process.stop(started, signal.SIGTERM, grace=0.2)
    assert not process.alive(started)


async def test_a_process_with_the_same_id_and_another_start_is_not_ours(tmp_path: Path) -> None:
    started = sleeper(tmp_path)
    other = started.model_copy(update={"started": started.started - 1})
    assert not process.alive(other)
    await process.stop(other, signal.SIGKILL, grace=0)
    assert process.alive(started)
    await process.stop(started, signal.SIGKILL, grace=0)


async def test_children_left_behind_by_a_killed_process_are_found_and_cleared(tmp_path: Path) -> None:
    started = sleeper(tmp_path, "sh", "-c", "sleep 60 & echo $!; wait")
    await until(lambda: said(tmp_path))
    child = int(said(tmp_path))
    os.kill(started.pid, signal.SIGKILL)
    await ended(started)
    assert list(process.members(started, tmp_path)) == [child]
    await process.clear(started, tmp_path, patience=0)
    assert gone(child)


async def test_a_command_that_cannot_be_found_ends_and_says_so(tmp_path: Path) -> None:
    started = sleeper(tmp_path, "no-such-program-at-all")
    await ended(started)
    assert "no-such-program-at-all" in process.last_words(tmp_path / "log")
