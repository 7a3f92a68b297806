"""What the services leave in Redis to be told in Kubernetes: draws for the status, notes as Events."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from pydantic import ValidationError

from tiketi_operator.manifests.metadata import MANAGER, Manifest
from tiketi_operator.manifests.virtual_service import event_path
from tiketi_operator.status import Notice, utc_text
from tiketi_runtime.contracts.draw_file import DrawNotice
from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.kubernetes_object import API_VERSION
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import DrawPromise, RefusedSheet
from tiketi_runtime.contracts.ticket_event import TicketEvent
from tiketi_runtime.contracts.ticket_event_status import Draw
from tiketi_runtime.errors import TiketiError
from tiketi_runtime.kubernetes import ApiConflict, Cluster
from tiketi_runtime.redis import Redis

_LOOK_BACK: Final = timedelta(minutes=10)
"""How old notes may be that an operator tells when it starts. The API server forgets Events after an hour: an older
note could be told twice."""
_BATCH: Final = 100
_LONGEST_MESSAGE: Final = 1024
"""Characters of a Kubernetes Event's message."""

log = logging.getLogger(__name__)


class Reports:
    """Reports of the services on all events. Methods raise RedisError when Redis is away."""

    def __init__(self, redis: Redis, cluster: Cluster) -> None:
        self._redis = redis
        self._cluster = cluster
        self._told: dict[EventId, str] = {}
        """Id of the last note of each event that was told."""

    async def draws(self, event: EventId) -> Mapping[str, Draw]:
        """What ticket says of the event's draws, by line. One that cannot be read is left out and logged."""
        found = cast("dict[bytes, bytes]", await self._redis.hgetall(EventKeys(event).draws))
        draws = (_read_draw(event, document) for document in found.values())
        return {draw.line: draw for draw in draws if draw is not None}

    async def owed(self, event: EventId, version: int) -> tuple[DrawPromise, ...]:
        """The promises to buyers for which ticket does not take over this version of the sheet; none if it does."""
        document = await self._redis.get(EventKeys(event).refused)
        if document is None:
            return ()
        try:
            refused = RefusedSheet.model_validate_json(document)
        except ValidationError as error:
            log.error("refusal of a sheet cannot be read", extra={"event": event, "error": str(error)})
            return ()
        return refused.promises if refused.version == version else ()

    async def tell_notes(self, event: TicketEvent, now: datetime) -> None:
        """Post every note as a Kubernetes Event on the TicketEvent, once: the Event's name comes from the note.

        Raises ApiUnavailable; what was not told by then is told next time.
        """
        start = self._told.get(event.id, str(round((now - _LOOK_BACK).timestamp() * 1000)))
        notes = await self._redis.xrange(EventKeys(event.id).notes, f"({start}", "+", _BATCH)
        for key, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", notes):
            note = key.decode()
            await self._post(_event(event, note, fields))
            self._told[event.id] = note

    def forget(self, event: EventId) -> None:
        """The event is gone."""
        self._told.pop(event, None)

    async def _post(self, manifest: Manifest) -> None:
        try:
            await self._cluster.create(manifest)
        except ApiConflict:
            log.debug("note told before", extra={"note": manifest["metadata"]["name"]})
        except TiketiError as error:
            if error.retryable:
                raise
            log.error("note refused", extra={"note": manifest["metadata"]["name"], "error": error.detail})


def _read_draw(event: EventId, document: bytes) -> Draw | None:
    try:
        notice = DrawNotice.of_json(document)
        return Draw.model_validate(
            {
                **notice.model_dump(by_alias=True),
                "entries": notice.n,
                "trust": notice.trust.capitalize(),
                "file": None if notice.drawn_at is None else f"{event_path(event)}/queue/{notice.line}/draw",
            }
        )
    except ValidationError as error:
        log.error("draw cannot be read", extra={"event": event, "error": str(error)})
        return None


def _event(event: TicketEvent, note: str, fields: Mapping[bytes, bytes]) -> Manifest:
    """The Kubernetes Event of a note; its id is the time (ms) at which it was made, and a number."""
    told = {key.decode(): value.decode(errors="replace") for key, value in fields.items()}
    notice = Notice(told.get("reason", "Note"), told.get("message", ""), told.get("warning") == "1")
    at = utc_text(datetime.fromtimestamp(int(note.partition("-")[0]) / 1000, UTC))
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{event.name}.{note}", "namespace": event.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": "TicketEvent",
            "name": event.name,
            "namespace": event.namespace,
            "uid": event.uid,
        },
        "type": "Warning" if notice.is_warning else "Normal",
        "reason": notice.reason,
        "message": notice.message[:_LONGEST_MESSAGE],
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "reportingInstance": MANAGER,
    }
