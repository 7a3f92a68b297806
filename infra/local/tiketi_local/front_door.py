"""``python -m tiketi_local.front_door``: keeps Envoy's routes as the operator's objects say, until SIGTERM.

Reads all of them again and again, so nothing can be missed. While the API server is away the routes stay.
"""

import argparse
import asyncio
import logging
from pathlib import Path

from tiketi_local import mesh, routes
from tiketi_local.envoy import BACKENDS
from tiketi_local.kubernetes import PLATFORM_NAMESPACE
from tiketi_runtime.errors import TiketiError
from tiketi_runtime.kubernetes import Cluster
from tiketi_runtime.observability import configure_logging

INTERVAL = 0.5
"""Seconds between two readings: how late a new event's routes and limits may be."""
OPERATORS = {"app.kubernetes.io/managed-by": "tiketi-operator"}

log = logging.getLogger("tiketi_local.front_door")


async def watch(cluster: Cluster, file: Path) -> None:
    """Follow the operator's objects for ever."""
    while True:
        try:
            changed = routes.write(file, routes.discovery_response(await read(cluster)))
        except (TiketiError, mesh.Untranslatable) as error:
            log.warning("routes stay as they are", extra={"error": str(error)})
        else:
            if changed:
                log.info("routes written")
        await asyncio.sleep(INTERVAL)


async def read(cluster: Cluster) -> list[routes.Config]:
    """The events' routes as of now. Raises TiketiError when the API server does not answer."""
    services = await cluster.list_all("networking.istio.io/v1", "VirtualService", PLATFORM_NAMESPACE, OPERATORS)
    filters = await cluster.list_all("networking.istio.io/v1alpha3", "EnvoyFilter", PLATFORM_NAMESPACE, OPERATORS)
    return mesh.event_routes(services, filters, {name: name for name in BACKENDS})


async def run(kubeconfig: Path, file: Path) -> None:
    """Connect and follow."""
    async with await Cluster.connect(kubeconfig) as cluster:
        await watch(cluster, file)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="tiketi_local.front_door")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--routes", type=Path, required=True, help="file that Envoy watches")
    options = parser.parse_args()
    configure_logging("INFO", "front-door")
    asyncio.run(run(options.kubeconfig, options.routes))


if __name__ == "__main__":
    main()
