"""Every example could be sold as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiketi_operator.codes import codes_in
from tiketi_operator.sale import check_draws, check_sale, compile_sale
from tiketi_runtime.contracts.beacon import known_chains
from tiketi_runtime.contracts.identity import Line
from tiketi_runtime.contracts.presale_codes import CodeBook
from tiketi_runtime.contracts.queue_policy import QueuePolicy
from tiketi_runtime.contracts.ticket_event import TicketEvent

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples").glob("*.yaml"))


def read(example: Path) -> Mapping[str, Any]:
    """Objects of a file by kind; a file has at most one of each."""
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(example.read_text())}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_can_be_sold(example: Path) -> None:
    objects = read(example)
    event, policy = TicketEvent.from_body(objects["TicketEvent"]), QueuePolicy.from_body(objects["QueuePolicy"])
    books = {
        Line(presale.name): CodeBook.of(
            event.id, Line(presale.name), codes_in(objects["Secret"]["stringData"][ref.key], ref.key)
        )
        for presale in event.spec.sale.presales
        if (ref := presale.codes_secret_ref) is not None
    }
    sale = compile_sale(event, check_sale(event, policy), books)
    check_draws(sale, policy, known_chains())
    assert all(line.codes is None or line.codes.count > 0 for line in sale.lines)


def test_an_example_lets_the_operator_get_its_secret_and_no_other() -> None:
    objects = read(next(path for path in EXAMPLES if path.name == "presale-codes.yaml"))
    secret, role, binding = (objects[kind] for kind in ("Secret", "Role", "RoleBinding"))
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [secret["metadata"]["name"]], "verbs": ["get"]}
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "tiketi-operator", "namespace": "tiketi-system"}]
