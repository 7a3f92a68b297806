"""Durations as Kubernetes objects spell them ("10m", "1h30m") and as Python counts them (timedelta)."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

DURATION_PATTERN = "^([0-9]{1,4}h)?([0-9]{1,4}m)?([0-9]{1,6}s)?$"
"""What the CRDs take: whole hours, minutes and seconds, in that order; a subset of Go's durations."""


def parse_duration(text: str) -> timedelta:
    """Read "1h30m", "10m" or "90s". Raises ValueError for anything else, also for an empty text."""
    match = re.fullmatch(DURATION_PATTERN.strip("^$"), text)
    if match is None or not text:
        raise ValueError(f"{text!r} is not a duration: write it like 1h30m, 10m or 90s")
    hours, minutes, seconds = (int(part[:-1]) if part else 0 for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """Write a duration in its shortest form ("90s" becomes "1m30s", nothing becomes "0s").

    Raises ValueError if it is negative or not of whole seconds, which the CRDs cannot say.
    """
    if duration < timedelta(0) or duration.microseconds:
        raise ValueError(f"{duration} cannot be written as whole hours, minutes and seconds")
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{value}{unit}" for value, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if value]
    return "".join(parts) or "0s"


@dataclass(frozen=True)
class GoDuration:
    """Marks a timedelta field that is written as a duration text within bounds, both included.

    Use as `Annotated[timedelta, GoDuration("10s", "30m")]`. The JSON schema carries the bounds as
    the CEL rule that guards the same field in the CRD.
    """

    shortest: str
    longest: str

    @property
    def rule(self) -> str:
        """The bounds as CEL, where `self` is the field."""
        return f"duration('{self.shortest}') <= self && self <= duration('{self.longest}')"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take texts and timedeltas, keep timedeltas, write texts."""
        return core_schema.no_info_before_validator_function(
            _parse_text,
            core_schema.timedelta_schema(ge=parse_duration(self.shortest), le=parse_duration(self.longest)),
            serialization=core_schema.plain_serializer_function_ser_schema(format_duration, when_used="json"),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the field as the CRD does."""
        return {
            "type": "string",
            "format": "duration",
            "pattern": DURATION_PATTERN,
            "x-kubernetes-validations": [{"rule": self.rule}],
        }


def _parse_text(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value
