"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    """Something to know."""
    WARNING = "warning"
    """Not false, but a reason to ask questions."""
    LOST = "lost"
    """An entry is missing, and the file says by which accident. Whether it is true, the file alone does not show."""
    FAULT = "fault"
    """Does not verify."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check, in a sentence."""

    level: Level
    check: str
    text: str


class BadInput(Exception):
    """A file that cannot be read, or is something else. The message is one line."""


def ok(check: str, text: str) -> Finding:
    """The check holds."""
    return Finding(Level.OK, check, text)


def note(check: str, text: str) -> Finding:
    """Something to know."""
    return Finding(Level.NOTE, check, text)


def warning(check: str, text: str) -> Finding:
    """A reason to ask questions."""
    return Finding(Level.WARNING, check, text)


def lost(check: str, text: str) -> Finding:
    """An entry is missing by an accident that the file tells of."""
    return Finding(Level.LOST, check, text)


def fault(check: str, text: str) -> Finding:
    """The check does not hold."""
    return Finding(Level.FAULT, check, text)


def verdict(check: str, *, holds: bool, yes: str, no: str) -> Finding:
    """One or the other."""
    return ok(check, yes) if holds else fault(check, no)
