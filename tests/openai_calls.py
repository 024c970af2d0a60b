"""What the tests of both clients of OpenAI do: ask one, and take what it says apart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from cadenza.agents import Message, ModelClient, ModelError, ModelReply, ModelRequest
from cadenza.events import StreamEvent, Text
from openai_wire import OpenAIServer

__all__ = ["all_of", "ask", "request", "text_of", "until_it_fails"]


def request(*messages: Message | str, **fields: Any) -> ModelRequest:
    """A request with these messages, and with one that says "Hi" where there are none."""
    asked = tuple(Message.user(one) if isinstance(one, str) else one for one in messages or ("Hi",))
    return ModelRequest(asked, **fields)


async def all_of(events: AsyncIterator[Any]) -> list[Any]:
    """All that is given."""
    return [event async for event in events]


async def until_it_fails(events: AsyncIterator[Any]) -> tuple[list[Any], ModelError]:
    """What is given before the ModelError, and that."""
    given: list[Any] = []
    try:
        async for event in events:
            given.append(event)  # noqa: PERF401 - what came before the error counts
    except ModelError as error:
        return given, error
    raise AssertionError("It did not fail.")


async def ask(
    server: OpenAIServer, reply: Any, client: ModelClient, asked: ModelRequest
) -> tuple[list[Any], ModelReply]:
    """What the client makes of the server's reply: what it gives, and what it gives last."""
    server.say(reply)
    *events, last = await all_of(client.stream(asked))
    assert isinstance(last, ModelReply)
    return events, last


def text_of(events: list[StreamEvent]) -> str:
    """The text that a reader has in the end."""
    text = ""
    for event in events:
        if isinstance(event, Text):
            text = event.text if event.mode == "replace" else text + event.text
    return text
