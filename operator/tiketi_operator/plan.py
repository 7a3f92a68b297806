"""What must exist for an event at an instant: one pure function of what was asked for, the time, and what is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from tiketi_operator.manifests.autoscaler import lane_autoscaler, shared_autoscaler
from tiketi_operator.manifests.deployment import lane_deployment
from tiketi_operator.manifests.destination_rule import lane_destination_rule, shared_destination_rule
from tiketi_operator.manifests.disruption_budget import lane_disruption_budget
from tiketi_operator.manifests.metadata import Manifest, Place, child_name
from tiketi_operator.manifests.rate_limit import event_rate_limit, rate_limit_filter
from tiketi_operator.manifests.service import lane_service
from tiketi_operator.manifests.virtual_service import virtual_service
from tiketi_operator.phase import Stage, stage_at
from tiketi_operator.settings import PlatformSettings
from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.sale_sheet import SaleContent
from tiketi_runtime.contracts.ticket_event import Lane, TicketEvent


class ChildKey(NamedTuple):
    """Identity of a child within the platform's namespace."""

    api_version: str
    kind: str
    name: str


LANE_DEPLOYMENT = ("apps/v1", "Deployment")
CHILD_KINDS = (
    LANE_DEPLOYMENT,
    ("v1", "Service"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    ("networking.istio.io/v1", "VirtualService"),
    ("networking.istio.io/v1", "DestinationRule"),
    ("networking.istio.io/v1alpha3", "EnvoyFilter"),
)
"""Every kind a child of an event can be of: what a sweep looks through."""


@dataclass(frozen=True)
class SharedNeed:
    """What one event asks of the shared ticket service while it is armed."""

    event: EventId
    arm_at: datetime
    closes_at: datetime
    replicas: int

    def is_armed(self, now: datetime) -> bool:
        """Whether the need counts at ``now``."""
        return self.arm_at <= now < self.closes_at


@dataclass(frozen=True)
class Observed:
    """What is there already, as far as the plan depends on it."""

    ticket_template: Mapping[str, Any] | None = None
    """Pod template of the shared ticket service, which lanes copy. None: the service is not installed."""
    lane_replicas: int | None = None
    """Pods the lane's Deployment asks for; None while there is no Deployment."""
    lane_ready: int = 0
    """Ready pods of the lane."""
    on_lane: bool = False
    """Whether the route leads to the lane now."""
    shared_needs: tuple[SharedNeed, ...] = ()
    """Needs of all other events that are served by the shared ticket service."""


@dataclass(frozen=True)
class Plan:
    """What must exist. Everything labelled with the event that is neither applied nor kept is to be deleted."""

    stage: Stage
    shared: tuple[Manifest, ...]
    """Objects all events have in common; applied, never deleted."""
    children: tuple[Manifest, ...]
    """The event's own objects, to be applied."""
    kept: frozenset[ChildKey]
    """The event's own objects that must stay as they are now."""
    destination: str
    """Service that serves the event."""
    floor: int
    """Pods the shared ticket service is asked to have."""
    has_lane: bool
    """Whether a lane is planned; False also where one is asked for and cannot be."""

    @property
    def identities(self) -> frozenset[ChildKey]:
        """Identity of everything of the event that is to exist."""
        return self.kept | {key_of(manifest) for manifest in self.children}


def key_of(manifest: Mapping[str, Any]) -> ChildKey:
    """Identity of an object."""
    return ChildKey(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"])


def place_of(settings: PlatformSettings) -> Place:
    """Where children go."""
    return Place(settings.namespace, settings.ticket_service)


def plan(event: TicketEvent, sale: SaleContent, now: datetime, observed: Observed, settings: PlatformSettings) -> Plan:
    """The objects of ``event`` at ``now``, for the sale as compiled."""
    stage, place = stage_at(sale, now), place_of(settings)
    destination = _destination(event, stage, observed, settings)
    lane, kept = _lane(event, stage, observed, place)
    needs = _needs(event, sale, observed)
    return Plan(
        stage=stage,
        shared=shared_objects(needs, now, settings),
        children=(
            *lane,
            virtual_service(event, destination, place),
            event_rate_limit(event.id, sale.rate_limits, place),
        ),
        kept=kept,
        destination=destination,
        floor=shared_floor(needs, now, settings),
        has_lane=bool(lane),
    )


def shared_objects(needs: Sequence[SharedNeed], now: datetime, settings: PlatformSettings) -> tuple[Manifest, ...]:
    """The objects all events have in common; ``needs`` are those of all events."""
    place = place_of(settings)
    is_armed = any(need.is_armed(now) for need in needs)
    floor = shared_floor(needs, now, settings)
    return (
        shared_autoscaler(floor, settings.shared_max_replicas, place, armed=is_armed),
        shared_destination_rule(place),
        rate_limit_filter(place),
    )


def shared_floor(needs: Iterable[SharedNeed], now: datetime, settings: PlatformSettings) -> int:
    """Pods that all armed events of the shared ticket service need together."""
    return max(settings.shared_min_replicas, sum(need.replicas for need in needs if need.is_armed(now)))


def _needs(event: TicketEvent, sale: SaleContent, observed: Observed) -> tuple[SharedNeed, ...]:
    others = tuple(need for need in observed.shared_needs if need.event != event.id)
    if event.spec.capacity.lane is not Lane.SHARED:
        return others
    return (*others, SharedNeed(event.id, sale.arm_at, sale.closes_at, event.spec.capacity.peak_replicas))


def _destination(event: TicketEvent, stage: Stage, observed: Observed, settings: PlatformSettings) -> str:
    """The lane once enough of it is ready, and as long as any of it is; the shared ticket service otherwise."""
    if event.spec.capacity.lane is Lane.DEDICATED and stage is not Stage.ASLEEP:
        enough = 1 if observed.on_lane else event.spec.capacity.min_replicas
        if observed.lane_ready >= enough:
            return child_name(event.id)
    return settings.ticket_service


def _lane(
    event: TicketEvent, stage: Stage, observed: Observed, place: Place
) -> tuple[list[Manifest], frozenset[ChildKey]]:
    """The lane's objects to apply, and those to leave alone.

    The Deployment of a lane that is awake is never touched: its size is the autoscaler's, and a change of anything
    else would replace pods in the middle of a sale.
    """
    if event.spec.capacity.lane is not Lane.DEDICATED or observed.ticket_template is None:
        return [], _existing_lane(event, observed)
    around = [
        lane_service(event.id, place),
        lane_autoscaler(event, stage, place),
        lane_disruption_budget(event.id, place),
        lane_destination_rule(event.id, place),
    ]
    if stage is not Stage.ASLEEP and observed.lane_replicas:
        return around, frozenset({ChildKey(*LANE_DEPLOYMENT, child_name(event.id))})
    replicas = event.spec.capacity.peak_replicas if stage is Stage.ARMED else 0
    return [lane_deployment(event.id, observed.ticket_template, replicas=replicas, place=place), *around], frozenset()


def _existing_lane(event: TicketEvent, observed: Observed) -> frozenset[ChildKey]:
    """A lane that cannot be planned for want of a template stays; one that is not asked for any more goes."""
    if event.spec.capacity.lane is not Lane.DEDICATED or observed.lane_replicas is None:
        return frozenset()
    return frozenset(ChildKey(*kind, child_name(event.id)) for kind in CHILD_KINDS)
