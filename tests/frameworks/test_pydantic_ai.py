"""What is so of pydantic-ai alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from cadenza.agents.adapters.pydantic_ai import events
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App
from cadenza.events import Outcome, RunEnded, StopReason, Text, ToolCall, ToolResult, TurnEnded, Usage
from cadenza.testing import User

from frameworks.marks import FRAMEWORKS
from frameworks.reading import collect, of, said
from frameworks.script import Add, Script

pytestmark = FRAMEWORKS


@pytest.fixture
def pydantic_ai(on: Callable[[str], Any]) -> Any:
    return on("pydantic_ai")


async def test_pipe_takes_the_context_manager_of_run_stream(app: App, user: User, pydantic_ai: Any) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.stream.pipe(pydantic_ai.run_stream(Script([Add(1, 2)], ["It ", "is 3."])))

    await user.say("hi")
    assert user.screen.text == "It is 3."


async def test_pipe_takes_what_stands_behind_async_with(app: App, user: User, pydantic_ai: Any) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        agent = pydantic_ai.agent(Script([Add(1, 2)], ["It ", "is 3."], ["And ", "on."]))
        async with agent.run_stream_events("hi") as stream:
            await ctx.stream.pipe(stream)
        async with agent.run_stream("hi") as result:
            await ctx.stream.pipe(result)

    await user.say("hi")
    assert [message.text for message in user.screen.messages] == ["It is 3.", "And on."]


async def test_run_stream_that_is_closed_leaves_no_model_behind(clock: object, pydantic_ai: Any) -> None:
    script = Script(["It ", 30.0, "is ", "3."])
    stream = events(pydantic_ai.run_stream(script))
    async for event in stream:
        if isinstance(event, Text):
            break
    await stream.aclose()  # type: ignore[attr-defined]
    assert script.left


async def test_the_result_of_run_stream_says_what_it_cost(clock: object, pydantic_ai: Any) -> None:
    seen = await collect(events(pydantic_ai.run_stream(Script(["It ", "is 3."]))))
    assert said(seen) == "It is 3."
    assert of(seen, Usage)[0].output_tokens > 0
    assert of(seen, RunEnded) == [RunEnded(Outcome.COMPLETED, StopReason.END_TURN)]


async def test_the_test_model_calls_its_tool_and_answers(clock: object, pydantic_ai: Any) -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.test import TestModel

    script = Script()
    agent = Agent(TestModel(custom_output_text="It is done."))
    agent.tool_plain(script.add)
    seen = await collect(events(agent.run_stream_events("hi")))
    assert said(seen) == "It is done."
    assert [call.name for call in of(seen, ToolCall)] == ["add"]
    assert [result.content for result in of(seen, ToolResult)] == ["0"]
    assert [end.turn for end in of(seen, TurnEnded)] == [1, 2]


async def test_an_answer_that_a_validator_refuses_is_a_turn_of_its_own(
    clock: object, pydantic_ai: Any
) -> None:
    from pydantic_ai import ModelRetry

    agent = pydantic_ai.agent(Script(["No ", "idea."], ["It ", "is 3."]))

    def check(text: str) -> str:
        if "3" not in text:
            raise ModelRetry("Say a number")
        return text

    agent.output_validator(check)
    seen = await collect(events(agent.run_stream_events("hi")))
    assert said(seen) == "No idea.|It is 3."
    assert [end.turn for end in of(seen, TurnEnded)] == [1, 2]


async def test_a_tool_that_asks_for_another_try_gives_a_result_that_is_an_error(
    clock: object, pydantic_ai: Any
) -> None:
    from pydantic_ai import Agent, ModelRetry
    from pydantic_ai.models.function import DeltaToolCall, FunctionModel

    async def model(messages: Any, info: Any) -> AsyncIterator[Any]:
        if len(messages) < 4:
            yield {0: DeltaToolCall(name="look", json_args="{}", tool_call_id=f"call-{len(messages)}")}
        else:
            yield "Found."

    agent = Agent(FunctionModel(stream_function=model))

    def look() -> str:
        if len(tried) < 1:
            tried.append(1)
            raise ModelRetry("Look again")
        return "there"

    agent.tool_plain(look, retries=2)
    tried: list[int] = []
    seen = await collect(events(agent.run_stream_events("hi")))
    first, second = of(seen, ToolResult)
    assert (first.error, second.error) == (True, False)
    assert "Look again" in first.content
    assert said(seen) == "Found."


def test_what_is_no_stream_of_it_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"int is no stream of pydantic-ai.*run_stream_events"):
        events(3)


async def test_the_nodes_of_iter_are_refused_before_any_model_is_asked(
    clock: object, pydantic_ai: Any
) -> None:
    script = Script(["It is 3."])
    with pytest.raises(TypeError, match=r"UserPromptNode is no event .*iter\(\).*run_stream_events"):
        await collect(events(pydantic_ai.agent(script).iter("hi")))
    assert script.calls == 0
