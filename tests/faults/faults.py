"""What breaks. Each fault breaks something, waits while people go on buying, and leaves it mended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from random import Random
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any

import asyncpg
from tests.faults.proxies import ANSWER, REQUEST
from tests.faults.stage import DOUBLED, HOLD, LINKS, Stage

from tiketi_local import part, rabbitmq
from tiketi_local.toss.faults import EVERY, Faults

Fault = Callable[[Stage, Random], Awaitable[None]]
WHILE = 2.0
"""Seconds that a fault lasts, if nothing else is said."""
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
"""Debian's libfaketime; without it the faults of clocks are left out."""


# --- Processes


async def _killed(name: str, stage: Stage, chance: Random) -> None:
    """All processes of it at once."""
    for replica in stage.replicas(name):
        stage.signal(replica, SIGKILL)
    await asyncio.sleep(chance.uniform(0, 0.5))
    for replica in stage.replicas(name):
        await stage.ensure(replica)


async def _one_killed(name: str, stage: Stage, chance: Random) -> None:
    """The other one goes on, if there are two."""
    replica = chance.choice(stage.replicas(name))
    stage.signal(replica, SIGKILL)
    await asyncio.sleep(WHILE)
    await stage.ensure(replica)


async def _stopped(name: str, stage: Stage, _: Random, seconds: float = WHILE) -> None:
    """As a long pause of the garbage collector or of the machine: afterwards it goes on as if nothing had been."""
    for replica in stage.replicas(name):
        stage.signal(replica, SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        for replica in stage.replicas(name):
            stage.signal(replica, SIGCONT)
    await asyncio.sleep(0.5)


async def _clock_off(by: str, stage: Stage, _: Random) -> None:
    """Ticket and payment come up with a clock that is wrong by ten minutes, and stay a while."""
    faked = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME": by,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }
    try:
        stage.disguise.update(dict.fromkeys(DOUBLED, faked))
        await _start_anew(stage)
        await asyncio.sleep(2 * WHILE)
    finally:
        stage.disguise.clear()
        await _start_anew(stage)


async def _start_anew(stage: Stage) -> None:
    """Ticket and payment, in good order."""
    for replica in (replica for name in DOUBLED for replica in stage.replicas(name)):
        await part.end(stage.site, stage.part(replica))
        await stage.ensure(replica)


# --- PostgreSQL


async def _connections_ended(stage: Stage, _: Random) -> None:
    """An administrator ends all connections of the services, again and again."""
    ends = time.monotonic() + WHILE
    while time.monotonic() < ends:
        with contextlib.suppress(asyncpg.PostgresError, OSError):
            await stage.ticket_database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename IN ('ticket', 'payment', 'stats') AND pid <> pg_backend_pid()"
            )
        await asyncio.sleep(0.3)


_DIE_ON_COMMIT = """
CREATE OR REPLACE FUNCTION die_on_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF random() < 0.25 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
  RETURN NULL;
END $$;
"""


async def _terminated_on_commit(stage: Stage, _: Random) -> None:
    """Every fourth transaction dies at its COMMIT: a deferred trigger ends its connection there."""
    tables = {
        stage.ticket_database: ("holds", "orders", "tickets", "refunds", "scans"),
        stage.payment_database: ("orders", "attempts", "outcomes", "cancellations", "refunds", "webhooks"),
    }
    for pool, names in tables.items():
        await pool.execute(_DIE_ON_COMMIT)
        for name in names:
            await pool.execute(
                f"CREATE CONSTRAINT TRIGGER die AFTER INSERT OR UPDATE ON {name} DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW EXECUTE FUNCTION die_on_commit()"
            )
    await asyncio.sleep(2 * WHILE)
    for pool, names in tables.items():
        for name in names:
            await pool.execute(f"DROP TRIGGER die ON {name}")


async def _locked(stage: Stage, _: Random) -> None:
    """Somebody's long transaction holds what every order needs."""
    async with stage.ticket_database.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE")
        await asyncio.sleep(WHILE)


# --- Schema

_COLUMNS = {
    "ticket": {"seats": "storm_note", "holds": "storm_note", "orders": "storm_note", "tickets": "storm_note"},
    "payment": {"orders": "storm_note", "attempts": "storm_note", "refunds": "storm_note"},
}
"""What the migrations of ``tests.faults.mid_sale`` add."""
_STEPS = 2
"""Files of each package there."""
_CHECKOUT = Path(__file__).resolve().parents[2]
_MIGRATE = """
import asyncio, os, sys
from tiketi_runtime.postgres import migrate
async def all_of(packages):
    return sum([len(await migrate(os.environ["STORM_URL"], package)) for package in packages])
print(asyncio.run(all_of(sys.argv[1:])))
"""
_SHIPPED = {
    "ticket": [
        f"tiketi_services.ticket.{name}" for name in ("sales", "queue", "orders", "tickets", "refunds", "waitlist")
    ],
    "payment": ["tiketi_services.payment"],
    "stats": ["tiketi_services.stats"],
}


async def _migrated(stage: Stage, _: Random) -> None:
    """A migration locks every table of buyers for a while: killed on its way, then run by two processes at once. In the
    end its columns go, and whoever had read rows with them reads rows without.
    """
    pools = {"ticket": stage.ticket_database, "payment": stage.payment_database}
    for service, tables in _COLUMNS.items():
        package = f"tests.faults.mid_sale.{service}"
        dying = await _migration(stage, service, package)
        await asyncio.sleep(0.8)
        with contextlib.suppress(ProcessLookupError):
            dying.kill()
        await dying.wait()
        applied = [await _count(each) for each in [await _migration(stage, service, package) for _turn in range(2)]]
        if sum(applied) > _STEPS or 0 not in applied:
            raise RuntimeError(f"a migration was applied more than once: {applied}")
        await asyncio.sleep(1)
        for table, column in tables.items():  # each for itself, as who locks several at once may meet a deadlock
            await pools[service].execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        await pools[service].execute("DELETE FROM schema_migrations WHERE package = $1", package)


async def _migrated_again(stage: Stage, _: Random) -> None:
    """As when new replicas start: the shipped migrations are run again by two processes at once, and do nothing."""
    for service, packages in _SHIPPED.items():
        for each in [await _migration(stage, service, *packages) for _turn in range(2)]:
            if applied := await _count(each):
                raise RuntimeError(f"{applied} migrations of {service} were applied again")


async def _migration(stage: Stage, service: str, *packages: str) -> asyncio.subprocess.Process:
    url = {"STORM_URL": stage.site.database_url(service)}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _MIGRATE, *packages),
        cwd=_CHECKOUT,
        env={**os.environ, **url},
        stdout=asyncio.subprocess.PIPE,
    )


async def _count(process: asyncio.subprocess.Process) -> int:
    said, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError("a migration failed")
    return int(said)


# --- Redis


async def _redis_flushed(stage: Stage, _: Random) -> None:
    await stage.redis.flushall()
    await asyncio.sleep(1)


async def _redis_stale(stage: Stage, _: Random) -> None:
    """It comes back with what it had some seconds ago."""
    saved = stage.site.folder("redis") / "appendonlydir"
    copy = stage.site.folder("redis") / "copy"
    await asyncio.to_thread(shutil.copytree, saved, copy, dirs_exist_ok=True)
    await asyncio.sleep(WHILE)
    stage.signal("redis", SIGKILL)
    await asyncio.sleep(0.2)
    await asyncio.to_thread(shutil.rmtree, saved)
    await asyncio.to_thread(shutil.move, copy, saved)
    await asyncio.to_thread(_own_as_parent, saved)
    await stage.ensure("redis")
    await asyncio.sleep(1)


def _own_as_parent(folder: Path) -> None:
    owner = folder.parent.stat()
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, owner.st_uid, owner.st_gid)


async def _redis_full(stage: Stage, _: Random) -> None:
    await stage.redis.config_set("maxmemory", "1mb")
    await asyncio.sleep(WHILE)
    await stage.redis.config_set("maxmemory", "512mb")


async def _redis_paused(stage: Stage, _: Random) -> None:
    await stage.redis.client_pause(int(WHILE * 1000))
    await asyncio.sleep(WHILE + 0.5)


# --- RabbitMQ


async def _broker_stopped(stage: Stage, _: Random) -> None:
    await rabbitmq.control(stage.site, "stop_app")
    await asyncio.sleep(WHILE)
    await rabbitmq.control(stage.site, "start_app")


async def _broker_alarmed(stage: Stage, _: Random) -> None:
    """Out of memory by its own measure: it takes no messages."""
    await rabbitmq.control(stage.site, "set_vm_memory_high_watermark", "0.00001")
    await asyncio.sleep(WHILE)
    await rabbitmq.control(stage.site, "set_vm_memory_high_watermark", "0.4")


async def _broker_disconnects(stage: Stage, _: Random) -> None:
    """All connections end: what was delivered and not acknowledged is delivered again."""
    for _turn in range(3):
        await rabbitmq.control(stage.site, "close_all_connections", "fault")
        await asyncio.sleep(0.3)


async def _told_twice(stage: Stage, _: Random) -> None:
    """All that was said is said again, backwards: consumers have heard it before."""
    for pool in (stage.ticket_database, stage.payment_database):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "UPDATE outbox SET sent_at = NULL, created_at = ends.first + (ends.last - created_at)"
                " FROM (SELECT min(created_at) AS first, max(created_at) AS last FROM outbox) ends"
            )
        await asyncio.sleep(0.5)


# --- The vendor


async def _vendor(switches: Mapping[str, Any], stage: Stage, _: Random, seconds: float = WHILE) -> None:
    stage.vendor.simulator.faults = Faults.model_validate(switches)
    try:
        await asyncio.sleep(seconds)
    finally:
        stage.vendor.simulator.faults = Faults()


# --- The network


async def _network(link: str, spoil: Callable[[Stage, str], Awaitable[None]], stage: Stage, _: Random) -> None:
    await spoil(stage, link)
    try:
        await asyncio.sleep(WHILE)
    finally:
        await stage.proxies.heal()
    await asyncio.sleep(0.3)


async def _slow(stage: Stage, link: str) -> None:
    await stage.proxies.spoil(link, "latency", ANSWER, latency=150, jitter=140)
    await stage.proxies.spoil(link, "slicer", REQUEST, average_size=64, size_variation=32, delay=500)


async def _reset_after_request(stage: Stage, link: str) -> None:
    """The request gets through; then the connection is reset."""
    await stage.proxies.spoil(link, "reset_peer", ANSWER, timeout=0)


async def _answers_lost(stage: Stage, link: str) -> None:
    """Requests get through and nothing comes back, until the connection is closed."""
    await stage.proxies.spoil(link, "timeout", ANSWER, timeout=1500)


async def _requests_lost(stage: Stage, link: str) -> None:
    """Half open: who sends hears neither answer nor end."""
    await stage.proxies.spoil(link, "timeout", REQUEST, timeout=0)


async def _cut(stage: Stage, link: str) -> None:
    await stage.proxies.cut(link)


_SPOILED: Mapping[str, Callable[[Stage, str], Awaitable[None]]] = {
    "slow": _slow,
    "reset after the request": _reset_after_request,
    "answers lost": _answers_lost,
    "requests lost": _requests_lost,
    "cut": _cut,
}

FAULTS: dict[str, Fault] = {
    **{f"{name}: killed": partial(_killed, name) for name in ("ticket", "payment", "stats")},
    "ticket: stopped past the end of holds": partial(_stopped, "ticket", seconds=HOLD.total_seconds() + 1),
    "payment: stopped past the time to pay": partial(_stopped, "payment", seconds=HOLD.total_seconds() + 1),
    **{f"{name}: one of its processes killed": partial(_one_killed, name) for name in DOUBLED},
    "postgres: killed": partial(_killed, "postgres"),
    "postgres: connections ended": _connections_ended,
    "postgres: terminated on COMMIT": _terminated_on_commit,
    "postgres: orders locked": _locked,
    "schema: migrated in mid-sale": _migrated,
    "schema: shipped migrations again": _migrated_again,
    "redis: killed": partial(_killed, "redis"),
    "redis: flushed": _redis_flushed,
    "redis: restarted stale": _redis_stale,
    "redis: out of memory": _redis_full,
    "redis: paused": _redis_paused,
    "rabbitmq: stopped": _broker_stopped,
    "rabbitmq: memory alarm": _broker_alarmed,
    "rabbitmq: connections closed": _broker_disconnects,
    "rabbitmq: all messages again, reordered": _told_twice,
    "vendor: answers lost": partial(_vendor, {"loseAnswers": EVERY}),
    "vendor: 500 after the charge": partial(_vendor, {"failAfterCommit": EVERY}),
    "vendor: 500, nothing done": partial(_vendor, {"failBeforeWork": EVERY}),
    "vendor: PROVIDER_ERROR": partial(_vendor, {"passingErrors": EVERY}),
    "vendor: 429": partial(_vendor, {"tooManyRequests": EVERY}),
    "vendor: answers later than anybody waits": partial(_vendor, {"beforeAnswer": {"min": 2000, "max": 4000}}),
    "vendor: works late": partial(_vendor, {"beforeWork": {"min": 1000, "max": 4000}}),
    "vendor: slow bodies": partial(_vendor, {"slowBody": 2500}),
    "vendor: neither answers nor look-ups": partial(_vendor, {"loseAnswers": EVERY, "failLookUps": EVERY}),
    "vendor: slow look-ups": partial(_vendor, {"loseAnswers": 2, "beforeLookUp": {"min": 500, "max": 3000}}),
    "vendor: few requests a minute": partial(_vendor, {"requestsPerMinute": 5}),
    "vendor: webhooks late": partial(_vendor, {"webhooks": {"delay": {"min": 1000, "max": 5000}}}),
    "vendor: webhooks doubled and early": partial(_vendor, {"webhooks": {"duplicates": 3, "early": True}}),
    "vendor: webhooks backwards": partial(_vendor, {"webhooks": {"backwards": 5}}),
    "vendor: webhooks missing, answers lost": partial(_vendor, {"loseAnswers": EVERY, "webhooks": {"missing": EVERY}}),
    **{f"{link}: {how}": partial(_network, link, spoil) for link in LINKS for how, spoil in _SPOILED.items()},
    **(
        {"clocks: +10 min": partial(_clock_off, "+10m"), "clocks: -10 min": partial(_clock_off, "-10m")}
        if FAKETIME.exists()
        else {}
    ),
}
"""Every fault by name."""

SHORT = (
    "payment: killed",
    "vendor: answers lost",
    "ticket: killed",
    "postgres: terminated on COMMIT",
    "buyers-ticket: answers lost",
    "redis: flushed",
    "ticket: stopped past the end of holds",
    "schema: migrated in mid-sale",
    "postgres: killed",
)
"""What the short run breaks."""
