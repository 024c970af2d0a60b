"""strands-agents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from strands import Agent, tool
from strands.models import Model

from frameworks.script import Add, Script, Think


class ScriptedModel(Model):  # type: ignore[misc]
    def __init__(self, script: Script, stop: str = "end_turn") -> None:
        self._script = script
        self._stop = stop

    def update_config(self, **_: Any) -> None: ...

    def get_config(self) -> Any:
        return {}

    async def structured_output(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        yield {}

    async def stream(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        yield {"messageStart": {"role": "assistant"}}
        turn = self._script.turn()
        try:
            async for item in turn:
                if isinstance(item, Add):
                    yield {"contentBlockStart": {"start": {"toolUse": {"toolUseId": item.id, "name": "add"}}}}
                    for piece in item.pieces:
                        yield delta(toolUse={"input": piece})
                    yield {"contentBlockStop": {}}
                elif isinstance(item, Think):
                    yield delta(reasoningContent={"text": item.text})
                    yield {"contentBlockStop": {}}
                else:
                    yield delta(text=item)
        finally:
            await turn.aclose()  # type: ignore[attr-defined]
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "tool_use" if self._script.call_is_next else self._stop}}
        yield {"metadata": {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "metrics": {}}}


def delta(**fields: Any) -> Any:
    return {"contentBlockDelta": {"delta": fields}}


def agent(script: Script, stop: str = "end_turn", **options: Any) -> Any:
    async def add(a: int, b: int) -> str:
        """Adds two numbers."""
        return await script.add(a, b)

    model = ScriptedModel(script, stop)
    return Agent(model=model, tools=[tool(add)], callback_handler=None, retry_strategy=None, **options)


def stream_async(script: Script) -> Any:
    return agent(script).stream_async("What is 1 + 2?")


SOURCES = {"agent.stream_async()": stream_async}
