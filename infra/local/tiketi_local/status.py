"""A table of a world's parts."""

from datetime import timedelta

from rich.table import Table

from tiketi_local import process
from tiketi_local.catalogue import catalogue
from tiketi_local.part import Part
from tiketi_local.site import Site
from tiketi_local.world import World


def table(world: World) -> Table:
    """Name, process, address, state, uptime and memory of every part. Raises WorldError without a world."""
    site = world.site
    shown = Table("PART", "PID", "ADDRESS", "STATE", "UP", "MEMORY", box=None, pad_edge=False)
    for item in catalogue(site):
        if isinstance(item, Part):
            shown.add_row(*row(site, item))
    return shown


def row(site: Site, part: Part) -> tuple[str, ...]:
    """The cells of one part."""
    known = site.memory.processes.get(part.name)
    address = f"127.0.0.1:{site.port(part.ports[0])}" if part.ports else "-"
    if known is None:
        return part.name, "-", address, "[dim]not started[/]", "-", "-"
    if not process.alive(known):
        return part.name, str(known.pid), address, "[red]dead[/]", "-", "-"
    up = timedelta(seconds=int(process.uptime(known)))
    used = process.memory(process.members(known, site.folder(part.name)))
    return part.name, str(known.pid), address, "[green]running[/]", str(up), f"{used / 2**20:.0f} MiB"
