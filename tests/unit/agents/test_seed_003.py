"""Seed 003, final turn only: the numbered statements of agent-streams.md, 7.9, through an agent. With a
scripted model, and with the real openai package on a local server, where its wire can say it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

import pytest
from agent_models import Models
from cadenza.agents import (
    Agent,
    AgentResponse,
    AgentSession,
    ModelError,
    ResponseStream,
    RunLimits,
    ScriptedClient,
    StreamState,
    ToolContext,
    TurnFilter,
    tool,
)
from cadenza.events import (
    AnswerText,
    AttemptSuperseded,
    Outcome,
    Raw,
    Reasoning,
    RunEnded,
    Status,
    StopReason,
    StreamEvent,
    Text,
    ToolCall,
    ToolResult,
    TurnStarted,
)
from cadenza.testing import VirtualClock


@tool
def look() -> str:
    """Look it up."""
    return "42"


@tool
def done(context: ToolContext) -> str:
    """Finish."""
    context.stop()
    return "done"


CALL = ToolCall("1", "look")
BEFORE, AFTER = "Let me look that up.", "It is 42."


SCRIPTED = Models("scripted")


def agent(turns: Sequence[Any], *, model: Models = SCRIPTED, words: bool = False, **options: Any) -> Agent:
    options.setdefault("tools", [look, done])
    return Agent(model(turns, words=words), **options)


async def collect(stream: ResponseStream[StreamEvent, Any]) -> tuple[list[StreamEvent], Exception | None]:
    events: list[StreamEvent] = []
    async with stream:
        try:
            async for event in stream:
                events.append(event)  # noqa: PERF401 # what came before an exception counts
        except Exception as error:
            return events, error
    return events, None


async def shown(
    turns: Sequence[Any], policy: Any = "final", *, raw: bool = False, **options: Any
) -> list[StreamEvent]:
    rules = policy if isinstance(policy, TurnFilter) else TurnFilter(policy)
    stream = agent(turns, **options).run("?", stream=True, filter=rules, run_id="r", raw=raw)
    events, error = await collect(stream)
    if error is not None:
        raise error
    return events


def text_of(events: Sequence[StreamEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text) and not event.scope)


async def test_003_01_after_a_tool_turn_only_the_answer_is_shown_and_all_other_events_as_ever(
    model: Models,
) -> None:
    turns = [[BEFORE, CALL], AFTER]
    everything = await shown(turns, "all", model=model)
    given = await shown(turns, model=model)
    assert text_of(everything) == BEFORE + AFTER
    assert text_of(given) == AFTER
    assert [e for e in given if not isinstance(e, Text)] == [e for e in everything if not isinstance(e, Text)]
    assert {"tool_call", "tool_result", "turn_started", "turn_ended"} <= {event.kind for event in given}


async def test_003_01_final_turn_only_is_the_same(model: Models) -> None:
    stream = agent([[BEFORE, CALL], AFTER], model=model).run("?", stream=True, final_turn_only=True)
    events, _ = await collect(stream)
    assert text_of(events) == AFTER
    response = await agent([[BEFORE, CALL], AFTER], model=model).run("?", final_turn_only=True)
    assert response.text == AFTER


async def test_003_02_without_tools_all_text_comes_live_in_the_same_chunks(
    model: Models, clock: VirtualClock
) -> None:
    turns = [["It is ", 1.0, "forty two."]]
    stream = agent(turns, model=model, words=True, tools=()).run("?", stream=True, final_turn_only=True)
    async with stream:
        live = [(round(clock.elapsed, 3), event.text) async for event in stream if isinstance(event, Text)]
    assert live == [(0, "It "), (0, "is "), (1, "forty "), (1, "two.")]
    whole = await shown(turns, "all", model=model, words=True, tools=())
    assert [text for _, text in live] == [event.text for event in whole if isinstance(event, Text)]


@pytest.mark.parametrize("reason", [reason for reason in StopReason if reason is not StopReason.TOOL_USE])
async def test_003_03_whatever_the_last_stop_reason_text_comes_before_the_end(reason: StopReason) -> None:
    events, _ = await collect(agent([["Some words", reason]]).run("?", stream=True, final_turn_only=True))
    assert text_of(events) == "Some words"
    assert isinstance(events[-1], RunEnded)


@pytest.mark.parametrize("model", ["responses", "chat"], indirect=True)
@pytest.mark.parametrize("reason", [StopReason.END_TURN, StopReason.MAX_TOKENS, StopReason.CONTENT_FILTERED])
async def test_003_03_on_the_wire_of_openai_whatever_the_last_reason_text_comes_before_the_end(
    model: Models, reason: StopReason
) -> None:
    bot = agent([["Some words", reason]], model=model)
    events, _ = await collect(bot.run("?", stream=True, final_turn_only=True))
    assert text_of(events) == "Some words"
    assert isinstance(events[-1], RunEnded)
    assert events[-1].stop_reason is reason


async def test_003_03_a_limit_loses_no_text(model: Models) -> None:
    turns = [["one", CALL], ["two", ToolCall("2", "look")], "never"]
    events, _ = await collect(
        agent(turns, model=model, limits=RunLimits(turns=2)).run("?", stream=True, final_turn_only=True)
    )
    assert text_of(events) == "two"
    assert isinstance(events[-1], RunEnded)


@pytest.mark.parametrize("first", [[], [[BEFORE, CALL]]])
async def test_003_04_a_model_that_fails_has_its_text_shown_and_then_the_exception(
    model: Models, first: list[Any]
) -> None:
    failing = [*first, ["It is", ModelError("the model fell over")]]
    events, error = await collect(agent(failing, model=model).run("?", stream=True, final_turn_only=True))
    assert text_of(events) == "It is"
    assert isinstance(error, ModelError)
    assert isinstance(events[-1], RunEnded)
    assert events[-1].outcome is Outcome.FAILED


async def test_003_04_a_source_that_raises_has_its_text_shown_and_then_the_exception() -> None:
    """One that is no agent's: nothing announces the exception."""

    async def source() -> AsyncIterator[StreamEvent]:
        yield Text("It is")
        raise ModelError("the model fell over")

    events = TurnFilter().apply(source())
    assert await anext(events) == Text("It is")
    with pytest.raises(ModelError, match="fell over"):
        await anext(events)


async def test_003_05_a_tool_that_ends_the_run_leaves_the_text_of_its_turn(model: Models) -> None:
    given = await shown([["Done, and good bye.", ToolCall("1", "done")], "never"], model=model)
    assert text_of(given) == "Done, and good bye."


async def test_003_06_text_beside_tool_calls_is_intermediate_even_where_the_reason_is_end_turn(
    model: Models,
) -> None:
    given = await shown([[BEFORE, CALL, StopReason.END_TURN], AFTER], model=model)
    assert text_of(given) == AFTER


async def test_003_07_the_text_of_an_attempt_that_was_superseded_never_comes() -> None:
    given = await shown([["Bad start", AttemptSuperseded(1, 2), "It is 42."]])
    assert text_of(given) == "It is 42."


async def test_003_08_suppressed_text_is_in_no_other_event_unless_raw_is_asked_for(model: Models) -> None:
    turns = [[Raw("scripted", {"delta": BEFORE}), BEFORE, CALL], AFTER]
    given = await shown(turns, model=model, raw=True)
    assert BEFORE not in str([(event, getattr(event, "data", None)) for event in given])
    raw = await shown(turns, TurnFilter(raw=True), model=model, raw=True)
    assert BEFORE in str([event.data for event in raw if isinstance(event, Raw)])


async def test_003_09_reasoning_of_intermediate_turns_has_its_own_setting_and_is_hidden_by_default(
    model: Models,
) -> None:
    turns = [[Reasoning("hm"), BEFORE, CALL], [Reasoning("so"), AFTER]]

    async def reasoning(rules: TurnFilter) -> str:
        given = await shown(turns, rules, model=model)
        return "".join(event.text for event in given if isinstance(event, Reasoning))

    assert await reasoning(TurnFilter()) == "so"
    assert await reasoning(TurnFilter(reasoning="all")) == "hmso"
    assert await reasoning(TurnFilter(reasoning="none")) == ""


async def test_003_10_by_policy_status_intermediate_text_comes_as_status_and_never_in_the_body(
    model: Models,
) -> None:
    given = await shown([[BEFORE, CALL], AFTER], "status", model=model)
    assert text_of(given) == AFTER
    statuses = [event for event in given if isinstance(event, Status)]
    assert [event.text for event in statuses] == [BEFORE]
    first_result = next(event for event in given if isinstance(event, ToolResult))
    assert given.index(statuses[0]) < given.index(first_result)


async def test_003_11_a_final_answer_is_shown_before_its_turn_ends_and_commentary_never() -> None:
    turn: list[StreamEvent | float] = [
        Text("I look. ", phase="commentary"),
        1.0,
        Text("It ", phase="final_answer"),
        1.0,
        Text("is 42.", phase="final_answer"),
    ]

    async def until_text(rules: TurnFilter) -> tuple[float, str]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        async with agent([turn]).run("?", stream=True, filter=rules) as stream:
            async for event in stream:
                if isinstance(event, Text):
                    return loop.time() - start, event.text
        raise AssertionError("no text came")

    async with VirtualClock():
        assert text_of(await shown([turn])) == "It is 42."
        seconds, text = await until_text(TurnFilter())
        assert (round(seconds, 3), text) == (1.0, "It ")
        seconds, text = await until_text(TurnFilter(phase=False))
        assert (round(seconds, 3), text) == (2.0, "I look. ")


@pytest.mark.parametrize("model", ["responses"], indirect=True)
async def test_003_11_on_the_wire_of_openai_a_final_answer_is_shown_before_its_turn_ends(
    model: Models, clock: VirtualClock
) -> None:
    turn = [Text("I look. ", phase="commentary"), Text("It ", phase="final_answer"), 1.0]
    turn += [Text("is 42.", phase="final_answer")]
    async with agent([turn], model=model).run("?", stream=True, filter=TurnFilter()) as stream:
        given = [(round(clock.elapsed, 3), event.text) async for event in stream if isinstance(event, Text)]
    assert given == [(0, "It "), (1, "is 42.")]


async def test_003_12_after_a_lookahead_release_a_tool_call_takes_nothing_back_and_the_order_stays(
    model: Models,
) -> None:
    turns = [["Let me ", "look that up.", CALL], AFTER]
    given = await shown(turns, TurnFilter(lookahead_chars=5), model=model)
    everything = await shown(turns, "all", model=model)
    said = [event for event in given if isinstance(event, Status)]
    assert [event.text for event in said] == ["look"]  # that it was not the answer is said by a status
    answer = len(given) - 1 - given[::-1].index(Text(AFTER))
    up_to_the_answer = [event for event in given[:answer] if event not in said]
    assert up_to_the_answer == everything[: len(up_to_the_answer)]
    assert text_of(given) == "Let me look that up." + AFTER


async def test_003_13_policy_all_is_no_filter_and_the_final_text_is_what_was_shown(model: Models) -> None:
    turns = [[BEFORE, CALL], AFTER]
    plain, _ = await collect(agent(turns, model=model).run("?", stream=True, run_id="r"))
    assert await shown(turns, "all", model=model) == plain
    for policy in ("all", "final", "status"):
        stream = agent(turns, model=model).run("?", stream=True, filter=TurnFilter(policy))
        events, _ = await collect(stream)
        assert (await stream.final()).text == text_of(events)


async def test_003_13_a_filter_around_an_agents_stream_does_the_same(model: Models) -> None:
    inner = agent([[BEFORE, CALL], AFTER], model=model).run("?", stream=True)
    outer = TurnFilter().apply(inner)
    events, error = await collect(outer)
    assert error is None
    assert text_of(events) == AFTER
    final = await outer.final()
    assert isinstance(final, AgentResponse)
    assert final.text == AFTER
    assert BEFORE in "".join(message.text for message in final.messages)
    assert (inner.state, outer.state) == (StreamState.COMPLETED, StreamState.COMPLETED)


async def test_003_13_a_filter_around_a_stream_that_fails_shows_the_text_and_fails_with_it(
    model: Models,
) -> None:
    inner = agent([["It is", ModelError("the model fell over")]], model=model).run("?", stream=True)
    outer = TurnFilter().apply(inner)
    events, error = await collect(outer)
    assert text_of(events) == "It is"
    assert isinstance(error, ModelError)
    assert (inner.state, outer.state) == (StreamState.FAILED, StreamState.FAILED)
    result = outer.partial().result
    assert result is not None
    assert result.text == "It is"


async def test_003_13_leaving_a_filter_around_a_stream_closes_that_stream(model: Models) -> None:
    inner = agent([[BEFORE, CALL], AFTER], model=model).run("?", stream=True)
    outer = TurnFilter().apply(inner)
    async with outer:
        async for event in outer:
            if isinstance(event, ToolCall):
                break
    assert (inner.state, outer.state) == (StreamState.CLOSED, StreamState.CLOSED)
    result = outer.partial().result
    assert result is not None
    assert result.text == ""


async def test_003_13_a_filter_around_a_stream_without_a_final_has_what_was_shown_as_its_final() -> None:
    async def source() -> Any:
        for event in (TurnStarted(1), Text("a"), TurnStarted(2), Text("b")):
            yield event

    stream: ResponseStream[StreamEvent, Any] = TurnFilter().apply(ResponseStream(source()))
    assert await stream.final() == (TurnStarted(1), TurnStarted(2), Text("b"))


async def test_003_14_an_agent_that_a_tool_runs_is_filtered_for_itself(model: Models) -> None:
    helper = agent([["Inner thought", CALL], "Inner answer"], model=model)

    @tool
    async def ask(context: ToolContext) -> str:
        """Ask the helper."""
        return (await context.forward(helper.run("?", stream=True))).text

    turns = [["Outer thought", ToolCall("9", "ask")], "Outer answer"]
    given = await shown(turns, model=model, tools=[ask])
    assert text_of(given) == "Outer answer"
    inner = [event for event in given if event.scope == "9"]
    assert "".join(event.text for event in inner if isinstance(event, Text)) == "Inner answer"
    assert isinstance(inner[-1], RunEnded)


async def test_003_15_history_keeps_the_intermediate_text_whatever_was_shown(model: Models) -> None:
    session = AgentSession()
    bot = agent([[BEFORE, CALL], AFTER], model=model)
    events, _ = await collect(bot.run("?", session=session, stream=True, final_turn_only=True))
    assert text_of(events) == AFTER
    said = [message.text for message in await session.messages() if message.role == "assistant"]
    assert said == [BEFORE, AFTER]


LONG: list[Any] = [["Let ", "me look.", CALL], ["It ", "is ", "42."]]


async def left_and_resumed(client: Any, k: int) -> str:
    """What is read by who leaves a background run after `k` events, and comes back."""
    bot = Agent(client, tools=[look], token_secret="secret")
    session = AgentSession()
    given: list[StreamEvent] = []
    stream = bot.run("?", stream=True, background=True, final_turn_only=True, session=session)
    async with stream:
        async for event in stream:
            given.append(event)
            if len(given) == k:
                break
    token = stream.continuation_token
    assert token is not None
    rest, error = await collect(
        bot.run(continuation_token=token, stream=True, final_turn_only=True, session=session)
    )
    assert error is None
    answer = AnswerText()
    for event in [*given, *rest]:
        answer.apply(event)
    return answer.text


@pytest.mark.parametrize("resumes_by", ["append", "replay"])
@pytest.mark.parametrize("k", range(1, 11))
async def test_003_02_who_leaves_a_background_run_and_resumes_it_gets_the_whole_answer(
    resumes_by: Literal["append", "replay"], k: int
) -> None:
    """The run is ahead of its reader while text is held: the token is that of what the reader got."""
    assert await left_and_resumed(ScriptedClient(LONG, resumes_by=resumes_by), k) == "It is 42."


@pytest.mark.parametrize("model", ["responses"], indirect=True)
@pytest.mark.parametrize("k", range(1, 12))
async def test_003_02_on_the_wire_of_openai_who_leaves_and_resumes_gets_the_whole_answer(
    model: Models, k: int
) -> None:
    assert await left_and_resumed(model(LONG), k) == "It is 42."
