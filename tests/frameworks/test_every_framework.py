"""What is so of the streams of each framework."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest
from cadenza.agents import TurnFilter
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App
from cadenza.events import (
    Outcome,
    Reasoning,
    RunEnded,
    RunStarted,
    StopReason,
    StreamEvent,
    Text,
    ToolCall,
    ToolResult,
    TurnEnded,
    TurnStarted,
    Usage,
    from_dict,
    to_dict,
)
from cadenza.testing import User

from frameworks.marks import FRAMEWORKS
from frameworks.reading import collect, said
from frameworks.script import Add, Item, Script, Think

pytestmark = FRAMEWORKS

Source = tuple[Callable[[Script], Any], Callable[[Any], Any]]

SOURCES = [
    ("agent_framework", "agent.run(stream=True)"),
    ("langchain", 'agent.astream(stream_mode="messages")'),
    ("langchain", "agent.astream() of some modes"),
    ("langchain", "agent.astream() with subgraphs"),
    ("langchain", "agent.astream() of version v2"),
    ("langchain", "agent.astream_events()"),
    ("openai_agents", "Runner.run_streamed()"),
    ("openai_agents", "run.stream_events()"),
    ("pydantic_ai", "agent.run_stream_events()"),
    ("strands", "agent.stream_async()"),
]


@pytest.fixture(params=SOURCES, ids=lambda source: ": ".join(source))
def source(request: pytest.FixtureRequest, on: Callable[[str], Any]) -> Source:
    """How a source plays a script, and its adapter."""
    framework, name = request.param
    module = __import__(f"cadenza.agents.adapters.{framework}", fromlist=["events"])
    return on(framework).SOURCES[name], module.events


TOOL_AND_ANSWER: tuple[list[Item], ...] = (
    ["Let me ", "see.", Add(1, 2)],
    [Think("Easy"), "It ", "is ", "3."],
)


async def test_text_comes_whole_and_once_with_the_tools_between(clock: object, source: Source) -> None:
    play, adapt = source
    script = Script(*TOOL_AND_ANSWER)
    events = await collect(adapt(play(script)))
    assert script.tools == [(1, 2)]
    assert [event.text for event in events if isinstance(event, Text)] == [
        "Let me ",
        "see.",
        "It ",
        "is ",
        "3.",
    ]
    kinds = [type(event) for event in events if not isinstance(event, Text | Usage | Reasoning)]
    turn = [TurnStarted, TurnEnded]
    assert kinds == [RunStarted, TurnStarted, ToolCall, TurnEnded, ToolResult, *turn, RunEnded]
    (call,) = [event for event in events if isinstance(event, ToolCall)]
    assert (call.id, call.name, call.arguments.replace(" ", "")) == ("call-1", "add", '{"a":1,"b":2}')
    (result,) = [event for event in events if isinstance(event, ToolResult)]
    assert (result.id, result.name, result.content, result.error) == ("call-1", "add", "3", False)
    ends = [(event.turn, event.stop_reason) for event in events if isinstance(event, TurnEnded)]
    assert ends[1] == (2, StopReason.END_TURN)
    assert ends[0][0] == 1
    assert events[-1] == RunEnded(Outcome.COMPLETED, StopReason.END_TURN)
    assert "".join(event.text for event in events if isinstance(event, Reasoning)) == "Easy"
    assert any(isinstance(event, Usage) for event in events)
    assert [from_dict(to_dict(event)) for event in events] == events


async def test_pipe_finds_the_adapter_and_shows_the_answer(app: App, user: User, source: Source) -> None:
    play, _ = source

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.stream.pipe(play(Script(*TOOL_AND_ANSWER)))

    await user.say("What is 1 + 2?")
    assert [(message.state, message.text) for message in user.screen.messages] == [
        ("final", "Let me see.\n\nIt is 3.")
    ]
    assert user.screen.last.ai_generated


async def test_with_a_turn_filter_the_answer_alone_is_shown(app: App, user: User, source: Source) -> None:
    play, adapt = source

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.stream.pipe(TurnFilter("final").apply(adapt(play(Script(*TOOL_AND_ANSWER)))))

    await user.say("What is 1 + 2?")
    assert user.screen.text == "It is 3."


class BrokenError(Exception):
    pass


async def test_a_run_that_breaks_gives_its_text_first_and_then_the_error(
    clock: object, source: Source
) -> None:
    play, adapt = source
    events: list[StreamEvent] = []
    with pytest.raises(Exception, match="It broke") as raised:
        await collect(adapt(play(Script(["It ", "is ", BrokenError("It broke")]))), events)
    assert said(events) == "It is "
    assert isinstance(events[-2], TurnEnded)
    assert events[-2].stop_reason == StopReason.ERROR
    assert isinstance(events[-1], RunEnded)
    assert (events[-1].outcome, events[-1].error) == (Outcome.FAILED, type(raised.value).__name__)


async def test_what_a_broken_run_has_said_stays_on_the_screen(app: App, user: User, source: Source) -> None:
    play, _ = source
    errors: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        try:
            await ctx.stream.pipe(play(Script(["It ", "is ", 2.0, BrokenError("It broke")])))
        except Exception as error:
            errors.append(str(error))

    await user.say("What is 1 + 2?")
    assert user.screen.text == "It is "
    assert len(errors) == 1


async def test_stop_ends_the_foreign_run(app: App, user: User, source: Source) -> None:
    play, _ = source
    script = Script(["It ", "is ", 30.0, "3.", 30.0, " Really."])

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.stream.pipe(play(script))

    saying = asyncio.create_task(user.say("What is 1 + 2?"))
    await asyncio.sleep(20)
    user.press_stop()
    await asyncio.sleep(20)
    gc.collect()
    await asyncio.sleep(0)
    assert script.left
    await saying
    assert [(message.state, message.text) for message in user.screen.messages] == [("stopped", "It is ")]


async def test_a_stream_that_is_closed_early_ends_its_run_at_once(clock: object, source: Source) -> None:
    play, adapt = source
    script = Script(["It ", 30.0, "is ", "3."])
    began = asyncio.get_running_loop().time()
    events = adapt(play(script))
    async for event in events:
        if isinstance(event, Text):
            break
    await events.aclose()
    await events.aclose()
    assert [event async for event in events] == []
    del events
    gc.collect()
    await asyncio.sleep(0.1)
    assert script.left
    assert asyncio.get_running_loop().time() - began < 1


# agent-framework has made a coroutine by then, and lets it fall.
@pytest.mark.filterwarnings("ignore:.*was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_stream_that_is_closed_unread_asks_no_model_anything_more(
    clock: object, source: Source
) -> None:
    play, adapt = source
    script = Script(["It ", 30.0, "is ", "3."])
    events = adapt(play(script))
    await events.aclose()
    del events
    gc.collect()
    await asyncio.sleep(60)
    assert script.calls == 0 or script.left


async def test_two_calls_in_one_turn_have_their_results_each(clock: object, source: Source) -> None:
    play, adapt = source
    script = Script([Add(1, 2, "call-1"), Add(3, 4, "call-2")], ["3 and 7."])
    events = await collect(adapt(play(script)))
    calls = [event.id for event in events if isinstance(event, ToolCall)]
    results = {event.id: event.content for event in events if isinstance(event, ToolResult)}
    assert calls == ["call-1", "call-2"]
    assert results == {"call-1": "3", "call-2": "7"}
    assert said(events) == "3 and 7."
