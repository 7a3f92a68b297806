"""Settings of auth."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from pydantic import Field

from tiketi_runtime.settings import RuntimeSettings, WithBroker, WithDatabase, WithMail, WithRedis


class AuthSettings(RuntimeSettings, WithDatabase, WithRedis, WithBroker, WithMail, env_prefix="TIKETI_AUTH_"):
    """Read from TIKETI_AUTH_*."""

    signing_key_file: Path
    """Ed25519 private key in PEM. Its public half is what /auth/.well-known/jwks.json shows."""
    public_url: str = Field(pattern=r"^https?://[^/?#\s]+$")
    """Origin that buyers use, such as https://tickets.example.com. Links in mails begin with it."""
    access_token_lifetime: timedelta = Field(default=timedelta(minutes=15), gt=timedelta(0), le=timedelta(hours=1))
    """Life of an access token. Nothing can call one back: a role taken away holds at most this long."""
    session_lifetime: timedelta = Field(default=timedelta(days=30), gt=timedelta(0))
    """A session ends when it was not refreshed for this long. Days, so that nobody logs in at the on-sale second."""
    refresh_grace: timedelta = Field(default=timedelta(seconds=5), ge=timedelta(0), le=timedelta(minutes=1))
    """A used refresh token is taken again for this long: its answer may have been lost on a bad network."""
    hashing_workers: int = Field(default_factory=lambda: len(os.sched_getaffinity(0)), ge=1, le=64)
    """Passwords hashed at once, each with a core and 19 MiB of its own. More than cores only costs memory."""
    hashing_waiting_room: int = Field(default=200, ge=0)
    """Passwords that may wait for a worker; beyond it the answer is 429."""
    argon2_memory_kib: int = Field(default=19_456, ge=8, le=1_048_576)
    """Memory of one hash. Stored hashes made with other parameters are renewed at the next log-in."""
    argon2_time_cost: int = Field(default=2, ge=1, le=20)
    """Passes over that memory."""
    failed_log_ins: int = Field(default=10, ge=1)
    """Log-ins in a row that may fail for one address before it has to wait."""
    failed_log_in_refill: timedelta = Field(default=timedelta(seconds=30), gt=timedelta(0))
    """After that, one more is allowed each time this has passed."""
    verification_lifetime: timedelta = Field(default=timedelta(days=1), gt=timedelta(0), le=timedelta(days=30))
    """How long the link in a mail works, from when it is sent. Longer helps who reads mail late, and who finds it."""
    verification_mails: int = Field(default=3, ge=1)
    """Verification mails an account may ask for in a row, apart from that of its sign-up, before it has to wait."""
    verification_mail_refill: timedelta = Field(default=timedelta(hours=1), gt=timedelta(0))
    """After that, one more is allowed each time this has passed. Short, a stranger's mailbox could be plagued."""
    mail_interval: timedelta = Field(default=timedelta(milliseconds=250), gt=timedelta(0))
    """How often PostgreSQL is asked for mails to send."""
    mail_first_pause: timedelta = Field(default=timedelta(seconds=30), gt=timedelta(0))
    """When a mail that the server did not take is tried again; the pause doubles each time."""
    mail_longest_pause: timedelta = Field(default=timedelta(hours=4), gt=timedelta(0))
    """Longest pause between two tries of one mail."""
    mail_patience: timedelta = Field(default=timedelta(days=4), gt=timedelta(0))
    """After that long a mail is given up (RFC 5321, 4.5.4.1: 4 to 5 days), counted from when it was asked for. An
    account can ask for another verification mail; a letter about an order is not written again."""
    letters_per_second: float = Field(default=25, gt=0)
    """Most letters about orders that this process sends a second, on average. What waits after an outage of the mail
    server leaves at this pace, and providers refuse more than they allow. Verification mails are not held back."""
