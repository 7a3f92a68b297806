"""A database in mid-sale is brought to the newest schema, and nothing in it is lost or refused."""

from __future__ import annotations

from importlib.resources import files

import asyncpg
from tests.integration.conftest import MakeDatabase

from tiketi_runtime import postgres
from tiketi_services.payment.repository import PACKAGE

_ORDER = (
    "INSERT INTO orders (order_id, event, buyer, amount, currency, order_name, pay_by)"
    " VALUES (gen_random_uuid(), 'demo/sale', 'anna', 5000, 'KRW', 'x', now()) RETURNING order_id"
)
_ATTEMPT = (
    "INSERT INTO attempts (attempt_id, order_id, vendor_order_id, state, payment_key, ended_at)"
    " VALUES (gen_random_uuid(), $1, $2, $2, CASE WHEN $2 <> 'READY' THEN $2 END,"
    " CASE WHEN $2 IN ('DONE', 'REFUSED') THEN now() END) RETURNING attempt_id"
)


async def test_rows_of_the_first_schema_survive_every_later_one(database: MakeDatabase) -> None:
    url = await database("payment")
    first = "0001_payment.sql"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(files(PACKAGE).joinpath(f"sql/migrations/{first}").read_text())
        await connection.execute(
            "CREATE TABLE schema_migrations (package text, name text, applied_at timestamptz NOT NULL DEFAULT now(),"
            " PRIMARY KEY (package, name))"
        )
        await connection.execute("INSERT INTO schema_migrations VALUES ($1, $2)", PACKAGE, first)
        for state in ("READY", "CONFIRMING", "UNKNOWN", "REFUSED", "DONE"):
            attempt = await connection.fetchval(_ATTEMPT, await connection.fetchval(_ORDER), state)
        await connection.execute(
            "INSERT INTO cancellations (cancellation_id, attempt_id, payment_key, reason)"
            " VALUES (gen_random_uuid(), $1, 'DONE', 'x')",
            attempt,
        )
        applied = await postgres.migrate(url, PACKAGE)
        assert {"0002_webhooks.sql", "0003_reconciliation.sql"} <= set(applied)
        assert await connection.fetchval("SELECT count(*) FROM attempts WHERE hinted_looks = 0") == 5
        assert await connection.fetchval("SELECT count(*) FROM cancellations") == 1
        assert await postgres.migrate(url, PACKAGE) == []
    finally:
        await connection.close()
