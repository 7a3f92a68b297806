"""The installation manifests, rendered by kustomize and judged by a real API server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from tiketi_local.kubernetes import PLATFORM_NAMESPACE, program
from tiketi_operator.settings import OperatorSettings
from tiketi_services.auth.settings import AuthSettings
from tiketi_services.payment.settings import PaymentSettings
from tiketi_services.stats.settings import StatsSettings
from tiketi_services.ticket.settings import TicketSettings

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = sorted(path.parent for path in ROOT.glob("gitops/overlays/*/kustomization.yaml"))
SETTINGS: dict[str, type[BaseSettings]] = {
    "auth": AuthSettings,
    "operator": OperatorSettings,
    "payment": PaymentSettings,
    "stats": StatsSettings,
    "ticket": TicketSettings,
}

Manifest = dict[str, Any]


async def kubectl(*words: str, given: str = "") -> str:
    """Output of kubectl. Raises AssertionError with what it said when it fails."""
    child = await asyncio.create_subprocess_exec(
        program("kubectl"),
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await child.communicate(given.encode())
    assert child.returncode == 0, errors.decode()
    assert b"Warning" not in errors, errors.decode()
    return output.decode()


@pytest.fixture(params=OVERLAYS, ids=lambda path: path.name)
async def rendered(request: pytest.FixtureRequest, kubeconfig: Path) -> str:
    """One overlay as it would be applied. (The world of ``kubeconfig`` brings kubectl.)"""
    return await kubectl("kustomize", str(request.param))


@pytest.fixture
def deployments(rendered: str) -> dict[str, Manifest]:
    found = (item for item in yaml.safe_load_all(rendered) if item["kind"] == "Deployment")
    return {item["metadata"]["name"]: item for item in found}


async def test_the_api_server_takes_every_object_as_it_is_written(rendered: str, kubeconfig: Path) -> None:
    options = ["--server-side", "--dry-run=server", "--force-conflicts", "--validate=strict"]
    await kubectl(f"--kubeconfig={kubeconfig}", "apply", *options, "--filename=-", given=rendered)


async def test_every_pod_is_admitted_where_the_restricted_standard_is_enforced(
    deployments: dict[str, Manifest], kubeconfig: Path
) -> None:
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{name}-trial", "namespace": PLATFORM_NAMESPACE},
            "spec": deployment["spec"]["template"]["spec"],
        }
        for name, deployment in deployments.items()
    ]
    given = yaml.safe_dump_all(pods)
    await kubectl(f"--kubeconfig={kubeconfig}", "create", "--dry-run=server", "--filename=-", given=given)
    namespace = json.loads(
        await kubectl(f"--kubeconfig={kubeconfig}", "get", "namespace", PLATFORM_NAMESPACE, "--output=json")
    )
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_container_can_write_to_its_disk(deployments: dict[str, Manifest]) -> None:
    for deployment in deployments.values():
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]


def test_only_processes_that_talk_to_kubernetes_get_a_token(deployments: dict[str, Manifest]) -> None:
    with_token = {
        name
        for name, deployment in deployments.items()
        if deployment["spec"]["template"]["spec"].get("automountServiceAccountToken", True)
    }
    assert with_token == {"operator", "stats"}


def test_each_process_is_given_every_setting_it_needs_and_none_it_does_not_know(
    deployments: dict[str, Manifest],
) -> None:
    assert set(deployments) == set(SETTINGS)
    for name, deployment in deployments.items():
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        given = {variable["name"] for variable in container["env"]}
        settings, prefix = SETTINGS[name], f"TIKETI_{name.upper()}_"
        known = {f"{prefix}{field.upper()}" for field in settings.model_fields}
        needed = {f"{prefix}{key.upper()}" for key, field in settings.model_fields.items() if field.is_required()}
        assert needed <= given <= known, name
