"""Tiketi's own processes: operator, services, the front door's watcher, and stand-ins for the world outside."""

import sys
from collections.abc import Mapping
from pathlib import Path

from tiketi_local import pki
from tiketi_local.beacon import Simulator, write_chains
from tiketi_local.envoy import routes_file
from tiketi_local.kubernetes import PLATFORM_NAMESPACE, kubeconfig
from tiketi_local.part import Part, write_private
from tiketi_local.probes import healthy
from tiketi_local.process import Command
from tiketi_local.site import Site
from tiketi_local.steps import Step

TOSS_CLIENT_KEY = "test_ck_TiketiLocal"
_BIN = Path(sys.executable).parent


def keys(site: Site) -> Step:
    """Signing keys of the services, the line's MAC keys, the draw key, and the vendor's secret key."""

    async def run() -> str:
        for name in ("auth", "ticket", "payment"):
            pki.write_signing_key(_key(site, name))
        pki.write_mac_keys(site.folder("keys") / "queue.json")
        pki.write_random_word(_draw_key(site))
        pki.write_random_word(_beacon_seed(site))
        write_chains(Simulator(_beacon_seed(site).read_bytes()), _beacon_chains(site))
        write_private(_toss_secret(site), f"test_sk_{site.secret('toss')}")
        return "written"

    return Step("keys", run)


def _key(site: Site, service: str) -> Path:
    return site.folder("keys") / f"{service}.pem"


def _draw_key(site: Site) -> Path:
    return site.folder("keys") / "draw.key"


def _beacon_seed(site: Site) -> Path:
    return site.folder("keys") / "beacon.seed"


def _beacon_chains(site: Site) -> Path:
    return site.folder("keys") / "beacon-chains.json"


def _toss_secret(site: Site) -> Path:
    return site.folder("keys") / "toss.secret"


def jwks_url(site: Site, service: str) -> str:
    """Where a service publishes the keys that check its signatures."""
    return f"{site.http_url(service)}/.well-known/jwks.json"


def toss(site: Site) -> Part:
    """The payment vendor's simulator."""
    argv = [
        sys.executable, "-m", "tiketi_local.toss",
        "--host", "127.0.0.1",
        "--port", str(site.port("toss")),
        "--journal", str(site.folder("toss") / "journal"),
        "--client-key", TOSS_CLIENT_KEY,
        "--secret-key-file", str(_toss_secret(site)),
        "--webhook-url", f"{site.http_url('front')}/payments/webhooks",
        "--webhook-minute", "1",  # retries for an hour and a half instead of four days
    ]  # fmt: skip
    return Part(
        name="toss",
        ports=("toss",),
        after=("keys",),
        command=lambda: Command(argv, site.folder("toss"), site.log("toss"), _environment({})),
        ready=lambda: healthy(f"{site.http_url('toss')}/healthz"),
    )


def mail(site: Site) -> Part:
    """The mail catcher: SMTP for auth, pages for people, an API for the crowd."""
    argv = [
        sys.executable, "-m", "tiketi_local.mail",
        "--host", "127.0.0.1",
        "--smtp-port", str(site.port("smtp")),
        "--http-port", str(site.port("mail")),
    ]  # fmt: skip
    return Part(
        name="mail",
        ports=("mail", "smtp"),
        command=lambda: Command(argv, site.folder("mail"), site.log("mail"), _environment({})),
        ready=lambda: healthy(f"{site.http_url('mail')}/healthz"),
    )


def beacon(site: Site) -> Part:
    """The randomness beacon's simulator."""
    argv = [
        sys.executable, "-m", "tiketi_local.beacon",
        "--host", "127.0.0.1",
        "--port", str(site.port("beacon")),
        "--seed-file", str(_beacon_seed(site)),
    ]  # fmt: skip
    return Part(
        name="beacon",
        ports=("beacon",),
        after=("keys",),
        command=lambda: Command(argv, site.folder("beacon"), site.log("beacon"), _environment({})),
        ready=lambda: healthy(f"{site.http_url('beacon')}/healthz"),
    )


def auth(site: Site) -> Part:
    """Accounts and log-in."""
    settings = {
        "DATABASE_URL": site.database_url("auth"),
        "REDIS_URL": site.redis_url("auth"),
        "AMQP_URL": site.amqp_url("auth"),
        "SIGNING_KEY_FILE": str(_key(site, "auth")),
        "PUBLIC_URL": site.http_url("front"),
        "SMTP_URL": f"smtp://127.0.0.1:{site.port('smtp')}",
        "MAIL_FROM": "Tiketi <no-reply@tiketi.example>",
    }
    return _service(site, "auth", settings, after=("databases", "redis"))


def ticket(site: Site) -> Part:
    """Catalogue, line, seats and orders."""
    settings = {
        "DATABASE_URL": site.database_url("ticket"),
        "REDIS_URL": site.redis_url("ticket"),
        "AMQP_URL": site.amqp_url("ticket"),
        "SIGNING_KEY_FILE": str(_key(site, "ticket")),
        "QUEUE_KEYS_FILE": str(site.folder("keys") / "queue.json"),
        "DRAW_KEY_FILE": str(_draw_key(site)),
        "BEACON_URLS": site.http_url("beacon"),  # no public relay: this world is complete offline
        "BEACON_CHAINS_FILE": str(_beacon_chains(site)),
        "AUTH_JWKS_URL": jwks_url(site, "auth"),
        "PAYMENT_JWKS_URL": jwks_url(site, "payment"),
        "PAYMENT_URL": site.http_url("payment"),
        "TRUSTED_PROXIES": "1",
    }
    return _service(site, "ticket", settings, after=("databases", "redis"))


def payment(site: Site) -> Part:
    """Attempts and outcomes."""
    settings = {
        "DATABASE_URL": site.database_url("payment"),
        "AMQP_URL": site.amqp_url("payment"),
        "SIGNING_KEY_FILE": str(_key(site, "payment")),
        "AUTH_JWKS_URL": jwks_url(site, "auth"),
        "TICKET_JWKS_URL": jwks_url(site, "ticket"),
        "TOSS_URL": site.http_url("toss"),
        "TOSS_CLIENT_KEY": TOSS_CLIENT_KEY,
        "TOSS_SECRET_KEY_FILE": str(_toss_secret(site)),
    }
    return _service(site, "payment", settings, after=("databases",))


def stats(site: Site) -> Part:
    """Sales figures."""
    settings = {
        "DATABASE_URL": site.database_url("stats"),
        "TICKET_DATABASE_URL": site.database_url("auditor", "ticket"),
        "PAYMENT_DATABASE_URL": site.database_url("auditor", "payment"),
        "REDIS_URL": site.redis_url("stats"),
        "AMQP_URL": site.amqp_url("stats"),
        "AUTH_JWKS_URL": jwks_url(site, "auth"),
        "KUBECONFIG": str(kubeconfig(site, "stats")),
    }
    return _service(site, "stats", settings, after=("databases", "redis", "objects"))


def operator(site: Site) -> Part:
    """The operator."""
    settings = {
        "NAMESPACE": PLATFORM_NAMESPACE,
        "REDIS_URL": site.redis_url("operator"),
        "KUBECONFIG": str(kubeconfig(site, "operator")),
        "GATEWAY_URL": site.http_url("front"),
        "BEACON_CHAINS_FILE": str(_beacon_chains(site)),
        "PORT": str(site.port("operator")),
        "IMAGE": "tiketi:dev",
    }
    return Part(
        name="operator",
        ports=("operator",),
        after=("keys", "redis", "objects"),
        command=lambda: Command(
            [str(_BIN / "tiketi-operator")],
            site.folder("operator"),
            site.log("operator"),
            _environment(settings, "TIKETI_OPERATOR_"),
        ),
        ready=lambda: healthy(f"{site.http_url('operator')}/healthz"),
    )


def front_door(site: Site) -> Part:
    """What istiod does in a cluster: turns the operator's objects into Envoy's routes and limits."""
    argv = [
        sys.executable, "-m", "tiketi_local.front_door",
        "--kubeconfig", str(kubeconfig(site)),
        "--routes", str(routes_file(site)),
    ]  # fmt: skip
    return Part(
        name="front-door",
        ports=(),
        after=("objects", "envoy"),
        command=lambda: Command(argv, site.folder("front-door"), site.log("front-door"), _environment({})),
        ready=_at_once,
    )


async def _at_once() -> None:
    """It serves nobody: what it does shows in Envoy's routes."""


def _service(site: Site, name: str, settings: Mapping[str, str], after: tuple[str, ...]) -> Part:
    """A service; it brings its database to the newest schema by itself."""
    environment = {"HOST": "0.0.0.0", "PORT": str(site.port(name)), **settings}  # EndpointSlices refuse loopback
    return Part(
        name=name,
        ports=(name,),
        after=("keys", *after),
        command=lambda: Command(
            [str(_BIN / f"tiketi-{name}")],
            site.folder(name),
            site.log(name),
            _environment(environment, f"TIKETI_{name.upper()}_"),
        ),
        ready=lambda: healthy(f"{site.http_url(name)}/readyz"),
    )


def _environment(settings: Mapping[str, str], prefix: str = "") -> dict[str, str]:
    return {"PYTHONUNBUFFERED": "1", **{prefix + name: value for name, value in settings.items()}}
