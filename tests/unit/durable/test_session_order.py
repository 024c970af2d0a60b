"""Runs of one session are made in the order in which they were started, one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from cadenza.agents import Agent, AgentSession
from cadenza.agents.clients.scripted import ScriptedClient
from cadenza.durable import LogWriter, MemoryLog, RunContext, Runner, RunNotFound
from cadenza.durable.session_order import run_after, run_before
from cadenza.events import Outcome
from cadenza.state import MemoryState
from cadenza.testing import VirtualClock

LEASE = 9.0


@pytest.fixture
def log(clock: VirtualClock) -> MemoryLog:
    return MemoryLog(clock=clock.now)


@pytest.fixture
def state(clock: VirtualClock) -> MemoryState:
    return MemoryState(clock=clock.now)


class Slow:
    """Answers each message after a second, and notes what was begun and what was done."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.now = 0
        self.most = 0

    async def answer(self, ctx: RunContext) -> AsyncIterator[str]:
        self.begun.append(ctx.text)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            yield "I say "
            await asyncio.sleep(1)
            yield ctx.text
        finally:
            self.now -= 1


async def test_runs_of_a_session_go_one_after_the_other_without_a_pause_between_them(
    log: MemoryLog, state: MemoryState, clock: VirtualClock
) -> None:
    slow = Slow()
    texts = [f"m{number}" for number in range(20)]
    async with Runner(log, state=state) as client:
        runs = [await client.start("answer", text, session="s") for text in texts]
        began = clock.elapsed
        async with (
            Runner(log, [slow.answer], state=state, lease_seconds=LEASE),
            Runner(log, [slow.answer], state=state, lease_seconds=LEASE),
        ):
            assert (await runs[-1].result()).text == "I say m19"
    assert (slow.begun, slow.most) == (texts, 1)
    assert clock.elapsed - began < 20 + 3


async def test_those_that_wait_hold_no_place(log: MemoryLog, state: MemoryState, clock: VirtualClock) -> None:
    slow = Slow()
    async with Runner(log, [slow.answer], state=state, max_runs=2) as runner:
        for number in range(5):
            await runner.start("answer", f"m{number}", session="s")
        await clock.sleep(0.1)
        began = clock.elapsed
        other = await runner.start("answer", "quick")
        await other.result()
        assert clock.elapsed - began < 1.5
    assert slow.begun[:2] == ["m0", "quick"]


async def test_a_run_that_was_begun_goes_on_after_its_worker_died_before_those_behind_it(
    log: MemoryLog, state: MemoryState, clock: VirtualClock
) -> None:
    agent = Agent(ScriptedClient(["one", "two"]), name="a")
    async with Runner(log, state=state) as client:
        first, second = [await client.start("a", text, session="s") for text in ("m1", "m2")]
        claim = await log.claim(first.run_id, "who dies", LEASE)
        assert claim is not None
        async with Runner(
            log, [agent], state=state, recovery="restart", reap_seconds=0.1, lease_seconds=LEASE
        ):
            assert (await second.result()).text == "two"
            assert (await first.result()).text == "one"
    said = [message.text for message in await AgentSession("s", state=state).messages()]
    assert said == ["m1", "one", "m2", "two"]


async def test_a_run_that_is_cancelled_while_it_waits_is_left_out(
    log: MemoryLog, state: MemoryState, clock: VirtualClock
) -> None:
    slow = Slow()
    async with Runner(log, [slow.answer], state=state) as runner:
        runs = [await runner.start("answer", f"m{number}", session="s") for number in range(4)]
        await runs[2].cancel()
        await runs[1].cancel()
        assert [(await run.status()).outcome for run in runs[1:3]] == [Outcome.CANCELLED] * 2
        await runs[3].result()
    assert slow.begun == ["m0", "m3"]


async def test_a_cancel_of_the_run_in_front_lets_the_next_go_at_once(
    log: MemoryLog, state: MemoryState, clock: VirtualClock
) -> None:
    slow = Slow()
    async with (
        Runner(log, state=state) as client,
        Runner(log, [slow.answer], state=state, lease_seconds=1000) as runner,
    ):
        front = await client.start("nobody has it", "m0", session="s")
        behind = await runner.start("answer", "m1", session="s")
        await clock.sleep(5)
        assert slow.begun == []
        await runner.cancel(front.run_id)
        assert (await behind.result(timeout=5)).text == "I say m1"


async def test_a_run_that_may_just_have_become_the_next_is_looked_at_again(
    log: MemoryLog, state: MemoryState, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow()
    head = log.head

    async def late(run_id: str) -> object:
        found = await head(run_id)
        if run_id == "first":
            await asyncio.sleep(0.3)  # an answer that is old when it comes
        return found

    async with Runner(log, [slow.answer], state=state, lease_seconds=1000, reap_seconds=1000) as runner:
        await runner.start("answer", "m0", session="s", run_id="first")
        await clock.sleep(0.8)
        monkeypatch.setattr(log, "head", late)
        second = await runner.start("answer", "m1", session="s")
        began = clock.elapsed
        await second.result(timeout=100)
        assert clock.elapsed - began < 5


async def test_the_order_is_found_among_many_other_runs_of_the_conversation(log: MemoryLog) -> None:
    async with Runner(log) as client:
        runs = [await client.start("a", "hi", session="s", run_id=f"s{number}") for number in range(30)]
        for number in range(100):
            await client.start("a", "hi", conversation_id="s", run_id=f"other{number}")
        await log.create("nobody's", b"what?", conversation_id="s")
        await runs[4].delete()
        heads = {run.run_id: await log.head(run.run_id) for run in runs if run != runs[4]}
        assert await run_before(log, heads["s0"], "s") is None
        assert await run_before(log, heads["s5"], "s") == "s3"
        assert await run_after(log, heads["s3"], "s") == "s5"
        assert await run_after(log, heads["s29"], "s") is None
        assert await run_before(log, await log.head("other0"), "t") is None
        with pytest.raises(RunNotFound):
            await runs[4].status()


async def test_only_runs_since_the_newest_that_was_begun_are_looked_at(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    head = log.head

    async def counted(run_id: str) -> object:
        asked.append(run_id)
        return await head(run_id)

    async with Runner(log) as client:
        for number in range(10):
            run = await client.start("a", "hi", session="s", run_id=f"r{number}")
            if number < 9:
                meta = await log.meta(run.run_id)
                writer = await LogWriter.open(log, run.run_id, meta=meta, conversation_id="s")
                assert writer is not None
                await writer.close(Outcome.COMPLETED)
        last = await head("r9")
        monkeypatch.setattr(log, "head", counted)
        assert await run_before(log, last, "s") is None
    assert asked == ["r8"]
