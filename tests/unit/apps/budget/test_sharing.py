"""Processes that share the permits of a tenant: what each asks for, gives back, and does when alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import pytest
from cadenza.apps.budget import Outbound, Priority, RateBudget, RateLimits, Window
from cadenza.apps.budget.limits import TEAMS_RATES
from cadenza.apps.budget.permits import Permits
from cadenza.apps.budget.sharing import SPARE, Wants
from cadenza.state.shares import Demand
from cadenza.testing import VirtualClock

LIMITS = RateLimits(conversation=(), tenant=Window(50, 1.0))
LIMIT = 45


class Store:
    """`SharedPermits` for tests: the same for all that want more, and all that is recorded adds up."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Demand]] = {}
        self.calls: list[tuple[str, Mapping[str, Demand]]] = []
        self.down = False

    async def exchange(self, process: str, demands: Mapping[str, Demand], *, limit: int) -> dict[str, int]:
        await asyncio.sleep(0.001)
        if self.down:
            raise ConnectionError("no store")
        self.calls.append((process, demands))
        caps = {}
        for tenant, demand in demands.items():
            records = self.records.setdefault(tenant, {})
            others = {name: one for name, one in records.items() if name != process}
            wants = sorted([demand.wanted, *(one.wanted for one in others.values())])
            fair = limit
            if sum(wants) > limit:
                left = limit
                for at, want in enumerate(wants):
                    fair = left // (len(wants) - at)
                    if want > fair:
                        break
                    left -= want
            share = min(demand.wanted, fair)
            cap = min(max(demand.held, share), max(0, limit - sum(one.held for one in others.values())))
            records[process] = Demand(cap, demand.wanted)
            caps[tenant] = min(cap, share)
            assert sum(one.held for one in records.values()) <= limit
        return caps


def outbound(number: int = 0, tenant: str = "t", priority: Priority = Priority.PLAIN) -> Outbound:
    return Outbound(f"{tenant}{number}", tenant, priority, asyncio.get_running_loop().time())


async def send(budget: RateBudget, sent: list[float], number: int = 0) -> None:
    async with budget.permit(outbound(number)):
        await asyncio.sleep(0.01)
        sent.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.01)


async def crowd(budget: RateBudget, sent: list[float], count: int) -> None:
    await asyncio.gather(*(send(budget, sent, number) for number in range(count)))


def most_in_a_second(times: list[float]) -> int:
    times = sorted(times)
    return max(sum(at <= other < at + 1.0 - 1e-9 for other in times) for at in times)


async def test_the_first_request_asks_the_store_at_once(clock: VirtualClock) -> None:
    budget = RateBudget(LIMITS, shared=Store())
    await send(budget, [])
    assert clock.elapsed < 0.05
    assert budget.statistics().caps == {"t": 1 + SPARE}
    await budget.close()


async def test_processes_together_never_exceed_the_limit_and_use_all_of_it(clock: VirtualClock) -> None:
    store = Store()
    budgets = [RateBudget(LIMITS, shared=store) for _ in range(4)]
    sent: list[list[float]] = [[] for _ in budgets]
    began = clock.elapsed
    await asyncio.gather(*(crowd(one, of, 200) for one, of in zip(budgets, sent, strict=True)))
    took = clock.elapsed - began
    assert most_in_a_second([at for of in sent for at in of]) <= LIMIT
    assert took < 1.15 * 800 / 44
    ends = sorted(max(of) for of in sent)
    assert ends[-1] - ends[0] < 0.25 * took  # whoever came first had all for a second
    for budget in budgets:
        _, held, _ = budget._permits.demand("t", clock.now())
        await budget.close()
        if held:
            assert store.calls[-1][1] == {"t": Demand(held, 0)}  # the last ones count for a second yet
    assert store.calls[-1][1]["t"].wanted == 0


async def test_who_had_all_gives_half_back_to_the_second_that_comes(clock: VirtualClock) -> None:
    store = Store()
    first, second = (RateBudget(LIMITS, shared=store) for _ in range(2))
    sent: tuple[list[float], list[float]] = ([], [])
    one = asyncio.create_task(crowd(first, sent[0], 400))
    await asyncio.sleep(4)
    assert first.statistics().caps == {"t": LIMIT}
    other = asyncio.create_task(crowd(second, sent[1], 200))
    await asyncio.sleep(3)
    assert first.statistics().caps["t"] == second.statistics().caps["t"] == LIMIT // 2
    await asyncio.gather(one, other)
    assert most_in_a_second([*sent[0], *sent[1]]) <= LIMIT
    await first.close()
    await second.close()


async def test_an_idle_process_gives_back_what_it_has_and_asks_no_more(clock: VirtualClock) -> None:
    store = Store()
    budget = RateBudget(LIMITS, shared=store)
    await crowd(budget, [], 30)
    assert budget.statistics().caps == {"t": 30 + SPARE}
    await asyncio.sleep(10)
    assert budget.statistics().caps == {}
    assert store.records["t"] == {store.calls[0][0]: Demand(0, 0)}
    calls = len(store.calls)
    await asyncio.sleep(100)
    assert len(store.calls) == calls
    await send(budget, [])  # and begins anew when there is something to send
    assert budget.statistics().caps == {"t": 1 + SPARE}
    await budget.close()


async def test_the_store_is_asked_twice_a_second_for_all_tenants_at_once(clock: VirtualClock) -> None:
    store = Store()
    budget = RateBudget(LIMITS, shared=store)
    for tenant in "abc":
        for number in range(500):
            budget.ask(outbound(number, tenant))
    await asyncio.sleep(10)
    assert 15 <= len(store.calls) <= 25
    assert set(store.calls[-1][1]) == {"a", "b", "c"}
    await budget.close()


async def test_with_the_store_down_each_keeps_its_last_share(clock: VirtualClock) -> None:
    store = Store()
    budgets = [RateBudget(LIMITS, shared=store) for _ in range(2)]
    sent: tuple[list[float], list[float]] = ([], [])
    crowds = [asyncio.create_task(crowd(*of, 300)) for of in zip(budgets, sent, strict=True)]
    await asyncio.sleep(4)
    store.down = True
    await asyncio.sleep(5)
    assert [budget.statistics().caps["t"] for budget in budgets] == [22, 22]
    store.down = False
    await asyncio.gather(*crowds)
    assert most_in_a_second([*sent[0], *sent[1]]) <= LIMIT
    assert clock.elapsed < 1.2 * 600 / 44
    for budget in budgets:
        await budget.close()


async def test_who_never_reached_the_store_sends_one_request_at_a_time(clock: VirtualClock) -> None:
    store = Store()
    store.down = True
    budget = RateBudget(LIMITS, shared=store)
    sent: list[float] = []
    await crowd(budget, sent, 5)
    assert 4.0 < clock.elapsed < 6.0
    assert most_in_a_second(sent) == 1
    store.down = False
    await crowd(budget, sent, 100)
    assert clock.elapsed < 12.0
    await budget.close()


async def test_a_store_that_cannot_be_reached_is_told_of_with_the_reason_and_with_what_is_left(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(Store):
        async def exchange(
            self, process: str, demands: Mapping[str, Demand], *, limit: int
        ) -> dict[str, int]:
            if self.down:
                await asyncio.sleep(60)
            return await super().exchange(process, demands, limit=limit)

    for down_at_first in (True, False):
        caplog.clear()
        store = Slow()
        store.down = down_at_first
        budget = RateBudget(LIMITS, shared=store)
        await send(budget, [])
        store.down = True
        await asyncio.sleep(5)
        [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
        text = record.getMessage()
        assert text.endswith(": TimeoutError")
        assert ("last share" in text) != down_at_first
        assert ("1 permit of each tenant" in text) == down_at_first
        await budget.close()


async def test_workers_that_are_forked_from_one_process_have_names_of_their_own(clock: VirtualClock) -> None:
    store = Store()
    budget = RateBudget(LIMITS, shared=store)  # made at import, before the fork
    assert budget._sharing is not None
    assert budget._sharing._process == ""
    await send(budget, [])
    assert store.calls[0][0].count("-") >= 2
    await budget.close()


async def test_a_tenant_without_a_limit_shares_nothing() -> None:
    store = Store()
    budget = RateBudget(RateLimits(tenant=None), shared=store)
    await send(budget, [])
    assert store.calls == []
    await budget.close()


def test_no_more_is_held_than_the_store_was_told_until_it_answers() -> None:
    permits = Permits(TEAMS_RATES, shared=True)
    wants = Wants(permits, LIMIT)
    permits.set_cap("t", 10, 0.0)
    tickets = [permits.ask(Outbound(str(n), "t", Priority.PLAIN, 0.0), 0.0) for n in range(3)]
    assert len(permits.grants(0.0)) == 3
    for ticket in tickets:
        permits.answered(ticket, 0.0)
    assert wants.demands(0.5) == {"t": Demand(8, 3 + SPARE)}
    for n in range(20):
        permits.ask(Outbound(str(n), "t", Priority.PLAIN, 0.6), 0.6)
    assert len(permits.grants(0.6)) == 5  # 3 are still held
    assert wants.hungry("t", 0.6)
    wants.answered({"t": Demand(8, 8)}, {"t": 4}, 0.7)  # others want some too
    assert permits.grants(1.0) == []
    assert wants.demands(1.0)["t"].held == 5
    assert not wants.hungry("t", 1.0)
