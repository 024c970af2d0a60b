"""Streams of langchain and langgraph: `model.astream(...)`, `agent.astream(..., stream_mode="messages")` (or
among other modes, and with subgraphs) and `astream_events(...)` of version v1 or v2.

As of langchain-core 1.7 and langgraph 1.2: the chunks of one model call have one id; tools' results come as
ToolMessages; a graph's step and node are in the metadata beside a chunk. In the mode "messages" a model that
is called within a tool speaks in the same stream: its words are not the answer, and have a scope of their own
here. Nodes that a graph runs at once are heard one after the other, each in a turn of its own.
Two models that one node asks at once cannot be told from a retry: tag one of them "nostream".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable, Iterable, Mapping
from typing import Any

from cadenza.events import AttemptSuperseded, Citation, Status, StreamEvent, ToolResult, Usage

from .foreign_events import ForeignEvents, Reader, as_text, closer

__all__ = ["events"]


def events(source: AsyncIterator[Any]) -> AsyncIterator[StreamEvent]:
    """The events of one of those streams. Closing them closes it, which cancels what the graph is doing.

    Of a graph's other modes, "custom" is taken where it gives text (as Status), "updates" where messages were
    not streamed, and the rest is left out. What cannot be an answer raises TypeError: "values" alone, since
    states are no stream, `astream_events` of version v3, dicts of one's own.
    """
    if not hasattr(source, "__aiter__"):
        raise TypeError(
            f"{type(source).__name__} is no asynchronous stream of langchain: "
            'give what astream(..., stream_mode="messages") returns'
        )

    async def opened() -> AsyncIterator[Any]:
        return aiter(source)

    return ForeignEvents(_Reader(), opened, closer(source))


class _Reader(Reader[Any]):
    def __init__(self) -> None:
        super().__init__()
        self._messages = _MessageReader()
        self._inner: dict[str, _MessageReader] = {}
        self._streamed: set[str] = set()
        """The model calls of `astream_events` that have given anything."""
        self._tools: set[str] = set()
        """The runs of `astream_events` that are tools."""
        self._modes: set[str] = set()
        """The modes of a graph's stream that have given anything."""

    def read(self, item: Any) -> Iterable[StreamEvent]:
        if _is_message(item):
            return self._messages.message(item, {})
        if isinstance(item, Mapping):
            return self._mapping(item)
        if isinstance(item, tuple):
            return self._tuple(item)
        return self._messages.began_with(item) if isinstance(item, str) else ()

    def _mapping(self, item: Mapping[str, Any]) -> Iterable[StreamEvent]:
        if str(item.get("event", "")).startswith("on_"):
            return self._event(item)
        if item.keys() >= {"type", "ns", "data"}:  # astream(..., version="v2")
            return self._mode(item["type"], item["data"])
        if "messages" in item:
            raise TypeError(_STATES)
        if all(change is None or isinstance(change, Mapping | list | tuple) for change in item.values()):
            return self._update(item)
        raise TypeError(
            "A stream of langchain gave a dict of which no answer can be made: "
            'use astream(..., stream_mode="messages"), or astream_events(..., version="v2")'
        )

    def _tuple(self, item: tuple[Any, ...]) -> Iterable[StreamEvent]:
        *head, payload = item
        if _is_message(head[-1] if head else None):
            return self._said(head[-1], payload)
        mode = next((word for word in head if isinstance(word, str)), None)
        return self.read(payload) if mode is None else self._mode(mode, payload)

    def _mode(self, mode: str, payload: Any) -> Iterable[StreamEvent]:
        self._modes.add(mode)
        if mode == "messages":
            return self._said(*payload)
        if mode == "updates":
            return self._update(payload)
        return [Status(payload)] if mode == "custom" and isinstance(payload, str) and payload else ()

    def _said(self, message: Any, metadata: Mapping[str, Any]) -> Iterable[StreamEvent]:
        path = str(metadata.get("langgraph_checkpoint_ns") or "").split("|")
        tools = [part for part in path if part.partition(":")[0] == "tools"]
        if not tools or (len(path) == 1 and message.type == "tool"):
            return self._messages.message(message, metadata)
        scope = "/".join(tools)
        return self._of(scope).message(message, metadata)

    def _of(self, scope: str) -> _MessageReader:
        if scope not in self._inner:
            self._inner[scope] = _MessageReader(scope)
        return self._inner[scope]

    def _update(self, update: Mapping[str, Any]) -> Iterable[StreamEvent]:
        found: list[StreamEvent] = []
        for change in update.values():
            messages = change.get("messages") if isinstance(change, Mapping) else None
            for message in messages if isinstance(messages, list) else ():
                if _is_message(message) and message.type in ("ai", "tool"):
                    found += self._messages.whole(message)
        return found

    def _event(self, item: Mapping[str, Any]) -> Iterable[StreamEvent]:
        kind, run, data = item["event"], item.get("run_id", ""), item.get("data") or {}
        if kind == "on_tool_start":
            self._tools.add(run)
            return ()
        above = [parent for parent in item.get("parent_ids") or () if parent in self._tools]
        reader = self._of("/".join(above)) if above else self._messages
        if kind in ("on_chat_model_stream", "on_llm_stream"):
            self._streamed.add(run)
            chunk = data["chunk"]
            if _is_message(chunk):
                return reader.message(chunk, item.get("metadata") or {})
            return reader.began_with(str(chunk))
        if kind == "on_chat_model_end" and run not in self._streamed:
            message = data.get("output")
            return reader.whole(message) if _is_message(message) else ()
        if kind == "on_tool_end":
            output = data.get("output")
            return reader.whole(output) if _is_message(output) else ()
        if kind == "on_custom_event" and isinstance(data, str):
            return [Status(data)]
        return ()

    def finish(self) -> list[StreamEvent]:
        if self._modes and not self._modes & {"messages", "updates", "custom"}:
            raise TypeError(_STATES)
        inner = [event for reader in self._inner.values() for event in reader.finish()]
        return [*inner, *self._messages.finish()]

    def fail(self, error: Exception) -> list[StreamEvent]:
        inner = [event for reader in self._inner.values() for event in reader.fail(error)]
        return [*inner, *self._messages.fail(error)]


_STATES = 'stream_mode="values" gives whole states: use stream_mode="messages"'


class _MessageReader(Reader[Any]):
    """Messages and their chunks, of one scope."""

    def __init__(self, scope: str = "") -> None:
        super().__init__(scope)
        self._id: str | None = None
        """Of the message that is being said."""
        self.speaker: tuple[str, int] | None
        self._node: tuple[str, int] | None = None
        """The node of the graph that says it, at this step."""
        self._last = False
        """Whether that message is whole."""
        self._seen: set[str] = set()

    def read(self, item: Any) -> Iterable[StreamEvent]:
        return self.message(item, {})

    def began_with(self, text: str) -> list[StreamEvent]:
        """Text of a model that has no messages, or behind a parser."""
        return [*self.began(), *self.text.append(0, text)]

    def whole(self, message: Any) -> Iterable[StreamEvent]:
        """A message that may have been streamed before."""
        return () if message.id is not None and message.id in self._seen else self.message(message, {})

    def message(self, message: Any, metadata: Mapping[str, Any]) -> Iterable[StreamEvent]:
        """A message, or a chunk of one."""
        if message.id is not None:
            self._seen.add(message.id)
        place = metadata.get("langgraph_checkpoint_ns")
        if place is None:
            return self._heard((message, None))
        node = (place, metadata.get("langgraph_step", 0))
        if node == self.speaker:
            return self._heard((message, node))
        released: list[StreamEvent] = []
        while self.speaker is not None and _is_later(node, self.speaker):
            released += self.over()
        return [*released, *self.hear(node, self._heard, (message, node))]

    def _heard(self, said: tuple[Any, tuple[str, int] | None]) -> list[StreamEvent]:
        message, node = said
        kind = message.type
        if kind == "tool":
            return self._result(message)
        if kind not in ("ai", "AIMessageChunk"):
            return []
        found = self._turn(message, node)
        content = message.content
        if isinstance(content, str):
            reasoning = message.additional_kwargs.get("reasoning_content")
            if isinstance(reasoning, str):
                found += self.reasoning.append(0, reasoning)
            found += self.text.append(0, content)
        else:
            for block in message.content_blocks:
                found += self._block(block)
        if kind == "ai":
            for call in message.tool_calls:
                self.calls.add(call["id"], call["id"], call["name"], as_text(call["args"]))
        else:
            for piece in message.tool_call_chunks:
                key = piece["index"] if piece["index"] is not None else piece["id"]
                self.calls.add(key, piece["id"], piece["name"], piece["args"])
        if message.usage_metadata:
            found.append(self._usage(message.usage_metadata))
        told = message.response_metadata
        word = told.get("finish_reason") or told.get("stop_reason") or told.get("done_reason")
        self.word = word if isinstance(word, str) else self.word
        if kind == "ai" or getattr(message, "chunk_position", None) == "last":
            found += self.whole_calls()
            self._last = True
            found += self.over()
        return found

    def _turn(self, message: Any, node: tuple[str, int] | None) -> list[StreamEvent]:
        """Whether this is of the same model call as the chunk before it."""
        new = self.open and message.id is not None and self._id is not None and message.id != self._id
        found: list[StreamEvent] = []
        if new and not self._last and node is not None and node == self._node:
            # The same node once more, and the first message was never whole: the graph has retried it.
            self.attempt += 1
            self.called = False
            self.calls.clear()
            self.text.clear()
            self.reasoning.clear()
            found = [AttemptSuperseded(self.turn, self.attempt, scope=self.scope)]
        elif new:
            found = self.ended()
        if message.id is not None:
            self._id = message.id
        self._node = node
        self._last = False
        return [*found, *self.began()]

    def _block(self, block: Mapping[str, Any]) -> Iterable[StreamEvent]:
        kind = block.get("type")
        index: Hashable = block.get("index", 0)
        if kind == "text":
            yield from self.text.append(index, block.get("text") or "", phase=block.get("phase"))
            for note in block.get("annotations") or ():
                if note.get("type") == "citation":
                    yield Citation(
                        note.get("title"),
                        note.get("url"),
                        note.get("cited_text"),
                        start=note.get("start_index"),
                        end=note.get("end_index"),
                        scope=self.scope,
                    )
        elif kind == "reasoning":
            yield from self.reasoning.append(index, block.get("reasoning") or "")

    def _usage(self, usage: Mapping[str, Any]) -> StreamEvent:
        details = {key: value for key, value in usage.items() if key not in ("input_tokens", "output_tokens")}
        return Usage(usage["input_tokens"], usage["output_tokens"], details or None, scope=self.scope)

    def _result(self, message: Any) -> list[StreamEvent]:
        id = message.tool_call_id
        content = message.content if isinstance(message.content, str) else str(message.text)
        failed = message.status == "error"
        name = message.name or self.calls.names.get(id, "")
        return [*self.ended(), ToolResult(id, name, content, failed, scope=self.scope)]


def _is_later(node: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether a graph is done with the step of `other`, since it has come to `node`."""
    return node[1] > other[1] and node[0].rpartition("|")[0] == other[0].rpartition("|")[0]


def _is_message(item: Any) -> bool:
    return hasattr(item, "response_metadata") and hasattr(item, "content")
