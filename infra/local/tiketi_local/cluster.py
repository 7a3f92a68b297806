"""What the embedded world puts into its Kubernetes API: CRDs, and of gitops what works without nodes."""

import asyncio
import re
import time
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from tiketi_local import ports
from tiketi_local.binaries import Say, istio_crds
from tiketi_local.errors import WorldError
from tiketi_local.kubernetes import PLATFORM_NAMESPACE, kubeconfig, program
from tiketi_local.network import host_address
from tiketi_local.process import child_environment
from tiketi_local.site import CHECKOUT, Site
from tiketi_local.steps import Step

Manifest = dict[str, Any]

CRDS = CHECKOUT / "crds"
OVERLAY = CHECKOUT / "gitops" / "overlays" / "local"
ORGANISERS_NAMESPACE = "demo"
MANAGER = "tiketi-local"
"""Field manager of all that this package applies."""

_APPLY = ("--server-side", "--force-conflicts", f"--field-manager={MANAGER}")
_USED_KINDS = frozenset(
    {
        "ClusterRole",
        "ClusterRoleBinding",
        "Deployment",
        "Namespace",
        "QueuePolicy",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
    }
)
_SCALED_DEPLOYMENT = "ticket"
"""The one Deployment that is applied, at 0 replicas: the autoscaler's target."""
_USED_AT_ONCE = "ticketevents,queuepolicies,virtualservices,destinationrules,envoyfilters"
_RETRY_SECONDS = 20.0
_PASSES = re.compile(
    "no matches for kind|could not find the requested resource|connection refused|try again|not ready"
    r"|storage is \(re\)initializing"
    "|status.conditions accessor error"  # kubectl wait, when a CRD has no status yet
)
"""Refusals that end by themselves while the API server settles."""


def crds(site: Site, say: Say) -> Step:
    """Tiketi's and Istio's CRDs."""

    async def run() -> str:
        theirs = await istio_crds(say)
        applied = site.folder("etcd") / theirs.name  # as long-lived as what was stored
        if not applied.exists():  # a megabyte, seconds even when nothing changes
            await _kubectl(site, "apply", *_APPLY, f"--filename={theirs}")
            applied.touch()
        await _kubectl(site, "apply", *_APPLY, *(f"--filename={path}" for path in sorted(CRDS.glob("*.yaml"))))
        await _kubectl(site, "wait", "crd", "--all", "--for=condition=Established", "--timeout=60s")
        await _kubectl(site, "get", _USED_AT_ONCE, "--all-namespaces")  # established is not yet served
        return "applied"

    return Step("crds", run, after=("kube-apiserver",))


def objects(site: Site) -> Step:
    """Namespaces, RBAC, Services that point at the processes, policies, the autoscaler's target."""

    async def run() -> str:
        rendered = await _kubectl(site, "kustomize", str(OVERLAY)) if OVERLAY.is_dir() else ""
        found = [item for item in yaml.safe_load_all(rendered) if item]
        wanted = list(embedded(found, site.memory.base_port, host_address()))
        await _apply(site, (item for item in wanted if item["kind"] == "Namespace"))
        await _apply(site, (item for item in wanted if item["kind"] != "Namespace"))
        return f"{len(wanted)} applied"

    return Step("objects", run, after=("crds",))


async def _apply(site: Site, manifests: Iterable[Manifest]) -> None:
    text = yaml.safe_dump_all(manifests)
    if text:
        await _kubectl(site, "apply", *_APPLY, "--filename=-", stdin=text)


def embedded(found: Iterable[Manifest], base_port: int, address: str) -> Iterator[Manifest]:
    """Of an installation's manifests those a world without nodes can use, changed where it must be.

    Services lose their selector and get an EndpointSlice at ``address``, where the processes listen.
    """
    for name in (PLATFORM_NAMESPACE, ORGANISERS_NAMESPACE):
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    for item in found:
        match item["kind"]:
            case "Deployment":
                if item["metadata"]["name"] == _SCALED_DEPLOYMENT:
                    yield {**item, "spec": {**item["spec"], "replicas": 0}}
            case "Service":
                yield from _service(item, base_port, address)
            case "Namespace" if item["metadata"]["name"] in (PLATFORM_NAMESPACE, ORGANISERS_NAMESPACE):
                yield item
            case kind if kind in _USED_KINDS:
                yield item


def _service(service: Manifest, base_port: int, address: str) -> Iterator[Manifest]:
    name = service["metadata"]["name"]
    if name not in ports.NAMES:
        yield service
        return
    spec = {key: value for key, value in service["spec"].items() if key != "selector"}
    yield {**service, "spec": spec}
    number = ports.port(base_port, name)
    named = [{"name": port.get("name", ""), "port": number, "protocol": "TCP"} for port in spec["ports"]]
    yield {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-process",
            "namespace": service["metadata"]["namespace"],
            "labels": {"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": MANAGER},
        },
        "addressType": "IPv4",
        "ports": named,
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
    }


async def _kubectl(site: Site, *words: str, stdin: str = "") -> str:
    """kubectl as administrator; its output. Raises WorldError.

    What a young API server, or one that has just got a new CRD, refuses is tried again for a while.
    """
    deadline = time.monotonic() + _RETRY_SECONDS
    while True:
        child = await asyncio.create_subprocess_exec(
            program("kubectl"), f"--kubeconfig={kubeconfig(site)}", *words,
            env=child_environment({"HOME": str(site.directory)}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = await child.communicate(stdin.encode())
        if child.returncode == 0:
            return output.decode()
        reason = " | ".join(errors.decode(errors="replace").strip().splitlines()[-3:])
        if not _PASSES.search(reason) or time.monotonic() > deadline:
            raise WorldError(f"kubectl {words[0]} failed: {reason}", f"see {site.log('kube-apiserver')}")
        await asyncio.sleep(0.1)
