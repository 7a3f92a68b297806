"""A real API server with the CRDs of this tree, and a namespace of the test run's own."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from tiketi_local.world import World

from .api_server import ApiServer, Manifest

ROOT = Path(__file__).resolve().parents[2]
CRDS: list[Manifest] = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml")]


@pytest.fixture(scope="session")
async def kubeconfig() -> AsyncIterator[Path]:
    """Administrator's kubeconfig of the test world, which is taken down at the end unless it was there before."""
    world = World.named(os.environ.get("TIKETI_WORLD", "test"))
    was_there = world.exists
    await world.up("kubernetes")
    yield world.kubeconfig
    if not was_there:
        await world.down()


@pytest.fixture(scope="session")
async def api(kubeconfig: Path) -> AsyncIterator[ApiServer]:
    """The API server once it serves the CRDs as they are in this tree."""
    server = await ApiServer.connect(kubeconfig)
    for manifest in CRDS:
        await server.apply(manifest)
        await until_established(server, manifest)
    yield server
    await server.close()


async def until_established(server: ApiServer, crd: Manifest) -> None:
    """Wait until the API server serves a kind; TimeoutError after 30 s."""
    async with asyncio.timeout(30):
        while True:
            status = (await server.get(crd)).get("status", {})
            if any(c["type"] == "Established" and c["status"] == "True" for c in status.get("conditions") or []):
                return
            await asyncio.sleep(0.1)


@pytest.fixture(scope="session")
async def namespace(api: ApiServer) -> AsyncIterator[str]:
    """Name of a namespace that is deleted when the tests are over."""
    manifest: Manifest = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": f"contract-{secrets.token_hex(4)}"},
    }
    await api.create(manifest)
    yield manifest["metadata"]["name"]
    await api.delete(manifest)
