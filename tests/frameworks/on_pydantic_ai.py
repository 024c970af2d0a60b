"""pydantic-ai."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.models.function import DeltaThinkingPart, DeltaToolCall, FunctionModel

from frameworks.script import Add, Script, Think


def agent(script: Script) -> Any:
    async def stream(messages: Any, info: Any) -> AsyncIterator[Any]:
        turn = script.turn()
        try:
            index = 0
            async for item in turn:
                index += 1
                if isinstance(item, Add):
                    first, second = item.pieces
                    yield {index: DeltaToolCall(name="add", json_args=first, tool_call_id=item.id)}
                    yield {index: DeltaToolCall(json_args=second)}
                elif isinstance(item, Think):
                    yield {0: DeltaThinkingPart(content=item.text)}
                else:
                    yield item
        finally:
            await turn.aclose()  # type: ignore[attr-defined]

    made = Agent(FunctionModel(stream_function=stream))
    made.tool_plain(script.add)
    return made


def run_stream_events(script: Script) -> Any:
    return agent(script).run_stream_events("What is 1 + 2?")


def run_stream(script: Script) -> Any:
    return agent(script).run_stream("What is 1 + 2?")


SOURCES = {"agent.run_stream_events()": run_stream_events}
