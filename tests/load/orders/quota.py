"""Processes that get no more than a part of a core, as pods with a CPU limit do."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

_PERIOD_US: Final = 20_000
_FIRST: Final = Path("/sys/fs/cgroup/cpu")
_SECOND: Final = Path("/sys/fs/cgroup")


@contextmanager
def held_to(cores: float, pids: Sequence[int]) -> Iterator[None]:
    """Each of the processes has ``cores`` for itself until the block ends. Raises OSError where that is not allowed."""
    with ExitStack() as stack:
        for pid in pids:
            stack.enter_context(_quota(cores, pid))
        yield


@contextmanager
def _quota(cores: float, pid: int) -> Iterator[None]:
    is_first = (_FIRST / "cpu.cfs_quota_us").exists() or (_FIRST / "cgroup.procs").exists()
    root = _FIRST if is_first else _SECOND
    home = _home(pid, root, "cpu" if is_first else "")
    group = root / f"tiketi-{secrets.token_hex(4)}"
    group.mkdir()
    try:
        quota = round(cores * _PERIOD_US)
        if is_first:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (group / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        if Path(f"/proc/{pid}").exists():
            (home / "cgroup.procs").write_text(str(pid))
        group.rmdir()


def _home(pid: int, root: Path, controller: str) -> Path:
    """The group that a process is in."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") or not controller:
            return root / path.lstrip("/")
    return root
