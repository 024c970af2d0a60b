"""Streams of openai-agents: what `Runner.run_streamed(...)` returns, or its `stream_events()`.

As of 0.24: the raw events are those of the Responses API, of each model call one after the other; tools and
their results come as items between them. The run goes on in a task of its own, whoever reads: it has to be
cancelled, and closing `stream_events()` alone would wait for its end. Behind a generator around it, the run
is looked for in what the generator holds.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterable
from inspect import isasyncgen
from typing import TYPE_CHECKING, Any

from cadenza.events import AttemptSuperseded, Outcome, StopReason, StreamEvent, ToolCall, ToolResult

from .foreign_events import ForeignEvents, as_text, closer
from .openai import ResponseTurns

if TYPE_CHECKING:
    from agents import RunResultStreaming

__all__ = ["events"]


def events(source: RunResultStreaming | AsyncIterator[Any]) -> AsyncIterator[StreamEvent]:
    """The events of a streamed run, or of an async generator that passes on those of one. Closing them
    cancels the run, in the midst of a turn if need be. A stream that does not show which run it is of raises
    TypeError at its first item, since nobody could stop that run."""
    stream: Any = source.stream_events() if hasattr(source, "stream_events") else source
    reader = _Reader(stream)

    async def opened() -> AsyncIterator[Any]:
        return aiter(stream)

    async def close() -> None:
        for run in reader.runs:
            if not run.is_complete:
                run.cancel()
        if (aclose := closer(stream)) is not None:
            await aclose()

    return ForeignEvents(reader, opened, close)


def _runs_behind(stream: Any) -> list[Any]:
    """The runs whose events come out of `stream`, which alone can be cancelled."""
    runs: dict[int, Any] = {}
    seen: set[int] = set()
    left = [getattr(stream, "source", stream)]  # `pipe` has looked at its first item already
    while left:
        thing = left.pop()
        if hasattr(type(thing), "stream_events"):
            runs[id(thing)] = thing
        elif isasyncgen(thing) and thing.ag_frame is not None and id(thing) not in seen:
            seen.add(id(thing))
            # What it iterates over may have no name; what has one may be in a closure.
            left += [*gc.get_referents(thing), *thing.ag_frame.f_locals.values()]
    return list(runs.values())


class _Reader(ResponseTurns):
    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream
        self.runs = _runs_behind(stream)
        """Those that have to be cancelled when the stream is closed."""

    def _look(self) -> None:
        self.runs = _runs_behind(self._stream) or self.runs
        if not self.runs:
            raise TypeError(
                f"{type(self._stream).__name__} gives events of openai-agents and does not show of which "
                "run, so that nobody could stop it: give what Runner.run_streamed() returns, or an async "
                "generator that iterates over its stream_events()"
            )

    def read(self, item: Any) -> Iterable[StreamEvent]:
        if not self.runs:
            self._look()
        if item.type == "raw_response_event":
            return super().read(item.data)
        if item.type == "run_item_stream_event":
            return self._run_item(item.name, item.item)
        return ()

    def _created(self) -> list[StreamEvent]:
        self._look()  # a generator may pass on one run after the other
        if not (self.open and self.given):
            return self.began()
        # The response before this one was not completed, and its run has not given up: a retry.
        self.attempt += 1
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
        if any(getattr(run, "interruptions", None) for run in self.runs):
            self.outcome = Outcome.INTERRUPTED
        elif any(getattr(run, "_cancel_mode", "none") == "immediate" for run in self.runs):
            self.outcome = Outcome.CANCELLED
        ended = self.ended(StopReason.CANCELLED if self.outcome is Outcome.CANCELLED else None)
        return [*ended, *super().finish()]


def _field(raw: Any, name: str) -> Any:
    return raw.get(name) if isinstance(raw, dict) else getattr(raw, name, None)
