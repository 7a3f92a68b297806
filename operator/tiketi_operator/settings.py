"""Settings of the operator."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from tiketi_runtime.beacon_chains import read_chains
from tiketi_runtime.contracts.beacon import Chain
from tiketi_runtime.settings import RuntimeSettings, WithRedis


class PlatformSettings(BaseSettings, env_prefix="TIKETI_OPERATOR_"):
    """What a plan depends on besides the event."""

    namespace: str = "tiketi-system"
    """The platform's namespace: every child of every event lives here."""
    ticket_service: str = "ticket"
    """Name of the shared ticket service: its Service, Deployment and autoscaler."""
    shared_min_replicas: int = Field(default=1, ge=1)
    """Fewest pods of the shared ticket service while no shared event is armed."""
    shared_max_replicas: int = Field(default=20, ge=1)
    """Most pods of the shared ticket service, unless the armed events need more."""
    beacon_chains_file: Path | None = None
    """JSON list of further beacon chains, each as a relay answers to ``/info``; the League of Entropy's are known. The
    ticket service needs the same one: it verifies the rounds."""

    def beacon_chains(self) -> Mapping[str, Chain]:
        """Chains whose rounds can be verified, by hash. Raises OSError, or ValueError if the file is no such list."""
        return read_chains(self.beacon_chains_file)


class OperatorSettings(PlatformSettings, RuntimeSettings, WithRedis, env_prefix="TIKETI_OPERATOR_"):
    """Read from the environment, ``TIKETI_OPERATOR_<NAME>``. ``host`` and ``port`` serve /healthz and /metrics."""

    watched_namespaces: Annotated[tuple[str, ...], NoDecode] = ()
    """Organisers' namespaces to serve, separated by commas. Empty: all namespaces of the cluster."""
    kubeconfig: Path | None = None
    """How to reach the API server. Not set: the pod's own service account."""
    gateway_url: str | None = None
    """Base URL at which the operator, like a buyer, reaches the gateway. Not set: routes and limits are not proved."""
    longest_sleep: timedelta = timedelta(seconds=30)
    """Every event is looked at this often, also when nothing calls for it: what drifted is put right by then."""
    settling_time: timedelta = timedelta(seconds=30)
    """How long after a change something may be not yet true before it is called wrong. A pod needs some of it."""

    @field_validator("watched_namespaces", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
