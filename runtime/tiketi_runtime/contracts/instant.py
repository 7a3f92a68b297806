"""Instants an organiser may name: aware, and far enough from the ends of time to be reckoned with."""

from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AwareDatetime, Field, WithJsonSchema

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
END: Final = datetime(2100, 1, 1, tzinfo=UTC)

Instant = Annotated[
    AwareDatetime,
    Field(ge=EARLIEST, lt=END),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "x-kubernetes-validations": [
                {
                    "rule": f"timestamp('{EARLIEST:%Y-%m-%dT%H:%M:%SZ}') <= self"
                    f" && self < timestamp('{END:%Y-%m-%dT%H:%M:%SZ}')"
                }
            ],
        }
    ),
]
"""A time from the years 2000 to 2099. Its JSON schema carries the bounds as the CRD's CEL rule."""
