"""`Span`: a span of OpenTelemetry that never holds what people have written. Imported where spans are
wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from opentelemetry import context as contexts, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .names import Attribute, Event
from .sources import overlook

__all__ = [
    "Span",
    "begin",
    "carried",
    "carrier",
    "current_context",
    "rootless",
    "type_of",
]

LONGEST = 256
"""Characters of a text that an attribute has at most: ids are shorter, but anybody may send longer ones."""

_PROPAGATOR = TraceContextTextMapPropagator()


class Span:
    """One span. As a context manager it is the current one within its block, and ends with it.

    No method raises, whatever the SDK does.
    """

    __slots__ = ("_ended", "_span", "_token", "context")

    def __init__(self, span: trace.Span, parent: Any) -> None:
        self._span = span
        self._token: Any = None
        self._ended = False
        self.context = trace.set_span_in_context(span, parent)
        """The context of OpenTelemetry in which it is the current span."""

    def set(self, name: str, value: str | bool | int | float | None) -> None:
        """Set an attribute; nothing where the value is None."""
        if value is not None:
            try:
                self._span.set_attribute(name, value[:LONGEST] if isinstance(value, str) else value)
            except Exception as error:
                overlook("set an attribute", error)

    def event(self, name: str, attributes: Mapping[str, Any] | None = None) -> None:
        """Something happened now."""
        try:
            self._span.add_event(name, attributes)
        except Exception as error:
            overlook("add an event", error)

    def link_to_current(self) -> None:
        """It has to do with the current span, if there is one."""
        try:
            other = trace.get_current_span().get_span_context()
            if other.is_valid:
                self._span.add_link(other)
        except Exception as error:
            overlook("link a span", error)

    def fail(self, error: BaseException | str) -> None:
        """It did not succeed. Of an exception its type is told, and what a service answered with: no message
        and no trace, since these may hold undelivered text, or what a user has said."""
        name = error if isinstance(error, str) else type_of(error)
        self.set(Attribute.ERROR_TYPE, name)
        if isinstance(error, BaseException):
            self.event(Event.EXCEPTION, {Attribute.EXCEPTION_TYPE: name})
            status = getattr(error, "status", None)
            if isinstance(status, int):
                self.set(Attribute.HTTP_STATUS, status)
            correlation = getattr(error, "correlation_id", None)
            if isinstance(correlation, str):
                self.set(Attribute.CORRELATION_ID, correlation)
        try:
            self._span.set_status(trace.Status(trace.StatusCode.ERROR, name))
        except Exception as broken:
            overlook("set a status", broken)

    def end(self) -> None:
        """It is over. A second call does nothing."""
        if not self._ended:
            self._ended = True
            try:
                self._span.end()
            except Exception as error:
                overlook("end a span", error)

    def make_current(self) -> None:
        """Make it the current span for the rest of what runs here: for a context variable's context that
        is thrown away afterwards."""
        contexts.attach(self.context)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make it the current span in a block, without ending it."""
        token = contexts.attach(self.context)
        try:
            yield
        finally:
            contexts.detach(token)

    def __enter__(self) -> Self:
        self._token = contexts.attach(self.context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        contexts.detach(self._token)
        # Whoever is cancelled, or closes a generator, has not failed.
        if error is not None and not isinstance(error, asyncio.CancelledError | GeneratorExit):
            self.fail(error)
        self.end()


def begin(
    tracer: trace.Tracer,
    name: str,
    attributes: Mapping[str, Any] | None,
    *,
    client: bool = False,
    parent: Any = None,
    links: Iterable[trace.SpanContext] = (),
) -> Span | None:
    """A new span; None if it could not be started."""
    if parent is None:
        parent = contexts.get_current()
    kind = trace.SpanKind.CLIENT if client else trace.SpanKind.INTERNAL
    try:
        about = [trace.Link(link) for link in links if link.is_valid]
        span = Span(tracer.start_span(name, parent, kind, links=about), parent)
    except Exception as error:
        overlook("start a span", error)
        return None
    for attribute, value in (attributes or {}).items():
        span.set(attribute, value)
    return span


def current_context() -> Any:
    """The current context of OpenTelemetry."""
    return contexts.get_current()


def rootless(context: Any) -> Any:
    """The same context without its span: what begins in it is the root of a trace."""
    return trace.set_span_in_context(trace.INVALID_SPAN, context)


def carrier() -> dict[str, str]:
    """The current span in the headers of W3C (traceparent, tracestate), to be told to another process; empty
    if there is none."""
    headers: dict[str, str] = {}
    _PROPAGATOR.inject(headers)
    return headers


def carried(headers: Mapping[str, str]) -> trace.SpanContext:
    """What names the span in such headers; not valid if there is none."""
    extracted = _PROPAGATOR.extract(dict(headers), contexts.Context())
    return trace.get_current_span(extracted).get_span_context()


def type_of(error: BaseException) -> str:
    """The type of an error, with its module."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
