"""`Agent`: the loop of turns and tools, its limits, and what stays true however a run ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from cadenza.agents import (
    Agent,
    AgentResponse,
    AgentSession,
    AgentStream,
    Checkpoint,
    Message,
    ModelError,
    ModelReply,
    ModelRequest,
    RunLimits,
    ScriptedClient,
    SessionLost,
    StreamIncomplete,
    TextPart,
    ToolCallPart,
    ToolContext,
    ToolResultPart,
    TurnFilter,
    tool,
)
from cadenza.events import (
    Attachment,
    AttemptSuperseded,
    Citation,
    Outcome,
    RunEnded,
    RunStarted,
    Status,
    StopReason,
    StreamEvent,
    Suggestions,
    Text,
    ToolCall,
    ToolResult,
    TurnEnded,
    TurnStarted,
    Usage,
)
from cadenza.testing import VirtualClock


def call(name: str, id: str = "c1", /, **arguments: Any) -> ToolCall:
    return ToolCall(id, name, json.dumps(arguments))


def agent(*turns: Any, **options: Any) -> tuple[Agent, ScriptedClient]:
    client = ScriptedClient(turns)
    return Agent(client, **options), client


async def all_of(stream: AgentStream) -> list[StreamEvent]:
    return [event async for event in stream]


def assert_paired(messages: Any) -> None:
    """Right after each message with calls comes one with exactly their results, in the order of the calls."""
    waiting: list[str] = []
    for message in messages:
        results = [part.id for part in message.parts if isinstance(part, ToolResultPart)]
        assert results == waiting
        waiting = [part.id for part in message.tool_calls]
    assert waiting == []


def where(city: str = "Paris") -> str:
    """Where it is."""
    return f"{city} is there"


async def test_a_run_without_tools_is_one_turn_between_a_start_and_an_end() -> None:
    one, client = agent(["Hi ", "you"], name="greeter")
    assert await all_of(one.run("hello", stream=True, run_id="r1")) == [
        RunStarted("r1", "greeter"),
        TurnStarted(1, tools=False),
        Text("Hi "),
        Text("you"),
        TurnEnded(1, StopReason.END_TURN, "end_turn"),
        RunEnded(Outcome.COMPLETED, StopReason.END_TURN),
    ]
    assert client.requests == [ModelRequest((Message.user("hello"),))]


async def test_a_run_with_tools_calls_them_and_asks_the_model_again() -> None:
    one, client = agent(["Let me look. ", call("where")], "There.", instructions="Be brief.", tools=[where])
    stream = one.run("where?", stream=True, run_id="r1")
    assert await all_of(stream) == [
        RunStarted("r1", "agent"),
        TurnStarted(1, tools=True),
        Text("Let me look. "),
        call("where"),
        TurnEnded(1, StopReason.TOOL_USE, "tool_use"),
        ToolResult("c1", "where", "Paris is there"),
        TurnStarted(2, tools=True),
        Text("There."),
        TurnEnded(2, StopReason.END_TURN, "end_turn"),
        RunEnded(Outcome.COMPLETED, StopReason.END_TURN),
    ]
    said = (
        Message("assistant", (TextPart("Let me look. "), ToolCallPart("c1", "where"))),
        Message("tool", (ToolResultPart("c1", "where", "Paris is there"),)),
    )
    response = await stream.final()
    assert response == AgentResponse(
        "r1",
        "Let me look. There.",
        (*said, Message("assistant", (TextPart("There."),))),
        stop_reason=StopReason.END_TURN,
        raw_reason="end_turn",
    )
    assert client.requests[1].messages == (Message.user("where?"), *said)
    assert {request.instructions for request in client.requests} == {"Be brief."}
    assert [tool.name for tool in client.requests[1].tools] == ["where"]


async def test_without_stream_the_response_is_the_same() -> None:
    one, _ = agent(["Let me look. ", call("where")], "There.", tools=[where])
    other, _ = agent(["Let me look. ", call("where")], "There.", tools=[where])
    stream = one.run("where?", stream=True, run_id="r1")
    await all_of(stream)
    response = await other.run("where?", run_id="r1")
    assert response == await stream.final()
    assert str(response) == response.text


async def test_nothing_is_done_before_the_first_pull() -> None:
    one, client = agent("Hi")
    session = AgentSession("s")
    stream = one.run("hello", session=session, stream=True)
    await stream.aclose()
    assert (client.requests, await session.runs()) == ([], [])


async def test_a_run_needs_something_to_answer_and_takes_messages_of_all_kinds() -> None:
    one, client = agent("1", "2", "3")
    with pytest.raises(ValueError, match="needs a message"):
        await one.run()
    await one.run(Message.user("a"))
    await one.run([Message.user("a"), Message.user("b")])
    assert [len(request.messages) for request in client.requests] == [1, 2]
    with pytest.raises(ValueError, match="give one of the two"):
        one.run("a", stream=True, final_turn_only=True, filter=TurnFilter("all"))


@pytest.mark.parametrize("message", [{"role": "user"}, [{"role": "user"}], ["hi"], b"hi", 5], ids=repr)
async def test_what_is_no_message_is_refused_where_run_is_called(message: Any) -> None:
    one, _ = agent("1")
    with pytest.raises(TypeError, match=r"run\(\) takes a str, a Message .*(dict|str|bytes|int)"):
        one.run(message, stream=True)


async def test_what_is_no_session_filter_or_way_to_resume_is_refused_where_it_is_given() -> None:
    one, _ = agent("1")
    wrong: Any = "conv1"
    sessions: list[Any] = ["conv1", AgentSession]
    for session, named in zip(sessions, ("str", "the class AgentSession"), strict=True):
        with pytest.raises(TypeError, match=f"session= takes an AgentSession, not {named}"):
            one.run("a", session=session, stream=True)
        with pytest.raises(TypeError, match="session= takes"):
            await one.poll("t", session=session)
        with pytest.raises(TypeError, match="session= takes"):
            await one.cancel("t", session=session)
    with pytest.raises(TypeError, match=r"filter= takes a TurnFilter, not str: TurnFilter\('final'\)"):
        one.run("a", filter=wrong, stream=True)
    with pytest.raises(ValueError, match="resume='conv1'"):
        one.run("a", resume=wrong, stream=True)


def test_what_is_no_client_is_refused_when_the_agent_is_made() -> None:
    class Awaited:
        provider = "awaited"

        async def stream(self, request: ModelRequest) -> list[StreamEvent]:
            return []

    class Plain:
        provider = "plain"

        def stream(self, request: ModelRequest) -> Any:
            yield Text("a")

    not_clients: list[Any] = ["gpt-5", ScriptedClient, object()]
    for client, named in zip(not_clients, ("str", "the class ScriptedClient", "object"), strict=True):
        with pytest.raises(TypeError, match=rf"a model's client, .*, not {named}$"):
            Agent(client)
    for kind in (Awaited, Plain):
        with pytest.raises(TypeError, match=rf"{kind.__name__}.stream\(\) must be an async generator"):
            Agent(kind())  # type: ignore[arg-type]


async def test_whether_a_run_streams_may_be_a_variable() -> None:
    one, _ = agent("1", "2")
    for flag in (False, True):
        made = one.run("a", stream=flag)
        response = await made.final() if isinstance(made, AgentStream) else await made
        assert response.text == ("2" if flag else "1")


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="'where'"):
        agent(tools=[where, where])


async def test_options_of_the_run_go_before_those_of_the_agent() -> None:
    one, client = agent("1", options={"temperature": 1, "top_p": 0.5})
    await one.run("a", options={"temperature": 0}, raw=True)
    assert client.requests[0].options == {"temperature": 0, "top_p": 0.5}
    assert client.requests[0].raw


async def test_usage_is_that_of_all_turns_and_what_comes_with_the_answer_is_in_the_response() -> None:
    @tool
    def card(context: ToolContext) -> str:
        context.emit(Attachment("text/plain", name="a"))
        context.emit(Suggestions(("more",)))
        return "ok"

    one, _ = agent(
        [call("card"), Usage(3, 2, {"cached": 1})],
        ["Done", Citation("T"), Usage(10, 1, {"cached": 2})],
        tools=[card],
    )
    response = await one.run("a")
    assert response.usage == Usage(13, 3, {"cached": 3})
    assert response.citations == (Citation("T"),)
    assert response.attachments == (Attachment("text/plain", name="a"),)
    assert response.suggestions == ("more",)


async def test_an_attempt_that_is_superseded_leaves_nothing_but_its_cost() -> None:
    one, client = agent(
        [
            Text("wrong"),
            Citation("W"),
            Suggestions(("worse",)),
            Usage(1, 1),
            call("where", "x"),
            AttemptSuperseded(),
            "right",
            Usage(1, 1),
        ],
        tools=[where],
    )
    stream = one.run("a", stream=True)
    events = await all_of(stream)
    response = await stream.final()
    assert AttemptSuperseded(turn=1, attempt=2) in events
    assert (response.text, response.citations, response.usage) == ("right", (), Usage(2, 2))
    assert response.suggestions == ()
    assert response.messages == (Message("assistant", (TextPart("right"),)),)
    assert len(client.requests) == 1


async def test_an_attempt_is_superseded_in_the_turn_that_it_belongs_to() -> None:
    one, _ = agent([Text("One. "), call("where")], ["wrong", AttemptSuperseded(), "Two."], tools=[where])
    stream = one.run("a", stream=True)
    assert AttemptSuperseded(turn=2, attempt=2) in await all_of(stream)
    assert (await stream.final()).text == "One. Two."


# Tools


async def test_events_of_tools_reach_the_reader_while_the_tools_run() -> None:
    finish = asyncio.Event()

    @tool
    async def slow(context: ToolContext) -> str:
        context.status("begun")
        await finish.wait()
        return "done"

    one, _ = agent([call("slow")], "Done", tools=[slow])
    async with one.run("a", stream=True) as stream:
        async for event in stream:
            if event == Status("begun"):
                assert not finish.is_set()
                finish.set()
        assert (await stream.final()).text == "Done"


async def test_parallel_calls_run_at_once_and_each_once() -> None:
    made: list[str] = []

    @tool
    async def wait(name: str, seconds: float) -> str:
        made.append(name)
        await asyncio.sleep(seconds)
        return name

    calls = [call("wait", f"c{n}", name=f"n{n}", seconds=n) for n in (3, 1, 2)]
    one, client = agent(calls, "Done", tools=[wait])
    async with VirtualClock() as clock:
        await one.run("a")
        assert clock.elapsed == 3
    assert made == ["n3", "n1", "n2"]
    results = client.requests[1].messages[-1].parts
    assert [part.content for part in results if isinstance(part, ToolResultPart)] == ["n3", "n1", "n2"]


async def test_a_tool_that_fails_is_told_to_the_model_and_the_run_goes_on() -> None:
    @tool
    def broken() -> None:
        raise LookupError("no such city")

    one, client = agent([call("broken"), call("nothing", "c2")], "Sorry", tools=[broken])
    assert (await one.run("a")).text == "Sorry"
    first, second = client.requests[1].messages[-1].parts
    assert isinstance(first, ToolResultPart)
    assert isinstance(second, ToolResultPart)
    assert (first.error, first.content) == (True, "broken failed: LookupError: no such city")
    assert second.content.startswith("There is no tool 'nothing'")


async def test_a_call_that_is_given_twice_in_a_turn_is_made_once() -> None:
    made: list[str] = []

    @tool
    def order(what: str) -> str:
        made.append(what)
        return "ordered"

    one, client = agent([call("order", what="tea"), call("order", what="tea")], "Done", tools=[order])
    stream = one.run("a", stream=True)
    events = await all_of(stream)
    assert made == ["tea"]
    assert len([event for event in events if isinstance(event, (ToolCall, ToolResult))]) == 2
    assert_paired(client.requests[1].messages)


async def test_a_call_that_the_reply_has_twice_is_made_once_and_is_in_history_once() -> None:
    made: list[str] = []

    @tool
    def order(what: str) -> None:
        made.append(what)

    part = ToolCallPart("c1", "order", '{"what": "tea"}')
    reply = ModelReply(Message("assistant", (part, part)), StopReason.TOOL_USE)
    one, client = agent([call("order", what="tea"), reply], "Done", tools=[order])
    await one.run("a")
    assert made == ["tea"]
    assert client.requests[1].messages[1].parts == (part,)
    assert_paired(client.requests[1].messages)


async def test_a_call_that_comes_again_in_a_later_turn_is_another_call_whatever_its_id_is() -> None:
    made: list[str] = []

    @tool
    def order(what: str) -> str:
        made.append(what)
        return f"ordered {len(made)}"

    one, client = agent(
        [call("order", what="tea")],
        [call("order", what="tea"), call("order", "c2", what="milk")],
        [call("order", what="cake")],
        "Done",
        tools=[order],
    )
    stream = one.run("a", stream=True)
    events = await all_of(stream)
    assert made == ["tea", "tea", "milk", "cake"]
    assert [(event.id, event.content) for event in events if isinstance(event, ToolResult)] == [
        ("c1", "ordered 1"),
        ("c1~2", "ordered 2"),
        ("c2", "ordered 3"),
        ("c1~3", "ordered 4"),
    ]
    assert [event.id for event in events if isinstance(event, ToolCall)] == ["c1", "c1~2", "c2", "c1~3"]
    assert_paired(client.requests[-1].messages)


async def test_calls_without_an_id_are_each_made_and_paired() -> None:
    one, client = agent(
        lambda _: [
            ToolCall("", "where", '{"city": "Rome"}'),
            ToolCall("", "where", '{"city": "Oslo"}'),
            ModelReply(
                Message(
                    "assistant",
                    (
                        ToolCallPart("", "where", '{"city": "Rome"}'),
                        ToolCallPart("", "where", '{"city": "Oslo"}'),
                    ),
                )
            ),
        ],
        "Done",
        tools=[where],
    )
    stream = one.run("a", stream=True)
    events = await all_of(stream)
    results = [event for event in events if isinstance(event, ToolResult)]
    assert [event.content for event in results] == ["Rome is there", "Oslo is there"]
    assert [event.id for event in events if isinstance(event, ToolCall)] == [event.id for event in results]
    assert_paired(client.requests[1].messages)


async def test_calls_are_made_though_the_provider_says_that_the_turn_is_over() -> None:
    one, client = agent([call("where"), StopReason.END_TURN], "Done", tools=[where])
    assert (await one.run("a")).text == "Done"
    assert len(client.requests) == 2


@pytest.mark.parametrize("reason", [StopReason.MAX_TOKENS, StopReason.CONTENT_FILTERED, StopReason.GUARDRAIL])
async def test_the_calls_of_a_turn_that_was_cut_off_are_not_made(reason: StopReason) -> None:
    @tool
    def order() -> None:
        raise AssertionError("made")

    one, client = agent(["Well", call("order"), reason], tools=[order])
    stream = one.run("a", stream=True)
    events = await all_of(stream)
    response = await stream.final()
    assert (response.text, response.stop_reason) == ("Well", reason)
    assert response.status == ("completed" if reason is StopReason.GUARDRAIL else "incomplete")
    assert events[-1] == RunEnded(Outcome.COMPLETED, reason)
    assert len(client.requests) == 1
    assert_paired(response.messages)


async def test_a_tool_may_end_the_run_and_the_reason_stays_tool_use() -> None:
    @tool
    async def hand_over(context: ToolContext) -> str:
        context.stop()
        return "handed over"

    one, client = agent(
        ["A person will help.", call("hand_over"), call("where", "c2")], tools=[hand_over, where]
    )
    stream = one.run("a", stream=True)
    events = await all_of(stream)
    response = await stream.final()
    assert events[-1] == RunEnded(Outcome.COMPLETED, StopReason.TOOL_USE)
    assert (response.text, response.status) == ("A person will help.", "completed")
    assert len(client.requests) == 1
    assert_paired(response.messages)


async def test_a_sub_agents_events_come_as_they_happen_with_the_call_as_their_scope() -> None:
    inmost, _ = agent("deep", name="inmost")

    @tool
    async def ask_inmost(context: ToolContext) -> AgentResponse:
        return await context.forward(inmost.run("q", stream=True, run_id="r3"))

    inner, _ = agent([call("ask_inmost", "i1")], "inner", name="inner", tools=[ask_inmost])

    @tool
    async def ask_inner(context: ToolContext) -> AgentResponse:
        return await context.forward(inner.run("q", stream=True, run_id="r2"))

    outer, client = agent([call("ask_inner", "o1")], "outer", tools=[ask_inner])
    stream = outer.run("q", stream=True)
    events = await all_of(stream)
    assert [(event.scope, event.text) for event in events if isinstance(event, Text)] == [
        ("o1/i1", "deep"),
        ("o1", "inner"),
        ("", "outer"),
    ]
    assert RunStarted("r3", "inmost", scope="o1/i1") in events
    assert [event.scope for event in events if isinstance(event, RunEnded)] == ["o1/i1", "o1", ""]
    result = client.requests[1].messages[-1].parts[0]
    assert isinstance(result, ToolResultPart)
    assert result.content == "inner"
    assert (await stream.final()).text == "outer"


async def test_what_comes_with_a_sub_agents_answer_is_no_part_of_the_response() -> None:
    inner, _ = agent(["inner", Citation("T"), Suggestions(("more",))])

    @tool
    async def ask(context: ToolContext) -> AgentResponse:
        return await context.forward(inner.run("q", stream=True))

    outer, _ = agent([call("ask")], "outer", tools=[ask])
    stream = outer.run("q", stream=True)
    assert Citation("T", scope="c1") in await all_of(stream)
    response = await stream.final()
    assert (response.text, response.citations, response.suggestions) == ("outer", (), ())


async def test_a_sub_agent_waits_for_a_reader_that_does_not_keep_up() -> None:
    given = 0

    def long(_: ModelRequest) -> list[str]:
        return ["x"] * 1000

    class Counting(ScriptedClient):
        async def stream(self, request: ModelRequest) -> Any:
            nonlocal given
            async for event in super().stream(request):
                given += 1
                yield event

    inner = Agent(Counting([long]))

    @tool
    async def ask(context: ToolContext) -> str:
        return str(len((await context.forward(inner.run("q", stream=True))).text))

    outer, client = agent([call("ask")], "outer", tools=[ask])
    async with outer.run("q", stream=True) as stream:
        async for event in stream:
            if event.scope:
                for _ in range(300):
                    await asyncio.sleep(0)
                assert given < 100
                break
        assert not stream.outcome
    assert len(client.requests) == 1


async def test_a_sub_agents_run_that_is_no_stream_is_refused_with_what_to_do_instead() -> None:
    inner, _ = agent("1")

    @tool
    async def ask(wait: bool, context: ToolContext) -> AgentResponse:
        run = inner.run("q")
        return await context.forward(await run if wait else run)  # type: ignore[arg-type]

    calls = [call("ask", wait=False), call("ask", "c2", wait=True)]
    outer, client = agent(calls, "Sorry", tools=[ask])
    await outer.run("q")
    told = [
        part.content for part in client.requests[1].messages[-1].parts if isinstance(part, ToolResultPart)
    ]
    for content, kind in zip(told, ("coroutine", "AgentResponse"), strict=True):
        assert f"forward() takes a stream, not {kind}: agent.run(..., stream=True)" in content


async def test_a_sub_agent_that_fails_is_a_tool_that_failed() -> None:
    inner, _ = agent([ModelError("overloaded")])

    @tool
    async def ask(context: ToolContext) -> AgentResponse:
        return await context.forward(inner.run("q", stream=True))

    outer, client = agent([call("ask")], "Sorry", tools=[ask])
    assert (await outer.run("q")).text == "Sorry"
    result = client.requests[1].messages[-1].parts[0]
    assert isinstance(result, ToolResultPart)
    assert result.content == "ask failed: ModelError: overloaded"


# Limits


async def test_in_the_last_turn_the_model_may_call_no_tools() -> None:
    one, client = agent([call("where")], "Done", tools=[where], limits=RunLimits(turns=2))
    events = await all_of(one.run("a", stream=True))
    assert [event.tools for event in events if isinstance(event, TurnStarted)] == [True, False]
    assert [request.tool_choice for request in client.requests] == ["auto", "none"]
    assert events[-1] == RunEnded(Outcome.COMPLETED, StopReason.END_TURN)


async def test_calls_in_the_last_turn_are_not_made_and_the_run_ends_at_its_limit() -> None:
    made = 0

    @tool
    def count() -> int:
        nonlocal made
        made += 1
        return made

    one, client = agent([call("count")], [call("count", "c2")], tools=[count], limits=RunLimits(turns=2))
    stream = one.run("a", stream=True)
    events = await all_of(stream)
    response = await stream.final()
    assert made == 1
    assert len(client.requests) == 2
    assert events[-1] == RunEnded(Outcome.COMPLETED, StopReason.LIMIT)
    assert response.stop_reason is StopReason.LIMIT
    assert_paired(response.messages)


async def test_calls_beyond_the_limit_of_calls_are_not_made_and_the_next_turn_is_the_last() -> None:
    made: list[str] = []

    @tool
    def note(what: str) -> None:
        made.append(what)

    calls = [call("note", f"c{n}", what=str(n)) for n in range(4)]
    one, client = agent(calls, "Done", tools=[note], limits=RunLimits(tool_calls=3))
    assert (await one.run("a")).text == "Done"
    assert made == ["0", "1", "2"]
    result = client.requests[1].messages[-1].parts[3]
    assert isinstance(result, ToolResultPart)
    assert result.error
    assert "a run may make 3 calls" in result.content
    assert client.requests[1].tool_choice == "none"


async def test_after_turns_in_which_every_call_failed_the_next_is_the_last() -> None:
    @tool
    def broken() -> None:
        raise ValueError

    one, client = agent(
        [call("broken", "c1")],
        [call("broken", "c2"), call("where", "c3")],
        [call("broken", "c4")],
        [call("broken", "c5")],
        "Done",
        tools=[broken, where],
        limits=RunLimits(errors=2),
    )
    assert (await one.run("a")).text == "Done"
    assert [request.tool_choice for request in client.requests] == ["auto"] * 4 + ["none"]


# Failures, and leaving early


async def test_a_client_that_fails_ends_the_run_with_a_word_and_its_own_exception() -> None:
    error = ModelError("overloaded", code="busy")
    one, _ = agent(["Well", error])
    stream = one.run("a", stream=True, keep_updates=True)
    with pytest.raises(ModelError) as caught:
        await all_of(stream)
    assert caught.value is error
    assert [*stream.updates[-2:]] == [
        Text("Well"),
        RunEnded(Outcome.FAILED, StopReason.ERROR, "busy", "overloaded"),
    ]
    for _ in range(2):
        with pytest.raises(ModelError) as caught:
            await stream.final()
        assert caught.value is error
    partial = stream.partial().result
    assert partial is not None
    assert (partial.text, partial.status) == ("Well", "failed")
    assert partial.messages == (Message("assistant", (TextPart("Well"),), "interrupted"),)


async def test_what_an_exception_of_others_says_is_in_no_event() -> None:
    one, _ = agent([RuntimeError("secret")])
    stream = one.run("a", stream=True, keep_updates=True)
    with pytest.raises(RuntimeError, match="secret"):
        await all_of(stream)
    events = stream.updates
    assert events[-1] == RunEnded(
        Outcome.FAILED, StopReason.ERROR, "RuntimeError", "The run failed: RuntimeError"
    )


async def test_a_client_that_ends_without_a_reply_has_failed() -> None:
    class Rude:
        provider = "rude"

        async def stream(self, request: ModelRequest) -> AsyncIterator[StreamEvent | Checkpoint | ModelReply]:
            yield Text("Well")

    with pytest.raises(ModelError, match="'rude' ended turn 1 without"):
        await Agent(Rude()).run("a")


SAID = Message("assistant", (TextPart("Well"),))


@pytest.mark.parametrize(
    ("items", "broken"),
    [
        (["Well", ModelReply(SAID)], "gave str, which is no event"),
        ([{"text": "Well"}, ModelReply(SAID)], "gave dict, which is no event"),
        ([Text("Well"), ModelReply(SAID), Text("!")], "gave Text after its ModelReply"),
        ([Text("Well"), ModelReply(SAID), ModelReply(SAID)], "gave ModelReply after its ModelReply"),
        ([Text("Well"), ModelReply(Message("assistant"))], "gave text that its ModelReply has not"),
        (
            [Text("Well"), ToolCall("c1", "where"), ModelReply(SAID)],
            "gave a ToolCall that its ModelReply has",
        ),
    ],
)
async def test_a_client_that_breaks_its_laws_fails_the_run_and_no_word_is_lost_in_silence(
    items: list[Any], broken: str
) -> None:
    class Rude:
        provider = "rude"

        async def stream(self, request: ModelRequest) -> AsyncIterator[Any]:
            for item in items:
                yield item

    stream = Agent(Rude(), tools=[where]).run("a", stream=True)
    with pytest.raises(ModelError, match=f"'rude' {broken}") as raised:
        await all_of(stream)
    assert raised.value.code == "invalid_client"
    if any(isinstance(item, Text) for item in items):
        result = stream.partial().result
        assert result is not None
        assert result.messages[0].text == "Well"
        assert_paired(result.messages)


async def test_a_checkpoint_that_nobody_asked_for_is_no_mistake() -> None:
    class Eager:
        provider = "eager"

        async def stream(self, request: ModelRequest) -> AsyncIterator[StreamEvent | Checkpoint | ModelReply]:
            yield Checkpoint({})
            yield Text("Well")
            yield ModelReply(SAID)

    assert (await Agent(Eager()).run("a")).text == "Well"


async def test_a_reply_that_failed_is_a_failure_and_keeps_what_was_said() -> None:
    reply = ModelReply(
        Message("assistant", (TextPart("Well"), ToolCallPart("c1", "where"))),
        StopReason.ERROR,
        status="failed",
        error="server_error",
        error_message="broken",
    )
    one, _ = agent(["Well", call("where"), reply], tools=[where])
    stream = one.run("a", stream=True)
    with pytest.raises(ModelError, match="broken") as caught:
        await all_of(stream)
    assert caught.value.code == "server_error"
    partial = stream.partial().result
    assert partial is not None
    assert partial.messages[0].status == "interrupted"
    assert_paired(partial.messages)


def scene() -> tuple[Agent, list[str], list[str]]:
    """An agent with two turns of calls, and what its tools began and ended."""
    begun: list[str] = []
    ended: list[str] = []

    @tool
    async def work(name: str, context: ToolContext) -> str:
        begun.append(name)
        try:
            context.status(f"at {name}")
            await asyncio.sleep(len(begun))
            return name
        finally:
            ended.append(name)

    one, _ = agent(
        ["One. ", call("work", "a", name="a"), call("work", "b", name="b")],
        ["Two. ", call("work", "c", name="c")],
        "Three.",
        tools=[work],
    )
    return one, begun, ended


async def whole() -> list[StreamEvent]:
    one, _, _ = scene()
    async with VirtualClock():
        return await all_of(one.run("q", stream=True, run_id="r"))


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("how", ["close", "cancel", "task", "drop"])
async def test_wherever_a_run_is_left_no_tool_goes_on_and_calls_have_their_results(how: str) -> None:
    expected = await whole()
    for k in range(1, len(expected)):
        one, begun, ended = scene()
        session = AgentSession(f"s{k}")
        async with VirtualClock():
            stream = one.run("q", stream=True, run_id="r", session=session)
            events: list[StreamEvent] = []

            reached = asyncio.Event()

            async def read(
                stream: AgentStream, events: list[StreamEvent], end: int, sign: asyncio.Event, k: int
            ) -> None:
                while len(events) < end:
                    events.append(await anext(stream))
                    if len(events) == k:
                        sign.set()

            if how == "task":
                task = asyncio.ensure_future(read(stream, events, 1000, reached, k))
                await reached.wait()
                await asyncio.sleep(0.5)  # in the midst of what comes next
                task.cancel()
                with pytest.raises((asyncio.CancelledError, StopAsyncIteration)):
                    await task
            else:
                await read(stream, events, k, reached, k)
            assert events[:k] == [replace(expected[0], session_id=f"s{k}"), *expected[1:k]]  # type: ignore[call-arg]
            if how == "close":
                await stream.aclose()
            elif how == "cancel":
                await stream.cancel()
            elif how == "drop":
                del stream
            for _ in range(50):
                await asyncio.sleep(0)
            assert begun == ended
            assert sorted(set(begun)) == sorted(begun), "each call is made once"
            if how != "drop":
                assert_paired(stream.partial().result.messages)  # type: ignore[union-attr]
                for record in await session.runs():
                    assert_paired(record.messages)


async def test_a_call_that_came_to_its_end_keeps_its_result_when_the_run_is_left() -> None:
    one, _, _ = scene()
    session = AgentSession()
    async with VirtualClock(), one.run("q", session=session, stream=True) as stream:
        async for event in stream:
            if event == Status("at b"):
                await asyncio.sleep(1.5)  # a is done, b is not
                break
    (record,) = await session.runs()
    a, b = record.messages[-1].parts
    assert isinstance(a, ToolResultPart)
    assert isinstance(b, ToolResultPart)
    assert (a.content, a.interrupted, b.interrupted) == ("a", False, True)


async def test_a_run_that_was_closed_has_no_final_but_a_partial() -> None:
    one, _ = agent(["Well", "never"])
    async with one.run("a", stream=True) as stream:
        async for event in stream:
            if isinstance(event, Text):
                break
    with pytest.raises(StreamIncomplete) as caught:
        await stream.final()
    partial = caught.value.partial.result
    assert (partial.text, partial.status) == ("Well", "incomplete")


# Sessions


async def test_the_next_run_of_a_session_knows_what_was_said() -> None:
    one, client = agent(["Let me look. ", call("where")], "There.", "Yes.", tools=[where])
    session = AgentSession("s")
    stream = one.run("where?", session=session, stream=True)
    events = await all_of(stream)
    assert events[0] == RunStarted(stream.run_id, "agent", "s")
    response = await stream.final()
    assert (response.session_id, stream.session) == ("s", session)
    await one.run("sure?", session=session)
    assert client.requests[2].messages == (
        Message.user("where?"),
        *response.messages,
        Message.user("sure?"),
    )


async def test_history_keeps_what_the_reader_was_not_shown() -> None:
    one, client = agent(["Let me look. ", call("where")], "There.", "Yes.", tools=[where])
    session = AgentSession()
    response = await one.run("where?", session=session, final_turn_only=True)
    assert response.text == "There."
    await one.run("sure?", session=session)
    assert client.requests[2].messages[1].text == "Let me look. "


async def test_a_run_whose_reader_left_after_the_last_word_is_complete() -> None:
    one, _ = agent("Hi")
    session = AgentSession()
    async with one.run("a", session=session, stream=True) as stream:
        async for event in stream:
            if isinstance(event, RunEnded):
                break
    (record,) = await session.runs()
    assert record.outcome is Outcome.COMPLETED
    assert record.messages[0].text == "Hi"


async def test_a_run_that_lost_its_session_stops_at_its_next_pull_and_says_so() -> None:
    one, _ = agent(["Well", "never"], "Other", tools=[where])
    session = AgentSession(abandoned_seconds=10)
    async with VirtualClock():
        left = one.run("first", session=session, stream=True)
        await anext(left)
        await anext(left)
        assert await anext(left) == Text("Well")
        await asyncio.sleep(100)
        assert (await one.run("second", session=session)).text == "Other"
        assert isinstance(await anext(left), RunEnded)
        with pytest.raises(SessionLost):
            await anext(left)
    first, second = await session.runs()
    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.COMPLETED)


async def test_a_long_pull_keeps_the_session() -> None:
    one, _ = agent(["Well", 1000.0, "at last"])
    session = AgentSession(abandoned_seconds=10)
    async with VirtualClock():
        assert (await one.run("a", session=session)).text == "Wellat last"


async def test_a_session_is_free_again_after_a_client_has_failed() -> None:
    one, client = agent([ModelError("overloaded")], "Hi")
    session = AgentSession(busy="reject")
    with pytest.raises(ModelError):
        await one.run("a", session=session)
    await one.run("b", session=session)
    assert [message.text for message in client.requests[1].messages] == ["a", "b"]
