"""What a request for seats may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tiketi_services.ticket.orders.schemas import HoldRequest, OrderRequest


@pytest.mark.parametrize(
    "body",
    [
        {"seats": ["A-01-01", "ST-0001"]},
        {"section": "ST", "quantity": 2},
        {"quantity": 2},
        {"quantity": 2, "prefer": "cheapest", "maxPrice": 90_000},
    ],
    ids=str,
)
def test_seats_are_named_or_counted(body: dict[str, Any]) -> None:
    assert HoldRequest.model_validate(body)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"seats": []},
        {"seats": ["A-01-01", "A-01-01"]},
        {"seats": [f"ST-{number:04d}" for number in range(1, 102)]},
        {"seats": ["A-01-01"], "section": "A", "quantity": 1},
        {"seats": ["A-01-01"], "quantity": 1},
        {"section": "A"},
        {"quantity": 1, "prefer": "dearest"},
        {"quantity": 1, "maxPrice": -1},
        {"quantity": 1, "maxPrice": 10**12},
        {"quantity": 1, "section": "A", "maxPrice": 1000},
        {"seats": ["A-01-01"], "maxPrice": 1000},
        {"quantity": True},
        {"section": "a", "quantity": 1},
        {"section": "A", "quantity": 0},
        {"section": "A", "quantity": -1},
        {"section": "A", "quantity": "2"},
        {"section": "A", "quantity": 10**9},
        {"seats": ["A-01-01'; DROP TABLE seats"]},
        {"seats": "A-01-01"},
        {"seats": [1]},
        {"seats": ["A-01-01"], "price": 1},
    ],
    ids=lambda body: str(body)[:60],
)
def test_anything_else_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HoldRequest.model_validate(body)


@pytest.mark.parametrize("hold", ["", "1", "ABCDEF00-0000-4000-8000-000000000000", 7, None], ids=str)
def test_a_hold_is_named_by_its_uuid(hold: object) -> None:
    with pytest.raises(ValidationError):
        OrderRequest.model_validate({"hold": hold})
