"""Says what was found: to people, or to programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

from tiketi_runtime.contracts.draw_file import DrawFacts, ReceiptClaims
from tiketi_runtime.contracts.ticket_code import TicketCode
from tiketi_services.verify.findings import Finding, Level

_COLOURS: Final[Mapping[Level, str]] = {
    Level.OK: "32",
    Level.NOTE: "36",
    Level.WARNING: "33",
    Level.LOST: "35",
    Level.FAULT: "31",
}
_WIDTH: Final = 110

Subject = DrawFacts | ReceiptClaims | TicketCode | None
"""What was checked; None: a code that says nothing that counts."""


def verifies(findings: Sequence[Finding]) -> bool:
    """Whether nothing is false."""
    return all(finding.level is not Level.FAULT for finding in findings)


def is_lost(findings: Sequence[Finding]) -> bool:
    """Whether an entry is missing, by an accident that the file tells of."""
    return any(finding.level is Level.LOST for finding in findings)


def as_text(subject: Subject, findings: Sequence[Finding], *, in_colour: bool) -> str:
    """A page for people."""
    return "\n".join([_title(subject), "", *_table(findings, in_colour), "", _conclusion(findings, in_colour), ""])


def as_json(subject: Subject, findings: Sequence[Finding]) -> str:
    """The same for programs."""
    return json.dumps(
        {
            "verified": verifies(findings),
            "lost": is_lost(findings),
            **_facts(subject),
            "findings": [
                {"level": finding.level, "check": finding.check, "text": finding.text} for finding in findings
            ],
        },
        indent=2,
    )


def _title(subject: Subject) -> str:
    if subject is None:
        return "A code that is no ticket of ours"
    if isinstance(subject, TicketCode):
        return f"Ticket for {subject.event}, seat {subject.seat}: {subject.owner or 'no name'}"
    if isinstance(subject, ReceiptClaims):
        return f"Receipt for {subject.event}, line {subject.line}: number {subject.seq:,}"
    drawn = f"{subject.entries:,} numbers, drawn {subject.drawn_at:%Y-%m-%d %H:%M:%S}Z"
    return f"Draw of {subject.event}, line {subject.line}: {drawn}"


def _facts(subject: Subject) -> Mapping[str, int | str | None]:
    if subject is None:
        return {}
    if isinstance(subject, TicketCode):
        return {"event": subject.event, "ticket": subject.ticket, "seat": subject.seat, "owner": subject.owner}
    head: dict[str, int | str | None] = {"event": subject.event, "line": subject.line}
    if isinstance(subject, ReceiptClaims):
        return {**head, "seq": subject.seq, "leaf": subject.leaf, "commitment": subject.commitment}
    return {**head, "entries": subject.entries, "root": subject.root, "commitment": subject.commitment}


def _table(findings: Sequence[Finding], in_colour: bool) -> list[str]:
    width = max(len(finding.check) for finding in findings)
    lines = []
    for finding in findings:
        first, *others = textwrap.wrap(finding.text, max(30, _WIDTH - width - 13), break_long_words=False)
        lines.append(f"  {_paint(f'{finding.level:<7}', finding.level, in_colour)}  {finding.check:<{width}}  {first}")
        lines += [f"  {'':7}  {'':{width}}  {other}" for other in others]
    return lines


def _conclusion(findings: Sequence[Finding], in_colour: bool) -> str:
    faults = sum(finding.level is Level.FAULT for finding in findings)
    if faults:
        return _paint(f"DOES NOT VERIFY: {faults} {'fault' if faults == 1 else 'faults'}", Level.FAULT, in_colour)
    if is_lost(findings):
        return _paint("VERIFIED, BUT AN ENTRY WAS LOST", Level.LOST, in_colour)
    return _paint("VERIFIED", Level.OK, in_colour)


def _paint(text: str, level: Level, in_colour: bool) -> str:
    return f"\x1b[{_COLOURS[level]}m{text}\x1b[0m" if in_colour else text
