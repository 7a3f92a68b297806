"""``python -m tests.metrics_table``: write the table of docs/metrics.md anew, from the metrics the code has."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

from tiketi_services.stats.collector import families

PAGE: Final = Path(__file__).parents[1] / "docs" / "metrics.md"
BEGIN, END = "<!-- metrics: begin -->", "<!-- metrics: end -->"
_PACKAGES: Final = ("tiketi_operator", "tiketi_runtime", "tiketi_services")


def table() -> str:
    """A row for each metric of ours, by name."""
    rows = ["| metric | kind | labels | what |", "|---|---|---|---|"]
    described: list[tuple[Metric, Iterable[str]]] = [
        (family, metric._labelnames) for metric in _metrics() for family in metric.describe()
    ]
    described += [(family, family._labelnames) for family in families({})]
    for family, labelnames in sorted(described, key=lambda row: row[0].name):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in labelnames)
        rows.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join(rows)


def written() -> str:
    """The table as the page has it."""
    page = PAGE.read_text()
    return page[page.index(BEGIN) + len(BEGIN) : page.index(END)].strip()


def _metrics() -> Iterator[MetricWrapperBase]:
    for name in _PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    for collector in {id(each): each for each in REGISTRY._names_to_collectors.values()}.values():
        if isinstance(collector, MetricWrapperBase) and collector._name.startswith("tiketi_"):
            yield collector


def write() -> None:
    """Put the table into the page."""
    page = PAGE.read_text()
    before, after = page[: page.index(BEGIN) + len(BEGIN)], page[page.index(END) :]
    PAGE.write_text(f"{before}\n{table()}\n{after}")


if __name__ == "__main__":
    write()
