"""Streams of agent-framework: what `agent.run(..., stream=True)` and a chat client's
`get_response(..., stream=True)` return.

As of 1.23: an update has contents, and in a workflow its author, who is done when it has a finish_reason;
those who speak at once are heard one after the other, each in a turn of its own. Nothing marks a turn but
the update with the tools' results. The OpenAI client repeats the whole text at its end, with merge_mode
"replace"; and a response that has failed ends its stream like one that is complete.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cadenza.events import Citation, Outcome, StreamEvent, ToolResult, Usage

from ..errors import ModelError
from .foreign_events import ForeignEvents, Reader, as_text, closer

if TYPE_CHECKING:
    from agent_framework import AgentResponseUpdate, ChatResponseUpdate, Content, ResponseStream

__all__ = ["events"]


def events(source: ResponseStream[Any, Any]) -> AsyncIterator[StreamEvent]:
    """The events of a `ResponseStream` of agent updates or of chat updates. Closing them closes it. Its own
    finalizer and hooks run as ever: read to the end, it saves its session."""

    async def opened() -> AsyncIterator[Any]:
        return aiter(source)

    async def close() -> None:
        # As of 1.23, close() of a ResponseStream that nobody has read runs its agent, to the end.
        begun = getattr(source, "_iterator", source) is not None
        if begun and (stop := closer(source)) is not None:
            await stop()

    return ForeignEvents(_Reader(), opened, close)


class _Reader(Reader["AgentResponseUpdate | ChatResponseUpdate"]):
    def __init__(self) -> None:
        super().__init__()
        self._response: str | None = None
        self._count = 0
        self._replaced = False
        self._cited: set[Hashable] = set()

    def read(self, item: AgentResponseUpdate | ChatResponseUpdate) -> Iterable[StreamEvent]:
        return self.hear(item.author_name, self._update, item)

    def _update(self, item: AgentResponseUpdate | ChatResponseUpdate) -> Iterable[StreamEvent]:
        found: list[StreamEvent] = []
        if item.response_id and item.response_id != self._response:
            if self._response is not None:
                found += self.ended()
            self._response = item.response_id
        whole = getattr(item, "merge_mode", None) == "replace"
        if whole:
            text = "".join(content.text or "" for content in item.contents if content.type == "text")
            found += [*self._model_says(), *self.text.reset(text)]
        for content in item.contents:
            if not (whole and content.type == "text"):
                found += self._content(content)
        if item.finish_reason is not None:
            found += self.whole_calls()
            self.word = str(item.finish_reason)
        if not item.contents:
            _raise_failure(item)
        if item.finish_reason is not None:
            found += self.over()
        return found

    def _content(self, content: Content) -> Iterable[StreamEvent]:
        kind = content.type
        if kind == "text":
            return [*self._model_says(), *self._text(content), *self._citations(content.annotations or ())]
        if kind == "text_reasoning":
            change = self.reasoning.replace if content.merge_mode == "replace" else self.reasoning.append
            return [*self._model_says(), *change(content.id, content.text or "")]
        if kind == "function_call":
            return self._call(content)
        if kind == "function_result":
            return [*self.ended(), self._result(content)]
        if kind == "usage":
            counts = dict(content.usage_details or {})
            read, written = counts.pop("input_token_count", 0), counts.pop("output_token_count", 0)
            return [Usage(read or 0, written or 0, counts or None)]
        if kind in ("function_approval_request", "oauth_consent_request"):
            self.outcome = Outcome.INTERRUPTED
        elif kind == "error":
            raise ModelError(
                f"The agent's stream reports an error: {content.message}", code=content.error_code
            )
        return ()

    def _model_says(self) -> list[StreamEvent]:
        if self.word is None:
            return self.began()
        return [*self.ended(), *self.began()]

    def _text(self, content: Content) -> list[StreamEvent]:
        block: Hashable = getattr(content.raw_representation, "item_id", None)
        if block is None:
            if self._replaced and content.merge_mode != "replace":
                self._count += 1  # a whole was its block's end
            self._replaced = content.merge_mode == "replace"
            block = self._count
        if content.merge_mode == "replace":
            return self.text.replace(block, content.text or "")
        return self.text.append(block, content.text or "")

    def _call(self, content: Content) -> list[StreamEvent]:
        if content.informational_only:
            return []
        begun = self._model_says()
        arguments = content.arguments
        if arguments is not None and not isinstance(arguments, str):
            arguments = as_text(dict(arguments))
        if content.merge_mode == "replace":
            self.calls.forget(content.call_id)
        self.calls.add(content.call_id, content.call_id, content.name, arguments)
        return begun

    def _result(self, content: Content) -> StreamEvent:
        id = content.call_id or ""
        return ToolResult(
            id, self.calls.names.get(id, ""), as_text(content.result), content.exception is not None
        )

    def _citations(self, annotations: Sequence[Any]) -> Iterable[StreamEvent]:
        for annotation in annotations:
            if annotation.get("type") != "citation":
                continue
            regions: Sequence[Any] = annotation.get("annotated_regions") or ({},)
            for region in regions:
                place: Mapping[str, Any] = region
                fields = (annotation.get("title"), annotation.get("url"), annotation.get("snippet"), None)
                span = (place.get("start_index"), place.get("end_index"))
                if (self.turn, fields, span) not in self._cited:  # it comes again with the whole text
                    self._cited.add((self.turn, fields, span))
                    yield Citation(*fields, *span)


def _raise_failure(item: Any) -> None:
    """What the provider has reported as failed, and the framework lets end like an answer."""
    for _ in range(3):
        item = getattr(item, "raw_representation", None)
        if getattr(item, "type", None) == "response.failed":
            error = getattr(item.response, "error", None)
            raise ModelError(
                f"The provider's response has failed: {getattr(error, 'message', 'it does not say why')}",
                code=getattr(error, "code", None),
            )
