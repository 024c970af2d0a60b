"""One script, and three models that say it: `ScriptedClient`, and the clients of the real openai package on a
local server that speaks the Responses wire or that of Chat Completions.

In tests/unit/agents the fixture `model` is a `Models` of each of the three.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from cadenza.agents import ModelError, OpenAIChatClient, OpenAIResponsesClient, ScriptedClient
from cadenza.events import Raw, Reasoning, StopReason, Text, ToolCall
from openai_wire import Call, ChatManner, OpenAIServer, Reply, Say, Think
from openai_wire.chat_chunks import chunks
from openai_wire.responses_events import Sheet

Kind: TypeAlias = Literal["scripted", "responses", "chat"]


class Models:
    """Makes clients of one kind. Each says the script that it is made with, whatever the others say."""

    def __init__(self, kind: Kind, server: OpenAIServer | None = None) -> None:
        self.kind = kind
        self.server = server
        self._scripts: dict[str, list[Any]] = {}
        self._names: dict[int, str] = {}
        self._openai = server.client() if server is not None else None

    def __call__(self, turns: Sequence[Any], *, words: bool = False) -> Any:
        """A client that says these turns, written as for `ScriptedClient`. On a wire, a turn may have one
        wait, between two pieces of its text, and counts it from the request."""
        if self.server is None:
            return ScriptedClient(turns, words=words)
        name = f"model-{len(self._scripts)}"
        self._scripts[name] = [_reply(turn, words, self.kind) for turn in turns]
        self.server.say(*[self._next] * len(turns))
        kinds: dict[str, Any] = {"responses": OpenAIResponsesClient, "chat": OpenAIChatClient}
        client = kinds[self.kind](name, client=self._openai)
        self._names[id(client)] = name
        return client

    def _next(self, body: dict[str, Any]) -> Reply:
        reply: Reply
        reply, wait = self._scripts[body["model"]].pop(0)
        if wait is not None:
            reply.gate_at = _places(reply, body, self.kind)[wait[0]]
            reply.gate = asyncio.Event()
            asyncio.get_running_loop().call_later(wait[1], reply.gate.set)
        return reply

    def asked(self, client: Any) -> list[list[tuple[str, str]]]:
        """The role and the text of each message of each request that `client` made."""
        if self.server is None:
            return [[(said.role, said.text) for said in request.messages] for request in client.requests]
        bodies = [body for body in self.server.creations if body["model"] == self._names[id(client)]]
        return [
            [(said["role"], _text(said["content"])) for said in body.get("input") or body["messages"]]
            for body in bodies
        ]


def _reply(turn: Any, words: bool, kind: Kind) -> tuple[Reply, tuple[int, float] | None]:
    """The turn as the server says it, and how many pieces of text come before which wait."""
    parts: list[Any] = []
    ends: dict[str, Any] = {}
    pieces: list[str] = []
    wait: tuple[int, float] | None = None
    for item in [turn] if isinstance(turn, str) else turn:
        if item is StopReason.MAX_TOKENS:
            ends = {"status": "incomplete", "reason": "max_output_tokens"}
        elif item is StopReason.CONTENT_FILTERED:
            ends = {"status": "incomplete", "reason": "content_filter"}
        elif item is StopReason.END_TURN:
            ends = {"chat": ChatManner(finish="stop")}
        elif isinstance(item, (str, Text)) and not isinstance(item, StopReason):
            text, phase = (item, None) if isinstance(item, str) else (item.text, item.phase)
            new = re.findall(r"\S+\s*", text) if words else [text]
            pieces += new
            if parts and isinstance(parts[-1], Say) and parts[-1].phase == phase:
                new = [*parts.pop().pieces, *new]
            parts.append(Say(*new, phase=phase))
        elif isinstance(item, ToolCall):
            parts.append(Call(item.name, item.arguments or "{}", id=item.id))
        elif isinstance(item, Reasoning):
            parts.append(Think(item.text))
        elif isinstance(item, float) and wait is None:
            wait = len(pieces), item
        elif isinstance(item, ModelError):
            ends = {"status": "failed", "error": (item.code or "server_error", str(item))}
        elif not isinstance(item, Raw):  # the wire has its own
            raise ValueError(f"The wire cannot say {item!r}")
    return Reply(*parts, **ends), wait


def _places(reply: Reply, body: dict[str, Any], kind: Kind) -> list[int]:
    """The number of the event of each piece of text."""
    if kind == "responses":
        events = Sheet(reply, body, "r", str).events
        return [
            number for number, event in enumerate(events) if event["type"] == "response.output_text.delta"
        ]
    return [
        number
        for number, chunk in enumerate(chunks(reply, body, str))
        if chunk["choices"] and chunk["choices"][0]["delta"].get("content")
    ]


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())
