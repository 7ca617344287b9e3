"""Metrics for Prometheus: requests, refusals, the queue, engine calls and how full they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_SHARES = (0.25, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1.0)
_WINDOWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)


class Metrics:
    """A server's counters, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry, "namespace": "tinyreader"}
        self.requests = Counter("requests", "Requests answered.", ["route", "status"], **own)
        self.seconds = Histogram(
            "request_seconds", "Time from head to answer.", ["route"], buckets=_SECONDS, **own
        )
        self.refusals = Counter("refusals", "Requests refused or failed.", ["kind"], **own)
        self.abandoned = Counter(
            "abandoned", "Requests given up before they were answered.", ["reason"], **own
        )
        self.questions = Counter("questions", "Questions answered.", **own)
        self.windows = Counter("windows", "Windows computed.", **own)
        self.restarts = Counter("worker_restarts", "Engine workers that died and were replaced.", **own)
        self.call_seconds = Histogram(
            "engine_call_seconds", "Time of an engine call.", buckets=_SECONDS, **own
        )
        self.call_windows = Histogram(
            "engine_call_windows", "Windows of an engine call.", buckets=_WINDOWS, **own
        )
        self.fill = Histogram(
            "engine_call_fill", "Share of a call's tokens that are no padding.", buckets=_SHARES, **own
        )
        self._own = own

    def gauge(self, name: str, what: str, value: Callable[[], float]) -> None:
        """Adds a number that is read when the metrics are."""
        Gauge(name, what, **self._own).set_function(value)

    def call(self, windows: int, tokens: int, area: int, seconds: float) -> None:
        """Counts an engine call: its windows, their tokens, those with padding, and its time."""
        self.windows.inc(windows)
        self.call_seconds.observe(seconds)
        self.call_windows.observe(windows)
        self.fill.observe(tokens / area)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)
