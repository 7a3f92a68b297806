"""A real API server as these tests use it: every refusal is kept field by field, as the server gave it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kubernetes.aio import client, config

Manifest = dict[str, Any]

MANAGER = "contract-tests"
PLURALS = {
    "CustomResourceDefinition": "customresourcedefinitions",
    "Namespace": "namespaces",
    "QueuePolicy": "queuepolicies",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Secret": "secrets",
    "TicketEvent": "ticketevents",
}
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_UNCHECKED = "some validation rules were not checked"


@dataclass(frozen=True)
class Fault:
    """One thing the API server has against an object."""

    field: str
    message: str


class Refused(Exception):
    """The API server did not take an object."""

    def __init__(self, message: str, faults: Sequence[Fault]) -> None:
        super().__init__(message)
        self.faults = faults


class ApiServer:
    """Creates, applies and reads objects by plain manifests."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    @classmethod
    async def connect(cls, kubeconfig: Path) -> Self:
        """Use a kubeconfig file; sends nothing yet."""
        configuration = client.Configuration()
        await config.load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)
        return cls(client.ApiClient(configuration))

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create an object that is not there; unknown fields are refused. Raises Refused."""
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
        return await self._request("POST", _collection(manifest), query, manifest)

    async def apply(self, manifest: Manifest, subresource: str = "") -> Manifest:
        """Server-side apply; unknown fields are refused. Raises Refused."""
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict", "force": "true"}
        return await self._request("PATCH", _object(manifest) + subresource, query, manifest)

    async def get(self, manifest: Manifest) -> Manifest:
        """The object as it is stored now. Raises Refused if there is none."""
        return await self._request("GET", _object(manifest), {})

    async def row(self, manifest: Manifest) -> Mapping[str, Any]:
        """What ``kubectl get -o wide`` shows of the object, by column. Raises Refused if there is none."""
        table = await self._request("GET", _object(manifest), {}, accept=_TABLE)
        names = [column["name"] for column in table["columnDefinitions"]]
        (row,) = table["rows"]
        return dict(zip(names, row["cells"], strict=True))

    async def delete(self, manifest: Manifest) -> None:
        """Delete an object. Raises Refused if there is none."""
        await self._request("DELETE", _object(manifest), {})

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Manifest | None = None,
        accept: str = "application/json",
    ) -> Manifest:
        content = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        request = await self._api.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Accept": accept, "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = await self._api.call_api(*request, _request_timeout=30)
        await answer.read()
        document: Manifest = json.loads(answer.data)
        if answer.status >= 400:
            raise Refused(document["message"], _faults(document))
        return document


def _faults(answer: Manifest) -> list[Fault]:
    """Faults of an answer, without the note that there may be more of them."""
    causes = (answer.get("details") or {}).get("causes", [])
    return [Fault(c["field"], c["message"]) for c in causes if _UNCHECKED not in c["message"]]


def _collection(manifest: Manifest) -> str:
    version = manifest["apiVersion"]
    namespace = manifest["metadata"].get("namespace")
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"/{'apis' if '/' in version else 'api'}/{version}{scope}/{PLURALS[manifest['kind']]}"


def _object(manifest: Manifest) -> str:
    return f"{_collection(manifest)}/{manifest['metadata']['name']}"
