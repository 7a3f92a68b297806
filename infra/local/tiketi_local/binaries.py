"""Programs and files that come from public Go modules: found on the machine, else made once and cached.

Kubernetes and etcd are built from ``infra/local/binaries/kubernetes``; Istio's CRDs are copied out of the module in
``infra/local/binaries/istio-api``; toxiproxy, which the fault tests put between services and stores, is built from
``infra/local/binaries/toxiproxy``. What is cached is named by a hash of everything that went into it.
"""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tiketi_local import process
from tiketi_local.errors import WorldError
from tiketi_local.site import CHECKOUT, locked

VERSION = "v1.34.4"
"""Kubernetes, every program of it."""
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kubectl", "etcd")
BUILD_DISK = 6 * 2**30
"""Free bytes the build wants: 1 GB of modules, 3 GB of build cache, the programs."""

_MODULES = CHECKOUT / "infra" / "local" / "binaries"
_STAMP = "k8s.io/component-base/version"
_LDFLAGS = f"-s -w -X {_STAMP}.gitVersion={VERSION} -X {_STAMP}.gitMajor=1 -X {_STAMP}.gitMinor=34"
_BUILD_FLAGS = ("-trimpath", "-buildvcs=false", f"-ldflags={_LDFLAGS}")
_PLAIN_FLAGS = ("-trimpath", "-buildvcs=false", "-ldflags=-s -w")
_CRDS = Path("kubernetes") / "customresourcedefinitions.gen.yaml"

Say = Callable[[str], None]


def cache() -> Path:
    """Where made files are kept: outside the tree, shared by all checkouts of a user."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "tiketi" / "bin"


def fingerprint(module: Path, flags: Sequence[str]) -> str:
    """Name for what is made from a Go module with these flags."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((module / name).read_bytes())
    digest.update("\0".join(flags).encode())
    return digest.hexdigest()[:16]


def programs_cache() -> Path:
    """The folder with the built programs, there or not."""
    return cache() / fingerprint(_MODULES / "kubernetes", _BUILD_FLAGS)


def where_found() -> Path | None:
    """A folder that holds all programs of the right version: KUBEBUILDER_ASSETS, PATH, or the cache."""
    folders = [os.environ.get("KUBEBUILDER_ASSETS", ""), *os.environ.get("PATH", "").split(os.pathsep)]
    for folder in map(Path, filter(None, folders)):
        if all(os.access(folder / name, os.X_OK) for name in PROGRAMS) and _is_right_version(folder):
            return folder
    return programs_cache() if programs_cache().is_dir() else None


def _is_right_version(folder: Path) -> bool:
    answer = subprocess.run([folder / "kube-apiserver", "--version"], capture_output=True, text=True, check=False)
    return VERSION in answer.stdout


async def programs(say: Say) -> Path:
    """Folder with kube-apiserver, kube-controller-manager, kubectl and etcd; built now if need be."""
    found = await asyncio.to_thread(where_found)
    if found is not None:
        return found
    cache().mkdir(parents=True, exist_ok=True)
    async with locked(cache()):  # one builder at a time; the others find its work
        if not programs_cache().is_dir():
            await _build(programs_cache(), say)
    return programs_cache()


async def _build(target: Path, say: Say) -> None:
    _check_disk(cache())
    log = target.with_suffix(".log")
    fresh = target.with_suffix(".new")
    if fresh.exists():
        await asyncio.to_thread(shutil.rmtree, fresh)
    fresh.mkdir()
    say(f"building Kubernetes {VERSION} and etcd, once: about 5 minutes on 2 cores (log: {log})")
    began = time.monotonic()
    await _go_build(_MODULES / "kubernetes", _BUILD_FLAGS, fresh, log)
    (fresh / "server").rename(fresh / "etcd")  # go names it after the last word of its package
    fresh.rename(target)
    say(f"built after {time.monotonic() - began:.0f} s")


async def _go_build(module: Path, flags: Sequence[str], folder: Path, log: Path) -> None:
    """Build the tools of a module into ``folder``. Raises WorldError."""
    argv = [_go(), "build", *flags, "-o", f"{folder}{os.sep}", "tool"]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    with log.open("wb") as output:
        child = await asyncio.create_subprocess_exec(*argv, cwd=module, env=environment, stdout=output, stderr=output)
        try:
            code = await child.wait()
        except asyncio.CancelledError:
            child.send_signal(signal.SIGINT)  # go then ends its compilers too
            await child.wait()
            raise
    if code != 0:
        raise WorldError(f"building {module.name} failed: {process.last_words(log)}", f"see {log}")


def _check_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < BUILD_DISK:
        mend = f"free {BUILD_DISK / 2**30:.0f} GiB, or set XDG_CACHE_HOME to a larger disk"
        raise WorldError(f"only {free / 2**30:.1f} GiB are free in {folder}, too few to build Kubernetes", mend)


def _go() -> str:
    found = process.find_program("go")
    if found is None:
        mend = f"install Go 1.24 or newer, or set KUBEBUILDER_ASSETS to a folder with Kubernetes {VERSION}"
        raise WorldError("Go is not installed and Kubernetes has to be built", mend)
    return str(found)


async def toxiproxy(say: Say) -> Path:
    """The program toxiproxy-server; built now (seconds) if it was not built before."""
    target = cache() / f"toxiproxy-{fingerprint(_MODULES / 'toxiproxy', _PLAIN_FLAGS)}"
    cache().mkdir(parents=True, exist_ok=True)
    async with locked(cache()):
        if not target.is_file():
            fresh = target.with_suffix(".new")
            fresh.mkdir(exist_ok=True)
            say(f"building toxiproxy, once (log: {target.with_suffix('.log')})")
            await _go_build(_MODULES / "toxiproxy", _PLAIN_FLAGS, fresh, target.with_suffix(".log"))
            (fresh / "server").rename(target)
            fresh.rmdir()
    return target


def istio_crds_cache() -> Path:
    """The file with Istio's CRDs, there or not."""
    return cache() / f"istio-{fingerprint(_MODULES / 'istio-api', ())}.yaml"


async def istio_crds(say: Say) -> Path:
    """File with Istio's CRDs, copied out of the public module on first use."""
    target = istio_crds_cache()
    if target.is_file():
        return target
    cache().mkdir(parents=True, exist_ok=True)
    say("fetching Istio's CRDs, once")
    source = await _module_folder(_MODULES / "istio-api", "istio.io/api") / _CRDS
    fresh = target.with_suffix(f".{os.getpid()}")
    await asyncio.to_thread(shutil.copyfile, source, fresh)
    fresh.rename(target)
    return target


async def _module_folder(folder: Path, module: str) -> Path:
    """Where Go keeps a module that ``folder``'s go.mod asks for, checked against its go.sum."""
    child = await asyncio.create_subprocess_exec(
        _go(), "mod", "download", "-json", module,
        cwd=folder,
        env={**os.environ, "GOFLAGS": "-mod=readonly", "GOWORK": "off"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await child.communicate()
    answer = json.loads(output or b"{}")
    if child.returncode != 0:
        reason = answer.get("Error") or errors.decode(errors="replace").strip()
        raise WorldError(f"the Go module {module} cannot be fetched: {reason}", "check the network or GOPROXY")
    return Path(answer["Dir"])
