"""openai-agents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

from agents import Agent, Model, RunConfig, Runner, function_tool
from openai_wire import Call, Reply, Say, Think as Thought, validation
from openai_wire.responses_events import Sheet

from frameworks.script import Add, Script, Think

LAST_EVENT = {
    str: "response.output_text.delta",
    Think: "response.reasoning_summary_text.done",
    Add: "response.output_item.done",
}
"""By the kind of an item: the event that it ends with."""


class ScriptedModel(Model):  # type: ignore[misc]
    def __init__(self, script: Script) -> None:
        self._script = script
        self._numbers = count(1)

    async def get_response(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    async def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        request = {"model": "scripted", "input": []}
        items = self._script.turns[self._script.calls]
        sheet = Sheet(Reply(*_parts(items)), request, self._new_id("resp"), self._new_id)
        events = (validation.event_types()[event["type"]].model_validate(event) for event in sheet.events)
        turn = self._script.turn()
        try:
            async for item in turn:
                for event in events:
                    yield event
                    if event.type == LAST_EVENT[type(item)]:  # type: ignore[attr-defined]
                        break
        finally:
            await turn.aclose()  # type: ignore[attr-defined]
        for event in events:
            yield event

    def _new_id(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers)}"


def _parts(items: Any) -> list[Any]:
    parts: list[Any] = []
    for item in items:
        if isinstance(item, str) and parts and isinstance(parts[-1], Say):
            parts[-1].pieces += (item,)
        elif isinstance(item, str):
            parts.append(Say(item))
        elif isinstance(item, Think):
            parts.append(Thought(item.text))
        elif isinstance(item, Add):
            parts.append(Call("add", {"a": item.a, "b": item.b}, id=item.id))
    return parts


def run(script: Script) -> Any:
    agent = Agent("adder", model=ScriptedModel(script), tools=[function_tool(script.add)])
    return Runner.run_streamed(agent, "What is 1 + 2?", run_config=RunConfig(tracing_disabled=True))


def stream_events(script: Script) -> Any:
    return run(script).stream_events()


SOURCES = {"Runner.run_streamed()": run, "run.stream_events()": stream_events}
