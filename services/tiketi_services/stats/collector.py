"""The board as Prometheus sees it. Read from the board when scraped, so an event that is gone leaves no series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tiketi_runtime.contracts.identity import EventId, namespace_and_name
from tiketi_services.stats.domain import Figures
from tiketi_services.stats.usecases import Board


class BoardCollector(Collector):
    """Gauges of every event on the board."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The families without values: registering asks for nothing."""
        return families({})

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families with a value for each event."""
        return families(self._board.figures)


def families(board: Mapping[EventId, Figures]) -> Iterator[GaugeMetricFamily]:
    """Every family of ours, with a value for each event of the board."""
    tickets = _family("tickets", "Tickets by state.", "state")
    buyers = _family("buyers", "Buyers in line and admitted.", "state")
    orders = _family("orders", "Orders by state.", "state")
    rate = _family("admitted_per_minute", "Buyers admitted in the last minute.")
    revenue = _family("revenue", "Paid, in minor units of the currency.", "currency")
    refusals = _family("payment_refusals", "Payment attempts refused so far.")
    taken = _family("figures_timestamp_seconds", "When these figures were taken.")
    for event, figures in board.items():
        labels = namespace_and_name(event)
        totals = figures.totals
        for state, count in (("held", figures.held), ("sold", totals.sold), ("remaining", figures.remaining)):
            tickets.add_metric([*labels, state], count)
        for state, count in (("waiting", figures.waiting), ("active", figures.active)):
            buyers.add_metric([*labels, state], count)
        for state, count in totals.orders.items():
            orders.add_metric([*labels, state], count)
        rate.add_metric(labels, figures.admitted_per_minute)
        revenue.add_metric([*labels, figures.currency], totals.revenue)
        refusals.add_metric(labels, totals.refusals)
        taken.add_metric(labels, figures.at.timestamp())
    yield from (tickets, buyers, orders, rate, revenue, refusals, taken)


def _family(name: str, help_text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tiketi_event_{name}", help_text, labels=["namespace", "event", *labels])
