"""`OpenAIResponsesClient`: OpenAI's Responses API, and servers that speak it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast
from zlib import crc32

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

from ..errors import ModelError, TokenInvalid
from ..message import Message, Part, ProviderPart, ReasoningPart, TextPart, ToolCallPart
from .client import Checkpoint, ModelReply, ModelRequest, ModelStatus
from .openai_wire import (
    END,
    RESPONSES,
    RETRYABLE,
    OpenAIClient,
    OpenAIConnection,
    call_arguments,
    response_input,
    response_tool,
    strange,
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
                if (event := await self._next(stream)) is END:
                    raise self._ended()
                reader.feed(event)
        finally:
            await stream.close()
        return reader.reply or ModelReply(
            Message("assistant"), status=reader.status, checkpoint=Checkpoint(reader.state())
        )

    async def retrieve(self, state: Mapping[str, Any]) -> ModelReply:
        """How the response is doing."""
        response = await self._retrieve(_response_id(state))
        try:
            return reply_of(response, stored=True)
        except Exception as error:
            raise strange(error) from error

    def resume(
        self, state: Mapping[str, Any], *, replay: bool = False
    ) -> AsyncIterator[StreamEvent | Checkpoint | ModelReply]:
        """The events after that point, or all."""
        response_id = _response_id(state)
        point = {"response": response_id, "raw": state.get("raw", False)} if replay else state
        try:
            reader = ResponseReader(point, statuses=self._statuses, stored=True)
            reader.state()
        except (TypeError, ValueError, AttributeError) as error:
            raise TokenInvalid("This is no point of a response: it is not as state() wrote it.") from error
        return self._play(reader, body=None, background=True)

    async def cancel(self, state: Mapping[str, Any]) -> None:
        """Stop the response."""
        response_id = _response_id(state)
        try:
            with self._errors.of(response_id):
                await self._connection.client.responses.cancel(response_id)
        except ModelError as error:
            # One that is over may be refused; so may one that was never in the background.
            refused = error.status in (400, 409)
            if refused and (await self._retrieve(response_id)).status in OVER:
                return
            raise

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
        with self._errors:
            return await create(**call_arguments(create, {**body, "stream": True}))

    async def _reopen(self, response_id: str, after: int | None) -> Any:
        """The events after that one; None where this response cannot be streamed."""
        retrieve: Callable[..., Any] = self._connection.client.responses.retrieve
        point = {} if after is None else {"starting_after": after}
        try:
            with self._errors.of(response_id):
                return await retrieve(response_id, stream=True, **point, **self._included())
        except ModelError as error:
            if error.status in (400, 405, 422):
                return None
            raise

    async def _retrieve(self, response_id: str) -> Any:
        retrieve: Callable[..., Any] = self._connection.client.responses.retrieve
        with self._errors.of(response_id):
            return await retrieve(response_id, **self._included())

    def _included(self, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        body = body if body is not None else {"model": self.model, **self._options}
        include = body.get("include", self._include)
        if include is None and ("reasoning" in body or _REASONS.match(body["model"])):
            # Also where the service keeps it: a conversation may go on for longer than that does.
            include = [SEALED]
        return {"include": list(include)} if include else {}

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
            ended = self._ended()
            try:
                while True:
                    try:
                        event = await self._next(stream)
                    except ModelError as error:
                        if not background or reader.response_id is None or error.code != "connection_error":
                            raise
                        # The connection broke, and the job goes on.
                        ended, event = error, END
                    if event is END:
                        break
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
                            yield Checkpoint(point)
                    for one in events:
                        yield one
                    if reader.reply is not None:
                        yield reader.reply
                        return
            finally:
                try:
                    if reader.reply is not None:
                        # To the end, so that the connection can be used again.
                        with suppress(Exception):
                            async with asyncio.timeout(0.2):
                                await anext(stream)
                finally:
                    await stream.close()
            if not background or reader.response_id is None:
                raise ended
            # A connection does not last as long as the job may. What has become of that?
            response = await self._retrieve(reader.response_id)
            over = idle or reader.status in OVER or response.status == "cancelled"
            if response.status in OVER and over:
                for one in reader.settle(response):
                    yield one
                yield cast(ModelReply, reader.reply)
                return
            if idle > IDLE_CONNECTIONS:
                raise ended
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


class _Part:
    """A part of a message. `count`: how many characters of it were given, `before` of them by another reader.
    `annotations`: how many of these were given. `base`: how many characters the turn had before it."""

    __slots__ = ("annotations", "base", "before", "count", "pieces", "whole")

    def __init__(self, count: int, annotations: int, base: int) -> None:
        self.count = self.before = count
        self.annotations = annotations
        self.base = base
        self.pieces: list[str] = []
        self.whole: str | None = None
        """What the service said that it is, all in all."""

    @property
    def text(self) -> str:
        """What it is, as far as we know: behind what another reader gave."""
        return "".join(self.pieces) if self.whole is None else self.whole[self.before :]


class _Item:
    """A message, of which there are pieces."""

    __slots__ = ("done", "id", "parts", "phase")

    def __init__(self, id: str | None = None, phase: str | None = None) -> None:
        self.id = id
        self.phase = phase
        self.parts: dict[int, _Part] = {}
        self.done = False

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts.values())


class ResponseReader:
    """The events of a response, read: what they are in our words, and at the end the reply.

    Pure: it is fed the package's events, in their order, and asks nobody for anything. `state()` is all that
    another one needs to go on after the newest event (JSON).

    Whatever the events are, the reply's message has the text that was given, and the calls. There are servers
    that repeat, leave out, reorder and contradict: at the end what was given is brought to what the service
    says that it made (`_agreed`), by the text that is missing or, where it is another one, in place of it.
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
        self._length = _number(state, "length")
        """How many characters of text were given."""
        self._before = self._length
        """How many of them by another reader."""
        self._before_sum = _number(state, "sum")
        self._said: list[str] = []
        """What was given here."""
        self._sum, self._summed = self._before_sum, 0
        """The checksum of all that was given, as far as so many of `_said`."""
        self._given: list[str] = list(state.get("given", ()))
        """The calls and pictures that were given, by their ids."""
        self._resumed = frozenset(self._given)
        """Those that another reader gave."""
        self._unnamed = sum(1 for id in self._given if id.startswith(_UNNAMED))
        self._calls: dict[str, ToolCallPart] = {}
        """The calls that were given here."""
        self._items: list[_Item] = []
        """The messages, in the order in which they came."""
        self._at: dict[int, _Item] = {}
        """The newest message of each index."""
        for index, phase, parts in state.get("open", ()):
            self._at[index] = item = _Item(None, phase)
            self._items.append(item)
            for part, *counts in parts:
                item.parts[part] = _Part(*counts)
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
            for piece in self._said[self._summed :]:
                self._sum = _checksum(piece, self._sum)
            self._summed = len(self._said)
            state["sum"] = self._sum
        if self._given:
            state["given"] = list(self._given)
        opened = [
            [
                index,
                item.phase,
                [[number, part.count, part.annotations, part.base] for number, part in item.parts.items()],
            ]
            for index, item in self._at.items()
            if not item.done
        ]
        if opened:
            state["open"] = opened
        return state

    def feed(self, event: Any) -> Sequence[StreamEvent]:
        """What this event is. One that is not known is nothing. Raises ModelError for those that say that
        the response failed, and for what is no event of this API."""
        try:
            number = getattr(event, "sequence_number", None)
            if number is not None:
                self.after = number
            read = self._reads.get(event.type)
            return read(event) if read is not None else ()
        except ModelError:
            raise
        except Exception as error:
            raise strange(error) from error

    def settle(self, response: Any) -> Sequence[StreamEvent]:
        """The end, by the response as it is now: for one whose events are not to be had any more. Raises
        ModelError where it failed."""
        try:
            if response.status == "failed":
                raise _failure(response.error)
            return self._finish(response)
        except ModelError:
            raise
        except Exception as error:
            raise strange(error) from error

    # Text

    def _text(self, event: Any) -> Sequence[StreamEvent]:
        delta = event.delta
        if not delta:
            return ()
        item = self._at.get(event.output_index or 0)
        if item is None or item.done:
            if item is not None and event.output_index is not None:
                return ()  # it was given with the whole text
            item = self._begin(event.output_index)
        part = item.parts.get(event.content_index or 0)
        if part is None:
            part = self._part(item, event.content_index)
        elif part.whole is not None:
            return ()
        return self._give(item, part, delta)

    def _text_done(self, event: Any) -> Sequence[StreamEvent]:
        text = event.text if event.type == "response.output_text.done" else event.refusal
        item = self._item(event.output_index)
        return () if item.done else self._rest(item, event.content_index, text)

    def _give(self, item: _Item, part: _Part, text: str) -> Sequence[StreamEvent]:
        if type(text) is not str:
            raise TypeError("a text is a string")
        self._said.append(text)
        part.pieces.append(text)
        part.count += len(text)
        self._length += len(text)
        return (Text(text, "append", item.phase),)

    def _rest(self, item: _Item, content_index: int | None, text: str | None) -> Sequence[StreamEvent]:
        """What of the whole text was not given: nothing, but with servers that give no pieces."""
        part = self._part(item, content_index)
        if not text:
            return ()
        given = "".join(part.pieces)
        if not text.startswith(given, part.before):
            if text not in given:
                part.whole = text  # it is another one: see `_agreed`
            return ()
        rest = text[part.before + len(given) :]
        events = self._give(item, part, rest) if rest else ()
        part.whole = text
        return events

    def _item(self, index: int | None) -> _Item:
        return self._at.get(index or 0) or self._begin(index)

    def _begin(self, index: int | None, id: Any = None, phase: Any = None) -> _Item:
        item = self._at[index or 0] = _Item(id, phase)
        self._items.append(item)
        return item

    def _part(self, item: _Item, index: int | None) -> _Part:
        part = item.parts.get(index or 0)
        if part is None:
            part = item.parts[index or 0] = _Part(0, 0, self._length)
        return part

    def _annotation(self, event: Any) -> Sequence[StreamEvent]:
        part = self._part(self._item(event.output_index), event.content_index)
        part.annotations += 1
        return _citation(event.annotation, part.base)

    # Reasoning

    def _reasoning(self, event: Any) -> Sequence[StreamEvent]:
        return (Reasoning(event.delta),) if event.delta else ()

    def _summary(self, event: Any) -> Sequence[StreamEvent]:
        return (Reasoning("\n\n"),) if event.summary_index else ()

    # Items

    def _item_added(self, event: Any) -> Sequence[StreamEvent]:
        item = event.item
        if item.type == "message":
            phase = getattr(item, "phase", None)
            being = self._at.get(event.output_index or 0)
            if being is None or being.done or (being.id and item.id and being.id != item.id):
                self._begin(event.output_index, item.id, phase)
            else:
                being.id, being.phase = being.id or item.id, being.phase or phase
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
            return self._message(event.output_index, item)
        return self._picture(item) if item.type == "image_generation_call" else ()

    def _message(self, index: int | None, item: Any) -> Sequence[StreamEvent]:
        """A message that is whole."""
        texts = [_content_text(content) for content in item.content or ()]
        being = self._item(index)
        if being.done and "".join(texts) != being.text and (item.id is None or item.id != being.id):
            being = self._begin(index)  # a server that gives each the same index, or none
        being.id = item.id
        being.phase = being.phase or getattr(item, "phase", None)
        events: list[StreamEvent] = []
        for number, content in enumerate(item.content or ()):
            events += self._rest(being, number, texts[number])
            part = self._part(being, number)
            annotations = (getattr(content, "annotations", None) or ())[part.annotations :]
            part.annotations += len(annotations)
            for annotation in annotations:
                events += _citation(annotation, part.base)
        being.done = True
        return events

    def _picture(self, item: Any) -> Sequence[StreamEvent]:
        if not item.result or item.id in self._given:
            return ()
        self._given.append(item.id)
        form = getattr(item, "output_format", None) or "png"
        kind = "image/svg+xml" if form == "svg" else f"image/{form}"
        return (Attachment(kind, content_url=f"data:{kind};base64,{item.result}", name=f"{item.id}.{form}"),)

    def _call(self, item: Any) -> Sequence[StreamEvent]:
        if getattr(item, "status", None) == "incomplete":
            return ()
        call = _call_part(item, self._unnamed)
        self._unnamed += call.id.startswith(_UNNAMED)
        if call.id in self._given:
            return ()
        self._given.append(call.id)
        self._calls[call.id] = call
        return (ToolCall(call.id, call.name, call.arguments),)

    # The response

    def _going(self, event: Any) -> Sequence[StreamEvent]:
        self.response_id = event.response.id
        if event.response.status in ("queued", "in_progress"):
            self.status = event.response.status
        return ()

    def _terminal(self, event: Any) -> Sequence[StreamEvent]:
        response = event.response
        self.response_id = response.id
        if (self._before or self._resumed) and not self._knows(response):
            # It does not say what another reader gave. The response itself does: see settle().
            self.status = response.status or self.status
            return ()
        return self._finish(response)

    def _knows(self, response: Any) -> bool:
        """Whether all that another reader gave may be in there."""
        made = reply_of(response, stored=self._stored).message
        ids = {call.id for call in made.tool_calls}
        ids |= {item.id for item in response.output or () if item.type == "image_generation_call"}
        return len(made.text) >= self._before and self._resumed <= ids

    def _finish(self, response: Any) -> Sequence[StreamEvent]:
        # There are servers that tell what they made only once.
        output = response.output or list(self._done)
        reply = reply_of(response, stored=self._stored, output=output)
        events, parts = self._agreed(reply.message.parts)
        for item in output:
            if item.type == "image_generation_call":
                events += self._picture(item)
        calls = [part for part in parts if isinstance(part, ToolCallPart)]
        reply = replace(
            reply,
            message=replace(reply.message, parts=tuple(parts)),
            stop_reason=StopReason.TOOL_USE if calls and reply.status == "completed" else reply.stop_reason,
        )
        for call in calls:
            if call.id not in self._given:
                self._given.append(call.id)
                events.append(ToolCall(call.id, call.name, call.arguments))
        if (usage := response.usage) is not None:
            events.append(usage_of(usage))
        self.status = reply.status
        self.reply = reply
        return events

    def _agreed(self, parts: Sequence[Part]) -> tuple[list[StreamEvent], list[Part]]:
        """What of the text is still to be given, and what the reply has, where the service says at the end
        that it made `parts`.

        That goes before what it said on the way, but where it is less than that: no word that was shown is
        lost. A call is what it was when it was given.
        """
        agreed = [part for part in parts if not isinstance(part, TextPart)]
        texts = [part for part in parts if isinstance(part, TextPart)]
        place = next((at for at, part in enumerate(parts) if isinstance(part, TextPart)), 0)
        whole = "".join(part.text for part in texts)
        known = [TextPart(text, item.phase, item.id) for item in self._items if (text := item.text)]
        said, before = "".join(self._said), self._before
        less = whole in (mine := "".join(part.text for part in known)) and whole != mine
        if less and (not before or not whole):
            parts = [*agreed[:place], *known, *agreed[place:]]
            texts, whole, before = known, mine, 0
        events: list[StreamEvent] = []
        if whole.startswith(said, before) and (
            not before or _checksum(whole[:before], 0) == self._before_sum
        ):
            skip = before + len(said)
            for part in texts:
                if rest := part.text[skip:]:
                    events.append(Text(rest, "append", part.phase))
                skip = max(0, skip - len(part.text))
        else:
            for part in texts:
                events.append(Text(part.text, "append" if events else "replace", part.phase))
        calls: set[str] = set()
        kept: list[Part] = []
        for one in (*parts, *self._calls.values()):
            if not isinstance(one, ToolCallPart):
                kept.append(one)
            elif one.id not in calls:
                calls.add(one.id)
                kept.append(self._calls.get(one.id, one))
        return events, kept

    def _failed(self, event: Any) -> Sequence[StreamEvent]:
        raise _failure(event.response.error)

    def _error(self, event: Any) -> Sequence[StreamEvent]:
        raise _failure(event)


def reply_of(response: Any, *, stored: bool, output: Iterable[Any] | None = None) -> ModelReply:
    """What a response came to, as history keeps it. `stored`: whether the service keeps its items."""
    parts: list[Part] = []
    refused = waits = False
    unnamed = 0
    for item in (response.output if output is None else output) or ():
        if item.type == "message":
            for content in item.content or ():
                refused = refused or content.type == "refusal"
                if text := _content_text(content):
                    parts.append(TextPart(text, getattr(item, "phase", None), item.id))
        elif item.type == "function_call":
            if getattr(item, "status", None) != "incomplete":
                parts.append(call := _call_part(item, unnamed))
                unnamed += call.id.startswith(_UNNAMED)
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


def _call_part(item: Any, unnamed: int) -> ToolCallPart:
    """A call. `unnamed`: how many before it have neither of the ids."""
    arguments = item.arguments or "{}"
    return ToolCallPart(
        str(item.call_id or item.id or f"{_UNNAMED}{unnamed}"),
        str(item.name or ""),
        arguments if isinstance(arguments, str) else json.dumps(arguments),
        item.id,
    )


_UNNAMED = "unnamed_"
"""What the ids of calls begin with that have none at their server."""


def _checksum(text: str, before: int) -> int:
    return crc32(text.encode("utf-8", "surrogatepass"), before)


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


def _number(state: Mapping[str, Any], name: str) -> int:
    if type(number := state.get(name, 0)) is not int:
        raise TypeError(f"{name} is a number")
    return number


def _response_id(state: Mapping[str, Any]) -> str:
    response_id = state.get("response")
    if not isinstance(response_id, str) or not response_id:
        raise TokenInvalid(f"This is no point of a response: {sorted(state)} lacks 'response'.")
    return response_id
