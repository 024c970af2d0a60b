"""The statements of shared/agent-streams.md, section 7.9, "Seed 000", that are about sessions: an agent's
stream saves its history itself. With a scripted model, and with the real openai package on a local server.
Those about plain sources are in test_response_stream.py.
"""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from agent_models import Models
from cadenza.agents.agent import Agent
from cadenza.agents.agent_response import AgentResponse
from cadenza.agents.agent_stream import AgentStream
from cadenza.agents.clients.client import ModelRequest
from cadenza.agents.clients.scripted import ScriptedClient
from cadenza.agents.errors import ModelError, SessionError, SettlementError, StreamIncomplete
from cadenza.agents.history import HistoryPolicy
from cadenza.agents.message import Message
from cadenza.agents.response_stream import Settlement, StreamState
from cadenza.agents.session import AgentSession
from cadenza.events import Outcome, StreamEvent, Text
from cadenza.state import State
from cadenza.testing import VirtualClock

EVERYWHERE = pytest.mark.parametrize(
    ("model", "state"),
    [
        ("scripted", "memory"),
        ("scripted", "sqlite"),
        ("scripted", "redis"),
        ("responses", "memory"),
        ("chat", "memory"),
    ],
    indirect=True,
)
"""With each model, and on each state."""


def told(messages: Any) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in messages]


async def read(stream: AgentStream, seen: list[StreamEvent]) -> None:
    async for event in stream:
        seen.append(event)  # noqa: PERF401  # those before an exception, too


HELLO = [("user", "Hi"), ("assistant", "Hello there.")]


@EVERYWHERE
async def test_000_01_iteration_to_the_end_saves_the_question_and_the_answer_once(
    model: Models, state: State
) -> None:
    agent = Agent(model([["Hello ", "there."]]))
    session = AgentSession("s", state=state, busy="reject")
    calls: list[str] = []

    def transform(response: AgentResponse) -> None:
        calls.append(response.text)

    stream = agent.run("Hi", session=session, stream=True).with_result_transform(transform)
    seen = [event.text async for event in stream if isinstance(event, Text)]
    assert seen == ["Hello ", "there."]
    assert calls == ["Hello there."]
    assert told(await session.messages()) == HELLO
    assert (await stream.final()).text == "Hello there."
    assert told(await session.messages()) == HELLO
    assert calls == ["Hello there."]
    assert [record.outcome for record in await session.runs()] == [Outcome.COMPLETED]


@EVERYWHERE
async def test_000_03_final_without_iteration_drains_and_saves_once(model: Models, state: State) -> None:
    session = AgentSession("s", state=state, busy="reject")
    stream = Agent(model([["Hello ", "there."]])).run("Hi", session=session, stream=True)
    first, second = await asyncio.gather(stream.final(), stream.final())
    assert first is second
    assert first is await stream.final()
    assert (first.text, first.session_id) == ("Hello there.", "s")
    assert told(await session.messages()) == HELLO


@EVERYWHERE
async def test_000_03_a_run_without_a_stream_saves_the_same(model: Models, state: State) -> None:
    session = AgentSession("s", state=state, busy="reject")
    response = await Agent(model([["Hello ", "there."]])).run("Hi", session=session)
    assert response.text == "Hello there."
    assert told(await session.messages()) == HELLO


@EVERYWHERE
async def test_000_04_the_second_turn_sends_what_was_said_in_the_first_to_the_model(
    model: Models, state: State
) -> None:
    client = model([["Hello ", "there."], "You said Hi."])
    agent = Agent(client)
    async for _ in agent.run("Hi", session=AgentSession("s", state=state, busy="reject"), stream=True):
        pass
    # Nothing else was called, and the second object of this id knows all the same.
    async for _ in agent.run("What did I say?", session=AgentSession("s", state=state), stream=True):
        pass
    assert model.asked(client) == [[("user", "Hi")], [*HELLO, ("user", "What did I say?")]]


@EVERYWHERE
@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (None, [("user", "Hi")]),
        (HistoryPolicy(failed="drop"), []),
        (HistoryPolicy(failed="keep_partial"), [("user", "Hi"), ("assistant", "Hello ")]),
    ],
)
async def test_000_08_after_a_failure_the_policy_says_what_is_saved(
    model: Models, state: State, policy: HistoryPolicy | None, kept: list[tuple[str, str]]
) -> None:
    error = ModelError("The line is down.", code="server_error")
    session = AgentSession("s", state=state, policy=policy, busy="reject")
    stream = Agent(model([["Hello ", error]])).run("Hi", session=session, stream=True)
    seen: list[StreamEvent] = []
    with pytest.raises(ModelError) as caught:
        await read(stream, seen)
    assert (caught.value is error) == (model.kind == "scripted")
    assert caught.value.code == "server_error"
    assert [event.kind for event in seen] == ["run_started", "turn_started", "text", "run_ended"]
    for _ in range(2):
        with pytest.raises(ModelError) as again:
            await stream.final()
        assert again.value is caught.value
    partial = stream.partial().result
    assert partial is not None
    assert partial.text == "Hello "
    assert told(await session.messages()) == kept
    assert [record.outcome for record in await session.runs()] == [Outcome.FAILED]


class Watched:
    """A client, and which tasks closed what it gave: a task of asyncio where it became garbage."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.provider = client.provider
        self.closed_by: list[asyncio.Task[Any] | None] = []

    async def stream(self, request: ModelRequest) -> AsyncIterator[Any]:
        try:
            async with aclosing(self.client.stream(request)) as given:
                async for event in given:
                    yield event
        finally:
            self.closed_by.append(asyncio.current_task())


def our_tasks() -> list[str]:
    """The tasks of this loop that run code of Cadenza."""
    return [
        code.co_qualname
        for task in asyncio.all_tasks()
        if (code := getattr(task.get_coro(), "cr_code", None)) and "/cadenza/" in code.co_filename
    ]


@EVERYWHERE
async def test_000_09_a_break_inside_async_with_closes_the_source_and_saves_by_the_policy(
    model: Models, state: State
) -> None:
    session = AgentSession("s", state=state, busy="reject")
    client = model([["Hello ", 3600.0, "there."], "Yes."])
    watched = Watched(client)
    agent = Agent(watched)
    async with agent.run("Hi", session=session, stream=True) as stream:
        async for event in stream:
            if isinstance(event, Text):
                assert our_tasks() != []  # the lease of the session is kept
                break
    assert stream.state is StreamState.CLOSED
    assert watched.closed_by == [asyncio.current_task()]
    assert our_tasks() == []  # nothing goes on
    assert told(await session.messages()) == [("user", "Hi"), ("assistant", "Hello ")]
    assert [message.status for message in await session.messages()] == ["complete", "interrupted"]
    with pytest.raises(StreamIncomplete):
        await stream.final()
    await agent.run("Still there?", session=session)
    assert model.asked(client)[1] == [("user", "Hi"), ("assistant", "Hello "), ("user", "Still there?")]
    if model.server is not None:
        assert model.server.connections[0].left


async def test_000_09_a_break_without_async_with_warns_and_is_closed_and_saved_soon(
    model: Models, clock: VirtualClock
) -> None:
    session = AgentSession("s")  # the next run waits until it is
    client = model([["Hello ", 5.0, "there."], "Yes."])
    agent = Agent(client)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async for event in agent.run("Hi", session=session, stream=True):
            if isinstance(event, Text):
                break
        gc.collect()
        await agent.run("Still there?", session=session)
    assert [warning.category for warning in caught] == [ResourceWarning]
    assert model.asked(client)[1] == [("user", "Hi"), ("assistant", "Hello "), ("user", "Still there?")]


@EVERYWHERE
async def test_000_10_a_cancelled_task_keeps_the_partial_answer_as_interrupted(
    model: Models, state: State
) -> None:
    session = AgentSession("s", state=state, busy="reject")
    watched = Watched(model([["Hello ", 3600.0, "there."]]))
    stream = Agent(watched).run("Hi", session=session, stream=True)

    waits = asyncio.Event()

    async def read() -> None:
        async for event in stream:
            if isinstance(event, Text):
                waits.set()

    task = asyncio.create_task(read())
    await waits.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stream.state is StreamState.CANCELLED
    assert (watched.closed_by, our_tasks()) == ([task], [])
    partial = stream.partial().result
    assert partial is not None
    assert partial.status == "cancelled"
    found = await session.messages()
    assert told(found) == [("user", "Hi"), ("assistant", "Hello ")]
    assert [message.status for message in found] == ["complete", "interrupted"]
    assert [record.outcome for record in await session.runs()] == [Outcome.CANCELLED]


class UnreachableStore:
    """A store whose writes of an outcome fail for the first `failures` times."""

    def __init__(self, store: Any, failures: int) -> None:
        self.store = store
        self.failures = failures
        self.saves = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def put(self, key: str, value: bytes, **options: Any) -> int:
        if b'"outcome"' in value:
            self.saves += 1
            if self.saves <= self.failures:
                raise SessionError("The disk is full.")
        version: int = await self.store.put(key, value, **options)
        return version


@EVERYWHERE
async def test_000_11_a_save_that_failed_is_reported_and_alone_is_tried_again(
    model: Models, state: State
) -> None:
    store = UnreachableStore(state.store, 2)
    session = AgentSession("s", store=store, leases=state.leases, busy="reject")
    done: list[Outcome] = []

    def effect(settlement: Settlement[StreamEvent, AgentResponse]) -> None:
        done.append(settlement.outcome)

    agent = Agent(model([["Hello ", "there."], "Yes."]))
    stream = agent.run("Hi", session=session, stream=True).with_effect(effect, "count")
    seen: list[StreamEvent] = []
    with pytest.raises(SettlementError) as caught:
        await read(stream, seen)
    assert seen[-1].kind == "run_ended", "what was delivered stays delivered"
    assert caught.value.failed == ("history",)
    assert caught.value.final.text == "Hello there."
    assert isinstance(caught.value.__cause__, SessionError)
    assert stream.state is StreamState.COMPLETED
    with pytest.raises(SettlementError):
        await stream.final()
    # The session is free meanwhile. What is saved late stands in its place.
    await agent.run("And?", session=AgentSession("s", state=state, busy="reject"))
    with pytest.raises(SettlementError):
        await stream.retry_settlement()
    await stream.retry_settlement()
    assert (await stream.final()).text == "Hello there."
    assert (store.saves, done) == (3, [Outcome.COMPLETED])
    assert told(await session.messages()) == [*HELLO, ("user", "And?"), ("assistant", "Yes.")]


async def test_000_12_a_late_transform_saves_nothing_again(model: Models) -> None:
    session = AgentSession("s")
    stream = Agent(model(["Hello."])).run("Hi", session=session, stream=True)
    await stream.final()
    before = await session.runs()

    def shout(response: AgentResponse) -> AgentResponse:
        return AgentResponse(response.run_id, response.text.upper())

    stream.with_result_transform(shout)
    assert (await stream.final()).text == "HELLO."
    assert await session.runs() == before


async def test_000_14_a_stream_that_is_never_started_asks_no_model_and_leaves_nothing(
    model: Models, clock: VirtualClock
) -> None:
    session, client = AgentSession("s"), model(["Hello."])
    stream = Agent(client).run("Hi", session=session, stream=True)
    del stream
    gc.collect()
    await asyncio.sleep(1)
    assert model.asked(client) == []
    assert await session.runs() == []


async def test_the_user_is_remembered_before_the_model_is_asked(clock: VirtualClock) -> None:
    session = AgentSession("s")
    found: list[Message] = []
    tasks: list[asyncio.Task[None]] = []

    def turn(request: ModelRequest) -> list[Any]:
        async def look() -> None:
            found.extend(await session.messages())

        tasks.append(asyncio.create_task(look()))
        return [1.0, "Hello."]

    await Agent(ScriptedClient([turn])).run("Hi", session=session)
    assert told(found) == [("user", "Hi")]
