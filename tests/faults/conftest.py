"""Stores of the integration tests, for tests that do not kill them."""

from __future__ import annotations

from tests.integration.conftest import database, world

__all__ = ["database", "world"]
