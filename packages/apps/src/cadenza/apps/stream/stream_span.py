"""`StreamSpan`, `AnswerSpan`: one streamed answer in OpenTelemetry. Imported where somebody wants to know.

One for each answer (cycle), and not for each stream: a stream may be used again and again, and nobody says
when that is over; but an answer has a first token, an outcome and an end, which comes with its `close()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cadenza.api import telemetry
from cadenza.api.telemetry import APPS
from cadenza.api.telemetry.names import Attribute, Event, Metric, Span, StreamOutcome

from .actions import Delete, Outcome, Post, PostKind, Put, Result
from .errors import DeliveryUnknownError, StreamDeliveryError

if TYPE_CHECKING:
    from cadenza.api.telemetry.spans import Span as SpanOfOpenTelemetry

    from .cycle import Cycle

__all__ = ["AnswerSpan", "StreamSpan", "about"]

_OUTCOMES = {
    Result.SENT: StreamOutcome.SENT,
    Result.NOTHING: StreamOutcome.NOTHING,
    Result.STOPPED: StreamOutcome.STOPPED,
    Result.FAILED: StreamOutcome.FAILED,
    Result.UNKNOWN: StreamOutcome.UNKNOWN,
}
_MESSAGES = (PostKind.FINAL, PostKind.PLAIN)


def about(action: Post | Put | Delete) -> dict[str, str]:
    """What is told of a request, beside what every request tells."""
    match action:
        case Post():
            type_ = "message" if action.kind in _MESSAGES else "typing"
            return {Attribute.STREAM_REQUEST: action.kind.value, Attribute.ACTIVITY_TYPE: type_}
        case Put():
            return {Attribute.STREAM_REQUEST: "edit", Attribute.ACTIVITY_TYPE: "message"}
        case Delete():
            return {Attribute.STREAM_REQUEST: "delete"}


class AnswerSpan:
    """The span of an answer which begins now; a child of the one that is current where it is made. By itself
    it is that of a plugin's channel: what such a streamer does with the text, nobody knows."""

    def __init__(self) -> None:
        self._instruments = APPS.instruments()
        self._parent = telemetry.current_ids()
        self._span = APPS.start(Span.STREAM)
        self._emitted = False
        self.emits = 0

    def emitted(self, count: int) -> None:
        """Text was emitted, by whoever runs now if it is the first."""
        self.emits += count
        if self._emitted:
            return
        self._emitted = True
        span = self._span
        if span is None:
            return
        if telemetry.current_ids() != self._parent:
            span.link_to_current()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Something is done for this answer in this block."""
        if self._span is None:
            yield
        else:
            with self._span.current():
                yield

    def over(self, outcome: str, failure: BaseException | str | None = None) -> None:
        """The answer has ended so; of a `failure` its type is told."""
        if self._instruments is not None:
            self._instruments.count(Metric.STREAMS, {Attribute.OUTCOME: outcome})
        span = self._span
        if span is None:
            return
        span.set(Attribute.OUTCOME, outcome)
        span.set(Attribute.STREAM_EMITS, self.emits)
        if failure is not None:
            span.fail(failure)
        span.end()


class StreamSpan(AnswerSpan):
    """The span of `cycle`."""

    def __init__(self, cycle: Cycle) -> None:
        super().__init__()
        self._cycle = cycle
        self._shown = False
        self.text_posts = self.posts = self.bytes = self.failures = self.waits = 0
        self.waited = 0.0

    @contextmanager
    def current(self) -> Iterator[None]:
        """A request of this answer is made in this block."""
        self.posts += 1
        with super().current():
            yield

    def answered(self) -> None:
        """A request of this answer was answered."""
        first, shown = self._cycle.first_emit, self._cycle.first_shown
        if self._shown or first is None or shown is None:
            return
        self._shown = True
        if self._span is not None:
            self._span.event(Event.FIRST_TOKEN)
        if self._instruments is not None:
            self._instruments.record(Metric.STREAM_FIRST_TOKEN, shown - first)

    def end(self, outcome: Outcome | None, broken: BaseException | None) -> None:
        """The answer is over: it has an outcome, or had nothing to show, or its driver is `broken`."""
        if outcome is not None:
            ended: str = _OUTCOMES[outcome.result]
        else:
            ended = StreamOutcome.NOTHING if broken is None else StreamOutcome.BROKEN
        if self._instruments is not None:
            attributes = {Attribute.OUTCOME: ended}
            self._instruments.record(Metric.STREAM_POSTS, self.posts, attributes)
            self._instruments.record(Metric.STREAM_WAITED, self.waited, attributes)
        failure: BaseException | str | None = broken if outcome is None else None
        if outcome is not None and outcome.result in (Result.FAILED, Result.UNKNOWN):
            kind = DeliveryUnknownError if outcome.result is Result.UNKNOWN else StreamDeliveryError
            failure = f"{kind.__module__}.{kind.__qualname__}"
        if self._span is not None:
            self._describe(self._span, outcome)
        self.over(ended, failure)

    def _describe(self, span: SpanOfOpenTelemetry, outcome: Outcome | None) -> None:
        cycle = self._cycle
        span.set(Attribute.STREAM_COALESCED, max(0, self.emits - self.text_posts))
        span.set(Attribute.STREAM_POSTS, self.posts)
        span.set(Attribute.STREAM_BYTES, self.bytes)
        span.set(Attribute.STREAM_FAILURES, self.failures)
        span.set(Attribute.STREAM_WAITS, self.waits)
        span.set(Attribute.STREAM_WAITED, self.waited)
        if cycle.first_emit is not None and cycle.first_shown is not None:
            span.set(Attribute.STREAM_FIRST_TOKEN, cycle.first_shown - cycle.first_emit)
        if outcome is not None:
            span.set(Attribute.STREAM_PARTS, len(outcome.ids))
            if outcome.result is Result.SENT and cycle.last_emit is not None:
                span.set(Attribute.STREAM_LAST_TOKEN, cycle.message.answered_at - cycle.last_emit)
            if outcome.result in (Result.FAILED, Result.UNKNOWN) and outcome.failure is not None:
                span.set(Attribute.STREAM_FAILURE, outcome.failure.kind.name.lower())
                span.set(Attribute.HTTP_STATUS, outcome.failure.status)
