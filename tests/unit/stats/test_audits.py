"""What the auditor reports of an event, and how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from tiketi_runtime.contracts.identity import EventId
from tiketi_services.stats import commands
from tiketi_services.stats.audit import Audit, Finding
from tiketi_services.stats.auditor import Auditor
from tiketi_services.stats.audits import Audits, report_of
from tiketi_services.stats.settings import StatsSettings

EVENT = EventId("demo/first-sale")
NOW = datetime(2027, 3, 1, 11, 0, 0, 500, tzinfo=UTC)
FOUND = tuple(Finding("two-tickets", EVENT, f"order-{number}", "x" * 300) for number in range(9))


class Found:
    """An auditor with this result."""

    def __init__(self) -> None:
        self.audit: Audit | None = Audit(orders=3, lags={"settling": 2, "untold": 1})
        self.completed_at = NOW

    def of(self, _: str) -> Audit | None:
        return self.audit


def test_a_report_names_the_first_findings_and_fits_the_status() -> None:
    report = report_of(Audit(9, {"settling": 2}, FOUND, 1, is_stopped=True), NOW)
    assert (report.orders, report.under_way, report.mismatches, report.accepted) == (9, 2, 9, 1)
    assert report.stopped
    assert report.message.startswith("two-tickets, order order-0")
    assert len(report.message) <= 1024
    assert report_of(Audit(9, {}, FOUND[:1]), NOW).message == f"two-tickets, order order-0: {'x' * 300}"


def test_a_report_says_that_the_event_is_cancelled() -> None:
    report = report_of(Audit(9, {}, FOUND[:1], is_stopped=True, cancelled_by="olga"), NOW)
    assert report.message.startswith("two-tickets, order order-0")
    assert "The event was cancelled by olga" in report.message
    alone = report_of(Audit(9, is_stopped=True, cancelled_by="olga"), NOW).message
    assert alone == "The event was cancelled by olga: nothing is sold any more, and all is given back"


def test_a_report_that_says_the_same_is_told_anew_now_and_then_and_a_new_one_at_once() -> None:
    audits = Audits(
        StatsSettings(database_url="x", redis_url="x", amqp_url="x", auth_jwks_url="x", kubeconfig=Path("x"))
    )
    assert audits.report(EVENT) is None
    found = Found()
    audits._auditor = cast(Auditor, found)
    first = audits.report(EVENT)
    found.completed_at = NOW + timedelta(seconds=30)
    assert audits.report(EVENT) is first
    found.completed_at = NOW + timedelta(seconds=120)
    later = audits.report(EVENT)
    assert later is not None
    assert later.completed_at == found.completed_at.replace(microsecond=0)
    found.audit = Audit(orders=4)
    found.completed_at += timedelta(seconds=1)
    newest = audits.report(EVENT)
    assert newest is not None
    assert newest.orders == 4
    found.audit = None
    assert audits.report(EVENT) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["audit", "first-sale"], "an event is NAMESPACE/NAME"),
        (["resume", "demo/first-sale"], "--reason"),
        (["resume", "demo/first-sale", "--reason", " "], "say something"),
        (["repair"], "invalid choice"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        commands.parse(words)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_without_a_command_it_serves_and_a_resume_has_a_name() -> None:
    assert commands.parse([]).command is None
    assert commands.parse(["audit"]).event is None
    assert commands.parse(["resume", "a/b", "--reason", "r"]).by
