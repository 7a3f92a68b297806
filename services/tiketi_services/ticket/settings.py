"""Settings of the ticket service."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator
from pydantic_settings import NoDecode

from tiketi_runtime.settings import RuntimeSettings, WithBroker, WithDatabase, WithRedis


class TicketSettings(RuntimeSettings, WithDatabase, WithRedis, WithBroker, env_prefix="TIKETI_TICKET_"):
    """Read from the environment, ``TIKETI_TICKET_<NAME>``."""

    signing_key_file: Path
    """PEM file of the Ed25519 key that signs payment intents and closings."""
    queue_keys_file: Path
    """JSON file of the MAC keys behind place receipts and admission passes."""
    auth_jwks_url: str
    """Where auth publishes the keys of access tokens; http(s):// or file://."""
    payment_jwks_url: str
    """Where payment publishes the keys of payment outcomes."""
    payment_url: str
    """Base URL of payment, asked to close orders."""

    event: Annotated[str, StringConstraints(pattern="^[^/]+/[^/]+$")] | None = None
    """The one event (``namespace/name``) of a lane. A lane serves buyers only: relay, consumers and sweepers run in
    the shared service. Not set: all events."""
    sheet_interval: timedelta = timedelta(milliseconds=500)
    """How often Redis is asked for new sale sheets. The organiser's message and pause reach buyers no faster."""
    state_interval: timedelta = timedelta(seconds=1)
    """How often waiting buyers are told the state, at most. Shorter costs CPU per waiting buyer."""
    serve_interval: timedelta = timedelta(milliseconds=200)
    """How often each open line is served. Shorter makes admissions smoother, not more."""
    heartbeat_interval: timedelta = timedelta(seconds=2)
    """How often a pod reports its connected buyers alive. Must stay well below every ghostTimeout (5 s or more)."""
    record_interval: timedelta = timedelta(milliseconds=500)
    """How often claims are copied to PostgreSQL."""
    seat_map_age: timedelta = timedelta(seconds=1)
    """How old a seat map may be. Shorter costs a read of the event's taken seats each time, whoever asks."""
    sweep_interval: timedelta = timedelta(seconds=1)
    """How often ended holds and orders are looked for. Seats of an ended hold are free without it; it tells the map."""
    closing_retry: timedelta = timedelta(seconds=10)
    """When payment is asked again to close an order that has an attempt under way, or when it did not answer."""
    mend_interval: timedelta = timedelta(seconds=15)
    """How often what Redis shows of the seats is compared with PostgreSQL."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins of web pages, apart from our own, that may open live connections, separated by commas."""
    connect_deadline: timedelta = timedelta(seconds=10)
    """How long a live connection may stay open without saying who it is."""
    max_connections: int = Field(default=20_000, ge=1)
    """Live connections one process takes. Each costs 40 KiB and a file descriptor."""

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value
