"""PostgreSQL of the world: one instance, a database and a role for each service."""

import asyncio
import ctypes
import shutil
import signal
from pathlib import Path

import asyncpg

from tiketi_local import process
from tiketi_local.errors import WorldError
from tiketi_local.part import NotReady, Part, write_private
from tiketi_local.process import Command
from tiketi_local.site import Site
from tiketi_local.steps import Step

PACKAGE = "postgresql"
OLDEST = 15
"""Oldest major version the services are written for."""
SERVICES = ("auth", "ticket", "payment", "stats")
AUDITOR = "auditor"
"""Role of stats on the databases of ticket and payment; what it may do there their own migrations say."""
AUDITED = ("ticket", "payment")

_IPC_RMID = 0


def postgres(site: Site) -> Part:
    """The database server. Listens on TCP only: a socket's path would depend on the folder's length."""
    folder = site.folder("postgres")
    data = folder / "data"
    user = process.store_user("postgres")

    async def prepare() -> None:
        process.own(folder, user)
        if not (data / "PG_VERSION").exists():
            await _initialise(site, folder, user)

    async def cleanup() -> None:
        # No process of this server is left, but the system may still list it: PostgreSQL would not start.
        _remove_shared_memory(data / "postmaster.pid")
        (data / "postmaster.pid").unlink(missing_ok=True)

    return Part(
        name="postgres",
        ports=("postgres",),
        prepare=prepare,
        cleanup=cleanup,
        command=lambda: Command(server_command(site, data), folder, site.log("postgres"), user=user),
        ready=lambda: _answers(site.database_url("postgres")),
        stop_signal=signal.SIGINT,  # "fast": ends sessions and leaves a clean data folder
    )


def server_command(site: Site, data: Path) -> list[str]:
    """Command line of the server: ports may move between two starts, so nothing is in its files."""
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": site.port("postgres"),
        "unix_socket_directories": "",
        "dynamic_shared_memory_type": "mmap",  # in the data folder, so nothing outlives it
        "max_connections": 300,
        "shared_buffers": "128MB",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
        "fsync": "on" if site.memory.waits_for_disk else "off",
    }
    flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return [str(_program("postgres")), "-D", str(data), *flags]


async def _initialise(site: Site, folder: Path, user: process.User | None) -> None:
    """Make the data folder aside and move it into place whole: a killed initdb leaves nothing half-made."""
    fresh = folder / f"new-{site.secret('postgres/initdb')[:8]}"
    await asyncio.to_thread(_remove_tree, fresh)
    password = folder / "password"
    write_private(password, site.secret("postgres/postgres"), user)
    argv = [
        str(_program("initdb")),
        f"--pgdata={fresh}",
        "--username=postgres",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
    ]
    await process.run(Command(argv, folder, site.log("postgres"), user=user))
    password.unlink()
    fresh.rename(folder / "data")


def _remove_tree(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def databases(site: Site) -> Step:
    """A role and a database for each service; nobody may connect to another's."""

    async def run() -> str:
        admin = await asyncpg.connect(site.database_url("postgres"))
        try:
            await _make_role(admin, AUDITOR, site)
            made = [name for name in SERVICES if await _make_database(admin, name, site)]
            for name in AUDITED:
                await _let_auditor_connect(admin, name)
        finally:
            await admin.close()
        return f"made {', '.join(made)}" if made else "were there"

    return Step("databases", run, after=("postgres",))


async def _make_database(admin: asyncpg.Connection, name: str, site: Site) -> bool:
    """Whether anything had to be made."""
    await _make_role(admin, name, site)
    if await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
        return False
    await create_database(admin, name, owner=name)
    return True


async def _make_role(admin: asyncpg.Connection, name: str, site: Site) -> None:
    """Names are ours, not input: they need no quoting."""
    if not await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name):
        await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{site.secret('postgres/' + name)}'")


async def create_database(admin: asyncpg.Connection, name: str, owner: str) -> None:
    """An empty database that only ``owner`` (and the admin) may use; ticket's and payment's the auditor too."""
    await admin.execute(f'CREATE DATABASE "{name}" OWNER "{owner}"')
    await admin.execute(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
    if owner in AUDITED:
        await _let_auditor_connect(admin, name)


async def _let_auditor_connect(admin: asyncpg.Connection, name: str) -> None:
    """A world that was made before there was an auditor may have no such role yet."""
    if await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", AUDITOR):
        await admin.execute(f'GRANT CONNECT ON DATABASE "{name}" TO {AUDITOR}')


def bin_folder() -> Path | None:
    """Folder with the server's programs, newest version first; None if there is none new enough."""
    versioned = Path("/usr/lib/postgresql").glob("*/bin")
    found = [path for path in versioned if path.parent.name.isdigit() and int(path.parent.name) >= OLDEST]
    if found:
        return max(found, key=lambda path: int(path.parent.name))
    on_path = process.find_program("postgres")
    return on_path.parent if on_path else None


def _program(name: str) -> Path:
    folder = bin_folder()
    if folder is None:
        mend = f"apt-get install -y --no-install-recommends {PACKAGE}"
        raise WorldError(f"PostgreSQL {OLDEST} or newer is not installed", mend)
    return folder / name


async def _answers(url: str) -> None:
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except (asyncpg.PostgresError, TimeoutError) as error:
        raise NotReady(str(error)) from error
    await connection.close()


def _remove_shared_memory(lock_file: Path) -> None:
    """Free the System V segment that a killed server left; the seventh line of its lock file names it."""
    if not lock_file.exists():
        return
    lines = lock_file.read_text(encoding="utf-8").splitlines()
    if len(lines) >= 7 and len(key_and_id := lines[6].split()) == 2:
        ctypes.CDLL(None).shmctl(int(key_and_id[1]), _IPC_RMID, None)  # gone already: nothing to do
