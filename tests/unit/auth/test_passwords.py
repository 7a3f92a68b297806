"""Hashing: right, bounded, and alike for known and unknown people."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Literal

import pytest
from argon2 import PasswordHasher, extract_parameters

from tiketi_services.auth.domain import Busy
from tiketi_services.auth.passwords import Passwords, Verdict

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
SLOW = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
SECRET = "correct horse battery staple"


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    with Passwords(QUICK, workers=2, waiting_room=100) as passwords:
        yield passwords


async def test_only_the_right_password_is_right(passwords: Passwords) -> None:
    stored = await passwords.hash(SECRET)
    assert await passwords.verify(stored, SECRET) == Verdict(is_right=True)
    assert await passwords.verify(stored, SECRET + " ") == Verdict(is_right=False)
    assert SECRET not in stored


async def test_nobody_s_password_is_wrong(passwords: Passwords) -> None:
    assert await passwords.verify(None, SECRET) == Verdict(is_right=False)


async def test_a_hash_made_with_other_parameters_is_right_and_outdated(passwords: Passwords) -> None:
    stored = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(SECRET)
    assert await passwords.verify(stored, SECRET) == Verdict(is_right=True, is_outdated=True)
    assert await passwords.verify(stored, "wrong") == Verdict(is_right=False)


async def test_one_more_than_may_wait_is_told_to_come_back() -> None:
    with Passwords(SLOW, workers=1, waiting_room=3) as passwords:
        inside = [asyncio.create_task(passwords.hash(SECRET)) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(Busy) as caught:
            await passwords.hash(SECRET)
        assert caught.value.members["retryAfter"] >= 1
        await asyncio.gather(*inside)
        await passwords.hash(SECRET)


async def test_a_request_given_up_does_not_make_room_before_its_work_ends() -> None:
    with Passwords(SLOW, workers=1, waiting_room=0) as passwords:
        task = asyncio.create_task(passwords.hash(SECRET))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(Busy):
            await passwords.hash(SECRET)


async def test_the_event_loop_turns_while_passwords_are_hashed() -> None:
    with Passwords(SLOW, workers=1, waiting_room=10) as passwords:
        work = asyncio.gather(*(passwords.hash(SECRET) for _ in range(5)))
        turns = 0
        while not work.done():
            await asyncio.sleep(0.001)
            turns += 1
        await work
    assert turns > 5


async def test_an_unknown_address_costs_the_same_verification_as_a_known_one() -> None:
    hasher = _Listening(time_cost=1, memory_cost=16, parallelism=1)
    with Passwords(hasher, workers=1, waiting_room=10) as passwords:
        stored = await passwords.hash(SECRET)
        await passwords.verify(stored, "wrong")
        await passwords.verify(None, "wrong")
    known, unknown = (extract_parameters(verified) for verified in hasher.verified)
    assert known == unknown


class _Listening(PasswordHasher):
    """Remembers what it was asked to verify: its parameters are the cost."""

    def __init__(self, *, time_cost: int, memory_cost: int, parallelism: int) -> None:
        super().__init__(time_cost, memory_cost, parallelism)
        self.verified: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - argon2's own name
        self.verified.append(str(hash))
        return super().verify(hash, password)
