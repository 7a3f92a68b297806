"""Processes that outlive the command which started them: spawn, recognise, stop.

A process is known by its id *and* its start time, so that an id the kernel has given to somebody else is
never signalled. Linux only: everything is read from /proc.
"""

import asyncio
import os
import pwd
import resource
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

POLL = 0.03
"""Seconds between two looks at a process that is about to end."""

MOST_FILES = 65_536
"""Files and connections a part may have open, where the machine's own limit allows it."""

_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ")
"""All a part sees of the caller's environment: a stray variable must not change a world."""


class Process(BaseModel, frozen=True):
    """One started process, as remembered in the world's state."""

    pid: int
    started: int
    """Clock ticks between boot and start: the other half of the process's identity."""
    program: str
    """File name of what was started."""


@dataclass(frozen=True)
class User:
    """An account that a store runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Command:
    """What to run, where, as whom."""

    argv: Sequence[str]
    directory: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    user: User | None = None
    """None: as the caller."""


def store_user(*names: str) -> User | None:
    """Account for a store: the first of ``names`` that exists, else nobody; None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in (*names, "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise LookupError("the system has no account called nobody")


def own(path: Path, user: User | None) -> None:
    """Give ``path`` itself (not what is in it) to ``user``."""
    if user is not None:
        os.chown(path, user.uid, user.gid)


def _as_user(argv: Sequence[str], user: User | None) -> list[str]:
    if user is None:
        return list(argv)
    return ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups", "--", *argv]


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Environment of a part: a few inherited names and what the part asks for."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**kept, **extra}


async def run(command: Command) -> None:
    """Run a short command to its end, output to its log. Raises ChildProcessError when it fails."""
    with command.log.open("ab") as log:
        child = await asyncio.create_subprocess_exec(
            *_as_user(command.argv, command.user),
            cwd=command.directory,
            env=child_environment(command.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        code = await child.wait()
    if code != 0:
        raise ChildProcessError(f"{Path(command.argv[0]).name} ended with {code}: {last_words(command.log)}")


def spawn(command: Command) -> Process:
    """Start a process in a session of its own that goes on when this one ends."""
    _allow_many_files()
    # env and setpriv replace themselves by the program, so the id stays the program's own.
    argv = ["env", f"--chdir={command.directory}", *_as_user(command.argv, command.user)]
    log_flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    # What it leaves in its temporary folder, keys among it, goes with the world.
    temporary = {"TMPDIR": str(command.directory)}
    pid = os.posix_spawnp(
        argv[0],
        argv,
        child_environment({**temporary, **command.environment}),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(command.log), log_flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGINT],
    )
    return Process(pid=pid, started=_stat(pid).started, program=Path(command.argv[0]).name)


def _allow_many_files() -> None:
    """Raise our own limit of open files, which children inherit: a crowd is thousands of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@dataclass(frozen=True)
class _Stat:
    name: str
    state: str
    session: int
    started: int


def _stat(pid: int) -> _Stat:
    """Raises OSError when there is no such process."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    head, _, tail = text.rpartition(")")  # the name may hold spaces and brackets itself
    fields = tail.split()
    return _Stat(name=head.partition("(")[2], state=fields[0], session=int(fields[3]), started=int(fields[19]))


def alive(process: Process) -> bool:
    """Whether exactly this process still runs. A child of ours that has ended is reaped on the way."""
    try:
        stat = _stat(process.pid)
    except OSError:
        return False
    if stat.started != process.started:
        return False
    if stat.state in "ZX":
        _reap(process.pid)
        return False
    return True


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # somebody else's child: its parent reaps it


def uptime(process: Process) -> float:
    """Seconds since the process was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - process.started / os.sysconf("SC_CLK_TCK")


def send(process: Process, signal_number: int) -> None:
    """Signal the process if it still runs."""
    if alive(process):
        os.kill(process.pid, signal_number)


async def stop(process: Process, first: signal.Signals, grace: float) -> None:
    """Ask with ``first``, wait ``grace`` seconds, then kill."""
    send(process, first)
    deadline = time.monotonic() + grace
    while alive(process):
        if time.monotonic() > deadline:
            send(process, signal.SIGKILL)
        await asyncio.sleep(POLL)


def members(process: Process, directory: Path) -> Iterator[int]:
    """Ids of the process and of what it left behind, also after its own end.

    Counted in: the rest of its session, and the same program at work inside ``directory`` (PostgreSQL's
    children open sessions of their own).
    """
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _belongs(int(entry.name), process, directory):
            yield int(entry.name)


def _belongs(pid: int, process: Process, directory: Path) -> bool:
    try:
        stat = _stat(pid)
        if stat.state in "ZX" or stat.started < process.started:
            return False
        if stat.session == process.pid:
            return True
        working_in = Path(f"/proc/{pid}/cwd").readlink()
    except OSError:  # gone meanwhile, or somebody else's
        return False
    return stat.name == process.program and working_in.is_relative_to(directory)


async def clear(process: Process, directory: Path, patience: float = 5.0) -> None:
    """Wait until nothing of an ended process is left; what stays longer than ``patience`` seconds is killed."""
    deadline = time.monotonic() + patience
    while left := list(members(process, directory)):
        if time.monotonic() > deadline:
            for pid in left:
                _kill(pid)
        await asyncio.sleep(POLL)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended by itself meanwhile


def memory(pids: Iterator[int]) -> int:
    """Bytes the processes hold together, shared pages counted once."""
    return sum(_proportional_size(pid) for pid in pids)


def _proportional_size(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def last_words(log: Path, lines: int = 3) -> str:
    """The end of a log, on one line."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return " | ".join(line.strip() for line in text.splitlines()[-lines:]) or "it said nothing"


def find_program(name: str, *folders: str) -> Path | None:
    """A program from ``folders``, else from PATH or /usr/sbin; None if there is none."""
    path = os.pathsep.join([*folders, os.environ.get("PATH", os.defpath), "/usr/sbin"])
    found = shutil.which(name, path=path)
    return Path(found) if found else None
