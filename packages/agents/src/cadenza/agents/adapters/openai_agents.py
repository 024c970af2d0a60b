"""Streams of openai-agents: what `Runner.run_streamed(...)` returns, or its `stream_events()`.

As of 0.24: the raw events are those of the Responses API, of each model call one after the other; tools and
their results come as items between them. The run goes on in a task of its own, whoever reads: it has to be
cancelled, and closing `stream_events()` alone would wait for its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from cadenza.events import AttemptSuperseded, Outcome, StopReason, StreamEvent, ToolCall, ToolResult

from .foreign_events import ForeignEvents, as_text, closer
from .openai import ResponsesReader

if TYPE_CHECKING:
    from agents import RunResultStreaming

__all__ = ["events"]


def events(source: RunResultStreaming | AsyncIterator[Any]) -> AsyncIterator[StreamEvent]:
    """The events of a streamed run. Closing them cancels the run, in the midst of a turn if need be."""
    run: Any = source if hasattr(source, "stream_events") else _run_of(source)
    stream: Any = source.stream_events() if hasattr(source, "stream_events") else source

    async def opened() -> AsyncIterator[Any]:
        return aiter(stream)

    async def close() -> None:
        if run is not None and not run.is_complete:
            run.cancel()
        if (aclose := closer(stream)) is not None:
            await aclose()

    return ForeignEvents(_Reader(run), opened, close)


def _run_of(stream: Any) -> Any:
    """The run that a `stream_events()` belongs to, which alone can be cancelled."""
    stream = getattr(stream, "source", stream)  # `pipe` has looked at its first item already
    frame = getattr(stream, "ag_frame", None)
    run = frame.f_locals.get("self") if frame is not None else None
    return run if hasattr(run, "stream_events") else None


class _Reader(ResponsesReader):
    def __init__(self, run: Any) -> None:
        super().__init__()
        self._run = run

    def read(self, item: Any) -> Iterable[StreamEvent]:
        if item.type == "raw_response_event":
            return super().read(item.data)
        if item.type == "run_item_stream_event":
            return self._run_item(item.name, item.item)
        return ()

    def _created(self) -> list[StreamEvent]:
        if not self.open or not (self.text or self.reasoning or self.called):
            return self.began()
        # The response before this one was not completed, and its run has not given up: a retry.
        self.attempt += 1
        self.text.clear()
        self.reasoning.clear()
        self.called = False
        return [AttemptSuperseded(self.turn, self.attempt)]

    def _run_item(self, name: str, item: Any) -> Iterable[StreamEvent]:
        raw = item.raw_item
        if name == "tool_called":
            id, tool = _field(raw, "call_id"), _field(raw, "name")
            if not id or not tool or id in self.calls.names:  # a hosted tool, or told by the model's events
                return ()
            self.called = True
            self.calls.names[id] = tool
            return [*self.began(), ToolCall(id, tool, _field(raw, "arguments") or "{}")]
        if name == "tool_output":
            id = str(_field(raw, "call_id") or "")
            return [*self.ended(), ToolResult(id, self.calls.names.get(id, ""), as_text(item.output))]
        return ()

    def finish(self) -> list[StreamEvent]:
        if getattr(self._run, "interruptions", None):
            self.outcome = Outcome.INTERRUPTED
        elif getattr(self._run, "_cancel_mode", "none") == "immediate":
            self.outcome = Outcome.CANCELLED
        ended = self.ended(StopReason.CANCELLED if self.outcome is Outcome.CANCELLED else None)
        return [*ended, *super().finish()]


def _field(raw: Any, name: str) -> Any:
    return raw.get(name) if isinstance(raw, dict) else getattr(raw, name, None)
