"""What is so of openai-agents alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cadenza.agents.adapters.openai_agents import events
from cadenza.events import Outcome, RunEnded, StopReason, StreamEvent, Text, TurnEnded

from frameworks.marks import FRAMEWORKS
from frameworks.reading import collect, of, said
from frameworks.script import Add, Script

pytestmark = FRAMEWORKS


@pytest.fixture
def openai_agents(on: Callable[[str], Any]) -> Any:
    return on("openai_agents")


async def test_a_run_that_is_closed_is_cancelled_and_over(clock: object, openai_agents: Any) -> None:
    run = openai_agents.run(Script(["It ", 30.0, "is"]))
    stream = events(run)
    async for event in stream:
        if isinstance(event, Text):
            break
    await stream.aclose()  # type: ignore[attr-defined]
    assert run.is_complete
    assert run.run_loop_task.done()


async def test_a_run_that_somebody_else_cancels_is_cancelled(clock: object, openai_agents: Any) -> None:
    run = openai_agents.run(Script(["It ", "is ", 30.0, "3."]))
    seen: list[StreamEvent] = []
    async for event in events(run):
        seen.append(event)
        if isinstance(event, Text):
            run.cancel()
    assert of(seen, RunEnded) == [RunEnded(Outcome.CANCELLED, StopReason.CANCELLED)]


async def test_too_many_turns_are_a_limit(clock: object, openai_agents: Any) -> None:
    from agents import Agent, Runner, function_tool

    script = Script(["Let me see.", Add(1, 2, "a")], [Add(1, 2, "b")])
    model = openai_agents.ScriptedModel(script)
    agent = Agent("adder", model=model, tools=[function_tool(script.add)])
    seen: list[StreamEvent] = []
    with pytest.raises(Exception, match="Max turns"):
        await collect(events(Runner.run_streamed(agent, "hi", max_turns=1)), seen)
    assert said(seen) == "Let me see."
    assert of(seen, RunEnded)[0].stop_reason == StopReason.LIMIT


async def test_a_hand_over_to_another_agent_is_another_turn(clock: object, openai_agents: Any) -> None:
    from agents import Agent, Runner

    other = Agent("other", model=openai_agents.ScriptedModel(Script(["It ", "is 3."])))

    class HandsOver(openai_agents.ScriptedModel):  # type: ignore[misc]
        async def stream_response(self, *args: Any, **named: Any) -> Any:
            async for event in super().stream_response(*args, **named):
                if event.type == "response.output_item.done" and event.item.type == "function_call":
                    event.item.name = "transfer_to_other"
                    event.item.arguments = "{}"
                if event.type == "response.completed":
                    for item in event.response.output:
                        if item.type == "function_call":
                            item.name, item.arguments = "transfer_to_other", "{}"
                yield event

    first = Agent("first", model=HandsOver(Script(["One moment.", Add(1, 2)])), handoffs=[other])
    seen = await collect(events(Runner.run_streamed(first, "hi")))
    assert said(seen) == "One moment.|It is 3."
    assert [end.turn for end in of(seen, TurnEnded)] == [1, 2]
