import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiketi_runtime.contracts.queue_policy import QueuePolicy
from tiketi_runtime.contracts.ticket_event import TicketEvent

from .api_server import ApiServer, Fault, Manifest, Refused

ROOT = Path(__file__).resolve().parents[2]
CRDS = sorted((ROOT / "crds").glob("*.yaml"))
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
REFUSED = Path(__file__).parent / "refused"
REFUSED_AT_ONCE = sorted(path for path in REFUSED.glob("*.yaml") if len(path.suffixes) == 1)
REFUSED_CHANGES = sorted(REFUSED.glob("*.after.yaml"))
MODELS: Mapping[str, type[TicketEvent] | type[QueuePolicy]] = {"TicketEvent": TicketEvent, "QueuePolicy": QueuePolicy}


def documents(path: Path, namespace: str) -> list[Manifest]:
    found: list[Manifest] = list(yaml.safe_load_all(path.read_text()))
    for manifest in found:
        manifest["metadata"]["namespace"] = namespace
    return found


def crd_of(path: Path) -> Manifest:
    manifest: Manifest = yaml.safe_load(path.read_text())
    return manifest


def only_document(path: Path, namespace: str) -> Manifest:
    (manifest,) = documents(path, namespace)
    return manifest


def expected_fault(path: Path) -> Fault:
    """What the file's first line says it is refused for: `# refused: <field>: <part of the message>`."""
    match = re.fullmatch(r"# refused: ([^ ]+): (.+)", path.read_text().splitlines()[0])
    assert match, f"{path.name} does not begin with '# refused: <field>: <message>'"
    return Fault(match[1], match[2])


def assert_refused_for(refusal: Refused, expected: Fault) -> None:
    """Exactly the expected field is blamed, and in the expected words."""
    assert {fault.field for fault in refusal.faults} == {expected.field}, str(refusal)
    assert any(expected.message in fault.message for fault in refusal.faults), str(refusal)


@pytest.mark.parametrize("crd", CRDS, ids=lambda path: path.name)
async def test_a_crd_is_served_structural_and_names_are_accepted(api: ApiServer, crd: Path) -> None:
    stored = await api.get(crd_of(crd))
    conditions = {condition["type"]: condition["status"] for condition in stored["status"]["conditions"]}
    assert conditions.get("Established") == "True"
    assert conditions.get("NamesAccepted") == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize("crd", CRDS, ids=lambda path: path.name)
async def test_applying_a_crd_again_changes_nothing(api: ApiServer, crd: Path) -> None:
    manifest = crd_of(crd)
    before = await api.get(manifest)
    after = await api.apply(manifest)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
async def test_an_example_passes_a_dry_run(api: ApiServer, namespace: str, example: Path) -> None:
    for manifest in documents(example, namespace):
        await api.create(manifest, dry_run=True)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
async def test_an_example_is_stored_as_the_models_read_the_file(api: ApiServer, namespace: str, example: Path) -> None:
    for manifest in documents(example, namespace):
        model = MODELS.get(manifest["kind"])
        if model is not None:
            stored = model.from_body(await api.apply(manifest))
            assert stored.spec == model.from_body(manifest).spec


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
async def test_applying_an_example_again_changes_nothing(api: ApiServer, namespace: str, example: Path) -> None:
    for manifest in documents(example, namespace):
        first = await api.apply(manifest)
        again = await api.apply(manifest)
        assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


@pytest.mark.parametrize("path", REFUSED_AT_ONCE, ids=lambda path: path.name)
async def test_a_bad_object_is_refused_by_field_and_mend(api: ApiServer, namespace: str, path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        await api.create(only_document(path, namespace), dry_run=True)
    assert_refused_for(refusal.value, expected_fault(path))


@pytest.mark.parametrize("path", REFUSED_CHANGES, ids=lambda path: path.name)
async def test_a_bad_change_is_refused_and_leaves_the_object_as_it_was(
    api: ApiServer, namespace: str, path: Path
) -> None:
    before = only_document(path.with_name(path.name.replace(".after.", ".before.")), namespace)
    status = before.pop("status", None)
    await api.apply(before)
    if status is not None:
        identity = {key: before[key] for key in ("apiVersion", "kind")} | {"metadata": before["metadata"]}
        await api.apply({**identity, "status": status}, "/status")
    stored = await api.get(before)
    with pytest.raises(Refused) as refusal:
        await api.apply(only_document(path, namespace))
    assert_refused_for(refusal.value, expected_fault(path))
    assert await api.get(before) == stored


def first_sale(namespace: str, name: str) -> Manifest:
    manifest = next(
        document
        for document in documents(ROOT / "examples" / "first-sale.yaml", namespace)
        if document["kind"] == "TicketEvent"
    )
    manifest["metadata"]["name"] = name
    return manifest


async def test_seats_may_be_added_and_prices_changed_before_arming(api: ApiServer, namespace: str) -> None:
    event = first_sale(namespace, "growing")
    await api.apply(event)
    await api.apply({**without_spec(event), "status": {"phase": "Scheduled"}}, "/status")
    grown = deepcopy(event)
    grown["spec"]["seating"]["sections"][0] |= {"rows": 6, "price": 170_000}
    grown["spec"]["seating"]["sections"].append({"name": "B", "price": 88_000, "rows": 10, "seatsPerRow": 30})
    stored = TicketEvent.from_body(await api.apply(grown))
    assert stored.spec.seating.size == TicketEvent.from_body(event).spec.seating.size + 20 + 300
    assert stored.generation == 2


def without_spec(manifest: Manifest) -> Manifest:
    return {key: manifest[key] for key in ("apiVersion", "kind", "metadata")}


async def test_a_status_write_moves_no_generation_and_a_spec_write_no_status(api: ApiServer, namespace: str) -> None:
    event = first_sale(namespace, "watched")
    await api.apply(event)
    sales = {"waiting": 7, "updatedAt": "2027-03-01T11:00:00Z"}
    await api.apply({**without_spec(event), "status": {"sales": sales}}, "/status")
    event["spec"]["message"] = "Soon."
    stored = TicketEvent.from_body(await api.apply({**event, "status": {"sales": {"waiting": 8}}}))
    assert stored.generation == 2
    assert stored.status.sales is not None
    assert stored.status.sales.waiting == 7


async def test_the_operators_notes_to_itself_are_kept_as_they_are(api: ApiServer, namespace: str) -> None:
    event = first_sale(namespace, "noted")
    await api.apply(event)
    notes = {"lastHandled": '{"spec": {}}', "progress": {"on_ticket_event": {"retries": 3}}}
    stored = await api.apply({**without_spec(event), "status": {"operator": notes}}, "/status")
    assert stored["status"]["operator"] == notes


async def test_columns_show_the_times_in_effect(api: ApiServer, namespace: str) -> None:
    event = first_sale(namespace, "in-effect")
    await api.apply(event)
    assert (await api.row(event))["Opens"] is None
    times = {"opensAt": "2027-01-01T11:00:00Z", "closesAt": "2027-01-02T11:00:00Z"}
    await api.apply({**without_spec(event), "status": {"timeline": times}}, "/status")
    row = await api.row(event)
    assert (row["Opens"], row["Closes"]) == ("2027-01-01T11:00:00Z", "2027-01-02T11:00:00Z")


async def test_a_column_shows_that_deletion_was_asked_for(api: ApiServer, namespace: str) -> None:
    event = first_sale(namespace, "kept")
    await api.apply({**event, "metadata": {**event["metadata"], "finalizers": ["tiketi.dev/finalizer"]}})
    assert (await api.row(event))["Deleting"] in (None, "<none>", "<unknown>")
    await api.delete(event)
    assert re.fullmatch(r"\d+s", (await api.row(event))["Deleting"])
    await api.apply(event)  # without the finalizer: nothing keeps it


async def test_a_misspelt_field_is_refused_by_name(api: ApiServer, namespace: str) -> None:
    event = first_sale(namespace, "misspelt")
    event["spec"]["sale"]["holdTime"] = "5m"
    with pytest.raises(Refused, match=r'unknown field "spec\.sale\.holdTime"'):
        await api.create(event, dry_run=True)


def rules(schema: Mapping[str, Any], path: str = "") -> Iterator[Fault]:
    """Every CEL rule of a schema as the fault it makes, lists written as `[0]`."""
    for rule in schema.get("x-kubernetes-validations", []):
        yield Fault((path + rule.get("fieldPath", "")).removeprefix("."), rule["message"])
    for name, child in schema.get("properties", {}).items():
        yield from rules(child, f"{path}.{name}")
    if "items" in schema:
        yield from rules(schema["items"], f"{path}[0]")


def test_every_rule_of_the_crds_has_a_refused_file() -> None:
    schemas = [yaml.safe_load(path.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for path in CRDS]
    known = {expected_fault(path) for path in [*REFUSED_AT_ONCE, *REFUSED_CHANGES]}
    assert {fault for schema in schemas for fault in rules(schema)} - known == set()


def test_every_file_begins_a_change_or_is_refused() -> None:
    before = {path.name.replace(".before.", ".after.") for path in REFUSED.glob("*.before.yaml")}
    assert before == {path.name for path in REFUSED_CHANGES}
    assert len(REFUSED_AT_ONCE) + len(REFUSED_CHANGES) >= 60
