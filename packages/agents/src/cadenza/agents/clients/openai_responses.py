"""`OpenAIResponsesClient`: OpenAI's Responses API, and servers that speak it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

from cadenza.events import (
    Attachment,
    Citation,
    Raw,
    Reasoning,
    Status,
    StopReason,
    StreamEvent,
    Text,
    ToolCall,
    Usage,
)

from ..errors import ModelError, TokenExpired, TokenInvalid
from ..message import Message, Part, ProviderPart, ReasoningPart, TextPart, ToolCallPart
from .client import Checkpoint, ModelReply, ModelRequest, ModelStatus
from .openai_wire import (
    RESPONSES,
    RETRYABLE,
    OpenAIClient,
    OpenAIConnection,
    call_arguments,
    response_input,
    response_tool,
    usage_details,
    with_tools,
)

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["OpenAIResponsesClient", "ResponseReader"]

OVER = ("completed", "failed", "cancelled", "incomplete")

STATUSES: Mapping[str, str] = {
    "web_search_call": "Searching the web...",
    "file_search_call": "Searching files...",
    "code_interpreter_call": "Running code...",
    "image_generation_call": "Making a picture...",
    "mcp_call": "Using {name}...",
}
"""What a reader is told while the service uses a tool of its own, by the type of the item."""

SEALED = "reasoning.encrypted_content"

_REASONS = re.compile(r"(ft:)?(gpt-[5-9](?!.*-chat)|o\d|codex)")
"""Names of models that reason. Others refuse to seal their reasoning (HTTP 400)."""

IDLE_CONNECTIONS = 5
"""How many connections in a row may end without an event before a background stream is given up."""


class OpenAIResponsesClient(OpenAIClient):
    """Answers by OpenAI's Responses API, also in the background.

        OpenAIResponsesClient("gpt-5", reasoning={"effort": "low", "summary": "auto"})

    `client`: an `AsyncOpenAI` of yours; without it one is made when it is first needed, from `api_key` and
    `base_url` or OPENAI_API_KEY and OPENAI_BASE_URL, and `aclose()` closes it. Retries and time-outs are
    that client's. `store=False`: the service keeps nothing; a background response has to be stored.
    `include`: as the API has it; without it sealed reasoning is asked for, to be given back in later turns,
    where the model's name is that of one that reasons, or `reasoning` is among the options. `statuses`: what
    a reader is told while the service uses a tool of its own, by the type of the item (`STATUSES`); {} for
    nothing. `options`: as the API names them (temperature, reasoning, tools such as a web search...); those
    of a request go first, and what the package does not know is sent as it is.

    Raises ImportError where the package openai is not installed.
    """

    provider = RESPONSES
    resumes_by: Literal["append", "replay"] = "append"

    def __init__(
        self,
        model: str,
        *,
        client: AsyncOpenAI | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        store: bool | None = None,
        include: Sequence[str] | None = None,
        statuses: Mapping[str, str] = STATUSES,
        **options: Any,
    ) -> None:
        super().__init__(model, OpenAIConnection(client, api_key=api_key, base_url=base_url), options)
        self._store = store
        self._include = include
        self._statuses = statuses

    def stream(self, request: ModelRequest) -> AsyncIterator[StreamEvent | Checkpoint | ModelReply]:
        """One turn. In the background a connection that ends too early is taken up again."""
        body = self._body(request)
        reader = ResponseReader(
            {"raw": True} if request.raw else None, statuses=self._statuses, stored=self._stored(body)
        )
        if request.background:
            body["background"] = True
        return self._play(reader, body=body, background=request.background)

    async def start(self, request: ModelRequest) -> ModelReply:
        """Begin a response and hang up."""
        # Only what was created as a stream can be streamed later.
        body = {**self._body(request), "background": True}
        reader = ResponseReader(statuses={}, stored=True)
        stream = await self._open(body)
        try:
            while reader.response_id is None:
                if (event := await self._next(stream)) is None:
                    raise self._ended()
                reader.feed(event)
        finally:
            await stream.close()
        return reader.reply or ModelReply(
            Message("assistant"), status=reader.status, checkpoint=Checkpoint(reader.state(), reader.status)
        )

    async def retrieve(self, state: Mapping[str, Any]) -> ModelReply:
        """How the response is doing."""
        response = await self._retrieve(_response_id(state))
        reply = reply_of(response, stored=True)
        if reply.status in OVER:
            return reply
        return replace(reply, checkpoint=Checkpoint(dict(state), reply.status))

    def resume(
        self, state: Mapping[str, Any], *, replay: bool = False
    ) -> AsyncIterator[StreamEvent | Checkpoint | ModelReply]:
        """The events after that point, or all."""
        response_id = _response_id(state)
        reader = ResponseReader(
            {"response": response_id, "raw": state.get("raw", False)} if replay else state,
            statuses=self._statuses,
            stored=True,
        )
        return self._play(reader, body=None, background=True)

    async def cancel(self, state: Mapping[str, Any]) -> None:
        """Stop the response."""
        response_id = _response_id(state)
        try:
            await self._connection.client.responses.cancel(response_id)
        except Exception as error:
            if (ours := self._ours_of(error, response_id)) is error:
                raise
            # One that is over may be refused; so may one that was never in the background.
            refused = isinstance(ours, ModelError) and ours.status in (400, 409)
            if refused and (await self._retrieve(response_id)).status in OVER:
                return
            raise ours from error

    # The request

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, **self._options, **request.options}
        if self._store is not None:
            body.setdefault("store", self._store)
        stored = self._stored(body)
        body.update(self._included(body))
        if request.previous is not None:
            body["previous_response_id"] = _response_id(request.previous)
        if request.instructions:
            body["instructions"] = request.instructions
        body["input"] = response_input(request.messages, stored=stored)
        with_tools(body, request, response_tool)
        return body

    def _stored(self, body: Mapping[str, Any]) -> bool:
        return body.get("store", self._store) is not False

    # The connection

    async def _open(self, body: Mapping[str, Any]) -> Any:
        create: Callable[..., Any] = self._connection.client.responses.create
        try:
            return await create(**call_arguments(create, {**body, "stream": True}))
        except Exception as error:
            if (ours := self._ours(error)) is error:
                raise
            raise ours from error

    async def _reopen(self, response_id: str, after: int | None) -> Any:
        """The events after that one; None where this response cannot be streamed."""
        retrieve: Callable[..., Any] = self._connection.client.responses.retrieve
        point = {} if after is None else {"starting_after": after}
        try:
            return await retrieve(response_id, stream=True, **point, **self._included())
        except Exception as error:
            if (ours := self._ours_of(error, response_id)) is error:
                raise
            if isinstance(ours, ModelError) and ours.status in (400, 405, 422):
                return None
            raise ours from error

    async def _retrieve(self, response_id: str) -> Any:
        retrieve: Callable[..., Any] = self._connection.client.responses.retrieve
        try:
            return await retrieve(response_id, **self._included())
        except Exception as error:
            if (ours := self._ours_of(error, response_id)) is error:
                raise
            raise ours from error

    def _included(self, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        body = body if body is not None else {"model": self.model, **self._options}
        include = body.get("include", self._include)
        if include is None and ("reasoning" in body or _REASONS.match(body["model"])):
            # Also where the service keeps it: a conversation may go on for longer than that does.
            include = [SEALED]
        return {"include": list(include)} if include else {}

    async def _next(self, stream: Any) -> Any:
        """The next event; None at the end."""
        try:
            return await anext(stream)
        except StopAsyncIteration:
            return None
        except Exception as error:
            if (ours := self._ours(error)) is error:
                raise
            raise ours from error

    def _ours_of(self, error: Exception, response_id: str) -> Exception:
        """The same, of a request for a response that is being made."""
        ours = self._ours(error)
        if isinstance(ours, ModelError) and ours.status == 404:
            return TokenExpired(f"The provider does not keep the response {response_id!r} any more.")
        return ours

    def _ended(self) -> ModelError:
        return ModelError(
            f"The model {self.model!r} gave no whole answer: the connection ended before it was over.",
            code="stream_ended",
            retryable=True,
        )

    async def _play(
        self, reader: ResponseReader, *, body: Mapping[str, Any] | None, background: bool
    ) -> AsyncIterator[StreamEvent | Checkpoint | ModelReply]:
        idle = 0
        told: dict[str, Any] | None = None
        """The newest point that was given."""
        fresh = True
        while True:
            response_id = reader.response_id
            if body is not None and response_id is None:
                stream = await self._open(body)
            elif (
                response_id is None  # cannot be: see resume()
                # Servers that number nothing would begin again.
                or (reader.after is None and not fresh)
                or (stream := await self._reopen(response_id, reader.after)) is None
            ):
                async for item in self._watch(reader):
                    yield item
                return
            fresh = False
            idle += 1
            try:
                while (event := await self._next(stream)) is not None:
                    idle = 0
                    point = reader.state() if background else None
                    events: Sequence[StreamEvent] = reader.feed(event)
                    if reader.raw:
                        events = (Raw(RESPONSES, event.to_dict()), *events)
                    if point is not None and (events or told is None) and reader.response_id is not None:
                        # The first of all has no point before it but the start.
                        point["response"] = reader.response_id
                        if point != told:
                            told = point
                            yield Checkpoint(point, reader.status)
                    for one in events:
                        yield one
                    if reader.reply is not None:
                        yield reader.reply
                        return
            finally:
                if reader.reply is not None:
                    # To the end, so that the connection can be used again.
                    with suppress(Exception):
                        async with asyncio.timeout(0.2):
                            await anext(stream)
                await stream.close()
            if not background or reader.response_id is None:
                raise self._ended()
            # A connection does not last as long as the job may. What has become of that?
            response = await self._retrieve(reader.response_id)
            if response.status in OVER and (idle or response.status == "cancelled"):
                for one in reader.settle(response):
                    yield one
                yield cast(ModelReply, reader.reply)
                return
            if idle > IDLE_CONNECTIONS:
                raise self._ended()
            if idle:
                await asyncio.sleep(min(0.25 * 2**idle, 8.0))

    async def _watch(self, reader: ResponseReader) -> AsyncIterator[StreamEvent | Checkpoint | ModelReply]:
        """A response that cannot be streamed: look until it is over, and give it whole."""
        pause = 1.0
        while True:
            response = await self._retrieve(cast(str, reader.response_id))
            if response.status in OVER:
                for event in reader.settle(response):
                    yield event
                yield cast(ModelReply, reader.reply)
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 10.0)


class _Open:
    """An item that is not done: of its parts, by their index, how many characters were given, how many
    annotations, and how many characters the turn had before it."""

    __slots__ = ("parts", "phase", "pieces")

    def __init__(self, phase: str | None, parts: dict[int, list[int]]) -> None:
        self.phase = phase
        self.parts = parts
        self.pieces: list[str] = []


class ResponseReader:
    """The events of a response, read: what they are in our words, and at the end the reply.

    Pure: it is fed the package's events, in their order, and asks nobody for anything. `state()` is all that
    another one needs to go on after the newest event (JSON).
    """

    def __init__(
        self,
        state: Mapping[str, Any] | None = None,
        *,
        statuses: Mapping[str, str] = STATUSES,
        stored: bool = True,
    ) -> None:
        state = state or {}
        self.response_id: str | None = state.get("response")
        self.after: int | None = state.get("after")
        """The number of the newest event."""
        self.raw: bool = state.get("raw", False)
        """Whether the package's events are given, too."""
        self.status: ModelStatus = "in_progress"
        self.reply: ModelReply | None = None
        self._length: int = state.get("length", 0)
        """How many characters of text were given."""
        self._given: list[str] = list(state.get("given", ()))
        """The calls and pictures that were given, by their ids."""
        self._open: dict[int, _Open] = {
            index: _Open(phase, {part: list(counts) for part, *counts in parts})
            for index, phase, parts in state.get("open", ())
        }
        self._done: list[Any] = []
        self._statuses = statuses
        self._stored = stored
        self._reads: dict[str, Callable[[Any], Sequence[StreamEvent]]] = {
            "response.output_text.delta": self._text,
            "response.refusal.delta": self._text,
            "response.output_text.done": self._text_done,
            "response.refusal.done": self._text_done,
            "response.output_text.annotation.added": self._annotation,
            "response.reasoning_summary_text.delta": self._reasoning,
            "response.reasoning_text.delta": self._reasoning,
            "response.reasoning_summary_part.added": self._summary,
            "response.output_item.added": self._item_added,
            "response.output_item.done": self._item_done,
            "response.created": self._going,
            "response.queued": self._going,
            "response.in_progress": self._going,
            "response.completed": self._terminal,
            "response.incomplete": self._terminal,
            "response.cancelled": self._terminal,
            "response.failed": self._failed,
            "error": self._error,
        }

    def state(self) -> dict[str, Any]:
        """All that is needed to go on after the newest event, as JSON."""
        state: dict[str, Any] = {"response": self.response_id}
        if self.after is not None:
            state["after"] = self.after
        if self.raw:
            state["raw"] = True
        if self._length:
            state["length"] = self._length
        if self._given:
            state["given"] = list(self._given)
        if self._open:
            state["open"] = [
                [index, item.phase, [[part, *counts] for part, counts in item.parts.items()]]
                for index, item in self._open.items()
            ]
        return state

    def feed(self, event: Any) -> Sequence[StreamEvent]:
        """What this event is. One that is not known is nothing. Raises ModelError for those that say that
        the response failed."""
        number = getattr(event, "sequence_number", None)
        if number is not None:
            self.after = number
        read = self._reads.get(event.type)
        return read(event) if read is not None else ()

    def settle(self, response: Any) -> Sequence[StreamEvent]:
        """The end, by the response as it is now: for one whose events are not to be had any more. Raises
        ModelError where it failed."""
        if response.status == "failed":
            raise _failure(response.error)
        reply = reply_of(response, stored=self._stored)
        events: list[StreamEvent] = []
        parts = [part for part in reply.message.parts if isinstance(part, TextPart)]
        if sum(len(part.text) for part in parts) > self._length:
            for index, part in enumerate(parts):
                mode: Literal["append", "replace"] = "replace" if index == 0 and self._length else "append"
                events.append(Text(part.text, mode, part.phase))
        for item in response.output or ():
            if item.type == "image_generation_call":
                events += self._picture(item)
        return [*events, *self._end(response, reply)]

    # Text

    def _text(self, event: Any) -> Sequence[StreamEvent]:
        delta = event.delta
        if not delta:
            return ()
        item = self._item(event.output_index)
        item.pieces.append(delta)
        self._part(item, event.content_index)[0] += len(delta)
        self._length += len(delta)
        return (Text(delta, "append", item.phase),)

    def _text_done(self, event: Any) -> Sequence[StreamEvent]:
        text = event.text if event.type == "response.output_text.done" else event.refusal
        return self._rest(self._item(event.output_index), event.content_index, text)

    def _rest(self, item: _Open, content_index: int | None, text: str | None) -> Sequence[StreamEvent]:
        """What of the whole text was not given: nothing, but with servers that give no pieces."""
        part = self._part(item, content_index)
        rest = (text or "")[part[0] :]
        if not rest:
            return ()
        item.pieces.append(rest)
        part[0] += len(rest)
        self._length += len(rest)
        return (Text(rest, "append", item.phase),)

    def _item(self, index: int | None) -> _Open:
        item = self._open.get(index or 0)
        if item is None:
            item = self._open[index or 0] = _Open(None, {})
        return item

    def _part(self, item: _Open, index: int | None) -> list[int]:
        part = item.parts.get(index or 0)
        if part is None:
            part = item.parts[index or 0] = [0, 0, self._length]
        return part

    def _annotation(self, event: Any) -> Sequence[StreamEvent]:
        part = self._part(self._item(event.output_index), event.content_index)
        part[1] += 1
        return _citation(event.annotation, part[2])

    # Reasoning

    def _reasoning(self, event: Any) -> Sequence[StreamEvent]:
        return (Reasoning(event.delta),) if event.delta else ()

    def _summary(self, event: Any) -> Sequence[StreamEvent]:
        return (Reasoning("\n\n"),) if event.summary_index else ()

    # Items

    def _item_added(self, event: Any) -> Sequence[StreamEvent]:
        item = event.item
        if item.type == "message":
            self._open[event.output_index or 0] = _Open(getattr(item, "phase", None), {})
            return ()
        status = self._statuses.get(item.type)
        if not status:
            return ()
        return (Status(status.replace("{name}", str(getattr(item, "name", None) or item.type))),)

    def _item_done(self, event: Any) -> Sequence[StreamEvent]:
        item = event.item
        self._done.append(item)
        if item.type == "function_call":
            return self._call(item)
        if item.type == "message":
            events: list[StreamEvent] = []
            being = self._item(event.output_index)
            being.phase = being.phase or getattr(item, "phase", None)
            for index, content in enumerate(item.content or ()):
                events += self._rest(being, index, _content_text(content))
                part = self._part(being, index)
                for annotation in (getattr(content, "annotations", None) or ())[part[1] :]:
                    events += _citation(annotation, part[2])
            self._open.pop(event.output_index or 0, None)
            return events
        self._open.pop(event.output_index or 0, None)
        return self._picture(item) if item.type == "image_generation_call" else ()

    def _picture(self, item: Any) -> Sequence[StreamEvent]:
        if not item.result or item.id in self._given:
            return ()
        self._given.append(item.id)
        form = getattr(item, "output_format", None) or "png"
        kind = "image/svg+xml" if form == "svg" else f"image/{form}"
        return (Attachment(kind, content_url=f"data:{kind};base64,{item.result}", name=f"{item.id}.{form}"),)

    def _call(self, item: Any) -> Sequence[StreamEvent]:
        if getattr(item, "status", None) == "incomplete" or item.call_id in self._given:
            return ()
        self._given.append(item.call_id)
        return (ToolCall(item.call_id, item.name, item.arguments or "{}"),)

    # The response

    def _going(self, event: Any) -> Sequence[StreamEvent]:
        self.response_id = event.response.id
        if event.response.status in ("queued", "in_progress"):
            self.status = event.response.status
        return ()

    def _terminal(self, event: Any) -> Sequence[StreamEvent]:
        response = event.response
        self.response_id = response.id
        output = response.output
        if not output:
            # There are servers that tell what they made only once.
            output = list(self._done)
        reply = reply_of(response, stored=self._stored, output=output)
        events: list[StreamEvent] = []
        left = [TextPart("".join(item.pieces), item.phase) for item in self._open.values() if item.pieces]
        if not reply.message.text and left:
            reply = replace(reply, message=Message("assistant", (*left, *reply.message.parts)))
        elif not self._length:
            events += [
                Text(part.text, "append", part.phase)
                for part in reply.message.parts
                if isinstance(part, TextPart)
            ]
        return [*events, *self._end(response, reply)]

    def _end(self, response: Any, reply: ModelReply) -> Sequence[StreamEvent]:
        events: list[StreamEvent] = [
            ToolCall(call.id, call.name, call.arguments)
            for call in reply.message.tool_calls
            if call.id not in self._given
        ]
        self._given += [call.id for call in reply.message.tool_calls if call.id not in self._given]
        if (usage := response.usage) is not None:
            events.append(usage_of(usage))
        self.status = reply.status
        self.reply = reply
        return events

    def _failed(self, event: Any) -> Sequence[StreamEvent]:
        raise _failure(event.response.error)

    def _error(self, event: Any) -> Sequence[StreamEvent]:
        raise _failure(event)


def reply_of(response: Any, *, stored: bool, output: Iterable[Any] | None = None) -> ModelReply:
    """What a response came to, as history keeps it. `stored`: whether the service keeps its items."""
    parts: list[Part] = []
    refused = waits = False
    for item in (response.output if output is None else output) or ():
        if item.type == "message":
            for content in item.content or ():
                refused = refused or content.type == "refusal"
                if text := _content_text(content):
                    parts.append(TextPart(text, getattr(item, "phase", None), item.id))
        elif item.type == "function_call":
            if getattr(item, "status", None) != "incomplete":
                parts.append(ToolCallPart(item.call_id, item.name, item.arguments or "{}", item.id))
        elif item.type == "reasoning":
            parts.append(_reasoning_part(item, stored))
        else:
            waits = waits or item.type == "mcp_approval_request"
            data = item.to_dict(exclude_none=True)
            if stored and item.type == "image_generation_call":
                data.pop("result", None)  # the service has it, by its id
            parts.append(ProviderPart(RESPONSES, data))
    status: ModelStatus = response.status or "completed"
    reason = response.incomplete_details.reason if response.incomplete_details is not None else None
    calls = any(isinstance(part, ToolCallPart) for part in parts)
    error = response.error
    return ModelReply(
        Message("assistant", tuple(parts), "complete" if status == "completed" else "interrupted"),
        _stop_reason(status, reason, refused=refused, waits=waits, calls=calls),
        reason or ("refusal" if refused and status == "completed" else status),
        status,
        error.code if error is not None else reason,
        error.message if error is not None else None,
        Checkpoint({"response": response.id}, status) if stored and response.id else None,
    )


def _stop_reason(status: str, reason: str | None, *, refused: bool, waits: bool, calls: bool) -> StopReason:
    if status == "incomplete":
        return _INCOMPLETE.get(reason or "", StopReason.UNKNOWN)
    if status in _STOPPED:
        return _STOPPED[status]
    if calls:
        return StopReason.TOOL_USE
    if waits:
        return StopReason.INTERRUPTED
    return StopReason.CONTENT_FILTERED if refused else StopReason.END_TURN


_INCOMPLETE = {
    "max_output_tokens": StopReason.MAX_TOKENS,
    "content_filter": StopReason.CONTENT_FILTERED,
    "max_messages": StopReason.LIMIT,
}
_STOPPED = {
    "failed": StopReason.ERROR,
    "cancelled": StopReason.CANCELLED,
    "queued": StopReason.UNKNOWN,
    "in_progress": StopReason.UNKNOWN,
}


def _reasoning_part(item: Any, stored: bool) -> ReasoningPart:
    summaries = [summary.text for summary in item.summary or ()]
    text = "\n\n".join(summaries) or "".join(part.text for part in getattr(item, "content", None) or ())
    sealed = getattr(item, "encrypted_content", None)
    if not stored and sealed is None:
        return ReasoningPart(RESPONSES, {}, text)  # the service would not know it
    data: dict[str, Any] = {
        "type": "reasoning",
        "id": item.id,
        "summary": [{"type": "summary_text", "text": text} for text in summaries],
    }
    if sealed is not None:
        data["encrypted_content"] = sealed
    if content := getattr(item, "content", None):
        data["content"] = [{"type": "reasoning_text", "text": part.text} for part in content]
    return ReasoningPart(RESPONSES, data, text)


def _content_text(content: Any) -> str:
    text = content.refusal if content.type == "refusal" else getattr(content, "text", None)
    return text or ""


def _citation(annotation: Any, base: int) -> Sequence[StreamEvent]:
    """The indices of the wire are those of a part's text; ours are those of the turn's."""
    if annotation is None:
        return ()
    # In older packages an annotation is a dict.
    fields = annotation if isinstance(annotation, Mapping) else annotation.to_dict()
    get = fields.get
    if get("type") not in ("url_citation", "file_citation", "container_file_citation"):
        return ()
    start, end = get("start_index"), get("end_index")
    return (
        Citation(
            get("title") or get("filename"),
            get("url"),
            start=None if start is None else base + start,
            end=None if end is None else base + end,
        ),
    )


def usage_of(usage: Any) -> Usage:
    """What a response cost."""
    details = {
        "input": _counters(getattr(usage, "input_tokens_details", None)),
        "output": _counters(getattr(usage, "output_tokens_details", None)),
    }
    return Usage(usage.input_tokens or 0, usage.output_tokens or 0, usage_details(details))


def _counters(details: Any) -> Mapping[str, Any]:
    return details.to_dict() if details is not None else {}


def _failure(error: Any) -> ModelError:
    code = getattr(error, "code", None)
    said = getattr(error, "message", None) or "no reason was given"
    return ModelError(f"The model's answer failed: {said}", code=code, retryable=code in RETRYABLE)


def _response_id(state: Mapping[str, Any]) -> str:
    response_id = state.get("response")
    if not isinstance(response_id, str) or not response_id:
        raise TokenInvalid(f"This is no point of a response: {sorted(state)} lacks 'response'.")
    return response_id
