"""What is told beside the line: to whom, and what happens to those who cannot take it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from tiketi_runtime.contracts.identity import PUBLIC, BuyerId, EventId, Line
from tiketi_runtime.errors import Unavailable
from tiketi_services.ticket.queue.domain import Whereabouts
from tiketi_services.ticket.queue.push import watching
from tiketi_services.ticket.queue.push.fanout import MOST_UNSENT, bytes_frame
from tiketi_services.ticket.queue.push.topics import Topic
from tiketi_services.ticket.queue.push.watching import Watching

EVENT, OTHER = EventId("demo/show"), EventId("demo/other")
KEY = (EVENT, PUBLIC)
ANNA, BORIS = BuyerId("anna"), BuyerId("boris")


class Page:
    """Takes what is written while it is not stuck."""

    def __init__(self) -> None:
        self.unsent = 0
        self.frames: list[bytes] = []

    def write(self, frame: bytes) -> None:
        self.frames.append(frame)

    def words(self) -> list[str]:
        """What was said, without the frames around it; what was told as JSON by its code."""
        return [
            str(json.loads(frame[frame.index(b"[") :])[1]["code"]) if b"unwatched" in frame else frame[-3:].decode()
            for frame in self.frames
        ]

    def get_stuck(self) -> None:
        self.unsent = MOST_UNSENT + 1


class Desk:
    """Knows who is shopping; counts how often it is asked."""

    def __init__(self, *shopping: BuyerId) -> None:
        self.shopping = set(shopping)
        self.asked = 0
        self.trouble: Exception | None = None

    async def whereabouts(self, _event: EventId, _line: Line, buyers: Sequence[BuyerId]) -> list[Whereabouts]:
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        return [Whereabouts.ADMITTED if buyer in self.shopping else Whereabouts.OUT for buyer in buyers]


def a_topic(*pages: Page, greeting: bytes | None = None) -> Topic:
    topic = Topic("/queue", "seats")
    topic.greet = lambda _: greeting
    for page in pages:
        topic.add(EVENT, page)
    return topic


def a_watching(line: Desk) -> tuple[Watching, Topic]:
    all_who_watch = Watching(line, "/queue")  # type: ignore[arg-type]
    topic = all_who_watch.offer("seats")
    topic.greet = lambda _: b"<g>"
    return all_who_watch, topic


async def settled(all_who_watch: Watching) -> None:
    while all_who_watch._checks:
        await asyncio.gather(*all_who_watch._checks)


def test_bytes_go_as_a_socket_io_event_of_two_frames() -> None:
    frame = bytes_frame("/queue", "seats", b"\x00\xff")
    head = b'451-/queue,["seats",{"_placeholder":true,"num":0}]'
    assert frame == bytes([0x81, len(head)]) + head + b"\x82\x02\x00\xff"


async def test_all_who_listen_are_told_the_same_and_nobody_else() -> None:
    one, two, elsewhere, gone = Page(), Page(), Page(), Page()
    topic = a_topic(one, two, gone)
    topic.add(OTHER, elsewhere)
    topic.discard(EVENT, gone)
    assert await topic.tell(EVENT, b"<1>") == 2
    assert one.frames == two.frames == [bytes_frame("/queue", "seats", b"<1>")]
    assert elsewhere.frames == gone.frames == []


async def test_an_event_without_listeners_is_forgotten() -> None:
    page = Page()
    topic = a_topic(page)
    assert topic.events() == [EVENT]
    topic.discard(EVENT, page)
    topic.discard(EVENT, page)
    assert topic.events() == []
    assert await topic.tell(EVENT, b"<1>") == 0
    topic.remind(EVENT, b"<1>")


def test_who_asks_twice_is_greeted_once() -> None:
    page = Page()
    topic = a_topic(page, page, greeting=b"<g>")
    topic.add(EVENT, page)
    assert page.words() == ["<g>"]


async def test_who_missed_something_is_reminded_once_it_can_be() -> None:
    slow, quick = Page(), Page()
    topic = a_topic(slow, quick)
    slow.get_stuck()
    assert await topic.tell(EVENT, b"<1>") == 1
    topic.remind(EVENT, b"<v>")
    assert slow.frames == []
    slow.unsent = 0
    for _ in range(3):
        topic.remind(EVENT, b"<v>")
    assert (slow.words(), quick.words()) == (["<v>"], ["<1>"])


async def test_the_next_change_is_reminder_enough() -> None:
    slow = Page()
    topic = a_topic(slow)
    slow.get_stuck()
    await topic.tell(EVENT, b"<1>")
    slow.unsent = 0
    await topic.tell(EVENT, b"<2>")
    topic.remind(EVENT, b"<v>")
    assert slow.words() == ["<2>"]


async def test_a_greeting_that_could_not_be_taken_is_made_up_for() -> None:
    slow = Page()
    slow.get_stuck()
    topic = a_topic(slow, greeting=b"<g>")
    slow.unsent = 0
    topic.remind(EVENT, b"<v>")
    assert slow.words() == ["<v>"]


# --- Who may


async def test_who_is_shopping_may_listen_and_is_looked_up_once() -> None:
    line, page = Desk(ANNA), Page()
    all_who_watch, topic = a_watching(line)
    for _ in range(5):
        all_who_watch.watch("1", page, KEY, ANNA, "seats")
    await settled(all_who_watch)
    all_who_watch.unwatch("1", "seats")
    all_who_watch.watch("1", page, KEY, ANNA, "seats")
    assert (page.words(), line.asked) == (["<g>", "<g>"], 1)
    assert topic.events() == [EVENT]
    all_who_watch.forget("1")
    assert topic.events() == []


async def test_who_is_not_is_refused_and_not_looked_up_at_each_try() -> None:
    line, page = Desk(), Page()
    all_who_watch, topic = a_watching(line)
    all_who_watch.watch("1", page, KEY, ANNA, "seats")
    await settled(all_who_watch)
    all_who_watch.watch("1", page, KEY, ANNA, "seats")
    assert (page.words(), line.asked) == (["not-admitted"] * 2, 1)
    assert topic.events() == []


async def test_somebody_unnamed_is_refused_without_looking() -> None:
    line, page = Desk(), Page()
    all_who_watch, _ = a_watching(line)
    all_who_watch.watch("1", page, KEY, None, "seats")
    all_who_watch.watch("1", page, KEY, None, "prices")
    assert (page.words(), line.asked) == (["not-admitted", "unknown-topic"], 0)


@pytest.mark.parametrize(
    ("trouble", "code"), [(Unavailable("Wait."), "unavailable"), (ConnectionError(), "unavailable")], ids=str
)
async def test_trouble_is_told_by_its_code_and_tried_again_later(
    monkeypatch: pytest.MonkeyPatch, trouble: Exception, code: str
) -> None:
    monkeypatch.setattr(watching, "_DISTRUSTED", 0.0)
    line, page = Desk(ANNA), Page()
    line.trouble = trouble
    all_who_watch, topic = a_watching(line)
    all_who_watch.watch("1", page, KEY, ANNA, "seats")
    await settled(all_who_watch)
    line.trouble = None
    all_who_watch.watch("1", page, KEY, ANNA, "seats")
    await settled(all_who_watch)
    assert page.words() == [code, "<g>"]
    assert topic.events() == [EVENT]


async def test_who_is_gone_when_the_answer_comes_hears_nothing() -> None:
    line, page = Desk(ANNA), Page()
    all_who_watch, topic = a_watching(line)
    all_who_watch.watch("1", page, KEY, ANNA, "seats")
    all_who_watch.forget("1")
    await settled(all_who_watch)
    assert (page.frames, topic.events()) == ([], [])


async def test_who_changed_its_mind_before_the_answer_hears_nothing() -> None:
    line, page = Desk(ANNA), Page()
    all_who_watch, topic = a_watching(line)
    all_who_watch.watch("1", page, KEY, ANNA, "seats")
    all_who_watch.unwatch("1", "seats")
    await settled(all_who_watch)
    assert (page.frames, topic.events()) == ([], [])


async def test_those_who_are_done_shopping_are_sent_away() -> None:
    line, done, still = Desk(ANNA, BORIS), Page(), Page()
    all_who_watch, topic = a_watching(line)
    all_who_watch.watch("1", done, KEY, ANNA, "seats")
    all_who_watch.watch("2", still, KEY, BORIS, "seats")
    await settled(all_who_watch)
    line.shopping.remove(ANNA)
    await all_who_watch.review()
    assert (done.words(), still.words()) == (["<g>", "not-admitted"], ["<g>"])
    assert await topic.tell(EVENT, b"<1>") == 1
