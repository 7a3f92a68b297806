"""What is remembered about a world between two commands: folder, ports, seed of its passwords, processes."""

import asyncio
import fcntl
import hashlib
import hmac
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import BaseModel, ValidationError

from tiketi_local import ports
from tiketi_local.errors import WorldError
from tiketi_local.process import Process

CHECKOUT = Path(__file__).resolve().parents[3]
"""Root of the source tree this package runs from."""

_LOCK_POLL = 0.2
"""Seconds between two tries to get the world's lock."""


class Memory(BaseModel):
    """The content of ``world.json``."""

    name: str
    checkout: Path
    base_port: int
    seed: str
    waits_for_disk: bool = False
    """Whether PostgreSQL and Redis wait until the disk has what they say is written."""
    processes: dict[str, Process] = {}


class Site:
    """Where one world lives. Everything here is cheap: no process is started or asked."""

    def __init__(self, directory: Path, memory: Memory) -> None:
        self.directory = directory
        self.memory = memory

    @classmethod
    def find(cls, name: str, checkout: Path = CHECKOUT) -> "Site | None":
        """The world's site if it has one on this machine."""
        return cls._load(directory_of(name, checkout))

    @classmethod
    def _load(cls, directory: Path) -> "Site | None":
        try:
            text = (directory / "world.json").read_text(encoding="utf-8")
            return cls(directory, Memory.model_validate_json(text))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            mend = f"remove the folder {directory} if no process works in it"
            raise WorldError(f"{directory}/world.json cannot be read ({error.error_count()} faults)", mend) from error

    @classmethod
    def create(cls, name: str, checkout: Path = CHECKOUT, *, waits_for_disk: bool = False) -> "Site":
        """A new site with ports and passwords of its own."""
        directory = directory_of(name, checkout)
        _make_private(directory)
        _empty(directory)
        memory = Memory(
            name=name, checkout=checkout, base_port=0, seed=secrets.token_hex(16), waits_for_disk=waits_for_disk
        )
        site = cls(directory, memory)
        site.choose_ports()
        return site

    def choose_ports(self) -> None:
        """Take a free block of ports that no other world of ours remembers; only while nothing runs."""
        others = {other.memory.base_port for other in _sites() if other.directory != self.directory}
        try:
            self.memory.base_port = ports.choose(str(self.directory), others)
        except ports.NoFreePorts as error:
            raise WorldError(str(error), "take other worlds down") from error
        self.save()

    def save(self) -> None:
        """Write ``world.json`` so that a reader sees the old or the new content, never half."""
        fresh = self.directory / "world.json.new"
        fresh.touch(mode=0o600)
        fresh.write_text(self.memory.model_dump_json(indent=2), encoding="utf-8")
        fresh.replace(self.directory / "world.json")

    def remove(self) -> None:
        """Delete the folder and everything in it."""
        shutil.rmtree(self.directory)

    @property
    def name(self) -> str:
        """The world's name."""
        return self.memory.name

    def port(self, name: str) -> int:
        """Port number of a part."""
        return ports.port(self.memory.base_port, name)

    def secret(self, name: str) -> str:
        """Password called ``name``: the same for as long as the world lives, of this world only."""
        return hmac.new(self.memory.seed.encode(), name.encode(), hashlib.sha256).hexdigest()[:32]

    def folder(self, part: str) -> Path:
        """A part's own folder, made if it is missing."""
        path = self.directory / part
        path.mkdir(mode=0o711, exist_ok=True)
        return path

    def log(self, part: str) -> Path:
        """Where a part's output goes."""
        return self.folder("logs") / f"{part}.log"

    def redis_url(self, user: str) -> str:
        """Redis as ``admin``, ``operator``, ``ticket``, ``stats`` or ``auth``."""
        return f"redis://{user}:{self.secret('redis/' + user)}@127.0.0.1:{self.port('redis')}/0"

    def database_url(self, role: str, database: str | None = None) -> str:
        """PostgreSQL as ``role`` (``postgres`` is the admin); its own database unless another is named."""
        address = f"127.0.0.1:{self.port('postgres')}"
        return f"postgresql://{role}:{self.secret('postgres/' + role)}@{address}/{database or role}"

    def amqp_url(self, user: str, vhost: str = "tiketi") -> str:
        """RabbitMQ as ``admin``, ``ticket``, ``payment``, ``stats`` or ``auth``."""
        return f"amqp://{user}:{self.secret('rabbitmq/' + user)}@127.0.0.1:{self.port('rabbitmq')}/{vhost}"

    def http_url(self, part: str) -> str:
        """A part's own HTTP address (``front`` is what buyers use)."""
        return f"http://127.0.0.1:{self.port(part)}"


def directory_of(name: str, checkout: Path) -> Path:
    """State folder of a world: the same for the same user, checkout and name."""
    mark = hashlib.sha256(str(checkout).encode()).hexdigest()[:8]
    return Path(tempfile.gettempdir()) / f"tiketi-{os.getuid()}-{name}-{mark}"


def _make_private(directory: Path) -> None:
    """Make the folder; refuse one that somebody else has put there."""
    directory.mkdir(mode=0o711, exist_ok=True)
    if directory.is_symlink() or directory.stat().st_uid != os.getuid():
        raise WorldError(f"{directory} belongs to another user", "set TMPDIR to a folder of your own")


def _empty(directory: Path) -> None:
    """Delete what an interrupted ``down`` has left: without its memory nobody knows the passwords of that data."""
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _sites() -> list[Site]:
    found = []
    for path in Path(tempfile.gettempdir()).glob(f"tiketi-{os.getuid()}-*/world.json"):
        site = Site._load(path.parent)
        if site is not None:
            found.append(site)
    return found


@asynccontextmanager
async def locked(directory: Path) -> AsyncIterator[None]:
    """Hold the world for this command: one ``up`` or ``down`` at a time; others wait.

    The lock is on the folder itself, so it leaves no file and ends with its process.
    """
    while True:
        _make_private(directory)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            while not _try_lock(descriptor):  # noqa: ASYNC110 (another process holds it)
                await asyncio.sleep(_LOCK_POLL)
            if _is_still(directory, descriptor):
                yield
                return
        finally:
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(directory: Path, descriptor: int) -> bool:
    """Whether the folder we locked is the one that is there now (a ``down`` may have removed it)."""
    try:
        return os.path.samestat(directory.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
