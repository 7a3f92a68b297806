"""Live connections: who listens to which line, and what they are told.

State, never deltas: a client that reconnects, to whichever pod, is complete at once, and pods need no message bus. The
same bytes go to all buyers of a group of places; the only words for a single client are its ``place``, when it connects
and once more when it is drawn; who is shopping already looks on, and hears ``standing: admitted`` with it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any, Final, Protocol

from socketio.exceptions import ConnectionRefusedError as SocketRefusal

from tiketi_runtime.contracts.identity import BuyerId, EventId, Line, Seq
from tiketi_runtime.contracts.sale_sheet import LineSheet, SaleSheet
from tiketi_runtime.errors import InvalidRequest, TiketiError, Unavailable
from tiketi_runtime.outages import is_outage
from tiketi_runtime.security import LEEWAY, TokenVerifier, identity_from_claims
from tiketi_runtime.websocket import TRY_AGAIN_LATER
from tiketi_services.ticket.queue import metrics
from tiketi_services.ticket.queue.domain import (
    NotInLine,
    Place,
    Receipt,
    Standing,
    Whereabouts,
    find_line,
    from_ms,
    next_change,
)
from tiketi_services.ticket.queue.each import for_each
from tiketi_services.ticket.queue.places.positions import group_of
from tiketi_services.ticket.queue.places.states import Key, Reading, States
from tiketi_services.ticket.queue.push.fanout import Audience, Client, event_frame
from tiketi_services.ticket.queue.push.sockets import LIVE_EVENT, NAMESPACE, TOKEN_EXPIRED, Sockets
from tiketi_services.ticket.queue.push.tabs import Tabs
from tiketi_services.ticket.queue.push.watching import Watching
from tiketi_services.ticket.queue.repository import MOST_BEATS, Shown
from tiketi_services.ticket.queue.usecases import Queue, open_receipt, receipt_word, restore
from tiketi_services.ticket.sales.sales import Sales
from tiketi_services.ticket.settings import TicketSettings

_PLACES_PER_TURN = 200
"""Other work gets its turn after so many buyers were told their place."""
_LEAST_STAY = 5
"""Seconds a connection stays open at least, even with a token that is about to expire: no client comes in circles."""

_NOBODYS: Final = Seq(0)

log = logging.getLogger(__name__)


class Returns(Protocol):
    """What brings buyers back into a line whose memory was lost."""

    async def represent(self, event: EventId, line: Line, receipts: Iterable[tuple[BuyerId, Seq]]) -> int:
        """Bring buyers who are still here back to their places. Raises Recovering when it has to be done again."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who wants to listen, to which line."""

    sale: SaleSheet
    line: LineSheet
    buyer: BuyerId | None = None
    """None: looks on without a place."""
    seq: Seq = _NOBODYS
    """Number of joining; 0 without a place."""
    expires: float = inf
    """When the access token does (epoch s)."""
    since: datetime | None = None
    """When the place was taken, as far as the receipt tells: the first state must show it."""
    is_admitted: bool = False
    """Is shopping: looks on, and is told so."""
    place: Place | None = None
    """Found by the receipt, if it is not the one the receipt is of."""


@dataclass(slots=True, eq=False)
class Listener:
    """One connection that has said what it wants to hear."""

    client: Client
    buyer: BuyerId | None
    seq: Seq
    account: BuyerId | None = None
    """Whose connection it is, shopping or waiting; None: somebody who looks on unnamed."""
    group: int | None = None
    """The group of places that it hears of; None without a place, and while it is not drawn."""
    receipt: str | None = None
    """Of its place, to be told with it: the one that the page has is of another number."""
    is_in_line: bool = True
    """False once the line said otherwise: after a loss of Redis nobody brings this buyer back."""


@dataclass(slots=True)
class Crowd:
    """The listeners of one line."""

    audience: Audience = field(default_factory=Audience)
    listeners: dict[str, Listener] = field(default_factory=dict)
    """By session id."""
    unplaced: dict[str, Listener] = field(default_factory=dict)
    """Those of them whose place is not known yet."""
    epoch: int | None = None
    """Of the memory that knows the listeners."""
    next_change: float = inf
    """When the phase changes by time alone; time.monotonic()"""


class Live:
    """The listeners of this process."""

    def __init__(
        self,
        settings: TicketSettings,
        sales: Sales,
        states: States,
        queue: Queue,
        returns: Returns,
        access_tokens: TokenVerifier,
    ) -> None:
        self._sales = sales
        self._states = states
        self._queue = queue
        self._returns = returns
        self._access_tokens = access_tokens
        self._drain_duration = settings.drain_duration
        self._callers: dict[str, Caller] = {}
        self._keys: dict[str, Key] = {}
        self._crowds: dict[Key, Crowd] = {}
        self._expiring: dict[int, list[str]] = {}
        self._tabs = Tabs(settings.max_connections_per_buyer)
        self.is_draining = False
        self.watching = Watching(queue.lines, NAMESPACE)
        self.sockets = Sockets(
            self._on_connect,
            self._on_connected,
            self._on_disconnect,
            connect_deadline=settings.connect_deadline,
            on_wish=self._on_wish,
        )

    # --- Who comes and goes

    async def _on_connect(self, sid: str, environ: Mapping[str, Any], auth: object) -> None:
        try:
            self._callers[sid] = await self._admit(environ[LIVE_EVENT], auth)
        except Exception as error:  # whatever it is, the client hears a code and stays out
            raise refusal(error) from error

    async def _admit(self, event: EventId, auth: object) -> Caller:
        """Who connects to which line. Presence counts as a heartbeat from now on."""
        if not isinstance(auth, Mapping) or not isinstance(auth.get("line"), str):
            raise InvalidRequest("Connect with auth {line, token, receipt}; without token and receipt to look on.")
        sale = await self._sales.sheet(event)
        line = find_line(sale, auth["line"])
        token, word = auth.get("token"), auth.get("receipt")
        if token is None and word is None:
            return Caller(sale, line)
        if not isinstance(token, str) or not isinstance(word, str):
            raise InvalidRequest("Send token and receipt both, as text, or neither.")
        claims = await self._access_tokens.verify(token, "at+jwt", "tiketi-auth")
        buyer = BuyerId(identity_from_claims(claims).subject)
        receipt = open_receipt(self._queue, sale, line.name, buyer, word)
        return await self._be_present(sale, line, receipt, word, float(claims["exp"]))

    async def _be_present(
        self, sale: SaleSheet, line: LineSheet, receipt: Receipt, word: str, expires: float
    ) -> Caller:
        """A heartbeat. Who is shopping looks on; a receipt of a place that Redis has lost restores it.

        Raises NotInLine for those who left or went silent: joining again is their own act.
        """
        buyer = receipt.buyer
        beat = await self._queue.lines.heartbeat(sale.event, line.name, [(buyer, receipt.seq)])
        if not beat.absent and not beat.moved:
            return Caller(sale, line, buyer, receipt.seq, expires, from_ms(receipt.joined_at))
        if beat.absent:
            match await self._queue.lines.whereabouts(sale.event, line.name, [buyer]):
                case [Whereabouts.ADMITTED]:
                    return Caller(sale, line, buyer, receipt.seq, expires, is_admitted=True)
                case [Whereabouts.OUT]:
                    raise NotInLine(
                        "You left, went silent, or are done shopping. Your place is kept unless spent; join again to"
                        " wait."
                    )
        place = await restore(self._queue, sale, line.name, buyer, word)
        is_admitted, is_other = place.standing is Standing.ADMITTED, place.seq != receipt.seq
        return Caller(sale, line, buyer, place.seq, expires, place.now, is_admitted, place if is_other else None)

    async def _on_connected(self, sid: str) -> None:
        """The client has heard that it is connected: place and state follow. Should that fail, a tick brings them."""
        caller = self._callers.pop(sid)
        key = (caller.sale.event, caller.line.name)
        crowd = self._crowds.setdefault(key, Crowd())
        waiting = None if caller.is_admitted else caller.buyer
        listener = crowd.listeners[sid] = Listener(self.sockets.client(sid), waiting, caller.seq, caller.buyer)
        if caller.place is not None and caller.buyer is not None:
            listener.receipt = receipt_word(self._queue, caller.sale, caller.line, caller.buyer, caller.place)
        self._keys[sid] = key
        if caller.buyer is not None:
            self._make_room(caller.buyer, sid)
        if caller.expires < inf:
            self._expire(sid, caller.expires)
        metrics.CONNECTIONS.set(len(self._keys))
        reading = await self._reading(caller)
        if sid in crowd.listeners:  # it may be gone by now
            self._settle(crowd, sid, listener, reading)
            if caller.is_admitted:
                listener.client.write(
                    _admitted_frame(caller.seq, None if reading is None else reading.place(caller.seq))
                )
            if reading is not None:
                listener.client.write(_state_frame(reading, listener.group))

    def _make_room(self, buyer: BuyerId, sid: str) -> None:
        """Beyond what an account may have, its oldest connection is closed, never the one that is just opened."""
        oldest = self._tabs.open(buyer, sid)
        if oldest is not None and oldest in self._keys:
            self.sockets.client(oldest).hang_up(TRY_AGAIN_LATER)

    async def _reading(self, caller: Caller) -> Reading | None:
        """The line with the caller's place in it; None while it cannot be read."""
        try:
            return await self._states.reading(caller.sale, caller.line, caller.since)
        except Exception as error:
            if not isinstance(error, TiketiError) and not is_outage(error):
                raise
            log.info("no state yet", extra={"event": caller.sale.event, "error": f"{type(error).__name__}: {error}"})
            return None

    def _settle(self, crowd: Crowd, sid: str, listener: Listener, reading: Reading | None) -> None:
        """Let the client hear of its group, and of its place, null while that is not drawn."""
        place = None if reading is None or listener.buyer is None else reading.place(listener.seq)
        crowd.audience.discard(listener.client, listener.group)
        listener.group = None if place is None else group_of(place)
        crowd.audience.add(listener.client, listener.group)
        if listener.buyer is None:
            return
        if place is None:
            crowd.unplaced[sid] = listener
        else:
            crowd.unplaced.pop(sid, None)
        if reading is not None:
            listener.client.write(_place_frame(listener.seq, place, listener.receipt))
            listener.receipt = None

    async def _on_disconnect(self, sid: str, _reason: str) -> None:
        self._callers.pop(sid, None)
        key = self._keys.pop(sid, None)
        if key is None:
            return
        self.watching.forget(sid)
        crowd = self._crowds[key]
        listener = crowd.listeners.pop(sid)
        if listener.account is not None:
            self._tabs.close(listener.account, sid)
        crowd.unplaced.pop(sid, None)
        crowd.audience.discard(listener.client, listener.group)
        if not crowd.listeners:
            del self._crowds[key]
        metrics.CONNECTIONS.set(len(self._keys))

    def _on_wish(self, sid: str, topic: str, is_wanted: bool) -> None:
        key = self._keys.get(sid)
        if key is None:  # it is still being let in
            return
        if is_wanted:
            listener = self._crowds[key].listeners[sid]
            self.watching.watch(sid, listener.client, key, listener.account, topic)
        else:
            self.watching.unwatch(sid, topic)

    # --- What is told

    async def tick(self) -> None:
        """Tell everybody the state of the line, where it has changed. Raises the first fault, once all were tried."""
        await for_each(self._tell, list(self._crowds))

    async def cross(self) -> None:
        """Tell those whose sale enters another phase, without waiting for the next tick."""
        now = time.monotonic()
        due = [key for key, crowd in self._crowds.items() if now >= crowd.next_change]
        await for_each(self._tell, due)

    async def _tell(self, key: Key) -> None:
        sale = self._sales.all().get(key[0])
        line = None if sale is None else sale.line(key[1])
        crowd = self._crowds.get(key)
        if sale is None or line is None or crowd is None:  # deleted while they waited; gone meanwhile
            return
        reading = await self._states.fresh(sale, line)
        change = next_change(sale, reading.line.now)
        until_change = inf if change is None else (change - reading.line.now).total_seconds()
        crowd.next_change = reading.read_at + until_change
        await self._bring_back(crowd, sale, line, reading)
        await self._tell_places(crowd, reading)
        await crowd.audience.tell(lambda group: (reading.tag(group), lambda: _state_frame(reading, group)))
        metrics.POSITION_AGE_SECONDS.labels(*key).observe(time.monotonic() - reading.read_at)

    async def _bring_back(self, crowd: Crowd, sale: SaleSheet, line: LineSheet, reading: Reading) -> None:
        """After a loss the line remembers nobody: those who are still here need not come back themselves.

        Who left, by another process perhaps, is not brought back if a heartbeat before the loss told so.
        """
        if crowd.epoch is not None and crowd.epoch != reading.line.epoch:
            receipts = [
                (each.buyer, each.seq)
                for each in crowd.listeners.values()
                if each.buyer is not None and each.is_in_line
            ]
            await self._returns.represent(sale.event, line.name, receipts)
        crowd.epoch = reading.line.epoch

    async def _tell_places(self, crowd: Crowd, reading: Reading) -> None:
        """Those who learn their place only now: it was drawn, or Redis was away when they came."""
        if reading.standings is None:
            return
        for count, (sid, listener) in enumerate(list(crowd.unplaced.items())):
            if sid in crowd.unplaced:
                self._settle(crowd, sid, listener, reading)
            if count % _PLACES_PER_TURN == _PLACES_PER_TURN - 1:
                await asyncio.sleep(0)

    # --- Who is there

    async def beat(self) -> None:
        """Report every connected buyer alive, in a few scripts for all; note who is not in line any more.

        A line that is being rebuilt, or was deleted, keeps no other waiting. Raises the first of other troubles.
        """
        await for_each(self._beat_all, list(self._crowds.items()))

    async def _beat_all(self, whose: tuple[Key, Crowd]) -> None:
        key, crowd = whose
        shown = list({(each.buyer, each.seq) for each in crowd.listeners.values() if each.buyer is not None})
        news: dict[BuyerId | None, bool] = {}
        moved: dict[Shown, Seq] = {}
        for start in range(0, len(shown), MOST_BEATS):
            told, others = await self._beat(key, shown[start : start + MOST_BEATS])
            news |= told
            moved |= others
        for listener in crowd.listeners.values():
            listener.is_in_line = news.get(listener.buyer, listener.is_in_line)
        if moved:
            await self._correct(key, crowd, await self._settled(key, moved, shown))

    async def _beat(self, key: Key, shown: Sequence[Shown]) -> tuple[dict[BuyerId | None, bool], Mapping[Shown, Seq]]:
        """Who is in line and who is not, and who has another number than the page shows. Nothing is told of those whom
        Redis has lost: they are where they were.
        """
        news: dict[BuyerId | None, bool] = {buyer: True for buyer, _ in shown}
        beat = await self._queue.lines.heartbeat(*key, shown)
        absent = list(dict.fromkeys(beat.absent))
        found = await self._queue.lines.whereabouts(*key, absent) if absent else []
        for buyer, where in zip(absent, found, strict=True):
            if where is Whereabouts.UNKNOWN:
                del news[buyer]
            else:
                news[buyer] = False
        return news, beat.moved

    async def _settled(self, key: Key, moved: Mapping[Shown, Seq], shown: Sequence[Shown]) -> Mapping[Shown, Seq]:
        """The numbers that count, once pages with an earlier one have presented its receipt: who joined anew on another
        device before the line was brought back must not lose the earlier place by it.
        """
        earlier = [(buyer, seq) for (buyer, seq), known in moved.items() if seq < known]
        if not earlier:
            return moved
        await self._returns.represent(*key, earlier)
        settled: dict[Shown, Seq] = {}
        for start in range(0, len(shown), MOST_BEATS):
            settled |= (await self._queue.lines.heartbeat(*key, shown[start : start + MOST_BEATS])).moved
        return settled

    async def _correct(self, key: Key, crowd: Crowd, moved: Mapping[Shown, Seq]) -> None:
        """Tell pages that show a number their account does not have the one that counts, with its receipt."""
        sale = self._sales.all().get(key[0])
        line = None if sale is None else sale.line(key[1])
        if sale is None or line is None or not moved:
            return
        reading = await self._states.fresh(sale, line)
        for sid, listener in list(crowd.listeners.items()):
            seq = None if listener.buyer is None else moved.get((listener.buyer, listener.seq))
            if seq is None or listener.buyer is None:
                continue
            now, epoch, number = reading.line.now, reading.line.epoch, reading.place(seq)
            place = Place(seq, number, epoch, Standing.WAITING, now)
            listener.seq, listener.receipt = seq, receipt_word(self._queue, sale, line, listener.buyer, place)
            self._settle(crowd, sid, listener, reading)
            listener.client.write(_state_frame(reading, listener.group))

    async def expire(self) -> None:
        """Close connections whose access token has expired; clients come back with a fresh one, to the same place."""
        for second in [second for second in self._expiring if second <= time.time()]:
            for sid in self._expiring.pop(second):
                if sid in self._keys:
                    self.sockets.client(sid).hang_up(TOKEN_EXPIRED)

    def _expire(self, sid: str, at: float) -> None:
        second = math.ceil(max(at + LEEWAY.total_seconds(), time.time() + _LEAST_STAY))
        self._expiring.setdefault(second, []).append(sid)

    async def drain(self) -> None:
        """The process is going to stop: take nobody new, send everybody elsewhere bit by bit."""
        self.is_draining = True
        await self.sockets.drain(self._drain_duration)


def _state_frame(reading: Reading, group: int | None) -> bytes:
    return event_frame(NAMESPACE, "state", reading.body(group))


def _place_frame(seq: int, place: int | None, receipt: str | None) -> bytes:
    """``receipt``: of this number, if the page has another one's."""
    told = b"" if receipt is None else b',"receipt":"%b"' % receipt.encode()
    body = b'{"seq":%d,"place":%b%b}' % (seq, b"null" if place is None else b"%d" % place, told)
    return event_frame(NAMESPACE, "place", body)


def _admitted_frame(seq: int, place: int | None) -> bytes:
    """Of somebody who is shopping: nothing is left to wait for."""
    body = b'{"seq":%d,"place":%b,"standing":"admitted"}' % (seq, b"null" if place is None else b"%d" % place)
    return event_frame(NAMESPACE, "place", body)


def refusal(error: Exception) -> SocketRefusal:
    """The error as the client's connect_error: its message, and code and members in ``data``."""
    if not isinstance(error, TiketiError):
        if not is_outage(error):
            log.error("connection failed", exc_info=error)
        error = Unavailable("The line cannot be reached just now; try again.", retryAfter=1)
    return SocketRefusal(error.detail, {"code": error.code, "status": error.status, **error.members})
