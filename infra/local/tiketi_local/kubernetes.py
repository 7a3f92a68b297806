"""Kubernetes of the world without nodes: etcd, API server, controller-manager, and who may talk to them."""

import base64
from pathlib import Path

import yaml

from tiketi_local import pki
from tiketi_local.binaries import Say, programs, where_found
from tiketi_local.errors import WorldError
from tiketi_local.network import host_address
from tiketi_local.part import Part, write_private
from tiketi_local.pki import Pair
from tiketi_local.probes import healthy
from tiketi_local.process import Command
from tiketi_local.site import Site
from tiketi_local.steps import Step

PLATFORM_NAMESPACE = "tiketi-system"
SERVICE_RANGE = "10.96.0.0/16"
SERVICE_ACCOUNTS = {"operator": "tiketi-operator", "stats": "tiketi-stats"}
"""Processes that talk to Kubernetes, and the service account whose rights they have."""

_CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "disruption-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "namespace-controller",
    "replicaset-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
)
"""What works without nodes; the others would only cost CPU."""


def binaries(say: Say) -> Step:
    """The programs, built on a machine that has none."""

    async def run() -> str:
        return f"in {await programs(say)}"

    return Step("binaries", run)


def program(name: str) -> str:
    """Path of a program that the step ``binaries`` has provided."""
    folder = where_found()
    if folder is None:
        raise WorldError(f"{name} is not built yet", "python -m tiketi_local up --only kubernetes")
    return str(folder / name)


def certificates(site: Site) -> Step:
    """Certificates, and a kubeconfig for each user. Ports may have moved, so kubeconfigs are always written."""

    async def run() -> str:
        folder = site.folder("pki")
        authority = pki.Authority(folder)
        pki.write_service_account_keys(folder)
        if not (folder / "apiserver.crt").exists():
            _write_pair(folder, "apiserver", authority.server("kube-apiserver", _api_hosts()))
        for user, certificate in _users(authority).items():
            write_private(kubeconfig(site, user), render_kubeconfig(site, user, authority.pem, certificate))
        return "written"

    return Step("certificates", run)


def _api_hosts() -> list[str]:
    service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    return ["localhost", *service, "127.0.0.1", "10.96.0.1", host_address()]


def _users(authority: pki.Authority) -> dict[str, Pair]:
    accounts = {process: _service_account(authority, name) for process, name in SERVICE_ACCOUNTS.items()}
    return {
        "admin": authority.client("admin", ["system:masters"]),
        "kube-controller-manager": authority.client("system:kube-controller-manager"),
        **accounts,
    }


def _service_account(authority: pki.Authority, name: str) -> Pair:
    """A certificate under a service account's own name: in a cluster the pod's token says the same."""
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{PLATFORM_NAMESPACE}"]
    return authority.client(f"system:serviceaccount:{PLATFORM_NAMESPACE}:{name}", groups)


def _write_pair(folder: Path, name: str, pair: Pair) -> None:
    write_private(folder / f"{name}.key", pair.key)
    write_private(folder / f"{name}.crt", pair.certificate)


def kubeconfig(site: Site, user: str = "admin") -> Path:
    """Path of a user's kubeconfig."""
    return site.directory / f"{user}.kubeconfig"


def render_kubeconfig(site: Site, user: str, authority: str, pair: Pair) -> str:
    """A kubeconfig that holds all it needs."""
    name = f"tiketi-{site.name}"
    cluster = {"server": api_url(site), "certificate-authority-data": _base64(authority)}
    login = {"client-certificate-data": _base64(pair.certificate), "client-key-data": _base64(pair.key)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": user, "user": login}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user, "namespace": "default"}}],
        "current-context": name,
    }
    return yaml.safe_dump(content, sort_keys=False)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def api_url(site: Site) -> str:
    """Address of the API server."""
    return f"https://127.0.0.1:{site.port('kube-apiserver')}"


def etcd(site: Site) -> Part:
    """The API server's store. Without fsync: it holds nothing that must outlive this machine."""
    folder = site.folder("etcd")
    client = f"http://127.0.0.1:{site.port('etcd')}"
    peer = f"http://127.0.0.1:{site.port('etcd-peer')}"
    return Part(
        name="etcd",
        ports=("etcd", "etcd-peer"),
        after=("binaries",),
        command=lambda: Command(
            [
                program("etcd"),
                f"--data-dir={folder / 'data'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--unsafe-no-fsync",
                "--logger=zap",
                "--log-level=warn",
            ],
            folder,
            site.log("etcd"),
        ),
        ready=lambda: healthy(f"{client}/readyz"),
    )


def api_server(site: Site) -> Part:
    """The API server, on loopback only."""
    folder = site.folder("kube-apiserver")
    keys = site.folder("pki")
    return Part(
        name="kube-apiserver",
        ports=("kube-apiserver",),
        after=("etcd", "certificates"),
        command=lambda: Command(
            [
                program("kube-apiserver"),
                f"--etcd-servers=http://127.0.0.1:{site.port('etcd')}",
                "--bind-address=127.0.0.1",
                f"--secure-port={site.port('kube-apiserver')}",
                f"--advertise-address={host_address()}",
                f"--cert-dir={folder}",
                f"--tls-cert-file={keys / 'apiserver.crt'}",
                f"--tls-private-key-file={keys / 'apiserver.key'}",
                f"--client-ca-file={keys / 'ca.crt'}",
                "--authorization-mode=RBAC",
                f"--service-cluster-ip-range={SERVICE_RANGE}",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                f"--service-account-key-file={keys / 'sa.pub'}",
                f"--service-account-signing-key-file={keys / 'sa.key'}",
            ],
            folder,
            site.log("kube-apiserver"),
        ),
        ready=lambda: healthy(f"{api_url(site)}/readyz", keys / "ca.crt"),
    )


def controller_manager(site: Site) -> Part:
    """The controllers that work without nodes."""
    folder = site.folder("kube-controller-manager")
    keys = site.folder("pki")
    config = kubeconfig(site, "kube-controller-manager")
    port = site.port("kube-controller-manager")
    return Part(
        name="kube-controller-manager",
        ports=("kube-controller-manager",),
        after=("kube-apiserver",),
        command=lambda: Command(
            [
                program("kube-controller-manager"),
                f"--kubeconfig={config}",
                f"--authentication-kubeconfig={config}",
                f"--authorization-kubeconfig={config}",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                f"--cert-dir={folder}",
                f"--service-account-private-key-file={keys / 'sa.key'}",
                f"--root-ca-file={keys / 'ca.crt'}",
                "--use-service-account-credentials",
                "--leader-elect=false",
                "--horizontal-pod-autoscaler-sync-period=5s",
                f"--controllers={','.join(_CONTROLLERS)}",
            ],
            folder,
            site.log("kube-controller-manager"),
        ),
        ready=lambda: healthy(f"https://127.0.0.1:{port}/healthz", None),
    )
