"""The budget on the event loop: waiting, giving up, and what it tells of itself. Virtual time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from cadenza.api import ConnectError, HandlerTransport, Request, Response
from cadenza.apps.budget import BudgetTransport, Outbound, Priority, RateBudget, RateLimits, Window
from cadenza.apps.budget.permits import State
from cadenza.testing import VirtualClock
from recorded_spans import recording

LIMITS = RateLimits(conversation=(), tenant=Window(2, 1.0), margin=0.0)


def outbound(
    priority: Priority = Priority.PLAIN, conversation: str | None = "c", tenant: str = "t"
) -> Outbound:
    return Outbound(conversation, tenant, priority, asyncio.get_running_loop().time())


async def test_who_finds_no_room_waits_until_a_second_after_an_answer(clock: VirtualClock) -> None:
    budget, sent = RateBudget(LIMITS), []

    async def send(number: int) -> None:
        async with budget.permit(outbound()):
            sent.append((number, clock.elapsed))
            await asyncio.sleep(0.5)

    await asyncio.gather(*map(send, range(5)))
    assert sent == [(0, 0.0), (1, 0.0), (2, 1.5), (3, 1.5), (4, 3.0)]
    await budget.close()


async def test_a_waiter_that_is_cancelled_gives_its_place_up(clock: VirtualClock) -> None:
    budget = RateBudget(LIMITS)
    held = [await budget.acquire(outbound()) for _ in range(2)]
    first = asyncio.create_task(budget.acquire(outbound()))
    second = asyncio.create_task(budget.acquire(outbound()))
    await asyncio.sleep(1)
    first.cancel()
    await asyncio.sleep(0)
    assert budget.statistics().queues == {"t": 1}
    budget.answered(held[0])
    assert (await second).state is State.HELD
    assert clock.elapsed == 2.0


async def test_a_waiter_that_is_cancelled_when_its_turn_comes_passes_the_permit_on(
    clock: VirtualClock,
) -> None:
    budget = RateBudget(LIMITS)
    held = [await budget.acquire(outbound()) for _ in range(2)]
    first = asyncio.create_task(budget.acquire(outbound()))
    second = asyncio.create_task(budget.acquire(outbound()))
    await asyncio.sleep(0)
    budget.leave(held[0])  # which grants the first one, before it can run
    first.cancel()
    assert (await second).state is State.HELD
    assert first.cancelled()
    assert clock.elapsed == 0.0


async def test_a_holder_that_is_cancelled_counts_as_answered(clock: VirtualClock) -> None:
    budget = RateBudget(LIMITS)

    async def hold() -> None:
        async with budget.permit(outbound()):
            await asyncio.sleep(100)

    holders = [asyncio.create_task(hold()) for _ in range(2)]
    await asyncio.sleep(5)
    for holder in holders:
        holder.cancel()
    async with budget.permit(outbound()):
        assert clock.elapsed == 6.0


async def test_there_is_one_timer_however_many_wait(clock: VirtualClock) -> None:
    budget = RateBudget(LIMITS)
    for _ in range(2):
        budget.answered(await budget.acquire(outbound()))
    loop: Any = asyncio.get_running_loop()
    before = len(loop._scheduled)
    waiting = [asyncio.create_task(budget.acquire(outbound(conversation=str(n)))) for n in range(100)]
    await asyncio.sleep(0)
    assert len(loop._scheduled) <= before + 1
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert budget.statistics().queues == {}


async def test_statistics_tell_of_the_queue_and_of_the_waits(clock: VirtualClock) -> None:
    budget = RateBudget(LIMITS)
    for _ in range(2):
        budget.answered(await budget.acquire(outbound(Priority.CHUNK)))
    waits = asyncio.create_task(budget.acquire(outbound(Priority.FINAL)))
    await asyncio.sleep(0)
    seen = budget.statistics()
    assert (seen.waiting[Priority.FINAL], seen.queues, seen.granted[Priority.CHUNK]) == (1, {"t": 1}, 2)
    await waits
    seen = budget.statistics()
    assert (seen.waiting[Priority.FINAL], seen.queues, seen.caps) == (0, {}, {})
    assert seen.waited[Priority.FINAL] == seen.longest[Priority.FINAL] == 1.0


async def test_usage_moves_to_another_process(clock: VirtualClock) -> None:
    one, other = RateBudget(), RateBudget()
    for _ in range(6):
        one.answered(await one.acquire(outbound()))
    usage = one.usage("c;messageid=1")
    other.learn("c", "t")
    other.restore("c", usage)
    other.restore("c", {})
    await other.acquire(outbound())
    assert clock.elapsed == pytest.approx(1.0, abs=0.01)
    assert one.usage("never") == {}


async def test_the_tenants_of_the_newest_conversations_are_known() -> None:
    budget = RateBudget(known=2)
    for conversation in ("a", "b;messageid=7", "a", "c"):
        budget.learn(conversation, f"tenant of {conversation[0]}")
    budget.learn("d", None)
    assert [budget.tenant_of(one) for one in ("a", "a;messageid=1", "b", "c", "d", None)] == [
        "tenant of a",
        "tenant of a",
        "",
        "tenant of c",
        "",
        "",
    ]


async def test_whoever_waits_when_the_budget_is_closed_is_told_and_nobody_waits_after_it(
    clock: VirtualClock,
) -> None:
    budget = RateBudget(LIMITS)
    transport = BudgetTransport(HandlerTransport(lambda _: Response(200)), budget)
    request = Request("POST", "http://localhost/v3/conversations/c/activities")
    held = [await budget.acquire(outbound(tenant="")) for _ in range(2)]
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(budget.acquire(outbound(tenant=""))) for _ in "ab"]
    tasks.append(asyncio.create_task(transport.send(request)))
    tasks.append(asyncio.create_task(budget.acquire(outbound(conversation=None, tenant=""))))
    await asyncio.sleep(0.1)
    await budget.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [ConnectError] * 4
    assert str(results[2]) == "the App has been stopped; nothing was sent"
    assert isinstance(results[2], ConnectError)
    assert results[2].request is request
    for ticket in held:
        budget.answered(ticket)
    with pytest.raises(ConnectError, match="stopped"):
        await budget.acquire(outbound(tenant="another"))
    with pytest.raises(ConnectError) as caught:
        await transport.send(request)
    assert caught.value.request is request
    assert budget.statistics().queues == {}
    assert clock.elapsed == pytest.approx(0.1)
    await budget.close()


async def test_a_conversation_that_must_wait_long_is_told_of_in_the_log(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    budget = RateBudget(RateLimits(conversation=(Window(2000, 3600.0),), tenant=None))
    for _ in range(1800):
        budget.answered(await budget.acquire(outbound()))
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(budget.acquire(outbound()), 1.0)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.name.startswith("cadenza.apps")
    assert record.getMessage() == (
        "Conversation c has had 1,800 requests within 60 min, which is all that the rate budget lets out (of "
        "the 2,000 that the service takes); the next may go in 64 min."
    )


# In front of the network


class Seen:
    """What the transport asks the budget for."""

    def __init__(self) -> None:
        self.budget = RateBudget()
        self.asked: list[Outbound] = []
        asks = self.budget.ask

        def ask(outbound: Outbound, wake: Any = None) -> Any:
            self.asked.append(outbound)
            return asks(outbound, wake)

        self.budget.ask = ask  # type: ignore[method-assign]
        self.transport = BudgetTransport(
            HandlerTransport(lambda _: Response(200)), self.budget, default_tenant="home"
        )

    async def send(self, method: str, path: str, body: bytes | None = None) -> Outbound | None:
        self.asked.clear()
        await self.transport.send(Request(method, f"https://smba.trafficmanager.net/teams{path}", {}, body))
        return self.asked[0] if self.asked else None


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/v3/conversations/a%3A1/activities", b'{"type":"message"}', ("a:1", "T", Priority.PLAIN)),
        (
            "POST",
            "/v3/conversations/a%3A1/activities",
            b'{"type":"typing"}',
            ("a:1", "T", Priority.INFORMATIVE),
        ),
        ("POST", "/v3/conversations/a%3A1/activities", b"typing", ("a:1", "T", Priority.PLAIN)),
        ("POST", "/v3/conversations/b/activities/7?x=1", b"[]", ("b", "home", Priority.PLAIN)),
        ("PUT", "/v3/conversations/a:1;messageid=2/activities/7", b"{}", ("a:1", "T", Priority.PLAIN)),
        ("DELETE", "/v3/conversations/a%3A1/activities/7", None, ("a:1", "T", Priority.PLAIN)),
        ("GET", "/v3/conversations/a%3A1/activities/7/members", None, (None, "T", Priority.PLAIN)),
        ("GET", "/v3/conversations/a%3A1/members", None, (None, "T", Priority.PLAIN)),
        ("POST", "/v3/conversations", b'{"tenantId":"U"}', (None, "U", Priority.PLAIN)),
        (
            "POST",
            "/v3/conversations",
            b'{"channelData":{"tenant":{"id":"V"}}}',
            (None, "V", Priority.PLAIN),
        ),
        ("POST", "/v3/conversations", b"{}", (None, "home", Priority.PLAIN)),
        ("POST", "/v3/conversations", b"nonsense", (None, "home", Priority.PLAIN)),
        ("GET", "/v3/teams/19%3Ax", None, (None, "home", Priority.PLAIN)),
        ("GET", "/v1/meetings/1", None, (None, "home", Priority.PLAIN)),
        ("GET", "/v1/.well-known/keys", None, None),
    ],
)
async def test_the_request_says_what_it_takes(
    method: str, path: str, body: bytes | None, expected: tuple[str | None, str, Priority] | None
) -> None:
    seen = Seen()
    seen.budget.learn("a:1", "T")
    asked = await seen.send(method, path, body)
    assert (asked and (asked.conversation, asked.tenant, asked.priority)) == expected


async def test_a_request_that_fails_gives_its_permit_back(clock: VirtualClock) -> None:
    def broken(_: Request) -> Response:
        raise OSError("no network")

    transport = BudgetTransport(HandlerTransport(broken), RateBudget(LIMITS))
    for _ in range(4):
        with pytest.raises(OSError, match="no network"):
            await transport.send(Request("POST", "http://localhost/v3/conversations/c/activities"))
    assert clock.elapsed == 1.0
    await transport.close()


# Metrics


async def test_metrics_tell_the_queue_and_the_waits_where_an_sdk_is_set_up(clock: VirtualClock) -> None:
    with recording() as recorded:
        budget = RateBudget(LIMITS)
        for _ in range(2):
            budget.answered(await budget.acquire(outbound(Priority.START)))
        task = asyncio.create_task(budget.acquire(outbound(Priority.FINAL)))
        await asyncio.sleep(0)
        assert recorded.metrics()["cadenza.budget.waiting"] == {
            **dict.fromkeys(("plain", "start", "chunk", "informative"), 0),
            "final": 1,
        }
        await task
        assert recorded.metrics()["cadenza.budget.wait"] == {"start": 2, "final": 1}
        await budget.close()
