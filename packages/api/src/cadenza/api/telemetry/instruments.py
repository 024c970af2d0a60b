"""`Instruments`: the metrics of one package, at one provider of OpenTelemetry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .names import INSTRUMENTS
from .sources import overlook

__all__ = ["Instruments"]

Attributes = Mapping[str, str]


class Instruments:
    """Made once for a provider; `name` is that of the meter. See `INSTRUMENTS` for what there is.

    What the SDK raises is not raised here, except by making this.
    """

    def __init__(self, meter: Any, name: str) -> None:
        self._meter = meter
        self._made: dict[str, Any] = {}
        for metric, known in INSTRUMENTS.items():
            if known.meter == name and known.kind != "gauge":
                make = meter.create_counter if known.kind == "counter" else meter.create_histogram
                self._made[metric] = make(metric, unit=known.unit, description=known.description)

    def count(self, metric: str, attributes: Attributes | None = None, amount: int = 1) -> None:
        """Add to a counter."""
        counter = self._made[metric]
        try:
            counter.add(amount, attributes)
        except Exception as error:
            overlook("count", error)

    def record(self, metric: str, value: float, attributes: Attributes | None = None) -> None:
        """Put a value into a histogram, in its unit."""
        histogram = self._made[metric]
        try:
            histogram.record(value, attributes)
        except Exception as error:
            overlook("record a value", error)

    def observe(self, metric: str, read: Callable[[], Iterable[tuple[float, Attributes]]]) -> None:
        """Let a gauge have what `read` gives whenever somebody looks at it. Only the first call for a metric
        counts: a gauge is kept as long as its provider."""
        if metric in self._made:
            return
        from opentelemetry.metrics import Observation

        known = INSTRUMENTS[metric]
        self._made[metric] = None  # a second try would fail, too
        try:
            self._made[metric] = self._meter.create_observable_gauge(
                metric,
                callbacks=[lambda _: [Observation(value, attributes) for value, attributes in read()]],
                unit=known.unit,
                description=known.description,
            )
        except Exception as error:
            overlook("make a gauge", error)
