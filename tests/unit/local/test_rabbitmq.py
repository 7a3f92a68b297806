"""A service's rights at the broker, by name."""

import re

import pytest

from tiketi_local import rabbitmq


@pytest.mark.parametrize("name", ["tiketi", "tiketi.dead", "ticket.payments", "ticket.payments.dead"])
def test_a_service_reaches_the_shared_exchanges_and_its_own_queues(name: str) -> None:
    assert re.search(rabbitmq.own_names("ticket"), name)


@pytest.mark.parametrize("name", ["payment.orders", "ticket", "tickets.issued", "tiketify", "x.ticket.y", ""])
def test_a_service_reaches_nothing_else(name: str) -> None:
    assert not re.search(rabbitmq.own_names("ticket"), name)


def test_a_password_is_hashed_as_the_brokers_manual_shows() -> None:
    salt = bytes.fromhex("908DC60A")
    assert rabbitmq.password_hash("test12", salt) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
