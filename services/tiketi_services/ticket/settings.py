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
    """PEM file of the Ed25519 key that signs tickets, payment intents and closings."""
    other_keys_file: Path | None = None
    """JSON file (a JWK Set) of public keys that count beside the signing key's own: the next one, some hours before it
    signs, and former ones, as long as tickets signed with them are to be let in."""
    queue_keys_file: Path
    """JSON file of the MAC keys behind place receipts and admission passes."""
    draw_key_file: Path
    """File of 32 random bytes or more: the secret behind every draw. It must not change while a draw is due."""
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
    state_interval: timedelta = timedelta(milliseconds=750)
    """How often waiting buyers are told the state, at most. A position is as old as this and the time to tell everybody
    together; shorter costs CPU per waiting buyer."""
    serve_interval: timedelta = timedelta(milliseconds=200)
    """How often each open line is served. Shorter makes admissions smoother, not more."""
    heartbeat_interval: timedelta = timedelta(seconds=2)
    """How often a pod reports its connected buyers alive. Must stay well below every ghostTimeout (5 s or more)."""
    draw_interval: timedelta = timedelta(milliseconds=500)
    """How often the next step of each draw is tried. The secret is shown no faster."""
    beacon_urls: Annotated[tuple[str, ...], NoDecode] = ("https://api.drand.sh", "https://drand.cloudflare.com")
    """Relays of public randomness (drand's HTTP API), asked in turn, separated by commas. They need not be trusted."""
    beacon_chains_file: Path | None = None
    """JSON list of further beacon chains, each as a relay answers to ``/info``; the League of Entropy's are known."""
    record_interval: timedelta = timedelta(milliseconds=500)
    """How often claims are copied to PostgreSQL."""
    seat_map_age: timedelta = timedelta(seconds=1)
    """How old a seat map may be. Shorter costs a read of the event's taken seats each time, whoever asks."""
    seat_map_interval: timedelta = timedelta(milliseconds=500)
    """How often an event's seats are read for the public map while somebody looks on, by all processes together: the
    least time between two changes that buyers are told. Must stay well below ``seat_map_age``."""
    sweep_interval: timedelta = timedelta(seconds=1)
    """How often ended holds and orders are looked for. Seats of an ended hold are free without it; it tells the map."""
    closing_retry: timedelta = timedelta(seconds=10)
    """When payment is asked again to close an order that has an attempt under way, or when it did not answer."""
    mend_interval: timedelta = timedelta(seconds=15)
    """How often what Redis shows of the seats is compared with PostgreSQL."""
    seats_return_soonest: timedelta = timedelta(minutes=2)
    """Seats of tickets that were given back are free for others no sooner than this."""
    seats_return_latest: timedelta = timedelta(minutes=12)
    """And no later: a random moment between both, which nobody is told, so that who gives a ticket back cannot have a
    friend there at the second."""
    refund_interval: timedelta = timedelta(seconds=2)
    """How often orders of cancelled events are looked for that are not refunded yet."""
    waitlist_interval: timedelta = timedelta(seconds=1)
    """How often freed seats of sold-out events are offered to those who wait. Meanwhile nobody else can hold them."""
    waitlist_window: timedelta = timedelta(minutes=5)
    """How long seats offered to one who waits are held. Shorter is fairer to those behind; who sees no mail and no page
    within it loses the offer."""
    waitlist_gathering: timedelta = timedelta(minutes=10)
    """How long free seats are kept for one who waits for more of them than there are."""
    trusted_proxies: int = Field(default=0, ge=0, le=8)
    """Proxies of ours that every request passes, the gateway among them: how far X-Forwarded-For can be believed. Too
    few, and all buyers seem to share one network; too many, and they can invent theirs."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins of web pages, apart from our own, that may open live connections, separated by commas."""
    connect_deadline: timedelta = timedelta(seconds=10)
    """How long a live connection may stay open without saying who it is."""
    max_connections: int = Field(default=20_000, ge=1)
    """Live connections one process takes. Each costs 11 KiB (row P3 of ``make bench-line``) and a file descriptor."""
    max_connections_per_buyer: int = Field(default=50, ge=1)
    """Live connections of one account that one process keeps; the oldest makes room for the next."""
    drain_duration: timedelta = timedelta(seconds=5)
    """Over how long a process that is asked to stop sends its live connections away, a few at a time: they all open a
    new one at once. With ``shutdown_grace`` and the preStop pause it must stay below terminationGracePeriodSeconds."""

    @field_validator("allowed_origins", "beacon_urls", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value
