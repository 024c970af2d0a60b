"""Streams that share a budget: they ask before the text is decided, and coalesce while they wait."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from math import inf
from statistics import median
from typing import Any

import pytest
from cadenza.api import ApiClient
from cadenza.apps.budget import BudgetTransport, Outbound, Priority, RateBudget, RateLimits, Window
from cadenza.apps.budget.permits import Permits, State, Ticket
from cadenza.apps.stream import AbortReason, HttpStream, StreamDeliveryError
from cadenza.apps.stream.actions import Post, PostKind, Rest, Wait
from cadenza.apps.stream.classify import Failure, FailureKind
from cadenza.apps.stream.events import Abort, Close, Emit, Failed, Sent, Update
from cadenza.apps.stream.limits import TEAMS
from cadenza.apps.stream.machine import Machine
from cadenza.testing import Rules, Teams, User, VirtualClock
from fuzz.simulation import Schedule

# The machine alone


class Room:
    """A room that is full until somebody says otherwise."""

    def __init__(self, free: bool = False) -> None:
        self.free = free
        self.asked: list[tuple[Priority, float]] = []
        self.said: list[str] = []

    def admit(self, priority: Priority, since: float, now: float) -> bool:
        self.asked.append((priority, since))
        return self.free

    def leave(self) -> None:
        self.said.append("leave")

    def answered(self) -> None:
        self.said.append("answered")


def started(room: Room, now: float = 0.0) -> Machine:
    """A machine whose start was answered at that time."""
    machine = Machine(TEAMS, room=room)
    machine.handle(Emit("a"), now)
    room.free = True
    assert isinstance(machine.next(now), Post)
    machine.handle(Sent("s1"), now)
    room.free = False
    room.asked.clear()
    room.said.clear()
    return machine


def test_a_chunk_that_waits_for_room_carries_the_newest_text() -> None:
    room = Room()
    machine = started(room)
    machine.handle(Emit("b"), 1.0)
    assert machine.next(1.0) == Wait(115.0)  # then it would be a final
    assert room.asked == [(Priority.CHUNK, 0.0)]
    machine.handle(Emit("c"), 5.0)
    room.free = True
    chunk = machine.next(20.0)
    assert isinstance(chunk, Post)
    assert (chunk.kind, chunk.text, chunk.sequence) == (PostKind.CHUNK, "abc", 2)
    assert room.said == []
    assert machine.next(20.0) == Rest()
    machine.handle(Sent(), 20.1)
    assert room.said == ["answered"]


def test_close_makes_a_waiting_chunk_a_final_at_once() -> None:
    room = Room()
    machine = started(room)
    machine.handle(Emit("b"), 1.0)
    machine.next(1.0)
    machine.handle(Close(), 2.0)
    assert isinstance(machine.next(2.0), Wait)
    assert room.asked == [(Priority.CHUNK, 0.0), (Priority.FINAL, 0.0)]
    assert room.said == []  # it keeps its place


def test_a_stream_that_expires_while_it_waits_asks_for_its_final() -> None:
    room = Room()
    machine = started(room)
    machine.handle(Emit("b"), 1.0)
    assert machine.next(1.0) == Wait(115.0)
    assert isinstance(machine.next(115.0), Wait)
    assert room.asked[-1] == (Priority.FINAL, 0.0)


def test_stop_leaves_the_line() -> None:
    room = Room()
    machine = started(room)
    machine.handle(Emit("b"), 1.0)
    machine.next(1.0)
    machine.handle(Abort(AbortReason.STOP), 2.0)
    machine.next(2.0)
    assert room.said == ["leave"]


def test_who_is_told_to_be_silent_gives_the_permission_back() -> None:
    room = Room(free=True)
    machine = Machine(TEAMS, room=room)
    machine.handle(Emit("a"), 0.0)
    machine._pace.block(9.0)  # a 429 of another stream of the conversation
    assert machine.next(0.0) == Wait(9.0)
    assert room.asked == []
    assert room.said == ["leave"]


def test_a_line_that_waits_is_woken_by_the_first_text_and_a_start_is_not() -> None:
    room = Room()
    machine = Machine(TEAMS, room=room)
    machine.handle(Emit("a"), 0.0)
    assert machine.next(0.0) == Wait(float("inf"))
    machine = started(room)
    machine.handle(Sent(), 0.0) if machine.in_flight else None
    lines = Machine(TEAMS, room=room)
    lines.handle(Update("Searching"), 0.0)
    room.free = True
    lines.next(0.0)
    lines.handle(Sent("s"), 0.0)
    room.free = False
    lines.handle(Update("Reading"), 1.0)
    assert lines.next(1.0) == Wait(115.0, eager=True)
    lines.handle(Emit("x"), 2.0)
    assert lines.next(2.0) == Wait(115.0)
    assert [priority for priority, _ in room.asked[-2:]] == [Priority.INFORMATIVE, Priority.CHUNK]


def test_waiting_for_room_does_not_use_up_the_deadline_of_a_final() -> None:
    room = Room()
    machine = started(room)
    cycle = machine.handle(Close(), 1.0)
    assert cycle is not None
    machine.next(1.0)
    assert isinstance(machine.next(100.0), Wait)  # beyond the 60 s that a final has
    room.free = True
    assert isinstance(machine.next(100.0), Post)
    machine.handle(Failed(Failure(FailureKind.TRANSIENT)), 100.0)
    assert isinstance(machine.next(101.0), Post)  # and it may still be repeated
    assert cycle.outcome is None


def test_the_deadline_of_a_shutdown_is_kept_though_there_is_no_room() -> None:
    room = Room()
    machine = started(room)
    machine.handle(Emit("b"), 1.0)
    cycle = machine.handle(Close(), 1.0)
    machine.handle(Abort(AbortReason.SHUTDOWN, deadline=6.0), 1.0)
    assert machine.next(1.0) == Wait(6.0)
    machine.next(6.0)
    assert cycle is not None
    assert cycle.outcome is not None
    assert cycle.outcome.undelivered == "b"
    assert "budget" in str(cycle.outcome.failure)
    assert room.said[-1] == "leave"


def test_a_driver_that_breaks_gives_back_what_it_holds() -> None:
    room = Room()
    machine = started(room)
    machine.handle(Emit("b"), 1.0)
    machine.next(1.0)
    machine.abandon(2.0)
    assert room.said == ["leave"]
    room.free = True
    machine.next(3.0)
    machine.abandon(4.0)
    assert room.said[1:] == ["answered", "leave"]


class Crowded(Schedule):
    """A random schedule, with every fault, over a service that enforces the rates of a conversation; the
    budget keeps them, and permits come late, or at once."""

    def __init__(self, seed: int) -> None:
        self.permits = Permits()
        self.rooms: list[_Room] = []
        super().__init__(seed)
        self.service.rules = replace(self.service.rules, conversation_rates=Rules().conversation_rates)

    def _new_machine(self) -> Machine:
        for room in self.rooms:  # the process before this one died with what it had
            room.answered()
            room.leave()
        machine = super()._new_machine()
        self.rooms.append(room := _Room(self))
        machine._room = room
        return machine

    def turn(self) -> None:
        if self.permits.grants(self.now):
            self.at(self.now, self.pump)
        if self.now < self.permits.next_at < inf:
            self.at(self.permits.next_at, self.turn)


class _Room:
    def __init__(self, schedule: Crowded) -> None:
        self.schedule = schedule
        self.ticket: Ticket | None = None
        self.busy_until = 0.0

    def admit(self, priority: Priority, since: float, now: float) -> bool:
        assert since <= now
        schedule = self.schedule
        if self.ticket is None:
            if not self.busy_until:
                self.busy_until = now + schedule.random.choice((0.0, 0.0, 0.01, 0.5, 4.0))
            if now < self.busy_until:
                schedule.at(self.busy_until, schedule.pump)
                return False
            self.busy_until = 0.0
            self.ticket = schedule.permits.ask(Outbound("c", "t", priority, since), now)
            schedule.turn()
        return self.ticket.state is State.HELD

    def leave(self) -> None:
        if self.ticket is not None:
            self.schedule.permits.leave(self.ticket, self.schedule.now)
            self.ticket = None
            self.schedule.turn()

    def answered(self) -> None:
        if self.ticket is not None and self.ticket.state is State.HELD:
            self.schedule.permits.answered(self.ticket, self.schedule.now)
            self.ticket = None
            self.schedule.turn()


def test_no_schedule_of_streams_that_wait_for_room_breaks_an_invariant() -> None:
    for seed in range(1_000):
        schedule = Crowded(seed)
        schedule.run()
        if schedule.problems:
            problems = "\n".join(schedule.problems)
            pytest.fail(f"seed {seed}: {problems}\n{schedule.service.format_transcript()}")


# Over the emulator

SMALL = RateLimits(conversation=(), tenant=Window(2, 1.0), margin=0.0)


@pytest.fixture
async def teams(clock: VirtualClock) -> AsyncIterator[Teams]:
    async with Teams() as teams:
        yield teams
        teams.check()


def stream(teams: Teams, user: User, budget: RateBudget, **options: Any) -> HttpStream:
    """A stream over a client that has the budget in front of its network."""
    api = ApiClient(teams.url, transport=BudgetTransport(teams.transport, budget))
    return HttpStream(api, teams.conversation_reference(user), **options)


async def hog(budget: RateBudget, user: User, seconds: float) -> None:
    """Hold all permits of the tenant that long."""
    tenant = user.conversation.tenant_id
    held = [await budget.acquire(Outbound(None, tenant, Priority.FINAL, -1e6)) for _ in range(2)]
    for ticket in held:
        asyncio.get_running_loop().call_later(seconds, budget.leave, ticket)


async def test_a_stream_takes_one_permit_for_each_request(teams: Teams, user: User) -> None:
    budget = RateBudget()
    async with stream(teams, user, budget) as answer:
        answer.emit("one ")
        await asyncio.sleep(1.5)
        answer.emit("two")
        await asyncio.sleep(1.5)
    assert user.screen.text == "one two"
    granted = budget.statistics().granted
    assert {name.name: count for name, count in granted.items() if count} == {
        "START": 1,
        "CHUNK": 1,
        "FINAL": 1,
    }
    assert sum(granted.values()) == len(teams.transcript)


async def test_emits_that_wait_for_the_budget_cost_little_and_go_out_together(
    teams: Teams, user: User, clock: VirtualClock
) -> None:
    budget = RateBudget(SMALL)
    answer = stream(teams, user, budget)
    answer.emit("0 ")
    await asyncio.sleep(2)
    await hog(budget, user, 20)
    answer.emit("1 ")
    await asyncio.sleep(1)
    for number in range(2, 100):
        answer.emit(f"{number} ")
        await asyncio.sleep(0.1)
    assert len(answer._driver._noted or ()) == 98  # the machine was not told yet
    assert len(teams.transcript) == 1
    await asyncio.sleep(10)
    assert len(teams.transcript) == 2
    await answer.close()
    assert user.screen.text == "".join(f"{number} " for number in range(100))


async def test_close_wakes_a_chunk_that_waits_and_goes_before_the_chunks_of_others(
    teams: Teams, clock: VirtualClock
) -> None:
    budget = RateBudget(SMALL)
    users = [teams.user(f"user {number}") for number in range(6)]
    answers = [stream(teams, user, budget) for user in users]
    for answer in answers:
        answer.emit("a")
    await asyncio.sleep(5)
    await hog(budget, users[0], 10)
    for answer in answers:
        answer.emit("b")
    await asyncio.sleep(5)
    assert budget.statistics().waiting[Priority.CHUNK] == 6
    closing = asyncio.create_task(answers[-1].close())  # the one that was silent the shortest time
    await asyncio.sleep(0.01)
    waiting = budget.statistics().waiting
    assert (waiting[Priority.FINAL], waiting[Priority.CHUNK]) == (1, 5)
    before = len(teams.transcript)
    await closing
    assert teams.transcript[before].kind == "final"
    await asyncio.gather(*(answer.close() for answer in answers))
    assert [user.screen.text for user in users] == ["ab"] * 6


async def test_stop_and_an_end_of_the_loop_leave_no_ticket_behind(teams: Teams, user: User) -> None:
    budget = RateBudget(SMALL)
    answer = stream(teams, user, budget)
    await hog(budget, user, 100)
    answer.emit("a")
    await asyncio.sleep(1)
    assert sum(budget.statistics().waiting.values()) == 1
    assert await answer.finish(AbortReason.STOP) is None
    await asyncio.sleep(0)
    assert sum(budget.statistics().waiting.values()) == 0
    other = stream(teams, teams.user("other"), budget)
    other.emit("b")
    await asyncio.sleep(1)
    assert other._driver._pump is not None
    other._driver._pump.cancel()
    await asyncio.sleep(0)
    assert sum(budget.statistics().waiting.values()) == 0


async def test_a_stream_that_is_dropped_while_it_waits_for_room_says_what_it_has_and_is_free_then(
    teams: Teams, user: User
) -> None:
    budget = RateBudget(SMALL)
    await hog(budget, user, 5)
    answer = stream(teams, user, budget)
    answer.emit("a")
    await asyncio.sleep(1)
    assert budget.statistics().waiting[Priority.START] == 1
    gone = weakref.ref(answer._driver)
    del answer
    gc.collect()
    await asyncio.sleep(10)
    assert [entry.kind for entry in teams.transcript] == ["start"]
    await asyncio.sleep(200)  # its message expires
    gc.collect()
    assert gone() is None


async def test_streams_that_wait_when_the_budget_is_closed_go_at_once(
    teams: Teams, user: User, clock: VirtualClock
) -> None:
    budget = RateBudget(SMALL)
    await hog(budget, user, 100)
    answer = stream(teams, user, budget)
    answer.emit("a")
    closing = asyncio.create_task(answer.close())
    await asyncio.sleep(1)
    assert sum(budget.statistics().waiting.values()) == 1
    await budget.close()
    await closing
    other = teams.user("other")
    later = stream(teams, other, budget)
    later.emit("b")
    await later.close()
    assert (user.screen.text, other.screen.text) == ("a", "b")
    assert clock.elapsed < 10
    assert sum(budget.statistics().waiting.values()) == 0


async def test_a_shutdown_does_not_wait_for_the_budget_beyond_its_deadline(teams: Teams, user: User) -> None:
    budget = RateBudget(SMALL)
    answer = stream(teams, user, budget)
    answer.emit("a")
    await asyncio.sleep(2)
    await hog(budget, user, 100)
    answer.emit("b")
    with pytest.raises(StreamDeliveryError, match="budget") as caught:
        await answer.finish(AbortReason.SHUTDOWN, deadline=5)
    assert caught.value.undelivered == "b"


async def test_a_stream_that_is_over_is_free_without_the_garbage_collector(teams: Teams, user: User) -> None:
    budget = RateBudget()
    answer = stream(teams, user, budget)
    answer.emit("a")
    await answer.close()
    gone = weakref.ref(answer)
    gc.disable()
    try:
        del answer
        await asyncio.sleep(1)
        assert gone() is None
    finally:
        gc.enable()


async def test_a_crowd_slows_down_evenly_and_nothing_is_refused(clock: VirtualClock) -> None:
    """200 streams of 60 s in a tenant of 10 requests a second; benchmarks/crowd.py does it in real time."""
    rules = Rules(tenant_requests_per_second=10)
    budget = RateBudget(RateLimits(tenant=Window(10, 1.0)))
    async with Teams(rules) as teams:
        users = [teams.user(f"user {number}") for number in range(200)]

        async def one(number: int) -> float:
            await asyncio.sleep(number / 8)
            answer = stream(teams, users[number], budget)
            for word in range(120):
                answer.emit(f"{word} ")
                await asyncio.sleep(0.5)
            ended = clock.elapsed
            await answer.close()
            return clock.elapsed - ended

        finals = await asyncio.gather(*map(one, range(200)))
        teams.check()
        said = "".join(f"{word} " for word in range(120))
        assert [user.screen.text for user in users] == [said] * 200
        times: dict[str | None, list[float]] = {}
        for exchange in teams.transcript:
            assert exchange.status in (201, 202)
            times.setdefault(exchange.conversation_id, []).append(exchange.time)
        gaps = [median(b - a for a, b in pairwise(of)) for of in times.values()]
        assert max(gaps) < 1.5 * median(gaps)
        assert median(gaps) > 10
        assert max(finals) < median(gaps) / 2
