"""Streams of the openai package: of the Responses API and of Chat Completions, and the managers that
`responses.stream(...)` and `chat.completions.stream(...)` return.

A stream is one turn. In a Responses stream the text comes in deltas and then whole, up to four times
(`...text.done`, `content_part.done`, `output_item.done`, `response.completed`); a response that failed is an
event, no exception. An AsyncStream that is closed closes its connection.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Hashable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from cadenza.events import Citation, StopReason, StreamEvent, ToolCall, Usage

from ..errors import ModelError
from .foreign_events import ForeignEvents, Reader, closer

__all__ = ["ChatReader", "ResponsesReader", "events"]


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
            self._reader = ChatReader() if chat else ResponsesReader()
        return self._reader.read(item)

    def finish(self) -> list[StreamEvent]:
        return super().finish() if self._reader is None else self._reader.finish()

    def fail(self, error: Exception) -> list[StreamEvent]:
        return super().fail(error) if self._reader is None else self._reader.fail(error)


class ResponsesReader(Reader[Any]):
    """Events of the Responses API."""

    def __init__(self, scope: str = "") -> None:
        super().__init__(scope)
        self._phases: dict[int, str | None] = {}
        self._cited: set[Hashable] = set()
        self._told: set[str] = set()
        """The ids of the calls of this turn."""

    def read(self, item: Any) -> Iterable[StreamEvent]:
        kind = item.type
        if kind == "response.output_text.delta":
            return self._append((item.output_index, item.content_index), item.delta)
        if kind == "response.refusal.delta":
            return self._append((item.output_index, item.content_index), item.delta)
        if kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
            part = getattr(item, "summary_index", None)
            part = ("text", item.content_index) if part is None else ("summary", part)
            return [*self.began(), *self.reasoning.append((item.output_index, part), item.delta)]
        if kind == "response.output_text.done":
            return self._replace((item.output_index, item.content_index), item.text)
        if kind == "response.output_text.annotation.added":
            return [*self.began(), *self._citations(item.output_index, [item.annotation])]
        if kind == "response.output_item.added":
            self._phases[item.output_index] = getattr(item.item, "phase", None)
            return self.began()
        if kind == "response.output_item.done":
            return [*self.began(), *self._item(item.output_index, item.item)]
        if kind == "response.created":
            return self._created()
        if kind in ("response.completed", "response.incomplete"):
            return self._completed(item.response)
        if kind == "response.failed":
            error = item.response.error
            message = getattr(error, "message", None) or "it does not say why"
            raise ModelError(f"The response has failed: {message}", code=getattr(error, "code", None))
        if kind == "error":
            raise ModelError(f"The provider reports an error: {item.message}", code=item.code)
        return ()

    def _created(self) -> list[StreamEvent]:
        return [*self.ended(), *self.began()]

    def began(self) -> list[StreamEvent]:
        if not self.open:
            self._phases.clear()
            self._cited.clear()
            self._told.clear()
        return super().began()

    def _append(self, block: tuple[int, int], text: str) -> list[StreamEvent]:
        return [*self.began(), *self.text.append(block, text, phase=self._phases.get(block[0]))]

    def _replace(self, block: tuple[int, int], text: str) -> list[StreamEvent]:
        return [*self.began(), *self.text.replace(block, text, phase=self._phases.get(block[0]))]

    def _item(self, index: int, item: Any) -> list[StreamEvent]:
        """An item that is whole: what its deltas did not say, or all of it."""
        found: list[StreamEvent] = []
        if item.type == "message":
            self._phases[index] = getattr(item, "phase", None)
            for number, part in enumerate(item.content):
                text = part.text if part.type == "output_text" else getattr(part, "refusal", "")
                found += self._replace((index, number), text)
                found += self._citations(index, getattr(part, "annotations", None) or ())
        elif item.type in ("function_call", "custom_tool_call") and item.call_id not in self._told:
            self._told.add(item.call_id)
            self.called = True
            self.calls.names[item.call_id] = item.name
            arguments = getattr(item, "arguments", None)
            if arguments is None:
                arguments = getattr(item, "input", "")
            found.append(ToolCall(item.call_id, item.name, arguments or "{}", scope=self.scope))
        return found

    def _completed(self, response: Any) -> list[StreamEvent]:
        found = self.began()
        for index, item in enumerate(response.output):
            found += self._item(index, item)
        usage = response.usage
        if usage is not None:
            details = usage.model_dump(exclude={"input_tokens", "output_tokens"}, exclude_none=True)
            found.append(Usage(usage.input_tokens, usage.output_tokens, details or None, scope=self.scope))
        incomplete = getattr(response, "incomplete_details", None)
        if incomplete is not None and incomplete.reason:
            self.word = incomplete.reason
        elif response.status not in (None, "completed"):
            self.word = response.status
        return [*found, *self.ended()]

    def finish(self) -> list[StreamEvent]:
        if self.open:
            raise ModelError("The stream ended before its response was complete: the connection was cut off")
        return super().finish()

    def _citations(self, index: int, annotations: Iterable[Any]) -> Iterable[StreamEvent]:
        for annotation in annotations:
            field = (
                annotation.get
                if isinstance(annotation, dict)
                else lambda name, a=annotation: getattr(a, name, None)
            )
            if field("type") not in ("url_citation", "file_citation", "container_file_citation"):
                continue
            citation = Citation(
                field("title") or field("filename"),
                field("url"),
                start=field("start_index"),
                end=field("end_index"),
                scope=self.scope,
            )
            key = (index, citation.title, citation.url, citation.start, citation.end)
            if key not in self._cited:  # it comes again with the whole text
                self._cited.add(key)
                yield citation


class ChatReader(Reader[Any]):
    """Chunks of Chat Completions, of any server that speaks it. The first choice counts."""

    def read(self, item: Any) -> Iterable[StreamEvent]:
        if getattr(item, "type", None) == "chunk":  # of chat.completions.stream(): its other events repeat it
            item = item.chunk
        choices = getattr(item, "choices", None)
        if choices is None:
            return ()
        found: list[StreamEvent] = []
        for choice in choices:
            if choice.index == 0:
                found += self._choice(choice)
        usage = getattr(item, "usage", None)
        if usage is not None:
            details = usage.model_dump(exclude={"prompt_tokens", "completion_tokens"}, exclude_none=True)
            found.append(Usage(usage.prompt_tokens, usage.completion_tokens, details or None))
        return found

    def _choice(self, choice: Any) -> list[StreamEvent]:
        found = self.began()
        delta = choice.delta
        if delta is not None:
            # Not of OpenAI, but of many compatible servers.
            reasoning = getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None)
            if isinstance(reasoning, str):
                found += self.reasoning.append(0, reasoning)
            found += self.text.append(0, delta.content or getattr(delta, "refusal", None) or "")
            for call in delta.tool_calls or ():
                function = call.function
                name, arguments = (
                    (function.name, function.arguments) if function is not None else (None, None)
                )
                self.calls.add(call.index, call.id, name, arguments)
        if choice.finish_reason is not None:
            self.word = choice.finish_reason
            found += self.whole_calls()
        return found

    def ended(self, reason: StopReason | None = None) -> list[StreamEvent]:
        if reason is None and self.word is None:
            reason = StopReason.UNKNOWN  # the server, or the network, has not said why it is over
        return super().ended(reason)
