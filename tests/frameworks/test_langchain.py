"""What is so of langchain and langgraph alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cadenza.agents.adapters import langchain as adapter
from cadenza.agents.adapters.langchain import events
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App
from cadenza.events import (
    AttemptSuperseded,
    Outcome,
    RunEnded,
    Status,
    StopReason,
    StreamEvent,
    Text,
    ToolResult,
    TurnEnded,
    Usage,
)
from cadenza.testing import User

from frameworks.marks import FRAMEWORKS
from frameworks.reading import collect, of, said
from frameworks.script import Add, Item, Script

pytestmark = FRAMEWORKS


@pytest.fixture
def langchain(on: Callable[[str], Any]) -> Any:
    return on("langchain")


async def test_pipe_takes_a_model_and_a_chain_of_text(app: App, user: User, langchain: Any) -> None:
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.output_parsers import StrOutputParser

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        model = GenericFakeChatModel(messages=iter(["It is 3.", "It is 4."]))
        await ctx.stream.pipe(model.astream("1 + 2?"))
        await ctx.stream.pipe((model | StrOutputParser()).astream("1 + 3?"))

    await user.say("hi")
    assert [message.text for message in user.screen.messages] == ["It is 3.", "It is 4."]


async def test_updates_alone_give_whole_messages(clock: object, langchain: Any) -> None:
    agent = langchain.agent(Script(["Let me see.", Add(1, 2)], ["It ", "is 3."]))
    seen = await collect(events(agent.astream(langchain.QUESTION, stream_mode="updates")))
    assert said(seen) == "Let me see.|It is 3."
    assert [result.content for result in of(seen, ToolResult)] == ["3"]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("mode", ["values", ["values"]])
async def test_whole_states_are_refused(clock: object, langchain: Any, version: str, mode: Any) -> None:
    agent = langchain.agent(Script(["It is 3."]))
    with pytest.raises(TypeError, match='use stream_mode="messages"'):
        await collect(events(agent.astream(langchain.QUESTION, stream_mode=mode, version=version)))


@pytest.mark.filterwarnings("ignore:The ")  # that it is a beta
async def test_events_of_version_v3_are_refused(clock: object, langchain: Any) -> None:
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel

    agent = langchain.agent(Script(["It is 3."]))
    model = GenericFakeChatModel(messages=iter(["It is 3."]))
    for source in (
        agent.astream_events(langchain.QUESTION, version="v3"),
        model.astream_events("hi", version="v3"),
    ):
        with pytest.raises(TypeError, match='version="v2"'):
            await collect(events(await source))


async def test_dicts_of_which_no_answer_can_be_made_are_refused(clock: object, langchain: Any) -> None:
    async def parsed() -> Any:
        yield {"secret": "words"}

    with pytest.raises(TypeError, match="gave a dict of which no answer can be made") as raised:
        await collect(events(parsed()))
    assert "secret" not in str(raised.value)


def test_a_stream_that_blocks_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="no asynchronous stream of langchain"):
        events(iter(()))  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["messages", "astream_events"])
async def test_a_model_that_a_tool_asks_is_not_the_answer(clock: object, langchain: Any, how: str) -> None:
    inner = Script(["Inner ", "words."])
    outer = Script([Add(1, 2)], ["It ", "is 3."])

    async def add(a: int, b: int) -> str:
        reply = await langchain.ScriptedModel(script=inner).ainvoke("How?")
        return str(reply.content)

    outer.add = add  # type: ignore[method-assign]
    add.__doc__ = "Adds."
    seen = await collect(events(getattr(langchain, how)(outer)))
    assert said(seen) == "It is 3."
    assert [result.content for result in of(seen, ToolResult) if not result.scope] == ["Inner words."]
    assert of(seen, RunEnded)[-1].scope == ""


async def test_text_that_a_graph_writes_itself_is_a_status(clock: object, langchain: Any) -> None:
    from langgraph.config import get_stream_writer

    script = Script([Add(1, 2)], ["It is 3."])

    async def add(a: int, b: int) -> str:
        """Adds."""
        get_stream_writer()("Adding...")
        return "3"

    script.add = add  # type: ignore[method-assign]
    seen = await collect(events(langchain.modes(script)))
    assert of(seen, Status) == [Status("Adding...")]
    assert said(seen) == "It is 3."


async def test_a_node_that_its_graph_retries_supersedes_what_it_said(clock: object, langchain: Any) -> None:
    from langgraph.graph import START, MessagesState, StateGraph
    from langgraph.types import RetryPolicy

    script = Script(["A bad ", ConnectionError("It broke")], ["A good ", "one."])

    async def ask(state: Any) -> Any:
        return {"messages": [await langchain.ScriptedModel(script=script).ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask, retry_policy=RetryPolicy(max_attempts=2, jitter=False))
    graph.add_edge(START, "ask")
    stream = graph.compile().astream(langchain.QUESTION, stream_mode="messages")
    seen = await collect(events(stream))
    assert of(seen, AttemptSuperseded) == [AttemptSuperseded(turn=1, attempt=2)]
    assert said(seen) == "A good one."


async def test_usage_and_the_reason_to_stop_are_those_of_the_model(clock: object, langchain: Any) -> None:
    seen = await collect(events(langchain.messages(Script([Add(1, 2)], ["It is 3."]))))
    assert [(usage.input_tokens, usage.output_tokens) for usage in of(seen, Usage)] == [(3, 2), (3, 2)]
    assert [(end.stop_reason, end.raw_reason) for end in of(seen, TurnEnded)] == [
        (StopReason.TOOL_USE, "tool_calls"),
        (StopReason.END_TURN, "stop"),
    ]


ALPHA: list[Item] = ["Alpha ", 1.0, "one ", 1.0, "end."]
BETA: list[Item] = [0.5, "Beta ", 1.0, "two ", 1.0, "fin."]


@pytest.mark.parametrize("how", ["messages", "v2", "events"])
async def test_nodes_that_speak_at_once_are_heard_one_after_the_other(
    clock: object, langchain: Any, how: str
) -> None:
    graph = langchain.side_by_side(Script(ALPHA), Script(BETA))
    if how == "events":
        stream = graph.astream_events(langchain.QUESTION, version="v2")
    else:
        options = {} if how == "messages" else {"version": "v2"}
        stream = graph.astream(langchain.QUESTION, stream_mode="messages", **options)
    seen = await collect(events(stream))
    assert said(seen) == "Alpha one end.|Beta two fin."
    assert all(text.mode == "append" for text in of(seen, Text))
    assert of(seen, AttemptSuperseded) == []
    assert [end.turn for end in of(seen, TurnEnded)] == [1, 2]


async def test_a_node_that_is_retried_beside_another_supersedes_its_own_words_alone(
    clock: object, langchain: Any
) -> None:
    from langgraph.types import RetryPolicy

    first = Script(["A bad ", 2.0, ConnectionError("It broke")], ["A good ", 2.0, "one."])
    retry = RetryPolicy(max_attempts=2, jitter=False)
    graph = langchain.side_by_side(first, Script(BETA), retry_policy=retry)
    seen = await collect(events(graph.astream(langchain.QUESTION, stream_mode="messages")))
    assert of(seen, AttemptSuperseded) == [AttemptSuperseded(turn=1, attempt=2)]
    assert said(seen) == "A good one.|Beta two fin."


async def test_what_waits_for_another_node_is_said_when_that_breaks(clock: object, langchain: Any) -> None:
    graph = langchain.side_by_side(Script(["Alpha ", 1.0, ValueError("It broke")]), Script(BETA))
    seen: list[StreamEvent] = []
    with pytest.raises(ValueError, match="It broke"):
        await collect(events(graph.astream(langchain.QUESTION, stream_mode="messages")), seen)
    assert said(seen) == "Alpha |Beta "
    assert of(seen, RunEnded)[0].outcome == Outcome.FAILED


def test_a_message_that_is_never_whole_makes_nobody_wait_beyond_its_step(langchain: Any) -> None:
    from langchain_core.messages import AIMessageChunk

    reader = adapter._Reader()

    def chunk(text: str, node: str, step: int) -> list[StreamEvent]:
        metadata = {"langgraph_checkpoint_ns": node, "langgraph_step": step}
        return list(reader.read((AIMessageChunk(content=text, id=f"{node}{step}"), metadata)))

    assert said(chunk("Alpha", "a:1", 1)) == "Alpha"
    assert chunk("Beta", "b:2", 1) == []
    assert said(chunk("Gamma", "c:3", 2)) == "Beta|Gamma"
