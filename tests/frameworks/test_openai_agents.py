"""What is so of openai-agents alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from cadenza.agents.adapters.openai_agents import events
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App
from cadenza.events import (
    AttemptSuperseded,
    Outcome,
    RunEnded,
    StopReason,
    StreamEvent,
    Text,
    TurnEnded,
)
from cadenza.testing import User

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


async def test_a_response_that_is_asked_for_anew_supersedes_what_came_of_the_one_before(
    clock: object, openai_agents: Any
) -> None:
    from agents import Agent, Runner

    class Retries(openai_agents.ScriptedModel):  # type: ignore[misc]
        async def stream_response(self, *args: Any, **named: Any) -> Any:
            async for event in super().stream_response(*args, **named):
                if event.type == "response.completed":
                    break
                yield event
            async for event in super().stream_response(*args, **named):
                yield event

    script = Script(["It was", Add(1, 2, "a")], ["It ", "is 3."])
    seen = await collect(events(Runner.run_streamed(Agent("adder", model=Retries(script)), "hi")))
    assert said(seen) == "It is 3."
    assert of(seen, AttemptSuperseded) == [AttemptSuperseded(1, 2)]
    assert [(end.turn, end.stop_reason) for end in of(seen, TurnEnded)] == [(1, StopReason.END_TURN)]


def breaking(run: Any) -> Any:
    async def answer() -> Any:
        async for event in run.stream_events():
            yield event
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                break

    return answer()


def raising(run: Any) -> Any:
    async def answer() -> Any:
        async for event in run.stream_events():
            yield event
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                raise ValueError("It broke")

    return answer()


def in_another(run: Any) -> Any:
    async def answer(inner: Any) -> Any:
        async for event in inner:
            yield event

    return answer(breaking(run))


@pytest.mark.parametrize("wrap", [breaking, raising, in_another])
@pytest.mark.parametrize("adapter", [None, "agents"])
async def test_a_run_that_a_generator_leaves_is_cancelled(
    app: App, user: User, openai_agents: Any, wrap: Any, adapter: str | None
) -> None:
    script = Script(["It ", 3.0, "is", Add(1, 2)], ["3."])

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        with suppress(ValueError):
            await ctx.stream.pipe(wrap(openai_agents.run(script)), adapter=adapter)

    await user.say("hi")
    await asyncio.sleep(60)
    assert (script.calls, script.tools, script.left) == (1, [], True)


async def test_stop_ends_the_run_behind_a_generator_that_is_busy_itself(
    app: App, user: User, openai_agents: Any
) -> None:
    script = Script(["It ", "is ", 3.0, "3.", 30.0, Add(1, 2)], ["3."])

    async def slow() -> Any:
        async for event in openai_agents.run(script).stream_events():
            yield event
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                await asyncio.sleep(4)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.stream.pipe(slow())

    saying = asyncio.create_task(user.say("hi"))
    await asyncio.sleep(6)
    user.press_stop()
    await saying
    await asyncio.sleep(60)
    assert (script.calls, script.tools, script.left) == (1, [], True)


async def test_runs_that_follow_each_other_in_a_generator_are_each_cancelled(
    clock: object, openai_agents: Any
) -> None:
    runs = [openai_agents.run(Script(["One. "])), openai_agents.run(Script(["Two. ", 30.0, "Three."]))]

    async def both() -> Any:
        for run in runs:
            async for event in run.stream_events():
                if event.type == "raw_response_event":
                    yield event

    stream = events(both())
    async for event in stream:
        if isinstance(event, Text) and event.text == "Two. ":
            break
    await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    assert [run.run_loop_task.done() for run in runs] == [True, True]


async def test_events_that_do_not_show_of_which_run_they_are_are_refused(
    clock: object, openai_agents: Any
) -> None:
    run = openai_agents.run(Script(["It is 3."]))

    class Hides:
        def __init__(self) -> None:
            self._events = run.stream_events()

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> Any:
            return await anext(self._events)

    with pytest.raises(TypeError, match=r"Hides gives events .* give what Runner\.run_streamed\(\) returns"):
        await collect(events(Hides()))
    run.cancel()
