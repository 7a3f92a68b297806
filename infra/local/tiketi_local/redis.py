"""Redis of the world: one instance, one ACL user for each service and no default user."""

from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, RedisError

from tiketi_local import process
from tiketi_local.errors import WorldError
from tiketi_local.part import NotReady, Part, write_private
from tiketi_local.process import Command
from tiketi_local.site import Site

PACKAGE = "redis-server"
DATABASES = 64
"""Database 0 is the world's; tests take the others."""

_USERS = {
    "admin": "~* &* +@all",
    # INFO tells scripts the run_id: a restarted, empty Redis is noticed at once.
    "operator": "~tiketi:* &tiketi:* +@all -@admin -@dangerous +info",
    "ticket": "~tiketi:* &tiketi:* +@all -@admin -@dangerous +info",
    "stats": "%R~tiketi:* resetchannels +@read +@connection +@scripting +@transaction -@dangerous +info +time",
    "auth": "~tiketi-auth:* resetchannels +@all -@admin -@dangerous +info",
}


def redis(site: Site) -> Part:
    """The Redis server. Never evicts: a full Redis refuses writes, it does not forget buyers."""
    folder = site.folder("redis")
    user = process.store_user("redis")

    async def prepare() -> None:
        process.own(folder, user)
        write_private(folder / "redis.conf", configuration(site), user)

    return Part(
        name="redis",
        ports=("redis",),
        prepare=prepare,
        command=lambda: Command([_server(), "redis.conf"], folder, site.log("redis"), user=user),
        ready=lambda: _answers(site.redis_url("admin")),
    )


def configuration(site: Site) -> str:
    """Content of redis.conf."""
    users = [f"user {name} on >{site.secret('redis/' + name)} {rules}" for name, rules in _USERS.items()]
    return "\n".join(
        [
            "bind 127.0.0.1",
            f"port {site.port('redis')}",
            f"databases {DATABASES}",
            "maxmemory 512mb",
            "maxmemory-policy noeviction",
            "appendonly yes",
            # A sync that a slow disk keeps for more than 2 s would keep every client waiting, too.
            f"appendfsync {'everysec' if site.memory.waits_for_disk else 'no'}",
            'save ""',
            "user default off",
            *users,
            "",
        ]
    )


def server() -> Path | None:
    """The program, if it is installed."""
    return process.find_program("redis-server")


def _server() -> str:
    found = server()
    if found is None:
        raise WorldError("redis-server is not installed", f"apt-get install -y --no-install-recommends {PACKAGE}")
    return str(found)


async def _answers(url: str) -> None:
    async with Redis.from_url(url) as client:
        try:
            await client.ping()
        except BusyLoadingError as error:
            raise NotReady("loading its data") from error
        except RedisError as error:
            raise NotReady(str(error)) from error
