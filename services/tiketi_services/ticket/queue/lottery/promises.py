"""``Promises``: what buyers who joined a line were told of its draw, kept where nothing is lost.

The operator goes by the sheet that Redis holds, which a loss of Redis or the deletion of the event takes from it. So a
sheet is taken over only if it keeps what PostgreSQL knows of; otherwise the operator is told, and writes another one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from tiketi_runtime.contracts.identity import EventId, Line
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import BeaconSheet, DrawPromise, RefusedSheet, SaleSheet
from tiketi_runtime.postgres import Pool, load_queries
from tiketi_runtime.redis import Redis, load_scripts

PACKAGE: Final = "tiketi_services.ticket.queue"

log = logging.getLogger(__name__)


class Promises:
    """The promises to the buyers of all events."""

    def __init__(self, redis: Redis, pool: Pool) -> None:
        self._pool = pool
        self._sql = load_queries(PACKAGE)
        self._refuse = load_scripts(redis, PACKAGE)["refuse_sheet"]
        self._refused: dict[EventId, RefusedSheet] = {}

    async def are_kept(self, sale: SaleSheet) -> bool:
        """Whether the sheet, which is about to be taken over, keeps what was promised until now. Any number of times.

        False: the operator is told so, if it is the newest. A sheet that breaks a promise once breaks it for ever.
        """
        refused = self._refused.get(sale.event)
        if refused is None or refused.version != sale.version:
            before = await self._pool.fetchrow(self._sql["sheet_before"], sale.event)
            if before is not None and before["version"] > sale.version:
                return False  # a newer one is served: this one is read late, and perhaps was refused
            broken = await self._broken(sale, before)
            if not broken:
                self._refused.pop(sale.event, None)
                return True
            refused = RefusedSheet(version=sale.version, promises=await self._all(sale.event))
            self._refused[sale.event] = refused
            log.warning("sale sheet breaks promises of a draw", extra={"event": sale.event, "lines": broken})
        keys = EventKeys(sale.event)
        await self._refuse(
            keys=[keys.sheet_version, keys.refused], args=[refused.version, refused.model_dump_json(by_alias=True)]
        )
        return False

    async def _broken(self, sale: SaleSheet, before: Mapping[str, Any] | None) -> list[Line]:
        """Lines for which the sheet breaks a promise of the one ``before``, or of an earlier one."""
        if before is None or before["version"] == sale.version:  # another process has judged it
            return []
        await self._keep(sale.event, _told(sale.event, before["content"], before["until"]))
        now: datetime = await self._pool.fetchval(self._sql["database_time"])
        lines = {line.name: line for line in sale.lines}
        return [
            promise.line
            for promise in await self._all(sale.event)
            if promise.line in lines and promise.is_broken_by(lines[promise.line], now)
        ]

    async def _keep(self, event: EventId, promises: Sequence[DrawPromise]) -> None:
        if promises:
            beacons = [promise.beacon for promise in promises]
            await self._pool.execute(
                self._sql["keep_promises"],
                event,
                [promise.line for promise in promises],
                [promise.joined_from for promise in promises],
                [promise.draw_at for promise in promises],
                [None if beacon is None else beacon.chain for beacon in beacons],
                [None if beacon is None else beacon.round for beacon in beacons],
            )

    async def _all(self, event: EventId) -> tuple[DrawPromise, ...]:
        return tuple(
            DrawPromise(
                line=row["line"],
                joined_from=row["joined_from"],
                draw_at=row["draw_at"],
                beacon=None if row["chain"] is None else BeaconSheet(chain=row["chain"], round=row["round"]),
            )
            for row in await self._pool.fetch(self._sql["promises"], event)
        )


def _told(event: EventId, content: object, until: datetime) -> list[DrawPromise]:
    """What this sheet promised to whom could join by it."""
    try:
        sheet = SaleSheet.model_validate(content)
    except ValidationError as error:
        log.error("sale sheet cannot be read", extra={"event": event, "error": str(error)})
        return []
    promises = (sheet.promise(line, until) for line in sheet.lines)
    return [promise for promise in promises if promise is not None]
