"""One JSON object a line, whatever is logged."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from tiketi_runtime.observability import configure_logging


@pytest.fixture(autouse=True)
def _root_logger_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_says_when_who_and_what(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "auth")
    logging.getLogger("a.b").info("seat %s\nheld", "안-1", extra={"event": "arena/first"})
    (line,) = logged(capsys)
    assert line.pop("timestamp")
    assert line == {
        "service": "auth",
        "level": "INFO",
        "logger": "a.b",
        "message": "seat 안-1\nheld",
        "event": "arena/first",
    }


def test_less_severe_lines_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("WARNING", "auth")
    logging.getLogger("a").info("quiet")
    logging.getLogger("a").warning("loud")
    assert [line["message"] for line in logged(capsys)] == ["loud"]


def test_an_error_is_one_line_with_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "auth")
    try:
        raise LookupError("no seat")
    except LookupError:
        logging.getLogger("a").exception("failed")
    (line,) = logged(capsys)
    assert "LookupError: no seat" in str(line["exc_info"])


def test_what_cannot_be_json_does_not_lose_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "auth")
    logging.getLogger("a").info("odd", extra={"half": "\ud800", "thing": object(), "bytes": b"\xff"})
    assert [line["message"] for line in logged(capsys)] == ["odd"]
