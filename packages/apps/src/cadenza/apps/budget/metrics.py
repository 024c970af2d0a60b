"""The budget in OpenTelemetry: the length of the queue and the waits, by priority.

Where the package `opentelemetry-api` is not installed, nothing is measured and nothing is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

from .outbound import Priority

__all__ = ["Metrics", "metrics"]

_NAMES = {priority: {"priority": priority.name.lower()} for priority in Priority}


class Metrics:
    """Two instruments: `cadenza.budget.waiting` (requests in the queue) and `cadenza.budget.wait` (seconds
    that a request has waited)."""

    def __init__(self, api: Any, waiting: Callable[[], Mapping[Priority, int]]) -> None:
        meter = api.get_meter("cadenza.apps.budget")

        def observe(_: object) -> Iterable[Any]:
            return [api.Observation(count, _NAMES[priority]) for priority, count in waiting().items()]

        meter.create_observable_gauge(
            "cadenza.budget.waiting",
            callbacks=[observe],
            unit="{request}",
            description="Requests that wait for the rate budget.",
        )
        self._waits = meter.create_histogram(
            "cadenza.budget.wait",
            unit="s",
            description="How long a request waited for the rate budget.",
        )

    def waited(self, priority: Priority, seconds: float) -> None:
        """A request was let through after that many seconds."""
        self._waits.record(seconds, _NAMES[priority])


def metrics(waiting: Callable[[], Mapping[Priority, int]]) -> Metrics | None:
    """The instruments, or None where OpenTelemetry is not installed. `waiting` is asked whenever the gauge is
    read."""
    try:
        api = import_module("opentelemetry.metrics")
    except ImportError:
        return None
    return Metrics(api, waiting)
