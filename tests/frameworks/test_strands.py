"""What is so of strands-agents alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from cadenza.agents import TurnFilter
from cadenza.agents.adapters.strands import events
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App
from cadenza.events import (
    AttemptSuperseded,
    Citation,
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
def strands(on: Callable[[str], Any]) -> Any:
    return on("strands")


@pytest.mark.parametrize("filtered", [False, True])
async def test_003_04_a_run_that_reaches_max_tokens_gives_its_text_and_then_raises(
    clock: object, strands: Any, filtered: bool
) -> None:
    stream: Any = events(strands.agent(Script(["It ", "is"]), stop="max_tokens").stream_async("hi"))
    if filtered:
        stream = TurnFilter("final").apply(stream)
    seen: list[StreamEvent] = []
    with pytest.raises(Exception, match="max") as raised:
        await collect(stream, seen)
    assert type(raised.value).__name__ == "MaxTokensReachedException"
    assert said(seen) == "It is"
    assert [end.stop_reason for end in of(seen, TurnEnded)] == [StopReason.MAX_TOKENS]
    (ended,) = of(seen, RunEnded)
    assert (ended.outcome, ended.stop_reason) == (Outcome.FAILED, StopReason.MAX_TOKENS)


def retrying(strands: Any, script: Script) -> Any:
    from strands.hooks import AfterModelCallEvent

    agent = strands.agent(script)

    def retry(event: Any) -> None:
        event.retry = script.calls == 1

    agent.hooks.add_callback(AfterModelCallEvent, retry)
    return agent.stream_async("hi")


async def test_a_model_call_that_a_hook_retries_supersedes_the_first(clock: object, strands: Any) -> None:
    seen = await collect(events(retrying(strands, Script(["A bad ", "one."], ["A good ", "one."]))))
    assert of(seen, AttemptSuperseded) == [AttemptSuperseded(turn=1, attempt=2)]
    assert said(seen) == "A good one."
    assert [end.turn for end in of(seen, TurnEnded)] == [1]


async def test_a_call_that_broke_midway_and_is_retried_supersedes_it(clock: object, strands: Any) -> None:
    script = Script(["A bad ", ConnectionError("It broke")], ["A good ", "one."])
    seen = await collect(events(retrying(strands, script)))
    assert of(seen, AttemptSuperseded) == [AttemptSuperseded(turn=1, attempt=2)]
    assert said(seen) == "A good one."


async def test_003_07_the_screen_shows_the_retried_attempt_alone(app: App, user: User, strands: Any) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.stream.pipe(retrying(strands, Script(["A bad ", 3.0, "one."], ["A good ", "one."])))

    await user.say("hi")
    assert user.screen.text == "A good one."


async def test_003_05_a_tool_that_ends_the_run_leaves_the_reason_tool_use(
    clock: object, strands: Any
) -> None:
    agent = strands.agent(Script(["That is it.", Add(1, 2)]))
    stream = agent.stream_async("hi", invocation_state={"request_state": {"stop_event_loop": True}})
    seen = await collect(TurnFilter("final").apply(events(stream)))
    assert said(seen) == "That is it."
    assert of(seen, RunEnded) == [RunEnded(Outcome.COMPLETED, StopReason.TOOL_USE)]


async def test_003_14_an_agent_that_a_tool_runs_has_a_scope_of_its_own(clock: object, strands: Any) -> None:
    inner = strands.agent(Script(["Inner ", "words."]))
    inner.name = "add"
    outer = strands.agent(Script(["Let me ask.", Add(1, 2)], ["It is 3."]))
    outer.tool_registry.registry.clear()
    outer.tool_registry.process_tools([inner.as_tool(name="add", description="Asks")])

    seen = await collect(TurnFilter("final").apply(events(outer.stream_async("hi"))))
    assert said(seen) == "It is 3."
    assert said(seen, "call-1") == "Inner words."
    assert [ended.scope for ended in of(seen, RunEnded)] == ["call-1", ""]


async def test_words_that_a_guardrail_takes_back_are_replaced(clock: object, strands: Any) -> None:
    agent = strands.agent(Script(["A secret."]), stop="guardrail_intervened")
    stream = agent.model.stream

    async def redacting(*args: Any, **named: Any) -> Any:
        async for chunk in stream(*args, **named):
            yield chunk
        yield {"redactContent": {"redactAssistantContentMessage": "I may not say that."}}

    agent.model.stream = redacting
    seen = await collect(events(agent.stream_async("hi")))
    assert said(seen) == "I may not say that."
    assert of(seen, RunEnded)[0].stop_reason == StopReason.GUARDRAIL


async def test_a_citation_has_title_address_and_words(clock: object, strands: Any) -> None:
    agent = strands.agent(Script(["Water is wet."]))
    stream = agent.model.stream

    async def citing(*args: Any, **named: Any) -> Any:
        async for chunk in stream(*args, **named):
            if "contentBlockStop" in chunk:
                yield strands.delta(
                    citation={
                        "title": "Water",
                        "location": {"web": {"url": "https://example.com/water"}},
                        "sourceContent": [{"text": "It is wet."}],
                    }
                )
            yield chunk

    agent.model.stream = citing
    seen = await collect(events(agent.stream_async("hi")))
    assert of(seen, Citation) == [Citation("Water", "https://example.com/water", "It is wet.")]


async def test_an_agent_whose_stream_was_closed_can_be_asked_again(clock: object, strands: Any) -> None:
    script = Script(["It ", 30.0, "is"], ["Here ", "I am."])
    agent = strands.agent(script)
    first = events(agent.stream_async("hi"))
    async for event in first:
        if isinstance(event, Text):
            break
    await first.aclose()  # type: ignore[attr-defined]
    assert script.left
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert said(await collect(events(agent.stream_async("again")))) == "Here I am."


@pytest.mark.parametrize("nested", [False, True])
async def test_nodes_that_speak_at_once_are_heard_one_after_the_other(
    clock: object, strands: Any, nested: bool
) -> None:
    from strands.multiagent import GraphBuilder

    builder = GraphBuilder()
    scripts = {
        "a": Script(["Alpha ", 1.0, "one.", Add(1, 2)], ["Alpha ", 1.0, "two."]),
        "b": Script([0.5, "Beta ", 1.0, "one."]),
        "c": Script([0.2, "Gamma ", 4.0, "one."]),
    }
    for name, script in scripts.items():
        builder.add_node(strands.agent(script), name)
        builder.set_entry_point(name)
    graph = builder.set_execution_timeout(60).build()
    if nested:
        outer = GraphBuilder()
        outer.add_node(graph, "outer")
        graph = outer.set_execution_timeout(60).build()
    seen = await collect(events(graph.stream_async("hi")))
    words = sorted(said(seen).split("|"))
    assert words == ["Alpha one.", "Alpha two.", "Beta one.", "Gamma one."]
    assert all(text.mode == "append" for text in of(seen, Text))
