"""The world's Kubernetes API: what is in it, and what each process may do."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tiketi_local.kubernetes import kubeconfig as kubeconfig_of
from tiketi_local.network import host_address
from tiketi_local.world import World
from tiketi_runtime.errors import Forbidden
from tiketi_runtime.kubernetes import Cluster

PLATFORM = "tiketi-system"


@pytest.fixture(scope="module")
async def admin(kubeconfig: Path) -> AsyncIterator[Cluster]:
    async with await Cluster.connect(kubeconfig) as cluster:
        yield cluster


@pytest.fixture(scope="module")
async def operator(world: World, kubeconfig: Path) -> AsyncIterator[Cluster]:
    async with await Cluster.connect(kubeconfig_of(world.site, "operator")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
async def stats(world: World, kubeconfig: Path) -> AsyncIterator[Cluster]:
    async with await Cluster.connect(kubeconfig_of(world.site, "stats")) as cluster:
        yield cluster


async def test_services_point_at_the_processes(admin: Cluster, world: World) -> None:
    for name in ("auth", "ticket", "payment", "stats"):
        service = await admin.get("v1", "Service", name, PLATFORM)
        slices = await admin.list_all(
            "discovery.k8s.io/v1", "EndpointSlice", PLATFORM, {"kubernetes.io/service-name": name}
        )
        assert service is not None
        assert "selector" not in service["spec"]
        assert [item["endpoints"][0]["addresses"] for item in slices] == [[host_address()]]
        assert slices[0]["ports"][0]["port"] == world.site.port(name)


async def test_the_autoscalers_target_is_there_and_runs_nothing(admin: Cluster) -> None:
    ticket = await admin.get("apps/v1", "Deployment", "ticket", PLATFORM)
    assert ticket is not None
    assert ticket["spec"]["replicas"] == 0
    assert [item["metadata"]["name"] for item in await admin.list_all("apps/v1", "Deployment")] == ["ticket"]


async def test_the_kinds_of_the_platform_and_the_mesh_are_served(admin: Cluster) -> None:
    assert await admin.list_all("tiketi.dev/v1alpha1", "TicketEvent") is not None
    assert await admin.list_all("tiketi.dev/v1alpha1", "QueuePolicy") is not None
    assert await admin.list_all("networking.istio.io/v1", "VirtualService") is not None
    assert await admin.list_all("networking.istio.io/v1alpha3", "EnvoyFilter") is not None


async def test_the_operator_has_the_rights_of_its_service_account_and_no_more(operator: Cluster) -> None:
    assert await operator.list_all("tiketi.dev/v1alpha1", "TicketEvent") is not None
    assert await operator.list_all("networking.istio.io/v1", "VirtualService", PLATFORM) is not None
    with pytest.raises(Forbidden):
        await operator.list_all("v1", "Secret", PLATFORM)
    with pytest.raises(Forbidden):
        await operator.delete("networking.istio.io/v1", "VirtualService", "any", "default")


async def test_stats_may_not_read_or_change_events(stats: Cluster) -> None:
    with pytest.raises(Forbidden):
        await stats.list_all("tiketi.dev/v1alpha1", "TicketEvent")
    with pytest.raises(Forbidden):
        await stats.delete("tiketi.dev/v1alpha1", "TicketEvent", "any", "demo")


async def test_a_killed_api_server_and_store_are_mended_with_all_objects(admin: Cluster, world: World) -> None:
    event_count = len(await admin.list_all("v1", "Namespace"))
    for part in ("kube-apiserver", "etcd", "kube-controller-manager"):
        world.kill(part)
    await world.up("kubernetes")
    assert len(await admin.list_all("v1", "Namespace")) == event_count
