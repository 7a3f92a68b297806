"""What SREs do at a terminal: reconcile a day with the vendor, find out what became of one attempt."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NoReturn
from uuid import UUID

from tiketi_runtime import dead_letters
from tiketi_services.payment.books import Action, day_of
from tiketi_services.payment.domain import Attempt, AttemptState, is_vendor_order_id
from tiketi_services.payment.reconciliation import Reconciliation, Report
from tiketi_services.payment.toss import AnswerLost, VendorRefusal
from tiketi_services.payment.usecases import FOUND_OUT, Cashier

DONE, OPEN_END, WRONG = 0, 1, 2
"""Exit codes: all is well; something is open or does not agree; it could not be done."""


class Arguments(argparse.Namespace):
    """The command line. ``command`` None: serve."""

    command: str | None
    day: date
    record_only: bool = False
    attempt: UUID | str


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"{self.prog}: {message}\n")


def parse(argv: Sequence[str]) -> Arguments:
    """Read the command line. Ends the process with 2 and one line if it is wrong."""
    parser = _Parser(prog="tiketi-payment", description="Serve (without a command), or look after the books.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    reconcile = commands.add_parser("reconcile", help="compare a day with the vendor's transactions list")
    reconcile.add_argument(
        "--day", metavar="YYYY-MM-DD", type=_day, default=yesterday(), help="default: yesterday in Korea"
    )
    reconcile.add_argument("--record-only", action="store_true", help="mend nothing")
    resolve = commands.add_parser("resolve", help="ask the vendor once what became of an attempt, and apply its word")
    resolve.add_argument("attempt", metavar="ATTEMPT", type=_attempt_name, help="its id, or its order id at the vendor")
    dead_letters.add_command(commands)
    return parser.parse_args(argv, Arguments())


def yesterday() -> date:
    """The newest day that is over at the vendor."""
    return day_of(datetime.now(UTC)) - timedelta(days=1)


async def run(arguments: Arguments, cashier: Cashier, reconciliation: Reconciliation) -> int:
    """Do it and say so; returns the exit code."""
    try:
        if arguments.command == "reconcile":
            return _say_report(await reconciliation.run(arguments.day))
        return await _resolve(arguments.attempt, cashier)
    except (AnswerLost, VendorRefusal) as error:
        sys.stderr.write(f"tiketi-payment: the vendor did not answer as it should: {error or error.code}\n")
        return WRONG


def _say_report(report: Report) -> int:
    """One line for the day, one for each finding."""
    _say(f"{report.day}: {report.transactions} transactions, {len(report.findings)} findings")
    for finding, action in report.findings:
        attempt = finding.attempt_id or "no attempt"
        _say(f"{finding.kind}  {finding.payment_key}  {attempt}  {finding.told}  -> {action}")
    return OPEN_END if any(action is Action.RECORDED for _, action in report.findings) else DONE


async def _resolve(name: UUID | str, cashier: Cashier) -> int:
    attempt = await _attempt(name, cashier)
    if attempt is None:
        sys.stderr.write("tiketi-payment: no such attempt, or it never got as far as the vendor\n")
        return WRONG
    payment = await cashier.toss.look_up(attempt.payment_key)
    _say(f"vendor: {payment.status}, charged {payment.charged} {payment.currency}, keeps {payment.kept}")
    await cashier.apply(attempt, payment, FOUND_OUT)
    views = await cashier.payments.attempts(attempt.order.order_id)
    view = next(view for view in views if view.attempt_id == attempt.attempt_id)
    _say(f"attempt: {view.state}" + (f" ({view.code})" if view.code else ""))
    if view.state in (AttemptState.DONE, AttemptState.REFUSED):
        return DONE
    _say("the vendor has not decided: nothing was changed")
    return OPEN_END


async def _attempt(name: UUID | str, cashier: Cashier) -> Attempt | None:
    if isinstance(name, UUID):
        return await cashier.payments.attempt(attempt_id=name)
    return await cashier.payments.attempt(vendor_order_id=name)


def _attempt_name(text: str) -> UUID | str:
    if is_vendor_order_id(text):
        return text
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError("an attempt's id (UUID), or its order id at the vendor (tk_...)") from None


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("a day like 2026-11-22") from None
    if day > day_of(datetime.now(UTC)):
        raise argparse.ArgumentTypeError("this day is yet to come")
    return day


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
