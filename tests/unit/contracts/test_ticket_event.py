from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf
import pytest
from pydantic import ValidationError

from tiketi_runtime.contracts.sale_sheet import Admission
from tiketi_runtime.contracts.ticket_event import Currency, Lane, TicketEvent

BODY: dict[str, Any] = {
    "apiVersion": "tiketi.dev/v1alpha1",
    "kind": "TicketEvent",
    "metadata": {
        "namespace": "demo",
        "name": "first-sale",
        "uid": "0b0e7a52",
        "generation": 3,
        "labels": {"tour": "spring"},
        "annotations": {"tiketi.dev/override": "rain"},
        "creationTimestamp": "2026-11-23T12:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
    },
    "spec": {
        "title": "First Sale",
        "venue": {"name": "Blue Hall", "timeZone": "Asia/Seoul"},
        "startsAt": "2027-05-01T19:00:00+09:00",
        "sale": {"opensAt": "2027-03-01T20:00:00+09:00", "closesAt": "2027-04-30T23:59:59+09:00"},
        "seating": {
            "sections": [
                {"name": "VIP", "price": 165_000, "rows": 5, "seatsPerRow": 20},
                {"name": "ST", "price": 99_000, "capacity": 200},
            ]
        },
        "queuePolicyRef": {"name": "line"},
        "routing": {"host": "tickets.example.com"},
    },
}


def body(**spec: Any) -> dict[str, Any]:
    changed = deepcopy(BODY)
    changed["spec"] |= spec
    return changed


def test_an_object_is_read_with_the_metadata_tiketi_uses() -> None:
    event = TicketEvent.from_body(BODY)
    assert event.id == "demo/first-sale"
    assert (event.uid, event.generation) == ("0b0e7a52", 3)
    assert event.labels == {"tour": "spring"}
    assert event.annotations == {"tiketi.dev/override": "rain"}
    assert event.deletion_timestamp is None


def test_the_body_kopf_hands_to_a_handler_is_read_alike() -> None:
    assert TicketEvent.from_body(kopf.Body(BODY)) == TicketEvent.from_body(BODY)  # type: ignore[arg-type]


def test_what_the_organiser_left_out_has_the_default() -> None:
    spec = TicketEvent.from_body(BODY).spec
    assert (spec.sale.currency, spec.sale.max_tickets_per_buyer) == (Currency.KRW, 4)
    assert spec.sale.hold_duration == timedelta(minutes=10)
    assert (spec.sale.refunds_until, spec.sale.presales) == (None, ())
    assert (spec.capacity.lane, spec.capacity.peak_replicas) == (Lane.DEDICATED, 4)
    assert spec.capacity.prewarm_lead_time == timedelta(minutes=15)
    assert (spec.admission, spec.message) == (Admission.OPEN, "")


def test_times_are_instants_whatever_zone_they_are_written_in() -> None:
    assert TicketEvent.from_body(BODY).spec.sale.opens_at == datetime(2027, 3, 1, 11, tzinfo=UTC)


def test_seated_and_standing_places_are_counted_together() -> None:
    assert TicketEvent.from_body(BODY).spec.seating.size == 5 * 20 + 200


def test_fields_of_a_newer_crd_are_dropped() -> None:
    assert TicketEvent.from_body(body(soundtrack="loud")) == TicketEvent.from_body(BODY)


def test_an_event_cannot_be_changed() -> None:
    event = TicketEvent.from_body(BODY)
    with pytest.raises(ValidationError, match="frozen"):
        event.spec.sale.max_tickets_per_buyer = 5  # type: ignore[misc]


def test_an_event_written_as_json_reads_the_same() -> None:
    event = TicketEvent.from_body(BODY)
    assert TicketEvent.model_validate_json(event.model_dump_json(by_alias=True)) == event


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"title": ""}, "spec.title"),
        ({"startsAt": "2027-05-01T19:00:00"}, "spec.startsAt"),
        ({"sale": {**BODY["spec"]["sale"], "holdDuration": "31m"}}, "spec.sale.holdDuration"),
        ({"sale": {**BODY["spec"]["sale"], "holdDuration": "soon"}}, "spec.sale.holdDuration"),
        ({"capacity": {"lane": "Fast"}}, "spec.capacity.lane"),
        ({"seating": {"sections": []}}, "spec.seating.sections"),
        ({"seating": {"sections": [{"name": "A", "price": 1_000, "capacity": 0}]}}, "spec.seating.sections.0.capacity"),
        ({"seating": {"sections": [{"name": "A", "price": 1_000, "rows": 3}]}}, "spec.seating.sections.0"),
    ],
)
def test_a_wrong_field_is_named(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        TicketEvent.from_body(body(**spec))
    assert ".".join(map(str, refusal.value.errors()[0]["loc"])) == field
