"""`TurnSpan`: a turn in OpenTelemetry. Imported where somebody wants to know.

A turn is the root of a trace of its own, and not a child of the request that brought its activity: that is
acknowledged before the turn runs, which may then wait behind other turns, or be run by another process. A
span that begins after its parent has ended is shown oddly, and sampled by somebody else's choice. So the
request's span is linked, which is what OpenTelemetry has links for. Its headers (`received`) are kept with
the activity in the inbox, so that a turn which another process takes over is linked to the same request.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import copy_context
from time import perf_counter
from typing import TYPE_CHECKING, Any

from cadenza import api as teams
from cadenza.api.telemetry import APPS
from cadenza.api.telemetry.names import UNKNOWN, Attribute, Metric, Outcome, Span

from ..stream import AbortReason

if TYPE_CHECKING:
    from cadenza.api import Activity

    from ..routing.responses import InvokeResponse

__all__ = ["TurnSpan", "received", "type_for_metrics"]

ENDS = {
    AbortReason.STOP: Outcome.STOPPED,
    AbortReason.INTERRUPT: Outcome.INTERRUPTED,
    AbortReason.SHUTDOWN: Outcome.SHUT_DOWN,
    AbortReason.LOST: Outcome.LEASE_LOST,
}


def received(activity: Activity) -> dict[str, Any]:
    """Count an activity that was admitted. Returns what is kept with it: the headers of the span that brought
    it, if there is one."""
    instruments = APPS.instruments()
    if instruments is not None:
        instruments.count(Metric.ACTIVITIES_RECEIVED, {Attribute.ACTIVITY_TYPE: type_for_metrics(activity)})
    if APPS.tracer() is None:
        return {}
    from cadenza.api.telemetry.spans import carrier

    headers = carrier()
    return {"trace": headers} if headers else {}


def type_for_metrics(activity: Activity) -> str:
    """Its type, if that is one of Teams': whoever sends could make up any number of others."""
    return UNKNOWN if isinstance(activity, teams.UnknownActivity) else activity.type


class TurnSpan:
    """One turn. It begins when it is made, and is the current span of the context that it was made in."""

    def __init__(self, activity: Activity, payload: Mapping[str, Any], *, revived: bool) -> None:
        self._instruments = APPS.instruments()
        self._type = type_for_metrics(activity)
        self._invoke = activity.type == "invoke"
        self._began = perf_counter()
        self.span = None
        self.context = copy_context()
        """What was there, with the turn as the current span; whatever its handlers do."""
        if APPS.tracer() is None:
            return
        from cadenza.api.telemetry import spans

        headers = payload.get("trace")
        request = [spans.carried(headers)] if isinstance(headers, Mapping) else []
        parent = spans.rootless(spans.current_context())
        span = self.span = APPS.start(Span.TURN, parent=parent, links=request)
        if span is None:
            return
        span.set(Attribute.ACTIVITY_TYPE, activity.type)
        span.set(Attribute.ACTIVITY_ID, activity.id)
        span.set(Attribute.CONVERSATION_ID, activity.conversation.id)
        span.set(Attribute.CHANNEL_ID, activity.channel_id)
        span.set(Attribute.BOT_ID, activity.recipient.id)
        span.set(Attribute.SERVICE_URL, activity.service_url)
        if self._invoke:
            span.set(Attribute.INVOKE_NAME, getattr(activity, "name", None))
        if revived:
            span.set(Attribute.REVIVED, True)
        span.make_current()
        self.context = copy_context()

    def end(
        self,
        error: BaseException | None,
        reason: AbortReason | None,
        response: InvokeResponse[Any] | None,
        *,
        reported_lost: bool,
    ) -> None:
        """It is over."""
        if self._instruments is not None:
            milliseconds = (perf_counter() - self._began) * 1000
            self._instruments.record(
                Metric.TURN_DURATION, milliseconds, {Attribute.ACTIVITY_TYPE: self._type}
            )
        span = self.span
        if span is None:
            return
        if error is not None:
            span.fail(error)
            outcome: str = Outcome.FAILED
        elif reason is not None:
            outcome = ENDS.get(reason, Outcome.FAILED)
        else:
            outcome = Outcome.REPORTED_LOST if reported_lost else Outcome.HANDLED
        span.set(Attribute.OUTCOME, outcome)
        if self._invoke and response is not None:
            span.set(Attribute.INVOKE_STATUS, response.status)
        span.end()
