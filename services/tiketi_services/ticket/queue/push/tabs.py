"""``Tabs``: the open connections of each account, so that one account cannot fill a process."""

from __future__ import annotations

from tiketi_runtime.contracts.identity import BuyerId


class Tabs:
    """Connections by account, oldest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[BuyerId, dict[str, None]] = {}

    def open(self, buyer: BuyerId, sid: str) -> str | None:
        """Count a connection; answers the oldest one, not counted any more, if it has to make room."""
        sids = self._open.setdefault(buyer, {})
        sids[sid] = None
        if len(sids) <= self._most:
            return None
        oldest = next(iter(sids))
        del sids[oldest]
        return oldest

    def close(self, buyer: BuyerId, sid: str) -> None:
        """A connection is gone. No error if it is not counted."""
        sids = self._open.get(buyer)
        if sids is None:
            return
        sids.pop(sid, None)
        if not sids:
            del self._open[buyer]
