from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from tiketi_runtime.contracts.queue_policy import QueuePolicySpec
from tiketi_runtime.contracts.ticket_event import TicketEventSpec
from tiketi_runtime.contracts.ticket_event_status import TicketEventStatus

from .schema_facts import differences, table_of_crd, table_of_model

CRDS = Path(__file__).resolve().parents[2] / "crds"
PARTS: list[tuple[str, str, type[BaseModel]]] = [
    ("ticketevents", "spec", TicketEventSpec),
    ("ticketevents", "status", TicketEventStatus),
    ("queuepolicies", "spec", QueuePolicySpec),
]


def schema_of(plural: str) -> dict[str, Any]:
    crd = yaml.safe_load((CRDS / f"{plural}.yaml").read_text())
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


@pytest.mark.parametrize(("plural", "part", "model"), PARTS)
def test_crd_and_model_say_the_same_of_every_field(plural: str, part: str, model: type[BaseModel]) -> None:
    crd = table_of_crd(schema_of(plural)["properties"][part])
    assert differences(crd, table_of_model(model)) == []


def change(path: str, **facts: Any) -> Callable[[dict[str, Any]], None]:
    def apply(spec: dict[str, Any]) -> None:
        node = spec
        for name in path.split("."):
            node = node["items"] if name == "[]" else node["properties"][name]
        for name, value in facts.items():
            if value is None:
                del node[name]
            else:
                node[name] = value

    return apply


def drop(path: str) -> Callable[[dict[str, Any]], None]:
    def apply(spec: dict[str, Any]) -> None:
        del spec["properties"][path]

    return apply


PLANTED = {
    "a field less": (drop("message"), "message: only on the right"),
    "a field more": (
        change("venue", properties={"name": {}, "timeZone": {}, "city": {}}),
        "venue.city: only on the left",
    ),
    "another maximum": (change("sale.maxTicketsPerBuyer", maximum=21), "sale.maxTicketsPerBuyer: maximum"),
    "no minimum": (change("seating.sections.[].price", minimum=None), "seating.sections[].price: minimum"),
    "another default": (change("sale.holdDuration", default="9m"), "sale.holdDuration: default"),
    "another nested default": (change("capacity.peakReplicas", default=5), "capacity: default"),
    "no default": (change("routing.gateway", default=None), "routing.gateway: default"),
    "a word more": (change("admission", enum=["Open", "Paused", "Drain", "Shut"]), "admission: enum"),
    "not required": (change("sale", required=["opensAt"]), "sale.closesAt: required"),
    "another type": (change("title", type="integer"), "title: type"),
    "another pattern": (change("seating.sections.[].name", pattern="^.*$"), "seating.sections[].name: pattern"),
    "longer text": (change("message", maxLength=501), "message: maxLength"),
    "longer list": (change("sale.presales", maxItems=9), "sale.presales: maxItems"),
    "another bound of a time span": (
        change("sale.holdDuration", **{"x-kubernetes-validations": [{"rule": "true"}]}),
        "sale.holdDuration: rules",
    ),
    "another format": (change("startsAt", format="date"), "startsAt: format"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_difference_is_found(name: str) -> None:
    plant, expected = PLANTED[name]
    spec = deepcopy(schema_of("ticketevents")["properties"]["spec"])
    plant(spec)
    found = differences(table_of_crd(spec), table_of_model(TicketEventSpec))
    assert any(line.startswith(expected) for line in found), found


def nodes(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


def fields() -> list[Any]:
    return [
        pytest.param(node, id=f"{plural}{path}")
        for plural, part, _ in PARTS
        for path, node in nodes(schema_of(plural)["properties"][part], f".{part}")
    ]


@pytest.mark.parametrize("field", fields())
def test_every_field_has_a_description_that_tells_its_default(field: Mapping[str, Any]) -> None:
    assert field["description"].endswith(".")
    default = field.get("default")
    if default is not None and default not in ({}, [], ""):
        text = " in ".join(map(str, default.values())) if isinstance(default, dict) else str(default)
        told = text.lower() if isinstance(default, bool) else text
        assert f"Default {told}." in field["description"]


@pytest.mark.parametrize("field", fields())
def test_every_field_is_bounded(field: Mapping[str, Any]) -> None:
    bounds: dict[str, tuple[set[str], ...]] = {
        "string": ({"maxLength"}, {"enum"}, {"format"}),
        "integer": ({"minimum", "maximum"}, {"minimum", "format"}),
        "array": ({"maxItems", "x-kubernetes-list-type"},),
        "object": ({"properties"}, {"x-kubernetes-preserve-unknown-fields"}),
        "boolean": (set(),),
    }
    assert any(needed <= field.keys() for needed in bounds[field["type"]])
