"""Streams of strands-agents: `agent.stream_async(...)`, of a single agent, a graph or a swarm.

Its events, as of 1.62: each is a dict. A model's chunks come twice, raw (`{"event": ...}`) and then read
(`{"data": ...}`, `{"reasoningText": ...}`, `{"citation": ...}`). That a turn stopped is in the raw
`messageStop` alone; a retried model call shows in nothing but a second `messageStart`. A run that reaches
max_tokens raises, after its text. The nodes of a graph that run at once are heard one after the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from cadenza.events import (
    AttemptSuperseded,
    Citation,
    Outcome,
    StreamEvent,
    ToolCall,
    ToolResult,
    Usage,
)

from .foreign_events import ForeignEvents, Reader, as_text, closer, stop_reason

__all__ = ["events"]

logger = logging.getLogger(__name__)

_OUTCOMES = {
    "cancelled": Outcome.CANCELLED,
    "interrupt": Outcome.INTERRUPTED,
    "checkpoint": Outcome.INTERRUPTED,
}


def events(source: AsyncIterator[Mapping[str, Any]]) -> AsyncIterator[StreamEvent]:
    """The events of `agent.stream_async(...)`. Closing them closes it, which ends the agent's loop."""

    async def opened() -> AsyncIterator[Mapping[str, Any]]:
        return aiter(source)

    async def close() -> None:
        frame = getattr(getattr(source, "source", source), "ag_frame", None)
        begun = frame is not None and frame.f_lasti > 0
        if begun:
            await _unwind(source)
        if (stop := closer(source)) is not None:
            await stop()

    return ForeignEvents(_Reader(), opened, close)


async def _unwind(source: AsyncIterator[Any]) -> None:
    """End what `source` is doing by a cancellation from within.

    It is a chain of generators that do not close one another (as of 1.62): closing the outermost leaves the
    model's request open until the garbage is collected, link by link, and the agent's spans in a mess. A
    CancelledError comes up from where it waits, through all of them.
    """
    task = asyncio.current_task()
    if task is None:
        return
    others = task.cancelling()
    task.cancel()
    try:
        await anext(source)
        await asyncio.sleep(0)  # it had something to say, and did not wait for anything
    except (asyncio.CancelledError, StopAsyncIteration):
        pass
    except Exception as error:
        logger.debug("A strands agent that was stopped has raised %s", type(error).__name__)
    finally:
        task.uncancel()
    if task.cancelling() > others:
        raise asyncio.CancelledError


class _Reader(Reader[Mapping[str, Any]]):
    def __init__(self, scope: str = "") -> None:
        super().__init__(scope)
        self._speaking = False
        """Whether the model call of this turn has begun."""
        self._inner: dict[str, _Reader] = {}
        """By the id of a tool call: the agent that the tool runs."""

    def read(self, item: Mapping[str, Any]) -> Iterable[StreamEvent]:
        return self._of_node(item) if "type" in item else self._said_by(item)

    def _of_node(self, item: Mapping[str, Any]) -> Iterable[StreamEvent]:
        """What a node of a graph says is a turn of its graph, and so in graphs within graphs."""
        path: tuple[str, ...] = ()
        while item.get("type") == "multiagent_node_stream":
            path = (*path, item["node_id"])
            item = item["event"]
        if item.get("type") == "multiagent_node_stop":
            return self.hear((*path, item["node_id"]), lambda _: self.over(), item)
        return self.hear(path or None, self._said_by, item)

    def _said_by(self, item: Mapping[str, Any]) -> Iterable[StreamEvent]:
        if "data" in item:
            return [*self._said(), *self.text.append(0, item["data"])]
        if "event" in item:
            return self._chunk(item["event"])
        if item.get("reasoningText"):
            return [*self._said(), *self.reasoning.append(0, item["reasoningText"])]
        if "citation" in item:
            return [*self._said(), self._citation(item["citation"])]
        if "message" in item:
            return self._message(item["message"])
        if "start_event_loop" in item:
            return self.ended()
        if "tool_stream_event" in item:
            return self._of_tool(item["tool_stream_event"])
        if "result" in item and hasattr(item["result"], "stop_reason"):
            return self._result(str(item["result"].stop_reason))
        return ()

    def _chunk(self, chunk: Mapping[str, Any]) -> list[StreamEvent]:
        if "messageStart" in chunk:
            if not self.open:
                self._speaking = True
                return self.began()
            return self._again()
        if "messageStop" in chunk:
            self.word = chunk["messageStop"].get("stopReason")
            self._speaking = False
        elif "metadata" in chunk:
            usage = dict(chunk["metadata"].get("usage") or {})
            counts = (usage.pop("inputTokens", 0), usage.pop("outputTokens", 0))
            return [Usage(*counts, usage or None, scope=self.scope)]
        elif text := (chunk.get("redactContent") or {}).get("redactAssistantContentMessage"):
            return [*self.began(), *self.text.reset(text)]
        return []

    def _said(self) -> list[StreamEvent]:
        if self._speaking:
            return []
        self._speaking = True
        return self._again() if self.open else self.began()

    def _again(self) -> list[StreamEvent]:
        """The model is called once more within its turn: a hook, or strands itself, has retried it."""
        self._speaking = True
        self.attempt += 1
        self.word = None
        self.called = False
        self.text.clear()
        self.reasoning.clear()
        return [AttemptSuperseded(self.turn, self.attempt, scope=self.scope)]

    def _message(self, message: Mapping[str, Any]) -> list[StreamEvent]:
        found: list[StreamEvent] = []
        for block in message.get("content", ()):
            if call := block.get("toolUse"):
                self.called = True
                self.calls.names[call["toolUseId"]] = call["name"]
                arguments = as_text(call.get("input") or {})
                found.append(ToolCall(call["toolUseId"], call["name"], arguments, scope=self.scope))
            elif result := block.get("toolResult"):
                found += self._tool_ended(result)
        if message.get("role") == "assistant":
            return [*self.began(), *found, *self.ended()]
        return [*self.ended(), *found]

    def _tool_ended(self, result: Mapping[str, Any]) -> list[StreamEvent]:
        id = result["toolUseId"]
        inner = self._inner.pop(id, None)
        content = "".join(
            block["text"] if "text" in block else as_text(block.get("json", block))
            for block in result.get("content", ())
        )
        return [
            *(inner.finish() if inner is not None else ()),
            ToolResult(
                id, self.calls.names.get(id, ""), content, result.get("status") == "error", scope=self.scope
            ),
        ]

    def _of_tool(self, said: Mapping[str, Any]) -> Iterable[StreamEvent]:
        """What a tool yields is its own affair, unless it is an agent's stream."""
        data = said.get("data")
        if not isinstance(data, Mapping):
            return ()
        id = said["tool_use"]["toolUseId"]
        if id not in self._inner:
            self._inner[id] = _Reader(f"{self.scope}/{id}" if self.scope else id)
        return self._inner[id].read(data)

    def _result(self, word: str) -> list[StreamEvent]:
        self.outcome = _OUTCOMES.get(word, Outcome.COMPLETED)
        if self.open:
            self.word = word
        ended = self.ended()
        self.last = stop_reason(word)
        return ended

    def _citation(self, citation: Mapping[str, Any]) -> StreamEvent:
        location = citation.get("location") or {}
        place = location.get("web") or location
        quote = "".join(block.get("text", "") for block in citation.get("sourceContent") or ())
        return Citation(citation.get("title"), place.get("url"), quote or None, scope=self.scope)
