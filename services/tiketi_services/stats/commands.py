"""What SREs do at a terminal: compare orders, payments and tickets now; let a stopped sale go on."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NoReturn

from tiketi_runtime import dead_letters
from tiketi_services.stats.audit import Audit
from tiketi_services.stats.auditor import Auditor
from tiketi_services.stats.ledgers import Ledgers

DONE, OPEN_END, WRONG = 0, 1, 2
"""Exit codes: all is well; something does not agree; it could not be done."""
_BATCH = 5000


class Arguments(argparse.Namespace):
    """The command line. ``command`` None: serve."""

    command: str | None
    event: str | None = None
    reason: str
    by: str | None = None
    accept: bool = False


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"{self.prog}: {message}\n")


def parse(argv: Sequence[str]) -> Arguments:
    """Read the command line. Ends the process with 2 and one line if it is wrong."""
    parser = _Parser(prog="tiketi-stats", description="Serve (without a command), or look after the books.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    audit = commands.add_parser("audit", help="compare every order, payment and ticket now; change nothing")
    audit.add_argument("event", metavar="NAMESPACE/NAME", type=_event, nargs="?", help="default: every event")
    resume = commands.add_parser("resume", help="let a sale go on that the auditor has stopped")
    resume.add_argument("event", metavar="NAMESPACE/NAME", type=_event)
    resume.add_argument("--reason", required=True, type=_words, help="what was found and done; kept for ever")
    resume.add_argument("--by", type=_words, default=None, help="who says so; default: the user of this terminal")
    resume.add_argument("--accept", action="store_true", help="what does not agree is known, and stays as it is")
    dead_letters.add_command(commands)
    found = parser.parse_args(argv, Arguments())
    if found.command == "resume" and found.by is None:
        found.by = getpass.getuser()
    return found


async def run(arguments: Arguments, ledgers: Ledgers, patience: timedelta) -> int:
    """Do it and say so; returns the exit code."""
    auditor = Auditor(ledgers, patience, event=arguments.event, stops=False, batch=_BATCH)
    await auditor.complete()
    if auditor.suspects:
        _say(f"{auditor.suspects} to be looked at again in {patience.total_seconds():.0f} s")
        await asyncio.sleep(patience.total_seconds())
        await auditor.complete()
    audits = auditor.audits()
    if arguments.event is not None:
        audits = {arguments.event: audits.get(arguments.event, Audit())}
    if arguments.command == "resume" and arguments.event is not None:
        return await _resume(arguments, audits[arguments.event], ledgers)
    _table(audits)
    return OPEN_END if any(audit.findings for audit in audits.values()) else DONE


async def _resume(arguments: Arguments, audit: Audit, ledgers: Ledgers) -> int:
    if audit.cancelled_by is not None:
        sys.stderr.write(f"tiketi-stats: {arguments.event} was cancelled by {audit.cancelled_by}: it stays stopped\n")
        return WRONG
    if audit.findings and not arguments.accept:
        _table({str(arguments.event): audit})
        _say("The sale stays stopped: mend this first, or accept it as it is with --accept.")
        return OPEN_END
    if not await ledgers.resume(str(arguments.event), str(arguments.by), arguments.reason, audit.findings):
        sys.stderr.write(f"tiketi-stats: the sale of {arguments.event} is not stopped\n")
        return WRONG
    _say(f"{arguments.event} goes on; {len(audit.findings)} findings are accepted as they are")
    return DONE


def _table(audits: Mapping[str, Audit]) -> None:
    """A line for each event, and one for each finding."""
    width = max([len("EVENT"), *map(len, audits)])
    _say(f"{'EVENT':<{width}}  ORDERS  UNDERWAY  MISMATCHES  ACCEPTED  SALE")
    for event, audit in audits.items():
        counts = f"{audit.orders:>6}  {sum(audit.lags.values()):>8}  {len(audit.findings):>10}  {audit.accepted:>8}"
        _say(f"{event:<{width}}  {counts}  {_sale(audit)}")
    lags = sum((Counter(audit.lags) for audit in audits.values()), Counter[str]())
    if lags:
        _say("under way: " + ", ".join(f"{kind} {count}" for kind, count in sorted(lags.items())))
    for audit in audits.values():
        for finding in audit.findings:
            _say(f"{finding.kind}  {finding.event}  {finding.subject}  {finding.told}")


def _sale(audit: Audit) -> str:
    if audit.cancelled_by is not None:
        return "cancelled"
    return "stopped" if audit.is_stopped else "goes on"


def _event(text: str) -> str:
    if text.count("/") != 1 or not all(text.split("/")):
        raise argparse.ArgumentTypeError("an event is NAMESPACE/NAME")
    return text


def _words(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("say something")
    return text.strip()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
