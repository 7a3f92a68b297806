"""The whole embedded world, once for all end-to-end tests; left alone if it was up before."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from tiketi_local.world import World
from tiketi_runtime.kubernetes import Cluster


@pytest.fixture(scope="session")
async def world() -> AsyncIterator[World]:
    world = World.named(os.environ.get("TIKETI_WORLD", "e2e"))
    was_up = world.exists
    await world.up("all")
    try:
        yield world
    finally:
        if not was_up:
            await world.down()


@pytest.fixture(scope="session")
async def cluster(world: World) -> AsyncIterator[Cluster]:
    async with await Cluster.connect(world.kubeconfig) as cluster:
        yield cluster
