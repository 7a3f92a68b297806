"""Settings of auth."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from pydantic import Field

from tiketi_runtime.settings import RuntimeSettings, WithDatabase, WithRedis


class AuthSettings(RuntimeSettings, WithDatabase, WithRedis, env_prefix="TIKETI_AUTH_"):
    """Read from TIKETI_AUTH_*."""

    signing_key_file: Path
    """Ed25519 private key in PEM. Its public half is what /auth/.well-known/jwks.json shows."""
    access_token_lifetime: timedelta = Field(default=timedelta(minutes=15), gt=timedelta(0), le=timedelta(hours=1))
    """Life of an access token. Nothing can call one back: a role taken away holds at most this long."""
    session_lifetime: timedelta = Field(default=timedelta(days=30), gt=timedelta(0))
    """A session ends when it was not refreshed for this long. Days, so that nobody logs in at the on-sale second."""
    refresh_grace: timedelta = Field(default=timedelta(seconds=5), ge=timedelta(0), le=timedelta(minutes=1))
    """A used refresh token is taken again for this long: its answer may have been lost on a bad network."""
    hashing_workers: int = Field(default_factory=lambda: len(os.sched_getaffinity(0)), ge=1, le=64)
    """Passwords hashed at once, each for about 20 ms of one core and 19 MiB. More than cores only costs memory."""
    hashing_waiting_room: int = Field(default=200, ge=0)
    """Passwords that may wait for a worker; beyond it the answer is 429. 200 on two cores is a wait of 2 s."""
    argon2_memory_kib: int = Field(default=19_456, ge=8, le=1_048_576)
    """Memory of one hash. Stored hashes made with other parameters are renewed at the next log-in."""
    argon2_time_cost: int = Field(default=2, ge=1, le=20)
    """Passes over that memory."""
    failed_log_ins: int = Field(default=10, ge=1)
    """Log-ins in a row that may fail for one address before it has to wait."""
    failed_log_in_refill: timedelta = Field(default=timedelta(seconds=30), gt=timedelta(0))
    """After that, one more is allowed each time this has passed."""
