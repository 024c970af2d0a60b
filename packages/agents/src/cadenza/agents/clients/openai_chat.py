"""`OpenAIChatClient`: OpenAI's Chat Completions, and the many servers that speak it, each in its manner."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from cadenza.events import Citation, Raw, Reasoning, StopReason, StreamEvent, Text, ToolCall, Usage

from ..errors import BackgroundUnsupported, ModelError
from ..json_text import is_json
from ..message import Message, Part, ProviderPart, ReasoningPart, TextPart, ToolCallPart
from .client import Checkpoint, ModelReply, ModelRequest, ModelStatus
from .openai_wire import (
    CHAT,
    END,
    OpenAIClient,
    OpenAIConnection,
    call_arguments,
    chat_messages,
    chat_tool,
    strange,
    usage_details,
    with_tools,
)

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["ChatReader", "OpenAIChatClient"]


class OpenAIChatClient(OpenAIClient):
    """Answers by Chat Completions: OpenAI's, or any server that speaks it.

        OpenAIChatClient("llama3.1", base_url="http://localhost:11434/v1", api_key="none")

    `client`, `api_key`, `base_url`, `options`: as of `OpenAIResponsesClient`. `usage=False`: do not ask what
    an answer cost (`stream_options`), which some servers refuse. `reasoning_back`: the field in which the
    server wants the reasoning of earlier turns back ("reasoning_content"); most want none, and some refuse
    it. `store`: sent, where it is set. `include` is of the Responses API alone.

    It cannot answer in the background. Raises ImportError where the package openai is not installed.
    """

    provider = CHAT

    def __init__(
        self,
        model: str,
        *,
        client: AsyncOpenAI | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        store: bool | None = None,
        usage: bool = True,
        reasoning_back: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, OpenAIConnection(client, api_key=api_key, base_url=base_url), options)
        self._store = store
        self._usage = usage
        self._reasoning_back = reasoning_back

    def stream(self, request: ModelRequest) -> AsyncIterator[StreamEvent | Checkpoint | ModelReply]:
        """One turn. Raises BackgroundUnsupported for a request for the background."""
        if request.background or request.previous is not None:
            raise BackgroundUnsupported(
                "Chat Completions cannot answer in the background: use OpenAIResponsesClient."
            )
        return self._play(self._body(request), request.raw)

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, **self._options, **request.options}
        if self._store is not None:
            body.setdefault("store", self._store)
        if self._usage:
            body["stream_options"] = {"include_usage": True, **(body.get("stream_options") or {})}
        body["messages"] = chat_messages(
            request.messages, request.instructions, reasoning=self._reasoning_back
        )
        with_tools(body, request, chat_tool)
        return body

    async def _play(self, body: Mapping[str, Any], raw: bool) -> AsyncIterator[StreamEvent | ModelReply]:
        create: Callable[..., Any] = self._connection.client.chat.completions.create
        with self._errors:
            stream = await create(**call_arguments(create, {**body, "stream": True}))
        reader = ChatReader()
        try:
            while True:
                try:
                    chunk = await self._next(stream)
                except ModelError:
                    if reader.finished:
                        break  # the answer is whole: what was to come is what it cost
                    raise
                if chunk is END:
                    break
                events = reader.feed(chunk)
                if raw:
                    yield Raw(CHAT, chunk.to_dict())
                for event in events:
                    yield event
            if not reader.finished:
                raise ModelError(
                    f"The model {self.model!r} gave no whole answer: the connection ended too early.",
                    code="stream_ended",
                    retryable=True,
                )
            try:
                rest = reader.finish()
            except Exception as error:
                raise strange(error) from error
            for last in rest:
                yield last
        finally:
            await stream.close()


class _Call:
    """A call whose arguments are still coming."""

    __slots__ = ("arguments", "extra", "id", "index", "name")

    def __init__(self, index: int | None, call_id: str | None) -> None:
        self.index = index
        self.id = call_id or ""
        self.name = ""
        self.arguments: list[str] = []
        self.extra: dict[str, Any] = {}

    @property
    def whole(self) -> bool:
        return is_json("".join(self.arguments))


class ChatReader:
    """The chunks of a completion, read: what they are in our words, and at the end the reply. Pure."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._thought: list[str] = []
        self._calls: list[_Call] = []
        self._finish: str | None = None
        self._refused = False
        self._usage: Any = None

    @property
    def finished(self) -> bool:
        """Whether it was said why the model stopped."""
        return self._finish is not None

    def feed(self, chunk: Any) -> Sequence[StreamEvent]:
        """What this chunk is. Raises ModelError where it says that the model failed, and for what is no chunk
        of this API."""
        try:
            if (usage := chunk.usage) is not None:
                # Some servers give what it cost so far with every chunk.
                self._usage = usage
            if not chunk.choices:
                return ()
            choice = chunk.choices[0]
            if (choice.index or 0) != 0:
                return ()
            delta = choice.delta
            events: list[StreamEvent] = []
            if delta is not None:
                extra = delta.model_extra or {}
                thought = extra.get("reasoning_content") or extra.get("reasoning")
                if isinstance(thought, str) and thought:
                    self._thought.append(thought)
                    events.append(Reasoning(thought))
                if text := delta.content if isinstance(delta.content, str) else _texts(delta.content):
                    self._text.append(text)
                    events.append(Text(text))
                if isinstance(refusal := delta.refusal, str) and refusal:
                    self._refused = True
                    self._text.append(refusal)
                    events.append(Text(refusal))
                for call in delta.tool_calls or ():
                    self._call(call)
                if (old := delta.function_call) is not None:
                    self._piece(0, None, old.name, old.arguments, {})
                if annotations := extra.get("annotations"):
                    events += _citations(annotations)
            if choice.finish_reason is not None:
                self._finish = str(choice.finish_reason)
                if self._finish == "error":
                    raise ModelError(
                        "The model's answer failed: no reason was given", code="error", retryable=True
                    )
            return events
        except ModelError:
            raise
        except Exception as error:
            raise strange(error) from error

    def finish(self) -> list[Any]:
        """The calls, what it cost, and the reply, which is the last."""
        raw = self._finish or "stop"
        # One that was cut off is none: the model did not say with what it is to be called.
        made = [call for call in self._calls if call.name and (raw not in _CUT or call.whole)]
        ids: set[str] = set()
        for call in made:
            if not call.id or call.id in ids:  # there are servers that give all the same
                call.id = f"call_{uuid4().hex}"
            ids.add(call.id)
        calls = [ToolCallPart(call.id, call.name, "".join(call.arguments).strip() or "{}") for call in made]
        parts: list[Part] = []
        if self._thought:
            thought = "".join(self._thought)
            parts.append(ReasoningPart(CHAT, {"type": "reasoning"}, thought))
        if self._text:
            parts.append(TextPart("".join(self._text)))
        parts += calls
        parts += [
            ProviderPart(CHAT, {"type": "call", "call": call.id, "extra": call.extra})
            for call in made
            if call.extra
        ]
        events: list[Any] = [ToolCall(call.id, call.name, call.arguments) for call in calls]
        if self._usage is not None:
            events.append(usage_of(self._usage))
        cut = raw in _CUT
        status: ModelStatus = "incomplete" if cut else "completed"
        reason = _STOPS.get(raw, StopReason.UNKNOWN)
        if calls and not cut:
            reason = StopReason.TOOL_USE
        elif self._refused and reason is StopReason.END_TURN:
            reason = StopReason.CONTENT_FILTERED
        reply = ModelReply(
            Message("assistant", tuple(parts), "interrupted" if cut else "complete"),
            reason,
            "refusal" if self._refused and raw == "stop" else raw,
            status,
            raw if cut else None,
        )
        return [*events, reply]

    def _call(self, delta: Any) -> None:
        function = delta.function
        extra = delta.model_extra or {}
        self._piece(
            delta.index,
            str(delta.id) if delta.id else None,
            function.name if function is not None else None,
            function.arguments if function is not None else None,
            {name: value for name, value in extra.items() if name == "extra_content"},
        )

    def _piece(
        self, index: int | None, call_id: str | None, name: str | None, arguments: Any, extra: dict[str, Any]
    ) -> None:
        call = self._find(index, call_id, name, arguments)
        if call is None:
            call = _Call(index, call_id)
            self._calls.append(call)
        if call_id and not call.id:
            call.id = call_id
        # Some repeat the name with every piece.
        call.name = call.name or str(name or "")
        call.extra.update(extra)
        if arguments:
            call.arguments.append(arguments if isinstance(arguments, str) else json.dumps(arguments))

    def _find(self, index: int | None, call_id: str | None, name: str | None, arguments: Any) -> _Call | None:
        """The call that a piece belongs to; None where it begins one.

        By the API: that of its index. But there are servers that give no index, or 0 to every call, and
        servers that give no ids: then another id begins a call, and so does another name, or one after whole
        arguments. Servers that give another id with every piece give no name with it, or that of a call whose
        arguments are not whole.
        """
        same = [call for call in self._calls if call.index == index]
        if call_id is not None:
            for call in same:
                if call.id == call_id:
                    return call
            if same and (last := same[-1]).id and name:
                going = name == last.name and (last.arguments or arguments) and not last.whole
                return last if going else None
        if not same:
            # A server that gives the index with the first piece alone.
            return self._calls[-1] if index is None and self._calls and not name else None
        last = same[-1]
        if name and last.name and (name != last.name or (last.arguments and last.whole)):
            return None
        return last


_CUT = ("length", "content_filter", "max_tokens")
"""The reasons after which an answer is not whole."""

_STOPS = {
    "stop": StopReason.END_TURN,
    "eos": StopReason.END_TURN,
    "end_turn": StopReason.END_TURN,
    "length": StopReason.MAX_TOKENS,
    "max_tokens": StopReason.MAX_TOKENS,
    "tool_calls": StopReason.TOOL_USE,
    "function_call": StopReason.TOOL_USE,
    "content_filter": StopReason.CONTENT_FILTERED,
    "stop_sequence": StopReason.STOP_SEQUENCE,
}


def usage_of(usage: Any) -> Usage:
    """What a completion cost."""
    details: dict[str, Mapping[str, Any]] = {}
    for side, name in (("input", "prompt_tokens_details"), ("output", "completion_tokens_details")):
        if (counters := getattr(usage, name, None)) is not None:
            details[side] = counters.to_dict()
    return Usage(usage.prompt_tokens or 0, usage.completion_tokens or 0, usage_details(details))


def _texts(content: Any) -> str:
    """The text of content that comes as a list of parts (Mistral's, with its models that reason)."""
    parts = content if isinstance(content, list) else ()
    return "".join(
        part.get("text") or "" for part in parts if isinstance(part, Mapping) and part.get("type") == "text"
    )


def _citations(annotations: Any) -> list[StreamEvent]:
    """OpenAI's own models that search give these, with indices into the whole text."""
    found: list[StreamEvent] = []
    for annotation in annotations if isinstance(annotations, list) else ():
        link = annotation.get("url_citation") if isinstance(annotation, Mapping) else None
        if isinstance(link, Mapping):
            start, end = link.get("start_index"), link.get("end_index")
            found.append(Citation(link.get("title"), link.get("url"), start=start, end=end))
    return found
