"""RabbitMQ of the world: a node and a port mapper of its own, one virtual host, one user for each service."""

import base64
import hashlib
import json
from pathlib import Path

import aio_pika
from aiormq.exceptions import AMQPError

from tiketi_local import process
from tiketi_local.errors import WorldError
from tiketi_local.part import NotReady, Part, write_private
from tiketi_local.probes import listens
from tiketi_local.process import Command
from tiketi_local.site import Site

PACKAGE = "rabbitmq-server"
VHOST = "tiketi"
SERVICES = ("ticket", "payment", "stats", "auth")


def epmd(site: Site) -> Part:
    """Erlang's port mapper. A shared one, or one that the node starts itself, would outlive the world."""
    folder = site.folder("epmd")
    user = process.store_user("rabbitmq")
    return Part(
        name="epmd",
        ports=("epmd",),
        command=lambda: Command(
            [str(_program("epmd")), "-address", "127.0.0.1", "-port", str(site.port("epmd"))],
            folder,
            site.log("epmd"),
            user=user,
        ),
        ready=lambda: listens(site.port("epmd")),
    )


def rabbitmq(site: Site) -> Part:
    """The broker. Users, permissions and the virtual host come from a definitions file at its start."""
    folder = site.folder("rabbitmq")
    user = process.store_user("rabbitmq")

    async def prepare() -> None:
        process.own(folder, user)
        write_private(folder / "definitions.json", json.dumps(definitions(site), indent=1), user)
        write_private(folder / "rabbitmq.conf", configuration(site), user)
        write_private(folder / "enabled_plugins", "[].\n", user)
        write_private(folder / "rabbitmq-env.conf", "# The system's own settings are not for this node.\n", user)
        write_private(folder / ".erlang.cookie", site.secret("rabbitmq/cookie"), user)

    return Part(
        name="rabbitmq",
        ports=("rabbitmq", "rabbitmq-node"),
        after=("epmd",),
        prepare=prepare,
        command=lambda: Command(
            [str(_program("rabbitmq-server"))], folder, site.log("rabbitmq"), node_environment(site), user
        ),
        ready=lambda: _answers(site),
    )


def node_environment(site: Site) -> dict[str, str]:
    """Environment of the node and of rabbitmqctl."""
    folder = site.folder("rabbitmq")
    return {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"tiketi-{site.name}@localhost",
        "RABBITMQ_DIST_PORT": str(site.port("rabbitmq-node")),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(site.port("epmd")),
        "ERL_CRASH_DUMP": str(folder / "erl_crash.dump"),
        # Its start script then becomes the node instead of waiting beside it.
        "detached": "1",
    }


def configuration(site: Site) -> str:
    """Content of rabbitmq.conf."""
    return "\n".join(
        [
            f"listeners.tcp.1 = 127.0.0.1:{site.port('rabbitmq')}",
            f"load_definitions = {site.folder('rabbitmq') / 'definitions.json'}",
            "log.console = true",
            "log.console.level = warning",
            "log.file = false",
            "disk_free_limit.absolute = 64MB",
            "",
        ]
    )


def definitions(site: Site) -> dict[str, object]:
    """Users and permissions: a service may touch the exchanges all share and the queues of its own name."""
    users = [
        {
            "name": name,
            "password_hash": password_hash(site.secret("rabbitmq/" + name), salt=site.secret(name)[:4].encode()),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": "administrator" if name == "admin" else "",
        }
        for name in ("admin", *SERVICES)
    ]
    return {
        "users": users,
        "vhosts": [{"name": VHOST}],
        "permissions": [permission("admin", ".*"), *(permission(name, own_names(name)) for name in SERVICES)],
    }


def own_names(service: str) -> str:
    """Pattern of the exchanges and queues a service may declare, write to and read from."""
    return rf"^(tiketi(\..+)?|{service}\..+)$"


def permission(user: str, names: str, vhost: str = VHOST) -> dict[str, str]:
    """One entry of the definitions' permissions."""
    return {"user": user, "vhost": vhost, "configure": names, "write": names, "read": names}


def password_hash(password: str, salt: bytes) -> str:
    """RabbitMQ's form of a password: base64 of salt and SHA-256 of salt and password. salt: 4 bytes."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


async def control(site: Site, *words: str) -> None:
    """Run rabbitmqctl on the world's node. Raises ChildProcessError when it fails."""
    command = Command(
        [str(_program("rabbitmqctl")), "--quiet", *words],
        site.folder("rabbitmq"),
        site.log("rabbitmqctl"),
        node_environment(site),
        process.store_user("rabbitmq"),
    )
    await process.run(command)


async def make_vhost(site: Site, name: str) -> None:
    """A fresh virtual host with the same rights as the world's own."""
    grants = "".join(
        f"rabbit_auth_backend_internal:set_permissions({_erlang(user)}, {_erlang(name)}, "
        f"{_erlang(names)}, {_erlang(names)}, {_erlang(names)}, {_erlang(user)}), "
        for user, names in [("admin", ".*"), *((service, own_names(service)) for service in SERVICES)]
    )
    await control(site, "eval", f"rabbit_vhost:add({_erlang(name)}, {_erlang('admin')}), {grants}ok.")


async def delete_vhost(site: Site, name: str) -> None:
    """Remove a virtual host and all queues in it."""
    await control(site, "delete_vhost", name)


def _erlang(text: str) -> str:
    """``text`` as an Erlang binary."""
    return '<<"' + text.replace("\\", "\\\\") + '">>'


def find(name: str) -> Path | None:
    """One of the broker's programs. Debian's wrappers in /usr/sbin insist on one account: not those."""
    return process.find_program(name, "/usr/lib/rabbitmq/bin")


def _program(name: str) -> Path:
    found = find(name)
    if found is None:
        raise WorldError(f"{name} is not installed", f"apt-get install -y --no-install-recommends {PACKAGE}")
    return found


async def _answers(site: Site) -> None:
    await listens(site.port("rabbitmq"))  # the client library complains loudly when nobody does
    try:
        connection = await aio_pika.connect(site.amqp_url("admin"), timeout=5)
    except (AMQPError, TimeoutError) as error:
        raise NotReady(str(error) or type(error).__name__) from error
    await connection.close()
