"""Redis without a server, on a clock of ours: runs the real Lua scripts, a thousand minutes in a second.

Only what our scripts use, and everything else is an error. That it answers as Redis does is tested by running the same
random commands and scripts on both (tests/integration/ticket/queue/test_virtual_redis.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from lupa.lua51 import LuaRuntime, lua_type
from redis.exceptions import ResponseError
from tests.simulation.values import SortedSet, decimal_sum, encode, number

T = TypeVar("T")
Hash = dict[bytes, bytes]
OK: Final = object()
"""A status reply."""


class VirtualRedis:
    """Stands in for the client that ``tiketi_runtime.redis.connect`` makes."""

    def __init__(self, now: int = 1_900_000_000_000, run_id: str = "0f") -> None:
        self.now = now
        """ms; moves only when somebody sets it."""
        self.run_id = run_id
        self._values: dict[bytes, Any] = {}
        self._expires: dict[bytes, int] = {}
        self._scripts: dict[bytes, Callable[[], Any]] = {}
        self._lua = LuaRuntime(encoding=None, unpack_returned_tuples=False, register_eval=False)
        self._lua.execute(_PRELUDE)(self._call_from_lua)
        self._globals = self._lua.globals()

    def register_script(self, text: str) -> Callable[..., Any]:
        """A script as redis-py makes it: called with ``keys`` and ``args``. Raises ResponseError."""

        async def script(keys: Sequence[str], args: Iterable[Any]) -> Any:
            return self.eval(text, keys, args)

        return script

    def eval(self, text: str, keys: Sequence[str], args: Iterable[Any]) -> Any:
        """A script's answer. Raises ResponseError."""
        source = encode(text)
        if source not in self._scripts:
            self._scripts[source] = self._lua.execute(b"return function()\n" + source + b"\nend")
        self._globals[b"KEYS"] = self._lua.table_from([encode(key) for key in keys])
        self._globals[b"ARGV"] = self._lua.table_from([encode(arg) for arg in args])
        return _reply(self._scripts[source]())

    def command(self, name: str, *args: object) -> Any:
        """The answer to one command. Raises ResponseError."""
        answer = _COMMANDS[name.upper().encode()](self, *map(encode, args))
        return b"OK" if answer is OK else answer

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.upper().encode() not in _COMMANDS:
            raise AttributeError(name)

        async def run(*args: object, **_: object) -> Any:
            return self.command(name, *args)

        return run

    # --- Lua

    def _call_from_lua(self, name: bytes, *args: Any) -> Any:
        command = _COMMANDS.get(name.upper())
        if command is None:
            raise ResponseError(f"Unknown Redis command called from script: {name!r}")
        return self._to_lua(command(self, *[encode(arg) for arg in args]))

    def _to_lua(self, answer: Any) -> Any:
        if answer is None:
            return False
        if answer is OK:
            return self._lua.table_from({b"ok": b"OK"})
        if isinstance(answer, list):
            return self._lua.table_from([self._to_lua(each) for each in answer])
        return answer

    # --- Keys

    def find(self, key: bytes, kind: type[T]) -> T | None:
        """The value of a key. Raises ResponseError if it is of another kind."""
        if self._expires.get(key, self.now + 1) <= self.now:
            self._values.pop(key, None)
            del self._expires[key]
        value = self._values.get(key)
        if value is not None and not isinstance(value, kind):
            raise ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")
        return value

    def open(self, key: bytes, kind: type[T]) -> T:
        """The same, made if it is not there."""
        value = self.find(key, kind)
        if value is None:
            value = self._values[key] = kind()
        return value

    def tidy(self, key: bytes) -> None:
        """An empty collection is no key."""
        if not self._values.get(key, True):
            self.delete(key)

    def delete(self, key: bytes) -> bool:
        """Whether it was there."""
        is_there = self.find(key, object) is not None
        self._values.pop(key, None)
        self._expires.pop(key, None)
        return is_there

    def expire(self, key: bytes, at: int) -> None:
        """Drop the key at a time (ms)."""
        self._expires[key] = at

    def put(self, key: bytes, value: bytearray) -> None:
        """Set a string; it does not expire."""
        self._values[key] = value
        self._expires.pop(key, None)


_PRELUDE = b"""
return function(call)
  cjson = nil
  redis = {
    call = call,
    error_reply = function(text) return {err = text} end,
    status_reply = function(text) return {ok = text} end,
  }
end
"""


def _reply(value: Any) -> Any:
    """What a script returned, as a client gets it. Raises ResponseError."""
    if value is None or value is False:
        return None
    if value is True:
        return 1
    if isinstance(value, int | float):
        return int(value)
    if lua_type(value) != "table":
        return value
    if (error := value[b"err"]) is not None:
        raise ResponseError(error.decode().removeprefix("-"))
    if (status := value[b"ok"]) is not None:
        return status
    answers, index = [], 1
    while (each := value[index]) is not None:
        answers.append(_reply(each))
        index += 1
    return answers


# --- Commands. Each takes the store and its arguments as bytes.


def _del(redis: VirtualRedis, *keys: bytes) -> int:
    return sum(redis.delete(key) for key in keys)


def _exists(redis: VirtualRedis, *keys: bytes) -> int:
    return sum(redis.find(key, object) is not None for key in keys)


def _pexpire(redis: VirtualRedis, key: bytes, ms: bytes) -> int:
    if redis.find(key, object) is None:
        return 0
    redis.expire(key, redis.now + int(ms))
    return 1


def _expire(redis: VirtualRedis, key: bytes, seconds: bytes) -> int:
    return _pexpire(redis, key, b"%d" % (int(seconds) * 1000))


def _time(redis: VirtualRedis) -> list[bytes]:
    return [b"%d" % (redis.now // 1000), b"%d" % (redis.now % 1000 * 1000)]


def _info(redis: VirtualRedis, section: bytes = b"") -> bytes:
    return f"# Server\r\nrun_id:{redis.run_id}\r\n".encode()


def _get(redis: VirtualRedis, key: bytes) -> bytes | None:
    value = redis.find(key, bytearray)
    return None if value is None else bytes(value)


def _set(redis: VirtualRedis, key: bytes, value: bytes) -> object:
    redis.put(key, bytearray(value))
    return OK


def _incr(redis: VirtualRedis, key: bytes) -> int:
    value = int(_get(redis, key) or 0) + 1
    redis.open(key, bytearray)[:] = b"%d" % value
    return value


def _setbit(redis: VirtualRedis, key: bytes, offset: bytes, bit: bytes) -> int:
    value = redis.open(key, bytearray)
    index, mask = int(offset) // 8, 0x80 >> int(offset) % 8
    value.extend(bytes(max(0, index + 1 - len(value))))
    old = int(bool(value[index] & mask))
    value[index] = value[index] | mask if bit == b"1" else value[index] & ~mask
    return old


def _hget(redis: VirtualRedis, key: bytes, field: bytes) -> bytes | None:
    return (redis.find(key, dict) or {}).get(field)


def _hmget(redis: VirtualRedis, key: bytes, *fields: bytes) -> list[bytes | None]:
    found: Hash = redis.find(key, dict) or {}
    return [found.get(field) for field in fields]


def _hset(redis: VirtualRedis, key: bytes, *pairs: bytes) -> int:
    value: Hash = redis.open(key, dict)
    before = len(value)
    value.update(zip(pairs[::2], pairs[1::2], strict=True))
    return len(value) - before


def _hdel(redis: VirtualRedis, key: bytes, *fields: bytes) -> int:
    value: Hash = redis.find(key, dict) or {}
    gone = sum(value.pop(field, None) is not None for field in fields)
    redis.tidy(key)
    return gone


def _hexists(redis: VirtualRedis, key: bytes, field: bytes) -> int:
    return int(field in (redis.find(key, dict) or {}))


def _hgetall(redis: VirtualRedis, key: bytes) -> list[bytes]:
    found: Hash = redis.find(key, dict) or {}
    return [each for pair in found.items() for each in pair]


def _hkeys(redis: VirtualRedis, key: bytes) -> list[bytes]:
    return list(redis.find(key, dict) or {})


def _hincrby(redis: VirtualRedis, key: bytes, field: bytes, by: bytes) -> int:
    value: Hash = redis.open(key, dict)
    total = int(value.get(field, 0)) + int(by)
    value[field] = b"%d" % total
    return total


def _hincrbyfloat(redis: VirtualRedis, key: bytes, field: bytes, by: bytes) -> bytes:
    value: Hash = redis.open(key, dict)
    value[field] = decimal_sum(value.get(field, b"0"), by)
    return value[field]


def _zadd(redis: VirtualRedis, key: bytes, *args: bytes) -> int:
    flags = set()
    while args[0].upper() in _ZADD_FLAGS:
        flags.add(args[0].upper())
        args = args[1:]
    value = redis.open(key, SortedSet)
    added = changed = 0
    for score_text, member in zip(args[::2], args[1::2], strict=True):
        score, old = float(score_text), value.scores.get(member)
        if _may_set(flags, old, score):
            added += old is None
            changed += old != score
            value.put(member, score)
    redis.tidy(key)
    return changed if b"CH" in flags else added


_ZADD_FLAGS: Final = frozenset({b"NX", b"XX", b"GT", b"LT", b"CH"})


def _may_set(flags: set[bytes], old: float | None, score: float) -> bool:
    if old is None:
        return b"XX" not in flags
    return not (b"NX" in flags or (b"GT" in flags and score <= old) or (b"LT" in flags and score >= old))


def _zrem(redis: VirtualRedis, key: bytes, *members: bytes) -> int:
    value = redis.find(key, SortedSet)
    gone = 0 if value is None else sum(value.remove(member) for member in members)
    redis.tidy(key)
    return gone


def _zscore(redis: VirtualRedis, key: bytes, member: bytes) -> bytes | None:
    value = redis.find(key, SortedSet)
    score = None if value is None else value.scores.get(member)
    return None if score is None else number(score)


def _zcard(redis: VirtualRedis, key: bytes) -> int:
    return len(redis.find(key, SortedSet) or ())


def _zcount(redis: VirtualRedis, key: bytes, low: bytes, high: bytes) -> int:
    value = redis.find(key, SortedSet)
    return 0 if value is None else value.count(low, high)


def _zpopmin(redis: VirtualRedis, key: bytes, count: bytes = b"1") -> list[bytes]:
    value = redis.find(key, SortedSet)
    first = [] if value is None else value.first(int(count))
    _zrem(redis, key, *(member for _, member in first))
    return [each for score, member in first for each in (member, number(score))]


def _zremrangebyscore(redis: VirtualRedis, key: bytes, low: bytes, high: bytes) -> int:
    value = redis.find(key, SortedSet)
    return 0 if value is None else _zrem(redis, key, *(member for _, member in value.between(low, high)))


def _zrangebyscore(redis: VirtualRedis, key: bytes, low: bytes, high: bytes, *options: bytes) -> list[bytes]:
    value = redis.find(key, SortedSet)
    entries = [] if value is None else value.between(low, high)
    words = [option.upper() for option in options]
    if b"LIMIT" in words:
        offset, count = (int(each) for each in options[words.index(b"LIMIT") + 1 :][:2])
        entries = entries[offset : None if count < 0 else offset + count]
    if b"WITHSCORES" in words:
        return [each for score, member in entries for each in (member, number(score))]
    return [member for _, member in entries]


def _zrange(redis: VirtualRedis, key: bytes, start: bytes, stop: bytes, *options: bytes) -> list[bytes]:
    if b"BYSCORE" in (option.upper() for option in options):
        return _zrangebyscore(redis, key, start, stop, *options)
    value = redis.find(key, SortedSet)
    entries = [] if value is None else value.by_rank(int(start), int(stop))
    return [member for _, member in entries]


def _zintercard(redis: VirtualRedis, count: bytes, *keys: bytes) -> int:
    sets = [set(found.scores) if (found := redis.find(key, SortedSet)) else set() for key in keys[: int(count)]]
    return len(set.intersection(*sets))


def _xadd(redis: VirtualRedis, key: bytes, *args: bytes) -> bytes:
    entries: list[tuple[bytes, ...]] = redis.open(key, list)
    entries.append(args[args.index(b"*") + 1 :])
    return b"%d-%d" % (redis.now, len(entries))


_COMMANDS: Final[dict[bytes, Callable[..., Any]]] = {
    b"DEL": _del,
    b"EXISTS": _exists,
    b"EXPIRE": _expire,
    b"GET": _get,
    b"HDEL": _hdel,
    b"HEXISTS": _hexists,
    b"HGET": _hget,
    b"HGETALL": _hgetall,
    b"HINCRBY": _hincrby,
    b"HINCRBYFLOAT": _hincrbyfloat,
    b"HKEYS": _hkeys,
    b"HMGET": _hmget,
    b"HSET": _hset,
    b"INCR": _incr,
    b"INFO": _info,
    b"PEXPIRE": _pexpire,
    b"SET": _set,
    b"SETBIT": _setbit,
    b"TIME": _time,
    b"UNLINK": _del,
    b"XADD": _xadd,
    b"ZADD": _zadd,
    b"ZCARD": _zcard,
    b"ZCOUNT": _zcount,
    b"ZINTERCARD": _zintercard,
    b"ZPOPMIN": _zpopmin,
    b"ZRANGE": _zrange,
    b"ZRANGEBYSCORE": _zrangebyscore,
    b"ZREM": _zrem,
    b"ZREMRANGEBYSCORE": _zremrangebyscore,
    b"ZSCORE": _zscore,
}
