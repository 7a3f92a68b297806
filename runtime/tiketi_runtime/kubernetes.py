"""The Kubernetes API as Tiketi uses it: server-side apply of plain manifests, by one field manager a writer.

Built on the official client's asynchronous transport. Paths come from a short table instead of discovery: what is not
in the table needs no RBAC right, and no answer of the API server is needed to know a path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from kubernetes.aio import client, config

from tiketi_runtime.errors import Conflict, Forbidden, InvalidRequest, NotFound, TiketiError, Unavailable

Manifest = dict[str, Any]
"""A Kubernetes object as plain data."""

_REQUEST_SECONDS = 10

_PLURALS: Final[Mapping[tuple[str, str], str]] = {
    ("v1", "Event"): "events",
    ("v1", "Namespace"): "namespaces",
    ("v1", "Node"): "nodes",
    ("v1", "Secret"): "secrets",
    ("v1", "Service"): "services",
    ("apps/v1", "Deployment"): "deployments",
    ("autoscaling/v2", "HorizontalPodAutoscaler"): "horizontalpodautoscalers",
    ("discovery.k8s.io/v1", "EndpointSlice"): "endpointslices",
    ("events.k8s.io/v1", "Event"): "events",
    ("networking.istio.io/v1", "DestinationRule"): "destinationrules",
    ("networking.istio.io/v1", "VirtualService"): "virtualservices",
    ("networking.istio.io/v1alpha3", "EnvoyFilter"): "envoyfilters",
    ("policy/v1", "PodDisruptionBudget"): "poddisruptionbudgets",
    ("tiketi.dev/v1alpha1", "QueuePolicy"): "queuepolicies",
    ("tiketi.dev/v1alpha1", "TicketEvent"): "ticketevents",
}
_CLUSTER_SCOPED: Final = frozenset({"Namespace", "Node"})


class Cluster:
    """One API server."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None) -> Self:
        """Use a kubeconfig file, or the pod's own service account when None. Sends nothing yet."""
        configuration = client.Configuration()
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=configuration)
        else:
            await config.load_kube_config(
                config_file=str(kubeconfig), client_configuration=configuration, persist_config=False
            )
        return cls(client.ApiClient(configuration))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._api.close()

    async def apply(self, manifest: Mapping[str, Any], manager: str, *, force: bool = True) -> Manifest:
        """Server-side apply; fields this manager applied before and left out now are removed. Returns the object."""
        return await self._apply(manifest, manager, "", force)

    async def apply_status(self, manifest: Mapping[str, Any], manager: str, *, force: bool = True) -> Manifest:
        """Server-side apply of ``status`` alone; another manager's status fields stay."""
        return await self._apply(manifest, manager, "/status", force)

    async def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Manifest | None:
        """The object, or None."""
        try:
            return await self._request("GET", _path(api_version, kind, namespace, name))
        except NotFound:
            return None

    async def list_all(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> list[Manifest]:
        """Objects of a kind that carry all these labels; of all namespaces when ``namespace`` is None."""
        selector = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        query = [("labelSelector", selector)] if selector else []
        answer = await self._request("GET", _path(api_version, kind, namespace), query=query)
        return [{"apiVersion": api_version, "kind": kind, **item} for item in answer.get("items", [])]

    async def delete(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> bool:
        """Delete an object; False if there was none."""
        query = [("propagationPolicy", "Background")]
        try:
            await self._request("DELETE", _path(api_version, kind, namespace, name), query=query)
        except NotFound:
            return False
        return True

    async def create(self, manifest: Mapping[str, Any]) -> Manifest:
        """Create an object that must not exist yet."""
        metadata = manifest["metadata"]
        path = _path(manifest["apiVersion"], manifest["kind"], metadata.get("namespace"))
        return await self._request("POST", path, body=manifest)

    async def patch_scale(self, name: str, namespace: str, replicas: int) -> None:
        """Set a Deployment's replicas through its scale subresource, as the autoscaler does."""
        path = f"{_path('apps/v1', 'Deployment', namespace, name)}/scale"
        body = {"spec": {"replicas": replicas}}
        await self._request("PATCH", path, body=body, content_type="application/merge-patch+json")

    async def merge(self, manifest: Mapping[str, Any]) -> Manifest:
        """JSON merge patch of an existing object (RFC 7396): for what must not be owned, as a replaced annotation."""
        metadata = manifest["metadata"]
        path = _path(manifest["apiVersion"], manifest["kind"], metadata.get("namespace"), metadata["name"])
        return await self._request("PATCH", path, body=manifest, content_type="application/merge-patch+json")

    async def _apply(self, manifest: Mapping[str, Any], manager: str, subresource: str, force: bool) -> Manifest:
        metadata = manifest["metadata"]
        path = _path(manifest["apiVersion"], manifest["kind"], metadata.get("namespace"), metadata["name"])
        return await self._request(
            "PATCH",
            f"{path}{subresource}",
            query=[("fieldManager", manager), ("force", "true" if force else "false")],
            body=manifest,
            content_type="application/apply-patch+yaml",
        )

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        try:
            request = await self._api.param_serialize(
                method,
                path,
                query_params=query or [],
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await self._api.call_api(*request, _request_timeout=_REQUEST_SECONDS)
            await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ApiUnavailable(f"The API server did not answer {method} {path}: {error}") from error
        if not 200 <= answer.status <= 299:
            raise _error(answer.status, answer.data, f"{method} {path}")
        document: Manifest = json.loads(answer.data or b"{}")
        return document


class ApiUnavailable(Unavailable):
    """The API server is away or overloaded."""

    code, title = "api-server-unavailable", "API server unavailable"


class ApiConflict(Conflict):
    """Somebody else changed or owns the object."""

    retryable = True


def _path(api_version: str, kind: str, namespace: str | None, name: str | None = None) -> str:
    try:
        plural = _PLURALS[api_version, kind]
    except KeyError:
        raise ValueError(f"{api_version} {kind} is not in the table of kinds Tiketi uses") from None
    root = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
    scope = f"/namespaces/{namespace}" if namespace and kind not in _CLUSTER_SCOPED else ""
    return f"{root}{scope}/{plural}" + (f"/{name}" if name else "")


def _error(status: int, data: bytes | None, request: str) -> TiketiError:
    try:
        message = str(json.loads(data or b"{}").get("message", ""))
    except ValueError:
        message = (data or b"").decode(errors="replace")[:500]
    text = f"{request}: {message or status}"
    kinds: dict[int, type[TiketiError]] = {
        403: Forbidden,
        404: NotFound,
        409: ApiConflict,
        422: InvalidRequest,
    }
    if status == 429 or status >= 500:
        return ApiUnavailable(text)
    return kinds.get(status, InvalidRequest)(text)
