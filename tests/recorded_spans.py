"""An SDK of OpenTelemetry that keeps what it is told, as text to compare."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import _internal as metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider


class Recorded(SpanProcessor):
    """All spans that ended, and those that have not; and the metrics."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.open: list[Span] = []
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(self)
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader])

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.open.append(span)

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)
        self.open = [other for other in self.open if other.context.span_id != span.context.span_id]

    def named(self, name: str) -> list[ReadableSpan]:
        """In the order of their ends."""
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    def tree(self, *attributes: str) -> str:
        """Every span below its parent, in the order of their beginnings: its name, those of its `attributes`
        that are asked for (without what stands before the last dot), its events, its links and its error."""
        spans = sorted(self.spans, key=lambda span: span.start_time or 0)
        names = {span.context.span_id: span.name for span in spans}

        def below(parent: int | None, depth: int) -> Iterator[str]:
            for span in spans:
                above = span.parent.span_id if span.parent is not None else None
                if above == parent or (parent is None and above not in names):
                    yield "    " * depth + _line(span, attributes, names)
                    yield from below(span.context.span_id, depth + 1)

        return "\n".join(below(None, 0))

    def metrics(self) -> dict[str, dict[str, Any]]:
        """By metric and the values of its attributes: a sum, the count of a histogram, or the gauge."""
        return self._figures("value", "count")

    def sums(self) -> dict[str, dict[str, Any]]:
        """The same, with the sum of a histogram's values, in its unit."""
        return self._figures("value", "sum")

    def _figures(self, *kinds: str) -> dict[str, dict[str, Any]]:
        data = self._reader.get_metrics_data()
        resources = data.resource_metrics if data is not None else ()
        scopes = [scope for resource in resources for scope in resource.scope_metrics]
        return {
            metric.name: {_values(point): _figure(point, kinds) for point in metric.data.data_points}
            for scope in scopes
            for metric in scope.metrics
        }

    def texts(self) -> str:
        """All that was told, in one string: to look for what must not be in it."""
        return "\n".join(span.to_json() for span in self.spans) + repr(self.metrics())


def _values(point: Any) -> str:
    return " ".join(str(value) for _, value in sorted((point.attributes or {}).items()))


def _figure(point: Any, kinds: tuple[str, ...]) -> Any:
    return next(getattr(point, kind) for kind in kinds if hasattr(point, kind))


def _line(span: ReadableSpan, wanted: tuple[str, ...], names: dict[int, str]) -> str:
    given = span.attributes or {}
    told = [f"{name.rpartition('.')[2]}={given[name]!s}" for name in wanted if name in given]
    told += [f"!{event.name}" for event in span.events]
    told += [f"-> {names.get(link.context.span_id, 'elsewhere')}" for link in span.links]
    if not span.status.is_ok:
        told.append(f"ERROR {span.status.description}")
    return " ".join([span.name, *told])


def configure(monkeypatch: pytest.MonkeyPatch, recorded: Recorded) -> None:
    """As an SDK does it with set_tracer_provider(), which works but once in a process."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", recorded.tracers)
    monkeypatch.setattr(metrics, "_METER_PROVIDER", recorded.meters)


@contextmanager
def recording() -> Iterator[Recorded]:
    """Spans and metrics are recorded in this block; none may be open at its end."""
    recorded = Recorded()
    with pytest.MonkeyPatch.context() as monkeypatch:
        configure(monkeypatch, recorded)
        yield recorded
    assert [span.name for span in recorded.open] == []
    recorded.tracers.shutdown()
    recorded.meters.shutdown()
