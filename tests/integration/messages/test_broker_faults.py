"""I10 under faults of a real broker: what is committed is published at least once, and applied exactly once."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.integration.messages.circuit import Circuit, Wire, pauses

from tiketi_local import rabbitmq as local_rabbitmq
from tiketi_local.world import World
from tiketi_runtime import outbox, rabbitmq

OUTAGE_SECONDS = 10.0
"""Stands for ten minutes: longer than every pause and timeout of relays and consumers."""
ORDERS = 60


async def test_selling_goes_on_while_the_broker_is_killed_and_the_backlog_drains_in_order(
    circuit: Circuit, world: World
) -> None:
    async with circuit.consuming(), circuit.relaying(), circuit.tapped() as tapped:
        await circuit.sell(ORDERS)
        await circuit.at_rest()
        world.kill("rabbitmq")
        try:
            for _ in range(4):
                await circuit.sell(ORDERS)
                await asyncio.sleep(OUTAGE_SECONDS / 4)
            backlog = await circuit.unsent()
        finally:
            await world.start("rabbitmq")
        assert backlog > 4 * ORDERS
        await circuit.at_rest()
        await circuit.assert_in_order(await tapped())


async def test_a_broker_that_takes_nothing_is_waited_for(circuit: Circuit, world: World) -> None:
    """Its memory alarm: it answers, and blocks all who publish."""
    async with circuit.consuming(), circuit.relaying():
        await circuit.sell(ORDERS)
        await circuit.at_rest()
        files = _open_files()
        await local_rabbitmq.control(world.site, "set_vm_memory_high_watermark", "0.000001")
        try:
            await circuit.sell(ORDERS)
            await asyncio.sleep(3 * rabbitmq._PUBLISH_SECONDS)
            assert await circuit.unsent() >= ORDERS
            assert _open_files() - files < 12  # a blocked connection is closed before the next is opened
        finally:
            await local_rabbitmq.control(world.site, "set_vm_memory_high_watermark", "0.4")
        await circuit.at_rest()


async def test_messages_that_come_again_and_in_any_order_are_applied_once(circuit: Circuit) -> None:
    async with circuit.consuming(), circuit.relaying(), circuit.tapped() as tapped:
        await circuit.sell(ORDERS)
        await circuit.at_rest()
        sent = sum(map(len, (await tapped()).values()))
        for seed in range(3):
            await circuit.send_all_again(seed)
            await circuit.at_rest()
        assert sum(map(len, (await tapped()).values())) == 3 * sent


async def test_messages_delivered_when_all_is_over_and_backwards_are_applied_once(circuit: Circuit) -> None:
    """The latest first: an order is heard of as closed or paid before it is heard of as placed."""
    await circuit.sell(ORDERS)
    for pool in circuit.outboxes:
        await pool.execute("UPDATE outbox SET created_at = timestamptz '2030-01-01' - (created_at - '2020-01-01')")
    async with circuit.consuming(), circuit.relaying():
        await circuit.at_rest()


async def test_messages_whose_consumers_lose_their_connections_are_applied_once(
    circuit: Circuit, world: World, vhost: str
) -> None:
    async with circuit.consuming(), circuit.relaying():
        for pause in pauses(seed=5, count=6):
            await circuit.sell(ORDERS // 3)
            await asyncio.sleep(pause)
            await local_rabbitmq.control(world.site, "close_all_connections", "--vhost", vhost, "test")
        await circuit.at_rest()


async def test_a_channel_closed_in_the_middle_of_a_batch_loses_nothing(
    circuit: Circuit, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, count = rabbitmq.Broker.publish, 0

    async def publish_and_break(self: rabbitmq.Broker, body: bytes, key: str, message_id: str) -> None:
        nonlocal count
        count += 1
        if count % 40 == 0 and self._channel is not None and not self._channel.is_closed:
            with contextlib.suppress(*rabbitmq.AWAY):
                async with asyncio.timeout(0.2):
                    underlay = await self._channel.get_underlay_channel()
                    await underlay.basic_publish(b"", exchange="nowhere")  # the broker closes the channel for that
        await publish(self, body, key, message_id)

    monkeypatch.setattr(rabbitmq.Broker, "publish", publish_and_break)
    await circuit.sell(3 * ORDERS)
    async with circuit.consuming(), circuit.relaying():
        await circuit.at_rest()
    assert count > 6 * ORDERS


async def test_lost_confirms_cost_duplicates_and_nothing_else(
    circuit: Circuit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq, "_PUBLISH_SECONDS", 1.0)
    monkeypatch.setattr(outbox, "_AWAY_SECONDS", 0.2)
    at = urlsplit(circuit.amqp_url)
    wire = Wire(at.hostname or "", at.port or 5672)
    async with circuit.consuming(), circuit.tapped() as tapped, wire.laid() as port:
        through = circuit.amqp_url.replace(f":{at.port}", f":{port}")
        async with circuit.relaying(through):
            await circuit.sell(ORDERS)
            await circuit.at_rest()
            wire.swallows = True
            await circuit.sell(ORDERS)
            await asyncio.sleep(0.5)
            assert await circuit.unsent() > ORDERS  # sent, and not known to be
            wire.cut()
            wire.swallows = False
            await circuit.at_rest()
        heard = await tapped()
        rows = sum([await pool.fetchval("SELECT count(*) FROM outbox") for pool in circuit.outboxes])
        assert sum(map(len, heard.values())) > rows
        await circuit.assert_in_order(heard)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
