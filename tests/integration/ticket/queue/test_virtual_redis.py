"""The Redis of the simulations answers as the real one does: to random commands, and to the scripts of whole sales."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError
from tests.simulation.crowds import any_sale
from tests.simulation.line_sale import LineSale
from tests.simulation.values import encode
from tests.simulation.virtual_redis import VirtualRedis

from tiketi_runtime import redis as runtime_redis
from tiketi_runtime.contracts.identity import event_id
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.redis import Redis

KEYS = EventKeys(event_id("demo", "sale"))

# --- Single commands

keys = st.sampled_from(["z1", "z2"])
members = st.sampled_from(["ann", "bob", "cyd", "dan"])
scores = st.one_of(st.integers(-5, 5), st.sampled_from([1.5, 2.25, 1e12, 0.1]))
ends = st.sampled_from(["-inf", "+inf", "-1", "0", "2", "(2", "(0", "1.5"])
offsets, counts = st.integers(0, 2), st.integers(-1, 3)
fields = st.sampled_from(["a", "b", "c"])
commands = st.one_of(
    st.tuples(st.just("ZADD"), keys, scores, members),
    st.tuples(st.just("ZADD"), keys, st.sampled_from(["NX", "XX", "GT", "LT"]), st.just("CH"), scores, members),
    st.tuples(st.just("ZREM"), keys, members, members),
    st.tuples(st.just("ZSCORE"), keys, members),
    st.tuples(st.just("ZCARD"), keys),
    st.tuples(st.sampled_from(["ZCOUNT", "ZREMRANGEBYSCORE"]), keys, ends, ends),
    st.tuples(st.just("ZRANGEBYSCORE"), keys, ends, ends, st.just("WITHSCORES"), st.just("LIMIT"), offsets, counts),
    st.tuples(st.just("ZRANGE"), keys, st.integers(-3, 3), st.integers(-3, 3)),
    st.tuples(st.just("ZRANGE"), keys, ends, ends, st.just("BYSCORE"), st.just("LIMIT"), offsets, counts),
    st.tuples(st.just("ZPOPMIN"), keys, st.integers(0, 3)),
    st.tuples(st.just("ZINTERCARD"), st.just(2), keys, keys),
    st.tuples(st.just("HSET"), st.just("h"), fields, st.integers(-9, 9)),
    st.tuples(st.sampled_from(["HGET", "HDEL", "HEXISTS"]), st.just("h"), fields),
    st.tuples(st.just("HMGET"), st.just("h"), fields, fields),
    st.tuples(st.just("HINCRBY"), st.just("h"), fields, st.integers(-3, 3)),
    st.tuples(st.just("HINCRBYFLOAT"), st.just("f"), fields, st.sampled_from(["0.1", "0.25", "-0.3", "2"])),
    st.tuples(st.just("INCR"), st.just("n")),
    st.tuples(st.sampled_from(["GET", "EXISTS"]), st.sampled_from(["n", "bits", "z1"])),
    st.tuples(st.just("SETBIT"), st.just("bits"), st.integers(0, 40), st.integers(0, 1)),
    st.tuples(st.just("DEL"), st.sampled_from(["z1", "h", "n", "bits"])),
)  # fmt: skip
_NAMES = frozenset({"z1", "z2", "h", "f", "n", "bits"})
_ANY_COMMAND = """
-- By a script in both: redis-py gives some answers another shape.
local answer = redis.call(unpack(ARGV))
if type(answer) == 'table' and answer.ok then return answer.ok end
return answer
"""


async def real_answer(redis: Redis, prefix: str, command: Sequence[Any]) -> Any:
    named = [f"{prefix}{part}" if part in _NAMES else part for part in command]
    try:
        return await redis.eval(_ANY_COMMAND, 0, *map(encode, named))
    except ResponseError as error:
        return str(error).split()[0]


def virtual_answer(redis: VirtualRedis, command: Sequence[Any]) -> Any:
    try:
        return redis.eval(_ANY_COMMAND, [], command)
    except ResponseError as error:
        return str(error).split()[0]


def test_commands_answer_as_redis_does(redis_url: str) -> None:
    numbers = iter(range(10_000))

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(commands, min_size=5, max_size=40))
    def check(trace: list[tuple[Any, ...]]) -> None:
        asyncio.run(same_answers(trace))

    async def same_answers(trace: list[tuple[Any, ...]]) -> None:
        virtual, prefix = VirtualRedis(), f"virtual:{next(numbers)}:"
        async with runtime_redis.connect(redis_url) as real:
            for command in trace:
                assert virtual_answer(virtual, command) == await real_answer(real, prefix, command), command

    check()


async def test_keys_expire_on_the_virtual_clock() -> None:
    redis = VirtualRedis()
    redis.command("SET", "n", 1)
    assert redis.command("PEXPIRE", "n", 1_000) == 1
    redis.now += 999
    assert redis.command("GET", "n") == b"1"
    redis.now += 1
    assert redis.command("GET", "n") is None
    assert redis.command("EXPIRE", "n", 1) == 0


# --- The scripts of whole sales


class RecordingRedis(VirtualRedis):
    """Remembers what was asked, and what it answered."""

    def __init__(self, now: int) -> None:
        super().__init__(now)
        self.trace: list[tuple[int, str | None, list[Any], list[Any], Any]] = []

    def eval(self, text: str, keys: Sequence[str], args: Iterable[Any]) -> Any:
        arguments = list(args)
        answer = super().eval(text, keys, arguments)
        self.trace.append((self.now, text, list(keys), arguments, answer))
        return answer

    def command(self, name: str, *args: object) -> Any:
        answer = super().command(name, *args)
        self.trace.append((self.now, None, [name], list(args), answer))
        return answer


@pytest.mark.parametrize("seed", range(6))
async def test_the_scripts_of_a_sale_answer_as_they_do_on_redis(redis: Redis, seed: int) -> None:
    house, buyers = any_sale(random.Random(seed), most_buyers=40)
    sale = LineSale(house, buyers, RecordingRedis(LineSale.BEGINS))
    sale.run()
    assert isinstance(sale.redis, RecordingRedis)
    run_id = (await redis.info("server"))["run_id"]
    stale = [key async for key in redis.scan_iter(match=KEYS.pattern)]
    if stale:
        await redis.delete(*stale)
    for now, script, names, args, answer in sale.redis.trace:
        await redis.set(KEYS.clock, now)  # ahead of the server's own time, so it is the time that counts
        if script is None:
            named = [run_id if arg == sale.redis.run_id else arg for arg in args]
            assert await redis.execute_command(names[0], *named) == answer, args  # type: ignore[no-untyped-call]
        else:
            assert await redis.eval(script, len(names), *names, *args) == answer, (script.splitlines()[0], args)
    assert len(sale.redis.trace) > 100
