"""Streams of the openai package: of the Responses API and of Chat Completions, and the managers that
`responses.stream(...)` and `chat.completions.stream(...)` return.

A stream is one turn. What its events mean, the readers of our own clients say. An AsyncStream that is closed
closes its connection.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

from cadenza.events import StopReason, StreamEvent, ToolCall

from ..clients.openai_chat import ChatReader
from ..clients.openai_responses import ResponseReader
from ..errors import ModelError
from .foreign_events import ForeignEvents, Reader, closer

__all__ = ["CompletionTurns", "ResponseTurns", "events"]


def events(source: Any) -> AsyncIterator[StreamEvent]:
    """The events of a stream, of a manager of one, or of the call that makes one (`create(stream=True)`,
    awaited or not). Closing them closes the connection. Raises TypeError for a stream of the synchronous
    client, which would hold up the event loop."""
    held = _Held(source)
    return ForeignEvents(_EitherReader(), held.opened, held.close)


class _Held:
    """What a user holds."""

    def __init__(self, source: Any) -> None:
        if not (hasattr(source, "__aiter__") or hasattr(source, "__aenter__") or inspect.isawaitable(source)):
            raise TypeError(
                f"{type(source).__name__} is no stream of AsyncOpenAI: use the asynchronous client"
            )
        self._source = source
        self._stream: Any = None
        self._context: AbstractAsyncContextManager[Any] | None = None

    async def opened(self) -> AsyncIterator[Any]:
        source = self._source
        if hasattr(source, "__aenter__") and not hasattr(source, "__aiter__"):
            self._context = source
            self._stream = await source.__aenter__()
        else:
            self._stream = await source if inspect.isawaitable(source) else source
        stream: AsyncIterator[Any] = self._stream
        # `aiter` of an AsyncStream is a generator around it, that would have to be closed, too.
        return stream if hasattr(stream, "__anext__") else aiter(stream)

    async def close(self) -> None:
        if self._context is not None:
            await self._context.__aexit__(None, None, None)
            return
        stream = self._source if self._stream is None else self._stream
        if inspect.iscoroutine(stream):
            stream.close()
        elif (close := closer(stream)) is not None:
            await close()


class _EitherReader(Reader[Any]):
    """Which of the two APIs it is, its first item says."""

    def __init__(self) -> None:
        super().__init__()
        self._reader: Reader[Any] | None = None

    def read(self, item: Any) -> Iterable[StreamEvent]:
        if self._reader is None:
            kind = str(getattr(item, "type", ""))
            chat = hasattr(item, "choices") or kind == "chunk" or kind.startswith(("content.", "tool_calls."))
            self._reader = CompletionTurns() if chat else ResponseTurns()
        return self._reader.read(item)

    def finish(self) -> list[StreamEvent]:
        if self._reader is None:
            raise ModelError("The stream ended before it gave anything: the connection was cut off")
        return self._reader.finish()

    def fail(self, error: Exception) -> list[StreamEvent]:
        return super().fail(error) if self._reader is None else self._reader.fail(error)


class ResponseTurns(Reader[Any]):
    """Events of the Responses API: each response is a turn."""

    def __init__(self) -> None:
        super().__init__()
        self._response = ResponseReader()
        self.given = False
        """Whether this attempt at the turn has given anything."""

    def read(self, item: Any) -> Iterable[StreamEvent]:
        kind = item.type
        if kind == "response.created":
            found = self._created()
            self._response = ResponseReader()
            self.given = False
            self._response.feed(item)
            return found
        given = self._response.feed(item)
        if kind == "response.output_item.done":
            if item.item.type == "custom_tool_call":  # our own clients offer none
                given = [ToolCall(item.item.call_id, item.item.name, item.item.input or "{}")]
            return self._noted(given) if given else ()
        if (reply := self._response.reply) is not None:
            self._response = ResponseReader()
            found = self._noted(given)
            self.word = reply.raw_reason
            over = StopReason.TOOL_USE if self.called else StopReason.END_TURN
            return [
                *found,
                *self.ended(over if reply.stop_reason is StopReason.END_TURN else reply.stop_reason),
            ]
        if not given:
            return ()
        self.given = True
        return given if self.open else [*self.began(), *given]

    def _created(self) -> list[StreamEvent]:
        return [*self.ended(), *self.began()]

    def _noted(self, given: Sequence[StreamEvent]) -> list[StreamEvent]:
        """What came with something that is whole: calls, for instance."""
        began = self.began()
        self.given = True
        for event in given:
            if isinstance(event, ToolCall):
                self.called = True
                self.calls.names[event.id] = event.name
        return [*began, *given]

    def finish(self) -> list[StreamEvent]:
        if self.open:
            raise ModelError("The stream ended before its response was complete: the connection was cut off")
        return super().finish()


class CompletionTurns(Reader[Any]):
    """Chunks of Chat Completions, of any server that speaks it: all of them are one turn."""

    def __init__(self) -> None:
        super().__init__()
        self._completion = ChatReader()

    def read(self, item: Any) -> Iterable[StreamEvent]:
        if getattr(item, "type", None) == "chunk":  # of chat.completions.stream(): its other events repeat it
            item = item.chunk
        elif not hasattr(item, "choices"):
            return ()
        given = self._completion.feed(item)
        return given if self.open else [*self.began(), *given]

    def _settled(self) -> list[StreamEvent]:
        """The calls, what it cost and the end of the turn."""
        *found, reply = self._completion.finish()
        self.word = reply.raw_reason
        return [*found, *self.ended(reply.stop_reason)]

    def finish(self) -> list[StreamEvent]:
        if not self._completion.finished:
            raise ModelError("The stream ended before its completion did: the connection was cut off")
        return [*self._settled(), *super().finish()]

    def fail(self, error: Exception) -> list[StreamEvent]:
        found: list[StreamEvent] = []
        if self._completion.finished:  # chat.completions.stream() raises where the answer was cut short
            with suppress(Exception):  # what went wrong before goes first
                found = self._settled()
        return [*found, *super().fail(error)]
