"""docs/metrics.md tells of every metric there is, and of none that is not."""

from __future__ import annotations

import pytest
from prometheus_client import Histogram
from tests.metrics_table import table, written

from tiketi_services.ticket.queue import metrics


def test_the_page_has_the_metrics_of_the_code() -> None:
    assert written() == table(), "python -m tests.metrics_table writes it anew"


@pytest.mark.parametrize(
    "metric",
    [
        metrics.POSITION_AGE_SECONDS,
        metrics.JOIN_SECONDS,
        metrics.CLAIM_SECONDS,
        metrics.WAIT_SECONDS,
        metrics.CLAIM_DELAY_SECONDS,
        metrics.RECOVERY_SECONDS,
        metrics.DRAW_SECONDS,
    ],
)
def test_what_buyers_feel_is_no_average(metric: object) -> None:
    assert isinstance(metric, Histogram)
