"""`HandlerSpans`: the calls of handlers in OpenTelemetry. Imported where somebody wants to know."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from cadenza import api as teams
from cadenza.api.telemetry import APPS
from cadenza.api.telemetry.names import UNKNOWN, Attribute, Dispatch, Metric, Outcome, Span

from ..stream import StreamCancelledError
from .parameters import name_of

if TYPE_CHECKING:
    from cadenza.api import Activity

__all__ = ["HandlerSpans"]


class HandlerSpans:
    """Those of one turn."""

    def __init__(self, activity: Activity) -> None:
        invoke = activity.type == "invoke"
        self._name = str(getattr(activity, "name", None) or "") if invoke else None
        self._type = self._name if self._name is not None else activity.type
        self._dispatch = Dispatch.INVOKE if invoke else Dispatch.TYPE
        made_up = isinstance(activity, teams.UnknownInvoke | teams.UnknownActivity)
        self._known = UNKNOWN if made_up else self._type

    @contextmanager
    def call(self, handler: object) -> Iterator[None]:
        """A handler runs in this block."""
        attributes = {Attribute.HANDLER_TYPE: self._known, Attribute.HANDLER_DISPATCH: self._dispatch}
        instruments = APPS.instruments()
        if instruments is not None:
            instruments.count(Metric.HANDLER_DISPATCHED, attributes)
        began = perf_counter()
        span = APPS.start(Span.HANDLER)
        outcome: str = Outcome.HANDLED
        try:
            if span is None:
                yield
            else:
                span.set(Attribute.HANDLER_TYPE, self._type)
                span.set(Attribute.HANDLER_DISPATCH, self._dispatch)
                span.set(Attribute.HANDLER_NAME, _full_name(handler))
                with span.current():
                    yield
        except StreamCancelledError:
            outcome = Outcome.STOPPED
            raise
        except (asyncio.CancelledError, GeneratorExit):
            outcome = Outcome.CANCELLED
            raise
        except BaseException as error:
            outcome = Outcome.FAILED
            if instruments is not None:
                instruments.count(Metric.HANDLER_FAILURES, attributes)
            if span is not None:
                span.fail(error)
            raise
        finally:
            if instruments is not None:
                instruments.record(Metric.HANDLER_DURATION, (perf_counter() - began) * 1000, attributes)
            if span is not None:
                span.set(Attribute.OUTCOME, outcome)
                span.end()

    def unmatched(self) -> None:
        """No handler wants the activity."""
        instruments = APPS.instruments()
        if instruments is None:
            return
        attributes = {Attribute.ACTIVITY_TYPE: self._known}
        if self._name is not None:
            attributes = {Attribute.ACTIVITY_TYPE: "invoke", Attribute.INVOKE_NAME: self._known}
        instruments.count(Metric.HANDLER_UNMATCHED, attributes)


def _full_name(handler: Any) -> str:
    while not hasattr(handler, "__module__") and hasattr(handler, "func"):
        handler = handler.func
    return f"{getattr(handler, '__module__', '')}.{name_of(handler)}".removeprefix(".")
