"""Settings of payment. Going live is configuration: the vendor's address and keys, and the environment."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field

from tiketi_runtime.settings import RuntimeSettings, WithBroker, WithDatabase

Environment = Literal["production", "test"]
_KEY = re.compile(r"(test|live)_(g?)(ck|sk)_[A-Za-z0-9]+")


class PaymentSettings(RuntimeSettings, WithDatabase, WithBroker, env_prefix="TIKETI_PAYMENT_"):
    """Read from TIKETI_PAYMENT_*."""

    environment: Environment = "test"
    """``production`` takes ``live_`` keys only; ``test`` takes ``test_`` keys only."""
    signing_key_file: Path
    """Ed25519 private key (PEM) that outcomes are signed with."""
    auth_jwks_url: str
    """Keys that verify buyers' access tokens."""
    ticket_jwks_url: str
    """Keys that verify payment intents and close requests."""
    toss_url: str = "https://api.tosspayments.com"
    """The vendor's API."""
    toss_client_key: str
    """Public key of the merchant: the buyer's page opens the vendor's window with it."""
    toss_secret_key_file: Path
    """File with the merchant's secret key."""
    toss_connect_timeout: timedelta = timedelta(seconds=5)
    """To reach the vendor."""
    toss_read_timeout: timedelta = timedelta(seconds=30)
    """Longest silence while an answer is awaited; then the attempt is UNKNOWN."""
    toss_currencies: frozenset[Literal["KRW", "JPY"]] = frozenset({"KRW"})
    """Currencies of the merchant's contract, as a JSON list. A confirm does not name its currency: with more than one,
    each payment is read at the vendor before it is confirmed."""
    webhook_patience: timedelta = timedelta(seconds=2)
    """How long a webhook about a confirm that is under way leaves it to be answered, before the payment is read."""
    webhook_looks_per_second: float = Field(default=5, gt=0, le=1000)
    """Payments that one process reads at the vendor because of webhooks: a budget of their own, so that webhooks, which
    anybody may send, never take the vendor from confirms."""
    webhooks_kept_for: timedelta = timedelta(days=30)
    """How long webhooks are kept as they came. The vendor sends one again for four days."""
    reconcile_after: timedelta = timedelta(hours=3)
    """A day is compared with the vendor's transactions list so long after it ended there (midnight in Korea)."""
    reconcile_interval: timedelta = timedelta(minutes=10)
    """Pause between looks whether a day is due."""
    reconcile_mends: bool = True
    """Whether the daily reconciliation mends what is certain; if not, it only records. Off after the database was
    restored from a copy, until somebody has read the findings."""
    resolve_interval: timedelta = timedelta(seconds=1)
    """Pause of the resolver when nothing is due."""
    outcome_lifetime: timedelta = timedelta(days=400)
    """How long a signed outcome proves the payment: longer than any sale runs."""

    @property
    def confirm_patience(self) -> timedelta:
        """How long an attempt may be CONFIRMING before its process is taken for dead."""
        return self.toss_connect_timeout + self.toss_read_timeout + timedelta(seconds=10)

    def toss_secret_key(self) -> str:
        """The secret key. Raises ValueError if the keys are not a pair of this environment, OSError without a file."""
        secret = self.toss_secret_key_file.read_text(encoding="utf-8-sig").strip()
        check_keys(self.toss_client_key, secret, self.environment)
        return secret


def check_keys(client_key: str, secret_key: str, environment: Environment) -> None:
    """Raises ValueError unless both are keys of one kind for this environment. Never says a key's value."""
    client, secret = _KEY.fullmatch(client_key), _KEY.fullmatch(secret_key)
    if client is None or client[3] != "ck":
        raise ValueError("toss_client_key is not a client key (test_ck_, test_gck_, live_ck_ or live_gck_ and letters)")
    if secret is None or secret[3] != "sk":
        raise ValueError("toss_secret_key_file holds no secret key (test_sk_, test_gsk_, live_sk_ or live_gsk_)")
    wanted = "live" if environment == "production" else "test"
    for name, key in (("toss_client_key", client), ("toss_secret_key_file", secret)):
        if key[1] != wanted:
            raise ValueError(f"{name}: a {key[1]}_ key is refused in environment {environment}; give a {wanted}_ key")
    if client[2] != secret[2]:
        raise ValueError("client key and secret key are of different kinds: one is for the widget, one for the window")
