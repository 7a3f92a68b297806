"""Settings every process shares.

Each service subclasses with its own ``env_prefix``: nothing is shared by accident.

Durations are read as seconds (``30``) or ISO 8601 (``PT30S``).
"""

from __future__ import annotations

import contextlib
import sys
from datetime import timedelta
from typing import Literal, TypeVar, get_args

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

S = TypeVar("S", bound=BaseSettings)


def from_environment(kind: type[S]) -> S:
    """The settings, or the end of the process: exit code 2, one line for each variable that cannot be used and one for
    those that are missing."""
    try:
        return kind()
    except ValidationError as error:
        prefix = kind.model_config.get("env_prefix", "")
        missing = []
        for fault in error.errors():
            name = prefix + ".".join(map(str, fault["loc"])).upper()
            if fault["type"] == "missing":
                missing.append(name)
            else:
                sys.stderr.write(f"{name}: {fault['msg'].removeprefix('Value error, ')}\n")
        if missing:
            part = prefix.removeprefix("TIKETI_").rstrip("_").lower()
            sys.stderr.write(f"{', '.join(sorted(missing))}: not set; {_mend(part)}\n")
        sys.exit(2)


def _mend(part: str) -> str:
    """Who lacks a setting most likely runs a command of the service somewhere else."""
    return (
        "set it, or run the command where the service has its settings:"
        f" kubectl -n tiketi-system exec deploy/{part} -- COMMAND, and in the local world"
        f" python -m tiketi_local run {part} -- COMMAND"
    )


class RuntimeSettings(BaseSettings):
    """What a listening process needs to know about itself."""

    host: str = "0.0.0.0"
    """Address to listen on."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Port to listen on."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe level that is logged."""
    shutdown_grace: timedelta = timedelta(seconds=10)
    """How long requests under way may take to end after SIGTERM."""

    @field_validator("*", mode="before")
    @classmethod
    def _read_seconds(cls, value: object, info: ValidationInfo) -> object:
        """The environment holds text only, and pydantic takes seconds only as a number."""
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, str) and (kind is timedelta or timedelta in get_args(kind)):
            with contextlib.suppress(ValueError):
                return float(value)
        return value


class WithDatabase(BaseSettings):
    """A service that owns a PostgreSQL database."""

    database_url: str
    """postgresql:// URL of this service's own database and role."""
    database_pool_size: int = Field(default=8, ge=1, le=100)
    """Connections kept open. More than cores x 4 rarely helps: PostgreSQL works, it does not wait."""


class WithRedis(BaseSettings):
    """A service that uses Redis."""

    redis_url: str
    """``redis://`` URL (``rediss://`` with TLS) with this service's own ACL user; or that of a Redis Cluster,
    ``redis+cluster://user:password@host:port,host:port`` (``rediss+cluster://``), naming some of its nodes."""


class WithBroker(BaseSettings):
    """A service that sends or receives messages."""

    amqp_url: str
    """amqp:// URL with this service's own user and the vhost."""


class WithMail(BaseSettings):
    """A service that sends mail."""

    smtp_url: str
    """Where mail is handed over: smtps://user:password@host (port 465), smtp+starttls://... (587), or smtp://... (25),
    which is in the clear and for a relay on the same host or behind the mesh only."""
    mail_from: str
    """Sender of the mails: ``Name <address>``, or an address alone."""
    mail_connections: int = Field(default=4, ge=1, le=64)
    """Connections to the mail server while many mails wait. A far server takes some 5 mails a second on each."""
