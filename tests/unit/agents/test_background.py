"""Background runs: resumed at every event, with tools that are run once, whoever polls and whatever dies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
from cadenza.agents import (
    Agent,
    AgentSession,
    ContinuationToken,
    HistoryPolicy,
    Message,
    ModelError,
    RunCancelled,
    RunFailed,
    RunLimits,
    ScriptedClient,
    StreamIncomplete,
    TokenInvalid,
    ToolContext,
    TurnFilter,
    tool,
)
from cadenza.agents.background import Pace
from cadenza.agents.message import ToolResultPart
from cadenza.agents.response_stream import StreamState
from cadenza.events import (
    Attachment,
    Outcome,
    Reasoning,
    RunEnded,
    Status,
    StreamEvent,
    Text,
    ToolCall,
    Usage,
)
from cadenza.state import MemoryState
from cadenza.testing import VirtualClock

pytestmark = pytest.mark.usefixtures("clock")


class Bot:
    """An agent of a process, with a tool that counts. Another Bot on the same client and state is another
    process, after the first has died."""

    def __init__(self, client: ScriptedClient, state: MemoryState | None = None, **agent: Any) -> None:
        self.calls: list[str] = []

        @tool
        async def search(words: str, context: ToolContext) -> str:
            """Search."""
            self.calls.append(words)
            context.status(f"Searching {words}")
            await asyncio.sleep(0.5)
            context.emit(Attachment("text/plain", content=words))
            return f"found {words}"

        self.agent = Agent(client, "Be brief.", name="helper", tools=[search], **agent)
        self.state = state
        self.session = None if state is None else AgentSession("s-1", state=state)


def a_script(**options: Any) -> ScriptedClient:
    return ScriptedClient(
        [
            [
                "Let me ",
                "look. ",
                ToolCall(id="1", name="search", arguments='{"words": "cats"}'),
                ToolCall(id="2", name="search", arguments='{"words": "dogs"}'),
                Usage(input_tokens=3, output_tokens=5),
            ],
            ["Cats ", 0.5, "and dogs", " sleep."],
        ],
        **options,
    )


def bare(events: Sequence[StreamEvent]) -> list[StreamEvent]:
    """The events without their tokens."""
    return [replace(event, continuation_token=None) for event in events]


async def events_of(stream: Any) -> list[StreamEvent]:
    async with stream:
        return [event async for event in stream]


async def some_of(stream: Any, count: int) -> list[StreamEvent]:
    given: list[StreamEvent] = []
    async with stream:
        async for event in stream:
            given.append(event)
            if len(given) == count:
                break
    return given


ALL = 20
"""How many events the run of `a_script` has."""


async def test_the_run_of_these_tests_has_all_these_events() -> None:
    bot = Bot(a_script(), MemoryState())
    events = await events_of(bot.agent.run("Hi", session=bot.session, stream=True, background=True))
    assert len(events) == ALL
    assert all(event.continuation_token for event in events[:-1])
    assert isinstance(events[-1], RunEnded)
    assert events[-1].continuation_token is None
    foreground = Bot(a_script())
    assert [event.kind for event in events] == [
        event.kind for event in await events_of(foreground.agent.run("Hi", stream=True))
    ]


@pytest.mark.parametrize("kept", ["session", "memory"])
@pytest.mark.parametrize("k", range(1, ALL))
async def test_the_token_of_every_event_resumes_with_the_next_one(k: int, kept: str) -> None:
    client = a_script()
    state = MemoryState() if kept == "session" else None
    bot = Bot(client, state)
    whole = await events_of(Bot(a_script()).agent.run("Hi", stream=True))
    stream = bot.agent.run("Hi", session=bot.session, stream=True, background=True, run_id="r-1")
    before = await some_of(stream, k)
    assert stream.continuation_token == before[-1].continuation_token

    # With a session in another process, and without one in this one.
    other = Bot(client, state) if state is not None else bot
    resumed = other.agent.run(
        continuation_token=before[-1].continuation_token, session=other.session, stream=True
    )
    after = await events_of(resumed)
    given = [event for event in bare(before + after) if not isinstance(event, (Status, Attachment))]
    expected = [event for event in bare(whole) if not isinstance(event, (Status, Attachment))]
    interrupted = k in (9, 10, 11)  # the break was in the midst of the tools
    if not interrupted:
        assert [event.kind for event in bare(before + after)] == [event.kind for event in whole]
        assert given[1:] == expected[1:]
        assert sorted(bot.calls + (other.calls if other is not bot else [])) == ["cats", "dogs"]
    response = await resumed.final()
    assert response.text == "Let me look. Cats and dogs sleep."
    assert response.continuation_token is None
    if other.session is not None:
        [record] = await other.session.runs()
        assert record.outcome == "completed"
        assert [said.role for said in record.messages] == ["assistant", "tool", "assistant"]
        assert await other.session.messages() == [Message.user("Hi"), *response.messages]


@pytest.mark.parametrize("busy", ["wait", "reject"])
async def test_two_pollers_of_one_token_run_its_tools_once(busy: Any) -> None:
    client, state = a_script(), MemoryState()
    bots = [Bot(client, state), Bot(client, state)]
    for bot in bots:
        bot.session = AgentSession("s-1", state=state, busy=busy)
    first = await bots[0].agent.run("Hi", session=bots[0].session, background=True)
    token = first.continuation_token or ""
    await asyncio.sleep(1)
    answers = await asyncio.gather(*(bot.agent.poll(token, session=bot.session) for bot in bots))
    assert [answer.text for answer in answers] == ["Let me look. Cats and dogs sleep."] * 2
    assert sorted(bots[0].calls + bots[1].calls) == ["cats", "dogs"]
    assert len(client.requests) == 2
    for answer in answers:
        assert [card.content for card in answer.attachments] == ["cats", "dogs"]
        assert answer.usage == Usage(input_tokens=3, output_tokens=5)


@pytest.mark.parametrize("known", [True, False])
async def test_two_pollers_without_a_session_run_its_tools_once_in_one_process(known: bool) -> None:
    client = a_script()
    bot = Bot(client)
    token = (await bot.agent.run("Hi", background=True)).continuation_token or ""
    if not known:
        bot = Bot(client)  # another process, which knows no more than the token
    answers = await asyncio.gather(*(bot.agent.poll(token) for _ in range(2)))
    assert [answer.text for answer in answers] == ["Let me look. Cats and dogs sleep."] * 2
    assert bot.calls == ["cats", "dogs"]


class DyingClient(ScriptedClient):
    """Its process dies when the second turn is to be begun."""

    async def start(self, request: Any) -> Any:
        if self.requests:
            await asyncio.Event().wait()
        return await super().start(request)


async def test_a_process_that_dies_between_the_tools_and_the_next_turn_does_not_run_them_again() -> None:
    client, state = DyingClient(a_script()._turns), MemoryState()
    bot, other = Bot(client, state), Bot(client, state)
    token = (await bot.agent.run("Hi", session=bot.session, background=True)).continuation_token or ""
    await asyncio.sleep(1)
    hanging = asyncio.create_task(bot.agent.run(continuation_token=token, session=bot.session))
    await asyncio.sleep(2)
    assert bot.calls == ["cats", "dogs"]
    assert bot.session is not None
    frozen = await state.store.get("agents/runs/s-1/" + (await bot.session.runs())[0].run_id)
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    # As the store was when it died: what it would have written while it was unwound was never written.
    assert frozen is not None
    await state.store.put("agents/runs/s-1/" + (await bot.session.runs())[0].run_id, frozen.value)

    client.__class__ = ScriptedClient  # type: ignore[assignment]
    final = await other.agent.poll(token, session=other.session)
    assert other.calls == []
    assert final.text == "Let me look. Cats and dogs sleep."
    [told] = [said for said in client.requests[1].messages if said.role == "tool"]
    assert [part.content for part in told.parts if isinstance(part, ToolResultPart)] == [
        "found cats",
        "found dogs",
    ]


async def test_a_process_that_dies_in_the_midst_of_its_tools_tells_the_model_which_had_no_end() -> None:
    client, state = a_script(), MemoryState()
    bot, other = Bot(client, state), Bot(client, state)
    token = (await bot.agent.run("Hi", session=bot.session, background=True)).continuation_token or ""
    await asyncio.sleep(1)
    hanging = asyncio.create_task(bot.agent.run(continuation_token=token, session=bot.session))
    await asyncio.sleep(0.2)
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    final = await other.agent.poll(token, session=other.session)
    assert (bot.calls, other.calls) == (["cats", "dogs"], [])
    assert final.text == "Let me look. Cats and dogs sleep."
    [told] = [said for said in client.requests[1].messages if said.role == "tool"]
    assert all(part.interrupted for part in told.parts if isinstance(part, ToolResultPart))


async def test_a_run_that_waits_leaves_its_session_free_for_other_questions() -> None:
    client, state = ScriptedClient([["Long ", 60.0, "answer."], "Short."]), MemoryState()
    bot = Bot(client, state)
    token = (await bot.agent.run("Long?", session=bot.session, background=True)).continuation_token or ""
    assert (await bot.agent.run("Short?", session=bot.session)).text == "Short."
    assert (await bot.agent.poll(token, session=bot.session)).text == "Long answer."
    assert bot.session is not None
    assert [said.text for said in await bot.session.messages()] == [
        "Long?",
        "Long answer.",
        "Short?",
        "Short.",
    ]


async def test_stop_cancels_the_response_and_keeps_what_was_said() -> None:
    client, state = ScriptedClient([["Long ", 60.0, "answer."]]), MemoryState()
    bot = Bot(client, state)
    stream = bot.agent.run("Long?", session=bot.session, background=True, stream=True)
    while not isinstance(await anext(stream), Text):
        pass
    await stream.cancel()
    [response] = client._responses.values()
    assert response.reply().status == "cancelled"
    assert bot.session is not None
    [_, said] = await bot.session.messages()
    assert (said.text, said.status) == ("Long ", "interrupted")
    assert stream.continuation_token is None


async def stopped(stream: Any, seconds: float = 1.0) -> str:
    """Read it, and stop it as Teams does: the task that reads is cancelled first. The newest token."""
    token = ""

    async def read() -> None:
        nonlocal token
        async for event in stream:
            token = event.continuation_token or token

    reading = asyncio.create_task(read())
    await asyncio.sleep(seconds)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await stream.cancel()
    return token


@pytest.mark.parametrize("kept", ["session", "memory"])
@pytest.mark.parametrize("seconds", [0.2, 0.7])
async def test_a_run_is_over_that_is_cancelled_after_its_reader_was(kept: str, seconds: float) -> None:
    """In the midst of its tools, and of its second turn."""
    bot = Bot(client := a_script(), MemoryState() if kept == "session" else None)
    stream = bot.agent.run("Hi", session=bot.session, background=True, stream=True)
    token = await stopped(stream, seconds)
    requests = len(client.requests)
    assert stream.continuation_token is None
    with pytest.raises(RunCancelled):
        await bot.agent.poll(token, session=bot.session)
    assert (len(client.requests), bot.calls) == (requests, ["cats", "dogs"])
    if bot.session is not None:
        [record] = await bot.session.runs()
        assert record.outcome is Outcome.CANCELLED
        said = [message.text for message in record.messages if message.role == "assistant"]
        assert said == ["Let me look. ", "Cats "][:requests]


class WaryClient(ScriptedClient):
    """Its provider cannot be reached at the first try to cancel, or takes a second for it."""

    tries = 0
    fails = False

    async def cancel(self, state: Any) -> None:
        self.tries += 1
        if self.fails and self.tries == 1:
            raise ModelError("no connection", retryable=True)
        await super().cancel(state)
        await asyncio.sleep(1)


async def test_a_cancel_that_does_not_reach_the_provider_can_be_made_again_by_the_token() -> None:
    bot = Bot(client := WaryClient([["Long ", 60.0, "answer."]]), MemoryState())
    client.fails = True
    stream = bot.agent.run("Long?", session=bot.session, background=True, stream=True)
    while not isinstance(event := await anext(stream), Text):
        pass
    await stream.cancel()
    assert bot.session is not None
    [record] = await bot.session.runs()
    assert (record.outcome, record.cancelling) == (None, True)
    assert stream.continuation_token == event.continuation_token
    await bot.agent.cancel(stream.continuation_token or "", session=bot.session)
    [response] = client._responses.values()
    assert response.reply().status == "cancelled"
    [record] = await bot.session.runs()
    assert record.outcome is Outcome.CANCELLED


async def test_a_run_is_cancelled_for_its_reader_while_the_provider_is_told() -> None:
    bot = Bot(WaryClient([["Long ", 60.0, "answer."]]), MemoryState())
    stream = bot.agent.run("Long?", session=bot.session, background=True, stream=True)
    reading = asyncio.create_task(events_of(stream))
    await asyncio.sleep(1)
    await stream.cancel()
    with pytest.raises(StreamIncomplete):
        await reading
    assert stream.state is StreamState.CANCELLED
    assert bot.session is not None
    [record] = await bot.session.runs()
    assert record.outcome is Outcome.CANCELLED


async def test_a_resumed_stream_that_waits_for_its_session_can_be_cancelled() -> None:
    bot = Bot(client := ScriptedClient([["Long ", 600.0, "answer."], ["Other ", 600.0]]), MemoryState())
    [*_, last] = await some_of(bot.agent.run("Long?", session=bot.session, background=True, stream=True), 3)
    other = bot.agent.run("Other?", session=bot.session, stream=True)
    await anext(other)
    token = last.continuation_token
    resumed = bot.agent.run(session=bot.session, continuation_token=token, stream=True)
    await stopped(resumed)
    assert next(iter(client._responses.values())).reply().status == "cancelled"
    await other.aclose()
    with pytest.raises(RunCancelled):
        await bot.agent.poll(token or "", session=bot.session)


async def test_a_response_in_the_background_says_of_itself_what_can_still_be_done() -> None:
    bot = Bot(ScriptedClient([["Long ", 60.0, "answer."]]), MemoryState())
    stream = bot.agent.run("Long?", session=bot.session, background=True, stream=True)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(events_of(stream), 1)
    left = stream.partial().result
    assert left is not None
    assert left.status == "in_progress"
    resumed = bot.agent.run(session=bot.session, continuation_token=left.continuation_token, stream=True)
    await anext(resumed)
    await resumed.cancel()
    over = resumed.partial().result
    assert over is not None
    assert (over.status, over.continuation_token) == ("cancelled", None)


async def test_a_run_that_is_over_makes_no_turn_for_an_agent_that_would_allow_one() -> None:
    client, state = a_script(), MemoryState()
    bot, other = Bot(client, state, limits=RunLimits(turns=1)), Bot(client, state)
    stream = bot.agent.run("Hi", session=bot.session, background=True, stream=True)
    token = [event.continuation_token for event in await events_of(stream)][-2] or ""
    seen = await other.agent.poll(token, session=other.session)
    assert (seen.text, len(client.requests), other.calls) == ("Let me look. ", 1, [])


async def test_a_run_that_was_left_before_its_response_began_is_saved_by_the_policy() -> None:
    class Slow(ScriptedClient):
        async def stream(self, request: Any) -> Any:
            await asyncio.sleep(60)
            yield

    session = AgentSession(policy=HistoryPolicy(cancelled="drop"))
    await stopped(Agent(Slow(["-"])).run("Hi", session=session, background=True, stream=True))
    [record] = await session.runs()
    assert (record.outcome, record.background) == (Outcome.CANCELLED, None)
    assert await session.messages() == []


async def test_a_tool_that_ends_after_its_run_was_saved_changes_nothing() -> None:
    @tool
    async def stubborn() -> str:
        """Go on."""
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5)
        return "late"

    session = AgentSession()
    agent = Agent(ScriptedClient([[ToolCall("1", "stubborn", "{}")], "-"]), tools=[stubborn])
    stream = agent.run("Hi", session=session, background=True, stream=True)
    reading = asyncio.create_task(events_of(stream))
    await asyncio.sleep(1)
    stopping = asyncio.create_task(stream.cancel())
    await asyncio.sleep(0.1)
    reading.cancel()
    await asyncio.gather(reading, stopping, return_exceptions=True)
    saved = await session.runs()
    assert [record.outcome for record in saved] == [Outcome.CANCELLED]
    await asyncio.sleep(60)
    assert await session.runs() == saved


async def test_a_filter_that_passes_all_leaves_a_resumed_run_all_of_its_text() -> None:
    bot = Bot(a_script(), MemoryState())
    [*_, last] = await some_of(
        bot.agent.run("Hi", session=bot.session, background=True, stream=True), ALL - 2
    )
    resumed = bot.agent.run(
        session=bot.session,
        continuation_token=last.continuation_token,
        stream=True,
        filter=TurnFilter("all"),
    )
    assert (await resumed.final()).text == "Let me look. Cats and dogs sleep."


async def test_a_reader_that_leaves_does_not_cancel_the_response() -> None:
    client, state = ScriptedClient([["Long ", 60.0, "answer."]]), MemoryState()
    bot = Bot(client, state)
    [*_, last] = await some_of(bot.agent.run("Long?", session=bot.session, background=True, stream=True), 3)
    final = await bot.agent.poll(last.continuation_token or "", session=bot.session)
    assert final.text == "Long answer."


@pytest.mark.parametrize("k", range(1, ALL))
async def test_an_old_token_still_gives_all_that_came_after_it_when_the_run_is_over(k: int) -> None:
    bot = Bot(a_script(), MemoryState())
    whole = await events_of(bot.agent.run("Hi", session=bot.session, background=True, stream=True))
    resumed = bot.agent.run(
        continuation_token=whole[k - 1].continuation_token, session=bot.session, stream=True
    )
    assert bare(await events_of(resumed)) == bare(whole[k:])
    assert bot.calls == ["cats", "dogs"]


class SlowBot:
    """Its calls take 20 seconds each."""

    def __init__(
        self, client: ScriptedClient, state: MemoryState | None, *, sequential: bool = False
    ) -> None:
        self.begun: list[str] = []

        @tool(sequential=sequential)
        async def search(words: str) -> str:
            """Search."""
            self.begun.append(words)
            await asyncio.sleep(20 if words == "cats" else 60)
            return "found"

        self.agent = Agent(client, name="helper", tools=[search])
        self.session = None if state is None else AgentSession("s-1", state=state, busy="reject")
        self.given: list[StreamEvent] = []

    async def read(self) -> None:
        async with self.agent.run("Hi", session=self.session, background=True, stream=True) as stream:
            async for event in stream:
                self.given.append(event)

    @property
    def token(self) -> str:
        return self.given[-1].continuation_token or ""

    async def outcome(self) -> Outcome | None:
        assert self.session is not None
        [record] = await self.session.runs()
        return record.outcome


@pytest.mark.parametrize("sequential", [True, False])
async def test_a_run_that_is_cancelled_in_the_midst_of_its_tools_makes_no_further_call_and_no_turn(
    sequential: bool, clock: VirtualClock
) -> None:
    client, state = a_script(), MemoryState()
    bot, other = (SlowBot(client, state, sequential=sequential) for _ in range(2))
    reading = asyncio.create_task(bot.read())
    await asyncio.sleep(1)
    await other.agent.cancel(bot.token, session=other.session)
    assert clock.elapsed == 1
    with pytest.raises(RunCancelled):
        await reading
    assert clock.elapsed == 20  # the call of 60 seconds was not waited for
    assert bot.begun == ["cats"] if sequential else ["cats", "dogs"]
    assert len(client.requests) == 1
    assert isinstance(bot.given[-1], RunEnded)
    assert bot.given[-1].outcome is await bot.outcome() is Outcome.CANCELLED
    assert bot.session is not None
    [*_, told] = await bot.session.messages()
    results = [part for part in told.parts if isinstance(part, ToolResultPart)]
    assert [(part.id, part.interrupted) for part in results] == [("1", False), ("2", True)]


async def test_who_cancels_a_run_without_a_session_in_the_midst_of_a_tool_waits_for_its_end(
    clock: VirtualClock,
) -> None:
    bot = SlowBot(client := a_script(), None)
    reading = asyncio.create_task(bot.read())
    await asyncio.sleep(1)
    await bot.agent.cancel(bot.token)
    assert clock.elapsed == 20
    with pytest.raises(RunCancelled):
        await reading
    assert len(client.requests) == 1


async def test_a_run_that_was_to_be_cancelled_stays_so_when_the_process_that_had_it_dies() -> None:
    client, state = a_script(), MemoryState()
    bot, other = SlowBot(client, state), SlowBot(client, state)
    reading = asyncio.create_task(bot.read())
    await asyncio.sleep(1)
    await other.agent.cancel(bot.token, session=other.session)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert await other.outcome() is None
    with pytest.raises(RunCancelled):
        await other.agent.poll(bot.token, session=other.session)
    assert await other.outcome() is Outcome.CANCELLED
    assert (other.begun, len(client.requests)) == ([], 1)


class HesitantClient(ScriptedClient):
    """It takes a second until it is known which response has begun."""

    async def stream(self, request: Any) -> Any:
        async for given in super().stream(request):
            if len(self._responses) == 2:
                await asyncio.sleep(1)
            yield given


async def test_a_response_that_began_while_its_run_was_cancelled_is_cancelled_too() -> None:
    client, state = HesitantClient([a_script()._turns[0], ["Cats ", 30.0, "sleep."]]), MemoryState()
    bot, other = SlowBot(client, state), SlowBot(client, state)
    reading = asyncio.create_task(bot.read())
    await asyncio.sleep(60.5)
    assert len(client.requests) == 2
    await other.agent.cancel(bot.token, session=other.session)
    with pytest.raises(RunCancelled):
        await reading
    assert [response.reply().status for response in client._responses.values()] == ["completed", "cancelled"]
    assert await other.outcome() is Outcome.CANCELLED


async def test_to_cancel_a_run_whose_last_response_is_over_leaves_it_its_answer() -> None:
    bot = Bot(ScriptedClient(["Done."]), MemoryState())
    token = (await bot.agent.run("Hi", session=bot.session, background=True)).continuation_token or ""
    await asyncio.sleep(1)
    await bot.agent.cancel(token, session=bot.session)
    assert (await bot.agent.poll(token, session=bot.session)).text == "Done."


@pytest.mark.parametrize("kept", ["session", "memory"])
async def test_a_token_of_a_turn_that_its_run_never_had_is_invalid(kept: str) -> None:
    """Without a secret anybody can sign one."""
    bot = Bot(a_script(), MemoryState() if kept == "session" else None)
    response = await bot.agent.run("Hi", session=bot.session, background=True)
    token = ContinuationToken.parse(response.continuation_token or "")
    wrong = str(replace(token, turn=99, signature=""))
    for ask in (bot.agent.run, bot.agent.poll, bot.agent.cancel):
        with pytest.raises(TokenInvalid, match="turn 99"):
            await ask(continuation_token=wrong, session=bot.session)
    with pytest.raises(TokenInvalid, match="turn 99"):
        await events_of(bot.agent.run(continuation_token=wrong, session=bot.session, stream=True))
    assert (await bot.agent.poll(token, session=bot.session)).text == "Let me look. Cats and dogs sleep."


SLOW_END: list[Any] = [
    ["Let me ", ToolCall(id="1", name="search", arguments='{"words": "cats"}')],
    ["It is ", 30.0, "done."],
]


@pytest.mark.parametrize(
    ("filtered", "going", "left"),
    [
        ({}, "Let me ", "Let me It is "),
        ({"final_turn_only": True}, "", "It is "),
        ({"filter": TurnFilter("final")}, "", "It is "),
        ({"filter": TurnFilter("all")}, "Let me ", "Let me It is "),
        ({"filter": TurnFilter(lambda view: "release" if view.turn == 1 else "drop")}, "Let me ", "Let me "),
        (
            {"filter": TurnFilter(lambda view: "release" if view.followed else "hold")},
            "Let me ",
            "Let me It is ",
        ),
    ],
)
async def test_every_look_shows_of_a_run_what_its_filter_would_have_shown(
    filtered: dict[str, Any], going: str, left: str
) -> None:
    bot = Bot(ScriptedClient(SLOW_END), MemoryState())
    token = (await bot.agent.run("Hi", session=bot.session, background=True)).continuation_token or ""
    told: list[str] = []
    with pytest.raises(TimeoutError):
        await bot.agent.poll(
            token,
            session=bot.session,
            deadline=9,
            on_status=lambda response: told.append(response.text),
            **filtered,
        )
    assert set(told[-2:]) == {going}
    look = await bot.agent.run(continuation_token=token, session=bot.session, **filtered)
    assert (look.status, look.text) == ("in_progress", going)
    assert [said.text for said in look.messages] == ["Let me ", ""]
    await bot.agent.cancel(token, session=bot.session)
    with pytest.raises(RunCancelled) as caught:
        await bot.agent.poll(token, session=bot.session, **filtered)
    assert caught.value.partial.text == left


async def test_who_polls_a_failed_run_once_more_gets_of_it_what_the_history_keeps() -> None:
    for policy, kept in ((HistoryPolicy(), ""), (HistoryPolicy(failed="keep_partial"), "It is ")):
        client = ScriptedClient([SLOW_END[0], ["It is ", ModelError("It broke", code="server_error")]])
        bot = Bot(client, MemoryState())
        session = AgentSession("s-1", state=bot.state, policy=policy)
        token = (await bot.agent.run("Hi", session=session, background=True)).continuation_token or ""
        for text in ("It is ", kept):
            with pytest.raises(RunFailed, match="It broke") as caught:
                await bot.agent.poll(token, session=session, final_turn_only=True)
            assert caught.value.partial.text == text


async def test_an_event_that_gets_its_token_keeps_all_else_that_it_has() -> None:
    said = [
        Text("Cats", "replace", "commentary", extra={"later": 1}),
        Reasoning("Hm", "replace", extra={"later": 2}),
        Text(" sleep"),
    ]
    assert {each.name for each in fields(Text)} == {
        *("text", "mode", "phase", "scope", "continuation_token", "extra")
    }
    events = await events_of(Bot(ScriptedClient([said])).agent.run("Hi", stream=True, background=True))
    assert bare(events)[2:5] == said
    assert len({event.continuation_token for event in events[:-1]}) == len(events) - 1


def test_a_pace_never_goes_beyond_its_deadline_nor_its_longest_interval() -> None:
    pace = Pace(2, 2, 10, deadline=21)
    assert [pace.wait(looks, 0) for looks in (1, 2, 3, 4, 5, 1000)] == [2, 4, 8, 10, 10, 10]
    assert pace.wait(5, 20) == 1
    assert pace.wait(6, 21) is None
    for wrong in ({"interval": 0}, {"backoff": 0.5}, {"max_interval": 0}):
        with pytest.raises(ValueError, match="poll"):
            Pace(**wrong)
