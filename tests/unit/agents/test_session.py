"""A session has one run at a time, remembers each in its place, and an abandoned run loses it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from cadenza.agents import Agent, history, session as session_module, session_lease
from cadenza.agents.clients.scripted import ScriptedClient
from cadenza.agents.errors import SessionBusy, SessionError, SessionLost
from cadenza.agents.history import HistoryPolicy, RunRecord
from cadenza.agents.message import Message, TextPart, ToolCallPart
from cadenza.agents.session import AgentSession, SessionRun
from cadenza.events import Outcome, RunEnded
from cadenza.state import Lease, MemoryState, State, StateUnavailableError
from cadenza.testing import VirtualClock


def ask(text: str) -> list[Message]:
    return [Message.user(text)]


def answer(text: str) -> list[Message]:
    return [Message("assistant", (TextPart(text),))]


async def run_once(session: AgentSession, run_id: str, question: str, reply: str) -> SessionRun:
    run = await session.begin(run_id, ask(question))
    await run.save(Outcome.COMPLETED, answer(reply))
    await run.release()
    return run


def texts(messages: Any) -> list[str]:
    return [message.text for message in messages]


@pytest.fixture
def memory(clock: VirtualClock) -> MemoryState:
    return MemoryState(clock=clock.now)


# On each state


async def test_the_next_run_is_told_what_was_said_also_by_another_object_of_the_same_id(state: State) -> None:
    await run_once(AgentSession("s", state=state), "1", "Hi", "Hello")
    run = await AgentSession("s", state=state).begin("2", ask("And?"))
    assert texts(run.history) == ["Hi", "Hello"]
    assert texts(run.request) == ["Hi", "Hello", "And?"]
    await run.release()


async def test_two_sessions_know_nothing_of_one_another_whatever_their_ids_are(state: State) -> None:
    ids = ["a", "a/1", "a%2F1", "19:x@thread.v2", "ä \n"]
    for session_id in ids:
        await run_once(AgentSession(session_id, state=state), "1", f"of {session_id}", "yes")
    await AgentSession("a", state=state).clear()
    for session_id in ids[1:]:
        assert texts(await AgentSession(session_id, state=state).messages()) == [f"of {session_id}", "yes"]
    assert await AgentSession("a", state=state).messages() == []


async def test_a_run_that_is_saved_again_is_there_once_and_a_late_save_stands_in_its_place(
    state: State,
) -> None:
    session = AgentSession("s", state=state)
    first = await session.begin("1", ask("one"))
    await first.release()  # before it was saved, as where the store could not be reached
    await run_once(session, "2", "two", "2")
    await first.save(Outcome.COMPLETED, answer("1"))
    await first.save(Outcome.COMPLETED, answer("1"))
    assert texts(await session.messages()) == ["one", "1", "two", "2"]
    assert [(r.run_id, r.outcome) for r in await session.runs()] == [
        ("1", Outcome.COMPLETED),
        ("2", Outcome.COMPLETED),
    ]


async def test_a_second_run_is_refused_or_waits_for_the_first(state: State) -> None:
    run = await AgentSession("s", state=state).begin("1", ask("one"))
    with pytest.raises(SessionBusy, match="session 's'"):
        await AgentSession("s", state=state, busy="reject").begin("2", ask("two"))
    waiting = asyncio.create_task(AgentSession("s", state=state).begin("3", ask("three")))
    await asyncio.sleep(0)
    await run.save(Outcome.COMPLETED, answer("1"))
    await run.release()
    third = await waiting
    assert texts(third.request) == ["one", "1", "three"]
    await third.release()


async def test_clear_forgets_all_and_a_run_that_is_going_on_leaves_nothing(
    state: State, caplog: pytest.LogCaptureFixture
) -> None:
    session = AgentSession("s", state=state)
    await run_once(session, "1", "one", "1")
    run = await session.begin("2", ask("secret"))
    await session.clear()
    await run.save(Outcome.COMPLETED, answer("secret"))
    await run.release()
    assert [key async for key in state.store.keys("agents/")] == []
    assert "was not saved: the session was cleared meanwhile" in caplog.text
    assert "secret" not in caplog.text
    await run_once(session, "3", "three", "3")
    assert texts(await session.messages()) == ["three", "3"]


async def test_what_was_asked_is_there_though_the_run_was_never_saved(state: State) -> None:
    session = AgentSession("s", state=state)
    run = await session.begin("1", ask("one"))
    await run.release()
    assert texts(await session.messages()) == ["one"]
    (record,) = await session.runs()
    assert (record.run_id, record.outcome, record.background) == ("1", None, None)
    assert record.started > 1e9


async def test_a_run_in_the_background_is_reopened_where_it_was_and_its_former_writer_is_refused(
    state: State, caplog: pytest.LogCaptureFixture
) -> None:
    session = AgentSession("s", state=state)
    await run_once(session, "1", "one", "1")
    run = await session.begin("2", ask("two"))
    called = Message("assistant", (ToolCallPart("a", "look"),))
    await run.checkpoint([called], background={"id": "r"})
    await run.release()
    await run_once(session, "3", "three", "3")

    again = await AgentSession("s", state=state).reopen("2")
    assert texts(again.history) == ["one", "1"]
    assert texts(again.record.input) == ["two"]
    assert (again.record.messages, again.record.background) == ((called,), {"id": "r"})
    await again.save(Outcome.COMPLETED, answer("2"))
    await again.release()
    await run.save(Outcome.INTERRUPTED, answer("late"))
    assert texts(await session.messages()) == ["one", "1", "two", "2", "three", "3"]
    assert "another has reopened the run" in caplog.text
    found = await session.run("2")
    assert found is not None
    assert found.background is None


async def test_only_the_newest_runs_are_remembered_where_their_number_is_limited(state: State) -> None:
    session = AgentSession("s", state=state, max_runs=2)
    for number in "1234":
        run = await run_once(session, number, f"ask {number}", number)
    assert texts(run.history) == ["ask 3", "3"]
    assert texts(await session.messages()) == ["ask 3", "3", "ask 4", "4"]
    assert len([key async for key in state.store.keys("agents/runs/")]) == 2


# What is kept


@pytest.mark.parametrize(
    ("policy", "outcome", "kept"),
    [
        (HistoryPolicy(), Outcome.COMPLETED, ["ask", "said"]),
        (HistoryPolicy(completed="drop"), Outcome.COMPLETED, []),
        (HistoryPolicy(), Outcome.FAILED, ["ask"]),
        (HistoryPolicy(failed="keep_partial"), Outcome.FAILED, ["ask", "said"]),
        (HistoryPolicy(cancelled="drop"), Outcome.CANCELLED, []),
        (HistoryPolicy(closed="keep_user"), Outcome.INTERRUPTED, ["ask"]),
    ],
)
async def test_a_save_keeps_what_the_policy_says_and_the_store_has_nothing_else(
    policy: HistoryPolicy, outcome: Outcome, kept: list[str]
) -> None:
    state = MemoryState()
    session = AgentSession("s", state=state, policy=policy)
    run = await session.begin("1", ask("ask"))
    await run.save(outcome, answer("said"))
    await run.release()
    assert texts(await session.messages()) == kept
    stored = b"".join([item.value for item in (await state.store.get_many(await _keys(state))).values()])
    assert [word for word in ("ask", "said") if f'"{word}"'.encode() in stored] == kept
    assert [record.outcome for record in await session.runs()] == [outcome]


async def _keys(state: State) -> list[str]:
    return [key async for key in state.store.keys("agents/")]


async def test_a_run_id_that_is_begun_again_replaces_that_run() -> None:
    session = AgentSession()
    await run_once(session, "1", "one", "1")
    await run_once(session, "2", "two", "2")
    run = await run_once(session, "1", "one", "again")
    assert texts(run.history) == ["two", "2"]
    assert texts(await session.messages()) == ["two", "2", "one", "again"]


async def test_a_question_that_is_no_json_takes_no_session() -> None:
    session = AgentSession(busy="reject")
    with pytest.raises(TypeError, match="must be JSON"):
        await session.begin("1", [Message("user", (TextPart("one"),), metadata={"at": object()})])
    await (await session.begin("2", ask("two"))).release()
    assert [record.run_id for record in await session.runs()] == ["2"]


@pytest.mark.parametrize(
    "value",
    [
        b"no json",
        b"[]",
        b'{"version": 9, "runs": []}',
        b'{"version": 1}',
        b'{"version": 1, "runs": "abc"}',
        b'{"version": 1, "runs": [1]}',
    ],
)
async def test_what_is_no_session_is_named_by_its_key_and_the_session_stays_free(value: bytes) -> None:
    state = MemoryState()
    session = AgentSession("s", state=state, busy="reject")
    await state.store.put("agents/sessions/s", value)
    for _ in range(2):
        with pytest.raises(SessionError, match="agents/sessions/s"):
            await session.begin("1", ask("one"))
    await state.store.delete("agents/sessions/s")
    await run_once(session, "1", "one", "1")
    await state.store.put("agents/runs/s/1", value)
    with pytest.raises(SessionError, match=r"agents/runs/s/1.* clear\(\) forgets it"):
        await session.messages()
    await session.clear()
    await run_once(session, "1", "one", "1")


async def test_a_run_that_is_not_there_cannot_be_reopened() -> None:
    session = AgentSession("s", busy="reject")
    for _ in range(2):
        with pytest.raises(SessionError, match="no run '1'"):
            await session.reopen("1")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"session_id": ""}, "must not be empty"),
        ({"busy": "maybe"}, "'wait' or 'reject'"),
        ({"max_runs": 0}, "max_runs=0"),
        ({"lease_seconds": 0}, "lease_seconds=0"),
        ({"lease_seconds": float("nan")}, "lease_seconds=nan"),
        ({"lease_seconds": float("inf")}, "lease_seconds=inf"),
        ({"wait_seconds": -1}, "wait_seconds=-1"),
        ({"abandoned_seconds": 0}, "abandoned_seconds=0"),
        ({"store": MemoryState().store}, "together"),
        ({"leases": MemoryState().leases}, "together"),
    ],
)
def test_options_that_cannot_be_are_refused(options: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        AgentSession(**options)


def test_nothing_that_was_said_is_in_a_repr() -> None:
    record = RunRecord(
        "1", Outcome.COMPLETED, tuple(ask("secret")), tuple(answer("secret")), {"id": "secret"}
    )
    assert "secret" not in repr(record)


# Who has the session, and for how long


async def test_runs_that_wait_go_on_in_the_order_in_which_they_came(memory: MemoryState) -> None:
    first = await AgentSession("s", state=memory).begin("0", ask("0"))

    async def wait(number: str) -> None:
        await run_once(AgentSession("s", state=memory), number, number, f"to {number}")

    tasks = []
    for number in "12345":
        tasks.append(asyncio.create_task(wait(number)))
        await asyncio.sleep(0.01)
    await first.release()
    await asyncio.gather(*tasks)
    assert [record.run_id for record in await AgentSession("s", state=memory).runs()] == list("012345")


async def test_a_run_that_waited_long_enough_is_refused(clock: VirtualClock, memory: MemoryState) -> None:
    run = await AgentSession("s", state=memory).begin("1", ask("one"))
    run.check()  # it is being pulled all the time
    with pytest.raises(SessionBusy, match="after 60 s"):
        await AgentSession("s", state=memory).begin("2", ask("two"))
    assert clock.elapsed == 60
    await run.release()
    assert [record.run_id for record in await AgentSession("s", state=memory).runs()] == ["1"]


async def test_a_run_that_waited_and_was_cancelled_lets_the_next_one_go_on(memory: MemoryState) -> None:
    session = AgentSession("s", state=memory)
    run = await session.begin("1", ask("one"))
    cancelled = asyncio.create_task(session.begin("2", ask("two")))
    waiting = asyncio.create_task(session.begin("3", ask("three")))
    await asyncio.sleep(1)
    cancelled.cancel()
    await asyncio.sleep(1)
    await run.release()
    await (await waiting).release()
    assert [record.run_id for record in await session.runs()] == ["1", "3"]


async def test_a_run_that_gave_up_lets_the_one_behind_it_go_on(memory: MemoryState) -> None:
    session = AgentSession("s", state=memory)
    lease = await memory.leases.acquire("agents/sessions/s", "another process", 80)
    assert lease is not None
    first = asyncio.create_task(session.begin("1", ask("one")))
    await asyncio.sleep(30)
    second = asyncio.create_task(session.begin("2", ask("two")))
    with pytest.raises(SessionBusy):
        await first
    await (await second).release()
    assert [record.run_id for record in await session.runs()] == ["2"]


async def test_a_run_that_begins_while_the_session_is_cleared_is_not_forgotten() -> None:
    state = MemoryState()
    keys = state.store.keys

    async def slow_keys(prefix: str) -> AsyncIterator[str]:
        await run_once(AgentSession("s", state=state), "2", "two", "2")
        async for key in keys(prefix):
            yield key

    session = AgentSession("s", state=state)
    await run_once(session, "1", "one", "1")
    state.store.keys = slow_keys  # type: ignore[method-assign]
    await session.clear()
    state.store.keys = keys  # type: ignore[method-assign]
    assert texts(await session.messages()) == ["two", "2"]
    assert len(await _keys(state)) == 2


async def test_a_run_that_begins_while_the_session_is_cleared_leaves_nothing_that_nobody_finds() -> None:
    state = MemoryState()
    session = AgentSession("s", state=state)
    put = state.store.put

    async def put_late(key: str, value: bytes, **options: Any) -> int:
        if "/runs/" in key:
            await session.clear()
        return await put(key, value, **options)

    state.store.put = put_late  # type: ignore[method-assign]
    run = await session.begin("1", ask("one"))
    state.store.put = put  # type: ignore[method-assign]
    assert await _keys(state) == []
    await run.save(Outcome.COMPLETED, answer("1"))
    await run.release()
    assert await _keys(state) == []


async def test_a_save_that_meets_a_clear_leaves_nothing_that_nobody_finds() -> None:
    state = MemoryState()
    session = AgentSession("s", state=state)
    run = await session.begin("1", ask("one"))
    await state.store.delete("agents/runs/s/1")
    put = state.store.put

    async def put_late(key: str, value: bytes, **options: Any) -> int:
        await session.clear()
        return await put(key, value, **options)

    state.store.put = put_late  # type: ignore[method-assign]
    await run.save(Outcome.COMPLETED, answer("1"))
    await run.release()
    assert await _keys(state) == []


async def test_runs_that_have_not_changed_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    session = AgentSession("s")
    for number in "123":
        await run_once(session, number, number, f"to {number}")
    await session.messages()
    read: list[bytes] = []
    decode = history.decode_record

    def reading(value: bytes) -> RunRecord:
        read.append(value)
        return decode(value)

    monkeypatch.setattr(session_module, "decode_record", reading)
    assert len(await session.messages()) == 6
    assert read == []
    await run_once(session, "2", "2", "again")
    read.clear()
    assert texts(await session.messages())[-1] == "again"
    assert len(read) == 1


async def test_without_a_number_two_hundred_runs_are_remembered() -> None:
    session = AgentSession("s")
    for number in range(202):
        run = await run_once(session, str(number), "ask", "said")
    assert [len(run.history), (await session.runs())[0].run_id] == [398, "2"]


async def test_a_pull_may_take_as_long_as_it_will(clock: VirtualClock, memory: MemoryState) -> None:
    run = await AgentSession("s", state=memory).begin("1", ask("one"))
    assert run.check()
    await asyncio.sleep(3600)  # a tool that takes an hour
    with pytest.raises(SessionBusy):
        await AgentSession("s", state=memory, busy="reject").begin("2", ask("two"))
    run.touch()
    assert run.check()
    await run.release()


async def test_a_stream_that_is_pulled_now_and_then_keeps_its_session(memory: MemoryState) -> None:
    run = await AgentSession("s", state=memory).begin("1", ask("one"))
    for _ in range(5):
        assert run.check()
        run.touch()
        await asyncio.sleep(280)
        with pytest.raises(SessionBusy):
            await AgentSession("s", state=memory, busy="reject").begin("2", ask("two"))
    await run.release()


async def test_a_stream_that_nobody_pulls_loses_its_session_and_says_so_at_its_next_pull(
    memory: MemoryState,
) -> None:
    session = AgentSession("s", state=memory)
    run = await session.begin("1", ask("one"))
    assert run.check()
    run.touch()
    await asyncio.sleep(320)
    second = await AgentSession("s", state=memory, busy="reject").begin("2", ask("two"))
    assert not run.check()
    with pytest.raises(SessionLost, match="'1' has lost the session 's'"):
        await run.regain()
    with pytest.raises(SessionLost):
        run.check()
    await run.save(Outcome.FAILED, answer("half"))
    await run.release()
    await second.save(Outcome.COMPLETED, answer("2"))
    await second.release()
    assert texts(await session.messages()) == ["one", "two", "2"]
    assert [record.outcome for record in await session.runs()] == [Outcome.FAILED, Outcome.COMPLETED]


async def test_a_stream_that_was_left_goes_on_later_where_no_other_run_began(memory: MemoryState) -> None:
    session = AgentSession("s", state=memory)
    run = await session.begin("1", ask("one"))
    run.touch()
    await asyncio.sleep(3600)
    assert not run.check()
    await run.regain()
    assert run.check()
    await asyncio.sleep(3600)
    with pytest.raises(SessionBusy):
        await AgentSession("s", state=memory, busy="reject").begin("2", ask("two"))
    await run.release()


async def test_a_stream_that_was_left_is_lost_though_the_other_run_is_over_by_now(
    memory: MemoryState,
) -> None:
    session = AgentSession("s", state=memory)
    run = await session.begin("1", ask("one"))
    run.touch()
    await asyncio.sleep(3600)
    await run_once(session, "2", "two", "2")
    assert not run.check()
    with pytest.raises(SessionLost):
        await run.regain()
    await run_once(session, "3", "three", "3")  # it has not taken the session back


async def test_a_run_that_is_garbage_gives_the_session_back_at_once(
    clock: VirtualClock, memory: MemoryState
) -> None:
    session = AgentSession("s", state=memory)
    run = await session.begin("1", ask("one"))
    run.check()
    del run
    gc.collect()
    run = await session.begin("2", ask("two"))
    assert clock.elapsed < 2
    await run.release()


async def test_a_run_whose_stream_is_garbage_gives_the_session_back_at_once(
    clock: VirtualClock, memory: MemoryState
) -> None:
    class Stream:
        pass

    session, stream = AgentSession("s", state=memory), Stream()
    run = await session.begin("1", ask("one"))
    run.watch(stream)
    await asyncio.sleep(100)
    with pytest.raises(SessionBusy):
        await AgentSession("s", state=memory, busy="reject").begin("2", ask("two"))
    del stream
    second = await session.begin("2", ask("two"))
    assert clock.elapsed < 102
    await second.release()
    await run.release()


async def test_a_killed_process_keeps_the_session_no_longer_than_its_lease(
    clock: VirtualClock, memory: MemoryState
) -> None:
    async def process() -> None:
        run = await AgentSession("s", state=memory).begin("1", ask("one"))
        await run.checkpoint(answer("half"))

    await asyncio.to_thread(lambda: asyncio.run(process()))  # a loop of its own, which ends without a word
    run = await AgentSession("s", state=memory).begin("2", ask("two"))
    assert 29 < clock.elapsed < 32
    assert texts(run.history) == ["one", "half"], "as the policy for closed runs says"
    await run.release()


async def test_a_process_that_stood_still_has_lost_the_session_to_one_that_did_not(
    memory: MemoryState,
) -> None:
    session = AgentSession("s", state=memory)
    run = await session.begin("1", ask("one"))
    assert run.check()
    run.touch()
    beat = run._lease._beat
    assert beat is not None
    beat.cancel()  # nothing of this process runs for 40 seconds
    await asyncio.sleep(40)
    assert not run.check(), "it counts the seconds itself"

    async def process() -> None:
        await run_once(AgentSession("s", state=memory), "2", "two", "2")

    await asyncio.to_thread(lambda: asyncio.run(process()))
    with pytest.raises(SessionLost):
        await run.regain()
    await run.release()


async def test_a_lease_that_another_took_is_noticed_by_the_heartbeat(memory: MemoryState) -> None:
    session = AgentSession("s", state=memory)
    run = await session.begin("1", ask("one"))
    lease = run._lease._lease
    assert lease is not None
    await memory.leases.release(lease)
    assert await memory.leases.acquire(lease.name, "another", 1000) is not None
    assert run.check()
    await asyncio.sleep(11)
    assert not run.check()
    with pytest.raises(SessionLost):
        await run.regain()
    await run.release()


class Trouble:
    """Leases that cannot be reached while `down`."""

    def __init__(self, leases: Any) -> None:
        self.leases = leases
        self.down = False

    def _check(self) -> None:
        if self.down:
            raise StateUnavailableError("down")

    async def acquire(self, name: str, owner: str, seconds: float) -> Lease | None:
        self._check()
        lease: Lease | None = await self.leases.acquire(name, owner, seconds)
        return lease

    async def renew(self, lease: Lease) -> bool:
        self._check()
        held: bool = await self.leases.renew(lease)
        return held

    async def release(self, lease: Lease) -> None:
        self._check()
        await self.leases.release(lease)


class Slow(Trouble):
    """Leases that answer after a second, and sometimes never."""

    mute = False

    async def acquire(self, name: str, owner: str, seconds: float) -> Lease | None:
        lease = await super().acquire(name, owner, seconds)
        await asyncio.sleep(1)
        if self.mute:
            self.mute = False
            raise StateUnavailableError("no answer")
        return lease

    async def release(self, lease: Lease) -> None:
        await asyncio.sleep(1)
        await super().release(lease)


@pytest.mark.parametrize("cancels", [1, 2])
async def test_a_run_that_is_cancelled_while_it_takes_the_session_gives_it_back(
    memory: MemoryState, cancels: int
) -> None:
    session = AgentSession("s", store=memory.store, leases=Slow(memory.leases))
    task = asyncio.create_task(session.begin("1", ask("one")))
    await asyncio.sleep(0.5)
    for _ in range(cancels):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(3)
    await (await AgentSession("s", state=memory, busy="reject").begin("2", ask("two"))).release()
    await (await session.begin("3", ask("three"))).release()


async def test_a_session_whose_lease_was_given_and_the_answer_lost_is_free(memory: MemoryState) -> None:
    leases = Slow(memory.leases)
    leases.mute = True
    session = AgentSession("s", store=memory.store, leases=leases)
    with pytest.raises(StateUnavailableError, match="no answer"):
        await session.begin("1", ask("one"))
    await (await AgentSession("s", state=memory, busy="reject").begin("2", ask("two"))).release()


async def test_a_release_that_is_cancelled_goes_on(memory: MemoryState) -> None:
    session = AgentSession("s", store=memory.store, leases=Slow(memory.leases))
    run = await session.begin("1", ask("one"))
    task = asyncio.create_task(run.release())
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.sleep(1)
    await (await AgentSession("s", state=memory, busy="reject").begin("2", ask("two"))).release()


class Deaf(Trouble):
    """Leases whose renewal goes on though it is cancelled."""

    async def renew(self, lease: Lease) -> bool:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        return await super().renew(lease)


async def test_a_renewal_that_ends_late_takes_nothing_from_the_lease_that_was_taken_since(
    memory: MemoryState,
) -> None:
    session = AgentSession("s", store=memory.store, leases=Deaf(memory.leases))
    run = await session.begin("1", ask("one"))
    run.touch()
    await asyncio.sleep(8)  # the heartbeat asks
    await run.regain()
    await asyncio.sleep(1)
    assert run.check()
    assert len(session_lease._beats) == 1
    await run.release()


@pytest.mark.parametrize("fails", [True, False])
async def test_a_stream_that_is_left_after_its_last_event_loses_the_session_like_any_other(
    memory: MemoryState, fails: bool
) -> None:
    script: Any = [["a", RuntimeError("broken")] if fails else ["a"]]
    session = AgentSession("s", state=memory)
    stream = Agent(ScriptedClient(script)).run("one", stream=True, session=session)
    while not isinstance(await anext(stream), RunEnded):
        pass
    await asyncio.sleep(330)
    await (await AgentSession("s", state=memory, busy="reject").begin("2", ask("two"))).release()
    await stream.aclose()


async def test_a_state_that_cannot_be_reached_for_a_moment_costs_no_session(
    memory: MemoryState, caplog: pytest.LogCaptureFixture
) -> None:
    leases = Trouble(memory.leases)
    session = AgentSession("s", store=memory.store, leases=leases)
    run = await session.begin("1", ask("one"))
    run.check()
    leases.down = True
    await asyncio.sleep(20)
    assert run.check()
    leases.down = False
    await asyncio.sleep(50)
    assert run.check()
    leases.down = True
    await asyncio.sleep(40)
    assert not run.check()
    with pytest.raises(StateUnavailableError):
        await run.regain()
    leases.down = False
    await run.regain()  # it was not lost, only unsure
    assert run.check()
    leases.down = True
    await run.release()  # runs out by itself
    assert "was not given back (StateUnavailableError): it runs out" in caplog.text
    leases.down = False
    await asyncio.sleep(31)
    await (await AgentSession("s", state=memory, busy="reject").begin("2", ask("two"))).release()


async def test_release_may_be_called_again_and_takes_nothing_from_the_next_run(memory: MemoryState) -> None:
    session = AgentSession("s", state=memory, busy="reject")
    first = await session.begin("1", ask("one"))
    await first.release()
    second = await session.begin("2", ask("two"))
    await first.release()
    with pytest.raises(SessionBusy):
        await session.begin("3", ask("three"))
    assert first.check(), "a run that is over is not lost"
    await second.release()


async def test_no_heartbeat_and_no_queue_is_left_of_a_run_that_is_over(memory: MemoryState) -> None:
    session = AgentSession("s", state=memory)
    run = await run_once(session, "1", "one", "1")
    await asyncio.sleep(0.01)
    assert not session_lease._beats
    del run
    gc.collect()
    assert not session_lease._lines


def test_what_is_no_id_or_no_state_is_refused_when_the_session_is_made() -> None:
    wrong: list[Any] = [5, b"s"]
    for session_id in wrong:
        with pytest.raises(TypeError, match=f"its id as a str, not {type(session_id).__name__}"):
            AgentSession(session_id)
    path: Any = "bot.db"
    with pytest.raises(
        TypeError, match=r"state=\.\.\.\) takes a state, .*SQLiteState\('bot.db'\) is, not str"
    ):
        AgentSession("s", state=path)
