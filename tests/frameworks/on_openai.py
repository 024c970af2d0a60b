"""The openai package. It is in the default environment, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openai import AsyncOpenAI


async def responses_create(client: AsyncOpenAI) -> Any:
    return await client.responses.create(model="gpt-5", input="hi", stream=True)


async def responses_create_not_awaited(client: AsyncOpenAI) -> Any:
    return client.responses.create(model="gpt-5", input="hi", stream=True)


async def responses_stream(client: AsyncOpenAI) -> Any:
    return client.responses.stream(model="gpt-5", input="hi")


async def chat_create(client: AsyncOpenAI) -> Any:
    return await client.chat.completions.create(
        model="gpt-5",
        messages=[{"role": "user", "content": "hi"}],
        stream=True,
        stream_options={"include_usage": True},
    )


async def chat_stream(client: AsyncOpenAI) -> Any:
    return client.chat.completions.stream(
        model="gpt-5",
        messages=[{"role": "user", "content": "hi"}],
        stream_options={"include_usage": True},
    )


SOURCES: dict[str, Callable[[AsyncOpenAI], Any]] = {
    "await responses.create()": responses_create,
    "responses.create()": responses_create_not_awaited,
    "responses.stream()": responses_stream,
    "await chat.completions.create()": chat_create,
    "chat.completions.stream()": chat_stream,
}
