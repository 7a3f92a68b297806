"""The table of contents: every part and step of a world, and the groups one may ask for."""

from tiketi_local import cluster, kubernetes, platform, postgres, rabbitmq
from tiketi_local.binaries import Say
from tiketi_local.envoy import envoy
from tiketi_local.part import Part
from tiketi_local.redis import redis
from tiketi_local.site import Site
from tiketi_local.steps import Step

STORES = ("redis", "databases", "rabbitmq")
KUBERNETES = ("kube-controller-manager", "objects")
PLATFORM = ("envoy", "front-door", "toss", "mail", "beacon", "auth", "ticket", "payment", "stats", "operator")
GROUPS = {"stores": STORES, "kubernetes": KUBERNETES, "all": (*STORES, *KUBERNETES, *PLATFORM)}
"""What each group must end with; what those need comes along."""


def silently(_words: str) -> None:
    """For callers that show nothing."""


def catalogue(site: Site, say: Say = silently) -> list[Part | Step]:
    """All parts and steps, in no order: each names what it comes after. ``say`` hears of long work."""
    return [
        redis(site),
        postgres.postgres(site),
        postgres.databases(site),
        rabbitmq.epmd(site),
        rabbitmq.rabbitmq(site),
        kubernetes.binaries(say),
        kubernetes.certificates(site),
        kubernetes.etcd(site),
        kubernetes.api_server(site),
        kubernetes.controller_manager(site),
        cluster.crds(site, say),
        cluster.objects(site),
        envoy(site),
        platform.keys(site),
        platform.toss(site),
        platform.mail(site),
        platform.beacon(site),
        platform.auth(site),
        platform.ticket(site),
        platform.payment(site),
        platform.stats(site),
        platform.operator(site),
        platform.front_door(site),
    ]
