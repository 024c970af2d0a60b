"""Streams of pydantic-ai: `agent.run_stream_events(...)`, `agent.run_stream(...)`, and what stands behind
`async with` of either.

As of 2.68: a model's response has parts, each with an index. A part that starts a second time in a response
takes the place of the first; that a response is over shows in a part that ends without a next one.
`run_stream` gives the text of the final result alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from cadenza.events import Outcome, StopReason, StreamEvent, ToolResult, Usage

from .foreign_events import ForeignEvents, Reader, as_text, closer

__all__ = ["events"]


def events(source: Any) -> AsyncIterator[StreamEvent]:
    """The events of a run. Closing them ends the run where pydantic-ai lets it (`run_stream_events`), else
    the model's response."""
    held = _Held(source)
    return ForeignEvents(held.reader, held.opened, held.close)


class _Held:
    """What a user holds: a context manager that nobody has entered, or what it gave."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._context: AbstractAsyncContextManager[Any] | None = None
        self._items: AsyncIterator[Any] | None = None
        self._close: Callable[[], Awaitable[object]] | None = None
        self.reader = _Reader()
        if not (hasattr(source, "__aenter__") or hasattr(source, "__aiter__") or _is_result(source)):
            raise TypeError(
                f"{type(source).__name__} is no stream of pydantic-ai: "
                "give what run_stream_events() or run_stream() returns"
            )

    async def opened(self) -> AsyncIterator[Any]:
        stream = self._source
        if hasattr(stream, "__aenter__") and not hasattr(stream, "__aiter__") and not _is_result(stream):
            context = stream
            stream = await context.__aenter__()
            self._context = context
        if _is_result(stream):
            self._close = stream.cancel
            self._items = self._texts(stream)
        else:
            self._close = closer(stream)
            self._items = aiter(stream)
        return self._items

    async def _texts(self, result: Any) -> AsyncIterator[Any]:
        async for text in result.stream_text(delta=True, debounce_by=None):
            yield text
        self.reader.completed(result.response, result.usage)

    async def close(self) -> None:
        if self._close is None:
            self._close = closer(self._source)
        try:
            if self._items is not None and hasattr(self._items, "aclose"):
                await self._items.aclose()
            if self._close is not None:
                await self._close()
        finally:
            context, self._context = self._context, None
            if context is not None:
                await context.__aexit__(None, None, None)


def _is_result(stream: Any) -> bool:
    return hasattr(stream, "stream_text") and hasattr(stream, "cancel")


class _Reader(Reader[Any]):
    def __init__(self) -> None:
        super().__init__()
        self._response_over = False
        self._end: list[StreamEvent] = []
        self._phases: dict[int, str] = {}
        """By the index of a part: what the provider says that it is. Only the part's first event says so."""

    def read(self, item: Any) -> Iterable[StreamEvent]:
        if isinstance(item, str):
            return [*self.began(), *self.text.append(0, item)]
        kind = getattr(item, "event_kind", None)
        if kind is None:
            raise TypeError(
                f"{type(item).__name__} is no event of pydantic-ai, maybe a node of agent.iter(): "
                "give what run_stream_events() or run_stream() returns"
            )
        if kind == "part_delta":
            return self._delta(item.index, item.delta)
        if kind == "part_start":
            return self._start(item.index, item.part)
        if kind == "part_end":
            self._response_over = item.next_part_kind is None
            if item.part.part_kind == "tool-call":
                self._call(item.part)
        elif kind in ("function_tool_call", "output_tool_call"):
            if self.open:  # a model that tells no parts tells its calls here
                self._call(item.part)
                return self.whole_calls() if not self._response_over else self.ended()
        elif kind in ("function_tool_result", "output_tool_result"):
            return [*self.ended(), self._result(item.part)]
        elif kind == "agent_run_result":
            response = getattr(item.result, "response", None)
            self.completed(response, getattr(item.result, "usage", None))
            if type(item.result.output).__name__ == "DeferredToolRequests":
                self.outcome = Outcome.INTERRUPTED
        return ()

    def completed(self, response: Any, usage: Any) -> None:
        """The run is whole: what it came to says why its last turn stopped, and what all of it cost."""
        self.word = getattr(response, "finish_reason", None)
        if not hasattr(usage, "input_tokens") and callable(usage):
            usage = usage()  # a method in former versions
        if usage is not None:
            details = {"requests": usage.requests, **(usage.details or {})}
            self._end.append(Usage(usage.input_tokens or 0, usage.output_tokens or 0, details))

    def ended(self, reason: StopReason | None = None) -> list[StreamEvent]:
        self._response_over = False
        self._phases.clear()
        end, self._end = self._end, []
        return [*end, *super().ended(reason)]

    def _start(self, index: int, part: Any) -> Iterable[StreamEvent]:
        found: list[StreamEvent] = []
        if self._response_over:
            found += self.ended()
        found += self.began()
        if part.part_kind == "text":
            change = self.text.replace if self.text.has(index) else self.text.append
            found += change(index, part.content, phase=self._phase(index, part))
        elif part.part_kind == "thinking":
            if self.text.has(index):  # what began as text was none
                found += self.text.replace(index, "")
            change = self.reasoning.replace if self.reasoning.has(index) else self.reasoning.append
            found += change(index, part.content)
        return found

    def _delta(self, index: int, delta: Any) -> Iterable[StreamEvent]:
        if delta.part_delta_kind == "text":
            return self.text.append(index, delta.content_delta, phase=self._phase(index, delta))
        if delta.part_delta_kind == "thinking":
            return self.reasoning.append(index, delta.content_delta or "")
        return ()

    def _call(self, part: Any) -> None:
        if part.tool_call_id not in self.calls.names:
            self.calls.names[part.tool_call_id] = part.tool_name
            arguments = part.args if isinstance(part.args, str) else as_text(part.args or {})
            self.calls.add(part.tool_call_id, part.tool_call_id, part.tool_name, arguments)

    def _result(self, part: Any) -> StreamEvent:
        content = part.model_response_str() if hasattr(part, "model_response_str") else None
        failed = part.part_kind == "retry-prompt" or getattr(part, "outcome", "success") != "success"
        if content is None:
            content = part.model_response() if failed else as_text(part.content)
        return ToolResult(part.tool_call_id, part.tool_name or "", content, failed)

    def _phase(self, index: int, part: Any) -> str | None:
        details = part.provider_details
        if details and "phase" in details:
            self._phases[index] = details["phase"]
        return self._phases.get(index)
