"""Crowds for whole sales, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from tests.simulation.line_sale import OPENS, Buyer, House


def no_shows(
    rng: random.Random, count: int, *, share: float, shops_for: float, reacts_in: float = 2_000
) -> list[Buyer]:
    """Buyers who were all there in time; a share of them will not come when it is their turn. Times in ms, means."""
    return [
        Buyer(
            number,
            joins_at=OPENS - 60_000 + number * 10,
            reacts_in=int(rng.expovariate(1 / reacts_in)),
            shops_for=int(rng.gammavariate(2, shops_for / 2)),
            wants=0,
            comes=rng.random() >= share,
        )
        for number in range(count)
    ]


def any_sale(rng: random.Random, most_buyers: int) -> tuple[House, list[Buyer]]:
    """A sale nobody has planned: large or tiny rate, slots and stock; patient, slow, fickle and silent buyers."""
    count = rng.randint(2, most_buyers)
    house = House(
        per_minute=rng.choice([1, 10, 60, 600, 6_000]),
        slots=rng.choice([1, 2, 10, 1_000]),
        stock=rng.choice([1, 5, count, 10 * count]),
        claim_window=rng.choice([5_000, 15_000, 30_000]),
        session=rng.choice([20_000, 60_000]),
        ghost_timeout=rng.choice([12_000, 30_000]),
        lasts=1_200_000,
    )
    buyers = [any_buyer(rng, number, house) for number in range(count)]
    return house, numbered(buyers)


def any_buyer(rng: random.Random, number: int, house: House) -> Buyer:
    """One of the crowd of ``any_sale``."""
    joins_at = OPENS + (rng.randint(-60_000, -1) if rng.random() < 0.7 else rng.randint(0, 120_000))
    buyer = Buyer(
        number,
        joins_at,
        reacts_in=int(rng.expovariate(1 / rng.choice([500, 3_000, 10_000]))),
        shops_for=rng.randint(1_000, house.session + 5_000),
        wants=rng.randint(0, 3),
    )
    match rng.randrange(6):
        case 0:
            return replace(buyer, comes=False)
        case 1:
            return replace(buyer, comes=False, returns_in=rng.randint(house.claim_window // 2, 3 * house.claim_window))
        case 2 if rng.random() < 0.5:
            return replace(buyer, leaves_at=joins_at + rng.randint(0, 90_000))
        case 2:
            return replace(buyer, falls_silent_at=joins_at + rng.randint(0, 90_000))
    return buyer


def numbered(buyers: Sequence[Buyer]) -> list[Buyer]:
    """In the order of joining, as ``LineSale`` takes them."""
    ordered = sorted(buyers, key=lambda buyer: (buyer.joins_at, buyer.number))
    return [replace(buyer, number=number) for number, buyer in enumerate(ordered)]
