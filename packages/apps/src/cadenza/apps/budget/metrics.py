"""The budget in OpenTelemetry: the length of the queue and the waits, by priority.

Where nobody has configured an SDK, nothing is measured (cadenza.api.telemetry).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from weakref import WeakSet

from cadenza.api.telemetry import APPS
from cadenza.api.telemetry.names import Attribute, Metric

from .outbound import Priority

__all__ = ["Metrics", "Queue"]

_NAMES = {priority: {Attribute.PRIORITY: priority.name.lower()} for priority in Priority}


class Queue(Protocol):
    """Where requests wait."""

    @property
    def waiting(self) -> Mapping[Priority, int]:
        """How many do, by their priority."""
        ...


_queues: WeakSet[Any] = WeakSet()
"""Of all budgets in this process: there is one gauge, which OpenTelemetry keeps for ever."""


class Metrics:
    """Those of one budget. What waits in `queue` is in the gauge for as long as there is a `queue`."""

    def __init__(self, queue: Queue) -> None:
        _queues.add(queue)

    def waited(self, priority: Priority, seconds: float) -> None:
        """A request was let through after that many seconds."""
        instruments = APPS.instruments()
        if instruments is not None:
            instruments.observe(Metric.BUDGET_WAITING, _waiting)
            instruments.record(Metric.BUDGET_WAIT, seconds, _NAMES[priority])


def _waiting() -> Iterable[tuple[int, dict[str, str]]]:
    counts = dict.fromkeys(Priority, 0)
    for queue in list(_queues):
        for priority, count in queue.waiting.items():
            counts[priority] += count
    return [(count, _NAMES[priority]) for priority, count in counts.items()]
