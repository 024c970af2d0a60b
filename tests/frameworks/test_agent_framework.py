"""What is so of agent-framework alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cadenza.agents import ModelError
from cadenza.agents.adapters.agent_framework import events
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App
from cadenza.events import Citation, Outcome, RunEnded, StopReason, StreamEvent, Text, ToolCall, TurnEnded
from cadenza.testing import User
from openai_wire import Call, OpenAIServer, Reply, Say, Think

from frameworks.marks import FRAMEWORKS
from frameworks.reading import collect, of, said
from frameworks.script import Add, Script

pytestmark = FRAMEWORKS


@pytest.fixture
def framework(on: Callable[[str], Any]) -> Any:
    return on("agent_framework")


def saying(framework: Any, *updates: Any) -> Any:
    """The stream of an agent whose model gives these updates."""
    from agent_framework import Agent

    client = framework.ScriptedClient(Script())

    async def turn() -> Any:
        for update in updates:
            yield update

    client._updates = turn
    return Agent(client=client).run("hi", stream=True)


async def test_002_12_a_whole_text_that_repeats_its_pieces_is_shown_once(
    app: App, user: User, framework: Any
) -> None:
    from agent_framework import Content

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        text, update = Content.from_text, framework.update
        pieces = [update(text("It ")), update(text("is 3.")), update(text("It is 3.", merge_mode="replace"))]
        await ctx.stream.pipe(saying(framework, *pieces, update(text(" Really."))))

    await user.say("hi")
    assert user.screen.text == "It is 3. Really."


async def test_a_whole_text_that_differs_takes_the_place_of_its_pieces(clock: object, framework: Any) -> None:
    from agent_framework import Content

    text, update = Content.from_text, framework.update
    updates = [update(text("It ")), update(text("was")), update(text("It is 3.", merge_mode="replace"))]
    seen = await collect(events(saying(framework, *updates)))
    assert of(seen, Text)[-1] == Text("It is 3.", "replace")
    assert said(seen) == "It is 3."


async def test_a_whole_message_takes_the_place_of_all_its_text(clock: object, framework: Any) -> None:
    from agent_framework import Content

    text, update = Content.from_text, framework.update
    updates = [update(text("It ")), update(text("It is 3."), merge_mode="replace")]
    assert said(await collect(events(saying(framework, *updates)))) == "It is 3."


async def test_the_session_is_saved_when_the_stream_was_read_to_its_end(
    clock: object, framework: Any
) -> None:
    from agent_framework import Agent

    agent = Agent(client=framework.ScriptedClient(Script(["One."], ["Two."])))
    session = agent.create_session()
    await collect(events(agent.run("first", stream=True, session=session)))
    saved = session.state["in_memory"]["messages"]
    assert [message.text for message in saved] == ["first", "One."]


async def test_a_call_that_waits_for_approval_interrupts_the_run(clock: object, framework: Any) -> None:
    from agent_framework import Agent, FunctionTool

    script = Script([Add(1, 2)])
    asks = FunctionTool(name="add", description="Adds", func=script.add, approval_mode="always_require")
    agent = Agent(client=framework.ScriptedClient(script), tools=[asks])
    seen = await collect(events(agent.run("hi", stream=True)))
    assert script.tools == []
    assert of(seen, RunEnded)[0].outcome == Outcome.INTERRUPTED


def real_client(server: OpenAIServer) -> Any:
    from agent_framework.openai import OpenAIChatClient

    return OpenAIChatClient(model="gpt-5", async_client=server.client())


async def test_with_the_real_client_text_calls_and_citations_come_once(clock: object, framework: Any) -> None:
    from agent_framework import Agent

    cited = {
        "type": "url_citation",
        "start_index": 0,
        "end_index": 2,
        "title": "T",
        "url": "https://t.example",
    }
    script = Script()
    async with OpenAIServer() as server:
        server.say(
            Reply(Say("Let me ", "see."), Call("add", {"a": 1, "b": 2}, id="call-1")),
            Reply(Think("Easy."), Say("It ", "is 3.", annotations=(cited,))),
        )
        agent = Agent(client=real_client(server), tools=[script.add])
        seen = await collect(events(agent.run("hi", stream=True)))
    assert script.tools == [(1, 2)]
    assert said(seen) == "Let me see.|It is 3."
    assert all(text.mode == "append" for text in of(seen, Text))
    assert of(seen, Citation) == [Citation("T", "https://t.example", start=0, end=2)]
    assert [call.id for call in of(seen, ToolCall)] == ["call-1"]


async def test_a_response_that_has_failed_is_an_error_and_no_empty_answer(
    clock: object, framework: Any
) -> None:
    from agent_framework import Agent

    async with OpenAIServer() as server:
        server.say(Reply(Say("It "), status="failed", error=("server_error", "Out of order.")))
        seen: list[StreamEvent] = []
        with pytest.raises(ModelError, match=r"Out of order\.") as raised:
            await collect(events(Agent(client=real_client(server)).run("hi", stream=True)), seen)
    assert raised.value.code == "server_error"
    assert said(seen) == "It "
    assert [end.stop_reason for end in of(seen, TurnEnded)] == [StopReason.ERROR]
    assert of(seen, RunEnded)[0].error == "server_error"


async def test_a_generator_around_a_stream_is_closed_with_it(clock: object, framework: Any) -> None:
    closed: list[bool] = []

    async def around() -> Any:
        try:
            async for update in framework.run(Script(["It ", 3.0, "is"])):
                yield update
        finally:
            closed.append(True)

    generator = around()
    stream = events(generator)
    async for event in stream:
        if isinstance(event, Text):
            break
    await stream.aclose()  # type: ignore[attr-defined]
    assert closed == [True]


async def test_agents_of_a_workflow_that_speak_at_once_are_heard_one_after_the_other(
    clock: object, framework: Any
) -> None:
    alpha = Script(["Alpha ", 1.0, "one", Add(1, 2)], ["Alpha ", 1.0, "two"])
    beta = Script([0.5, "Beta ", 1.0, "one ", 3.0, "end"])
    seen = await collect(events(framework.side_by_side(a=alpha, b=beta)))
    assert said(seen) == "Alpha one|Beta one end|Alpha two"
    assert all(text.mode == "append" for text in of(seen, Text))
