"""Who gets into a presale by a code: on a real PostgreSQL, which decides, and a real Redis, which counts failures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from tests.integration.ticket.sales.a_sale import a_sale

from tiketi_runtime.contracts.identity import BuyerId, Line
from tiketi_runtime.contracts.presale_codes import CodeBook
from tiketi_runtime.contracts.redis_keys import EventKeys
from tiketi_runtime.contracts.sale_sheet import CodesSheet, CodeUse, SaleSheet
from tiketi_runtime.postgres import Pool
from tiketi_runtime.redis import Redis
from tiketi_services.ticket.queue.gates.codes import (
    OF_A_NETWORK,
    OF_AN_ACCOUNT,
    CodeNeeded,
    PresaleCodes,
    TooManyCodes,
    WrongCode,
)

FANS = Line("fans")
ANNA, BORIS = BuyerId("anna"), BuyerId("boris")
RED, BLUE, GREEN = "RED-BALLOON", "BLUE-BALLOON", "GREEN-BALLOON"
_numbers = count(1)


class Presale:
    """One presale, and the operator that hands its codes to ticket."""

    def __init__(self, redis: Redis, codes: PresaleCodes) -> None:
        self.redis = redis
        self.codes = codes
        self.name = f"codes-{next(_numbers)}"
        self._version = 0
        self.sale = self._compile(CodeBook(frozenset()), CodeUse.ONCE)

    def _compile(self, book: CodeBook, use: CodeUse) -> SaleSheet:
        self._version += 1
        sale = a_sale(self.name, version=self._version)
        codes = CodesSheet(use=use, count=len(book.digests), version=book.version)
        line = sale.lines[0].model_copy(update={"name": FANS, "codes": codes})
        return sale.model_copy(update={"lines": (line, *sale.lines)})

    async def write(self, *codes: str, use: CodeUse = CodeUse.ONCE) -> SaleSheet:
        """What the operator does: the codes first, then the sheet that names them."""
        event = self.sale.event
        book = CodeBook.of(event, FANS, codes)
        await self.redis.set(EventKeys(event).line(FANS).codes, book.to_bytes())
        self.sale = self._compile(book, use)
        return self.sale

    async def take(self, *codes: str, use: CodeUse = CodeUse.ONCE) -> None:
        """The codes change, and ticket hears of it."""
        assert await self.codes.adopt(await self.write(*codes, use=use))

    async def spend(self, buyer: str, code: str | None, network: str = "") -> None:
        await self.codes.spend(self.sale.event, self.sale.lines[0], BuyerId(buyer), code, network)

    async def is_let_in(self, buyer: str, code: str | None) -> bool:
        try:
            await self.spend(buyer, code)
        except (WrongCode, CodeNeeded):
            return False
        return True

    async def let_in(self, tries: Iterable[tuple[str, str]]) -> list[str]:
        """Everybody tries at the same moment; who got in."""
        found = list(tries)
        answers = await asyncio.gather(*(self.is_let_in(buyer, code) for buyer, code in found))
        return [buyer for (buyer, _), is_in in zip(found, answers, strict=True) if is_in]


@pytest.fixture
def presale(redis: Redis, pool: Pool) -> Presale:
    return Presale(redis, PresaleCodes(redis, pool))


async def test_a_line_without_codes_asks_for_none(presale: Presale) -> None:
    public = presale.sale.lines[1]
    await presale.codes.spend(presale.sale.event, public, ANNA, None)


async def test_nobody_gets_in_without_a_code(presale: Presale) -> None:
    await presale.take(RED)
    for nothing in (None, "", "   "):
        with pytest.raises(CodeNeeded, match="fans"):
            await presale.spend(ANNA, nothing)


async def test_a_code_is_one_account_s_whoever_comes_first(presale: Presale) -> None:
    await presale.take(RED, BLUE)
    await presale.spend(ANNA, RED)
    with pytest.raises(WrongCode):
        await presale.spend(BORIS, RED)
    await presale.spend(BORIS, BLUE)


async def test_a_used_code_and_an_invented_one_get_the_same_answer(presale: Presale) -> None:
    await presale.take(RED)
    await presale.spend(ANNA, RED)
    with pytest.raises(WrongCode) as used:
        await presale.spend(BORIS, RED)
    with pytest.raises(WrongCode) as invented:
        await presale.spend(BORIS, GREEN)
    assert str(used.value) == str(invented.value)


async def test_a_shared_word_lets_in_every_account_once(presale: Presale, pool: Pool) -> None:
    await presale.take(RED, use=CodeUse.PER_ACCOUNT)
    buyers = [f"fan-{number}" for number in range(20)]
    assert await presale.let_in((buyer, RED) for buyer in buyers) == buyers
    assert await presale.let_in((buyer, RED) for buyer in buyers) == buyers
    uses = "SELECT count(*) FROM presale_code_uses WHERE event = $1"
    assert await pool.fetchval(uses, presale.sale.event) == len(buyers)


async def test_of_many_who_try_one_code_at_once_exactly_one_gets_in(presale: Presale) -> None:
    codes = [f"CODE-{number:04}" for number in range(8)]
    await presale.take(*codes)
    tries = [(f"{code}-{number}", code) for number in range(25) for code in codes]
    winners = await presale.let_in(tries)
    assert sorted(winner.rpartition("-")[0] for winner in winners) == codes


async def test_one_account_on_many_devices_spends_one_code_and_gets_in_on_each(presale: Presale, pool: Pool) -> None:
    await presale.take(RED)
    assert await presale.let_in([(ANNA, RED)] * OF_AN_ACCOUNT.burst) == [ANNA] * OF_AN_ACCOUNT.burst
    uses = "SELECT count(*) FROM presale_code_uses WHERE event = $1"
    assert await pool.fetchval(uses, presale.sale.event) == 1


async def test_who_is_in_needs_no_code_again_and_burns_none(presale: Presale) -> None:
    await presale.take(RED, BLUE)
    await presale.spend(ANNA, RED)
    await presale.spend(ANNA, None)
    await presale.spend(ANNA, BLUE)
    await presale.spend(BORIS, BLUE)


async def test_a_code_counts_for_its_own_presale_only(presale: Presale, redis: Redis, pool: Pool) -> None:
    other = Presale(redis, PresaleCodes(redis, pool))
    await presale.take(RED)
    await other.take(BLUE)
    assert not await other.is_let_in(ANNA, RED)
    assert await presale.is_let_in(ANNA, RED)


@pytest.mark.parametrize(("typed", "is_right"), [(f"  {RED}\n", True), (RED.lower(), False), (RED[:-1], False)])
async def test_blanks_around_a_code_do_not_count_and_letters_do(presale: Presale, typed: str, is_right: bool) -> None:
    await presale.take(RED)
    assert await presale.is_let_in(ANNA, typed) is is_right


async def test_letters_count_however_they_are_composed(presale: Presale) -> None:
    await presale.take("CAFÉ-BLEU")
    assert await presale.is_let_in(ANNA, "CAFE\N{COMBINING ACUTE ACCENT}-BLEU")


async def test_a_code_taken_away_lets_nobody_new_in_and_who_is_in_stays(presale: Presale) -> None:
    await presale.take(RED, BLUE, use=CodeUse.PER_ACCOUNT)
    await presale.spend(ANNA, RED)
    await presale.take(BLUE, GREEN, use=CodeUse.PER_ACCOUNT)
    assert not await presale.is_let_in(BORIS, RED)
    assert await presale.is_let_in(BORIS, GREEN)
    await presale.spend(ANNA, None)
    await presale.spend(ANNA, RED)


async def test_a_code_put_back_is_still_the_account_s_that_used_it(presale: Presale) -> None:
    await presale.take(RED)
    await presale.spend(ANNA, RED)
    await presale.take(BLUE)
    await presale.take(RED)
    assert not await presale.is_let_in(BORIS, RED)


async def test_a_shared_word_that_becomes_one_account_s_lets_nobody_else_in(presale: Presale) -> None:
    await presale.take(RED, BLUE, use=CodeUse.PER_ACCOUNT)
    await presale.spend(ANNA, RED)
    await presale.take(RED, BLUE)
    assert not await presale.is_let_in(BORIS, RED)
    assert await presale.is_let_in(BORIS, BLUE)


async def test_failed_tries_of_an_account_are_limited(presale: Presale) -> None:
    await presale.take(RED)
    for number in range(OF_AN_ACCOUNT.burst):
        with pytest.raises(WrongCode):
            await presale.spend(ANNA, f"GUESS-{number:03}")
    with pytest.raises(TooManyCodes) as refused:
        await presale.spend(ANNA, RED)
    assert 0 < refused.value.members["retryAfter"] <= OF_AN_ACCOUNT.refill.total_seconds()
    await presale.spend(BORIS, RED)


async def test_guesses_at_the_same_moment_are_limited_too(presale: Presale) -> None:
    await presale.take(RED)
    guesses = [presale.spend(ANNA, f"GUESS-{number:03}") for number in range(30)]
    answers = await asyncio.gather(*guesses, return_exceptions=True)
    assert [type(answer) for answer in answers].count(WrongCode) == OF_AN_ACCOUNT.burst


async def test_a_right_code_among_guesses_in_flight_counts_no_more_than_one_after_them(
    presale: Presale, monkeypatch: pytest.MonkeyPatch
) -> None:
    await presale.take(RED)
    look_up, in_flight = presale.codes._is_right, asyncio.Barrier(31)
    guessed = asyncio.Event()

    async def together(*values: Any) -> bool:
        is_right = await look_up(*values)
        await in_flight.wait()  # none is decided before all are looked up
        if is_right:
            await guessed.wait()
        return is_right

    monkeypatch.setattr(presale.codes, "_is_right", together)
    right = asyncio.create_task(presale.spend(ANNA, RED))
    guesses = [presale.spend(ANNA, f"GUESS-{number:03}") for number in range(30)]
    answers = await asyncio.gather(*guesses, return_exceptions=True)
    guessed.set()
    with pytest.raises(TooManyCodes):
        await right
    assert [type(answer) for answer in answers].count(WrongCode) == OF_AN_ACCOUNT.burst
    with pytest.raises(CodeNeeded):
        await presale.spend(ANNA, None)  # it was not spent


async def test_right_codes_of_one_network_in_a_rush_are_never_refused(presale: Presale) -> None:
    codes = [f"CODE-{number:04}" for number in range(3 * OF_A_NETWORK.burst)]
    await presale.take(*codes)
    await asyncio.gather(*(presale.spend(f"fan-{code}", code, "203.0.113.0/24") for code in codes))


async def test_failed_tries_of_one_network_are_limited_over_all_its_accounts(presale: Presale) -> None:
    await presale.take(RED)
    guesses = [presale.spend(f"bot-{number}", "GUESS-000", "203.0.113.0/24") for number in range(150)]
    answers = await asyncio.gather(*guesses, return_exceptions=True)
    wrong = [type(answer) for answer in answers].count(WrongCode)
    assert OF_A_NETWORK.burst <= wrong <= OF_A_NETWORK.burst + 10  # the budget refills while they try
    assert all(isinstance(answer, WrongCode | TooManyCodes) for answer in answers)
    await presale.spend(ANNA, RED, "198.51.100.0/24")


async def test_right_codes_of_one_network_cost_it_nothing(presale: Presale) -> None:
    await presale.take(RED, use=CodeUse.PER_ACCOUNT)
    for number in range(OF_A_NETWORK.burst + 50):
        await presale.spend(f"fan-{number}", RED, "203.0.113.0/24")


async def test_budgets_are_forgotten_when_they_are_whole_again(presale: Presale) -> None:
    await presale.take(RED)
    await presale.is_let_in(ANNA, GREEN)
    [key] = [key async for key in presale.redis.scan_iter(f"{EventKeys(presale.sale.event).prefix}*code-tries*")]
    assert 0 < await presale.redis.pttl(key) <= OF_AN_ACCOUNT.refill / timedelta(milliseconds=1)


async def test_every_pod_may_adopt_the_same_codes(presale: Presale, pool: Pool, redis: Redis) -> None:
    sale = await presale.write(RED, BLUE)
    pods = [PresaleCodes(redis, pool) for _ in range(4)]
    assert await asyncio.gather(*(pod.adopt(sale) for pod in pods)) == [True] * 4
    assert await pool.fetchval("SELECT count(*) FROM presale_codes WHERE event = $1", sale.event) == 2


async def test_a_sheet_whose_codes_have_changed_meanwhile_is_not_served(presale: Presale) -> None:
    older = await presale.write(RED)
    newer = await presale.write(BLUE)
    assert not await presale.codes.adopt(older)
    assert await presale.codes.adopt(newer)


async def test_a_sheet_whose_codes_are_nowhere_or_damaged_is_not_served(presale: Presale) -> None:
    sale = await presale.write(RED)
    key = EventKeys(sale.event).line(FANS).codes
    stored = await presale.redis.get(key)
    assert isinstance(stored, bytes)
    for damaged in (stored[:-1], stored[:-32], stored[::-1], b""):
        await presale.redis.set(key, damaged)
        assert not await presale.codes.adopt(sale)
    await presale.redis.delete(key)
    assert not await presale.codes.adopt(sale)
    await presale.redis.set(key, stored)
    assert await presale.codes.adopt(sale)


async def test_a_pod_that_is_behind_never_puts_older_codes_back(presale: Presale, pool: Pool) -> None:
    older = await presale.write(RED)
    stale = await presale.redis.get(key := EventKeys(older.event).line(FANS).codes)
    await presale.take(BLUE)
    assert isinstance(stale, bytes)
    await presale.redis.set(key, stale)  # as the pod read it before
    await presale.codes.adopt(older)
    assert not await presale.is_let_in(ANNA, RED)
    assert await presale.is_let_in(ANNA, BLUE)


async def test_a_lost_redis_takes_no_code_away(presale: Presale) -> None:
    await presale.take(RED)
    await presale.redis.delete(EventKeys(presale.sale.event).line(FANS).codes)
    assert await presale.codes.adopt(presale.sale)
    assert await presale.is_let_in(ANNA, RED)


async def test_a_presale_whose_codes_are_gone_because_it_is_over_holds_up_no_sheet(presale: Presale) -> None:
    over = CodesSheet(count=0, version="")
    line = presale.sale.lines[0].model_copy(update={"codes": over})
    assert await presale.codes.adopt(presale.sale.model_copy(update={"lines": (line,)}))


async def test_as_many_codes_as_a_secret_holds_are_adopted_in_seconds(presale: Presale) -> None:
    codes = [f"{number:08}" for number in range(100_000)]
    await presale.take(*codes)
    assert await presale.is_let_in(ANNA, codes[-1])
    await presale.take(*codes[:-1])
    assert not await presale.is_let_in(BORIS, codes[-1])
    assert await presale.is_let_in(BORIS, codes[0])
