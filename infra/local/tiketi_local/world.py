"""The world as an object: bring it up, ask where things are, break parts of it, take it down."""

import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from tiketi_local import process
from tiketi_local.binaries import Say
from tiketi_local.catalogue import GROUPS, catalogue, silently
from tiketi_local.doctor import check_machine
from tiketi_local.errors import WorldError
from tiketi_local.kubernetes import kubeconfig, program
from tiketi_local.part import Part, end, ensure
from tiketi_local.site import CHECKOUT, Site, directory_of, locked
from tiketi_local.steps import Step, run, selected

DEFAULT_NAME = "demo"
"""The world that the Makefile means when nothing else is said."""

Report = Callable[[str, float, str], None]


def silent(_name: str, _seconds: float, _words: str) -> None:
    """A report for callers that show nothing."""


class World:
    """One named world of one checkout."""

    def __init__(self, name: str, checkout: Path) -> None:
        self._name = name
        self._checkout = checkout

    @classmethod
    def named(cls, name: str, checkout: Path = CHECKOUT) -> "World":
        """The world of that name, whether it is up or not."""
        return cls(name, checkout)

    @property
    def name(self) -> str:
        """The world's name."""
        return self._name

    def command(self, target: str) -> str:
        """What to type to have the Makefile do ``target`` with this world."""
        return f"make {target}" if self._name == DEFAULT_NAME else f"make {target} WORLD={self._name}"

    @property
    def site(self) -> Site:
        """Where things are. Raises WorldError when the world is not up."""
        site = Site.find(self._name, self._checkout)
        if site is None:
            raise WorldError(f"there is no world {self._name}", self.command("up"))
        return site

    @property
    def exists(self) -> bool:
        """Whether the world has been brought up (parts may have died since)."""
        return Site.find(self._name, self._checkout) is not None

    async def up(
        self, group: str = "all", report: Report = silent, say: Say = silently, *, waits_for_disk: bool = False
    ) -> None:
        """Have every part of a group running: ``stores``, ``kubernetes`` or ``all``. Fine to call again.

        ``report`` hears of each step that is done, ``say`` of work that takes minutes. A killed process loses nothing
        it has written, whatever the disk has by then: only measurements need a world that ``waits_for_disk``. That is
        settled when the world is made.
        """
        check_machine()
        async with locked(directory_of(self._name, self._checkout)):
            site = Site.find(self._name, self._checkout) or Site.create(
                self._name, self._checkout, waits_for_disk=waits_for_disk
            )
            if not _anything_runs(site):
                site.choose_ports()
            await run(selected(_steps(site, say), GROUPS[group]), report)

    async def down(self, report: Report = silent) -> None:
        """Stop every process of the world and delete its folder. Fine when there is nothing."""
        if not self.exists:
            return
        async with locked(directory_of(self._name, self._checkout)):
            site = Site.find(self._name, self._checkout)
            if site is not None:
                await run(_endings(site), report)
                site.remove()

    def parts(self) -> list[Part]:
        """All parts a world can have."""
        return [item for item in catalogue(self.site) if isinstance(item, Part)]

    def is_running(self, part: str) -> bool:
        """Whether the part's process is there."""
        known = self.site.memory.processes.get(part)
        return known is not None and process.alive(known)

    async def start(self, part: str) -> None:
        """Start one part alone; what it needs must be running."""
        async with locked(self.site.directory):
            site = self.site
            await ensure(site, _part(site, part))

    async def stop(self, part: str) -> None:
        """Stop one part in good order."""
        async with locked(self.site.directory):
            site = self.site
            await end(site, _part(site, part))

    async def restart(self, part: str) -> None:
        """Stop one part in good order and start it again."""
        await self.stop(part)
        await self.start(part)

    def kill(self, part: str, signal_number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a part and leave everything as it then is."""
        known = self.site.memory.processes.get(part)
        if known is None:
            raise WorldError(f"{part} is not running", self.command("up"))
        process.send(known, signal_number)

    def url(self, part: str) -> str:
        """HTTP address of a part; ``front`` is the one origin buyers use."""
        return self.site.http_url(part)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig. Raises WorldError when the world has no API server."""
        path = kubeconfig(self.site)
        if not path.exists():
            mend = self.command("up")
            raise WorldError(f"world {self._name} has no API server", mend)
        return path

    @property
    def kubectl(self) -> Path:
        """A kubectl of the API server's version."""
        return Path(program("kubectl"))

    @property
    def admin_redis_url(self) -> str:
        """Redis with every right."""
        return self.site.redis_url("admin")

    def redis_url(self, user: str) -> str:
        """Redis with a service's rights."""
        return self.site.redis_url(user)

    def database_url(self, service: str) -> str:
        """A service's own database; ``postgres`` is the administrator."""
        return self.site.database_url(service)

    def amqp_url(self, service: str, vhost: str = "tiketi") -> str:
        """RabbitMQ with a service's rights; ``admin`` has all."""
        return self.site.amqp_url(service, vhost)


def _anything_runs(site: Site) -> bool:
    return any(process.alive(known) for known in site.memory.processes.values())


def _steps(site: Site, say: Say = silently) -> list[Step]:
    return [_starting(site, item) if isinstance(item, Part) else item for item in catalogue(site, say)]


def _starting(site: Site, part: Part) -> Step:
    return Step(part.name, lambda: ensure(site, part), part.after)


def _endings(site: Site) -> Sequence[Step]:
    """Steps that stop what is remembered: a part before those it needs."""
    order = selected(_steps(site), GROUPS["all"])
    needed_by: dict[str, list[str]] = {step.name: [] for step in order}
    for step in order:
        for name in step.after:
            needed_by[name].append(step.name)
    parts = {item.name: item for item in catalogue(site) if isinstance(item, Part)}
    return [_ending(site, parts.get(step.name), step.name, tuple(needed_by[step.name])) for step in order]


def _ending(site: Site, part: Part | None, name: str, after: tuple[str, ...]) -> Step:
    async def run_end() -> str:
        return "" if part is None else await end(site, part)

    return Step(name, run_end, after)


def _part(site: Site, name: str) -> Part:
    for item in catalogue(site):
        if isinstance(item, Part) and item.name == name:
            return item
    raise KeyError(name)
