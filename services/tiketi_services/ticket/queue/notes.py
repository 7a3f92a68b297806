"""``Notes``: warnings that any process may find reason for, told once, as Kubernetes Events on the TicketEvent."""

from __future__ import annotations

from typing import Final

from tiketi_runtime.contracts.identity import EventId
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.redis import Redis, load_scripts

PACKAGE: Final = "tiketi_services.ticket.queue"


class Notes:
    """Leaves them in Redis for the operator."""

    def __init__(self, redis: Redis) -> None:
        self._warn_once = load_scripts(redis, PACKAGE)["warn_once"]

    async def warn_once(self, event: EventId, topic: str, occasion: str, reason: str, message: str) -> bool:
        """Warn, unless some process has on this occasion; True if it was told now.

        ``topic``: what the occasions are of. The last one of each is remembered.
        """
        keys = EventKeys(event)
        told = await self._warn_once(keys=[keys.epoch, keys.told(topic), keys.notes], args=[occasion, reason, message])
        return bool(told)
