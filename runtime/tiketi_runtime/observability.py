"""Logs and metrics, the same everywhere: one JSON object a line on standard output, Prometheus on /metrics."""

from __future__ import annotations

import logging
import sys

from prometheus_client import Histogram
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

REQUEST_SECONDS = Histogram(
    "tiketi_http_request_seconds",
    "Time from the first byte of a request to the last byte of its answer.",
    ["service", "method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5),
)


def configure_logging(level: str, service: str) -> None:
    """Send every logger of this process to standard output as JSON lines with a ``service`` member."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        JsonFormatter(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            static_fields={"service": service},
            timestamp=True,
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn says everything twice
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("aio_pika", "aiormq", "uvicorn.access", "uvicorn.error"):  # the last: two lines a socket
        logging.getLogger(noisy).setLevel("WARNING")
