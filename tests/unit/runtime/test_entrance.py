"""How many are let in: as many as are answered soon."""

from __future__ import annotations

from tiketi_runtime.entrance import Room

SOON, LATE = 0.01, 0.5


def fill(room: Room) -> int:
    """Let in as many as there is room for."""
    count = 0
    while room.enter():
        count += 1
    return count


def serve(room: Room, rounds: int, took: float, began: float = 0.0) -> float:
    """A crowd that always fills the room, each round answered after ``took``; when it ends."""
    now = began
    for _ in range(rounds):
        inside = fill(room)
        now += took
        for _ in range(inside):
            room.leave(took, now)
    return now


def test_who_finds_no_room_is_refused_until_somebody_leaves() -> None:
    room = Room()
    assert fill(room) == room.limit
    assert not room.enter()
    room.leave(SOON, now=1.0)
    assert room.enter()


def test_fewer_are_let_in_while_answers_are_late_but_never_none() -> None:
    room = Room()
    before = room.limit
    serve(room, 3, LATE)
    assert room.limit < before
    serve(room, 100, LATE, began=100)
    assert fill(room) >= 1


def test_more_are_let_in_again_when_answers_come_soon() -> None:
    room = Room()
    now = serve(room, 100, LATE)
    narrow = room.limit
    serve(room, 100, SOON, now)
    assert room.limit > 2 * narrow


def test_a_room_that_is_never_full_does_not_grow() -> None:
    room = Room()
    before = room.limit
    for number in range(1000):
        assert room.enter()
        room.leave(SOON, now=float(number))
    assert room.limit == before
