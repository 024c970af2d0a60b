"""What is special about state in memory: it is bounded."""

import logging

import pytest
from cadenza.state import (
    Duplicate,
    InboxStatistics,
    MemoryInbox,
    MemoryLeases,
    MemoryState,
    MemoryStore,
    Place,
    StateFullError,
)

SECONDS = 30.0


async def test_a_full_store_forgets_what_was_used_longest_ago_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore(most=2)
    with caplog.at_level(logging.WARNING):
        for key in ("a", "b"):
            await store.put(key, b"1")
        await store.get("a")
        for key in ("c", "d"):
            await store.put(key, b"1")
    assert [key async for key in store.keys("")] == ["c", "d"]
    assert len(caplog.records) == 1


async def test_a_full_inbox_takes_nothing_more_and_claims_nothing() -> None:
    inbox = MemoryInbox(most=2)
    place = await inbox.accept("a", "lane", {}, owner="me", seconds=SECONDS)
    await inbox.accept("b", "lane", {}, owner="me", seconds=SECONDS)
    with pytest.raises(StateFullError, match="holds 2 entries"):
        await inbox.accept("c", "lane", {}, owner="me", seconds=SECONDS)
    assert await inbox.lookup("c", "lane") is None
    assert await inbox.accept("a", "lane", {}, owner="me", seconds=SECONDS) == Duplicate(settled=False)
    assert isinstance(place, Place)
    assert place.lease is not None
    await inbox.settle(place.lease, "a")
    assert isinstance(await inbox.accept("c", "lane", {}, owner="me", seconds=SECONDS), Place)


async def test_an_inbox_remembers_as_many_settled_keys_as_it_may_hold_entries() -> None:
    inbox = MemoryInbox(most=3)
    for n in range(10):
        place = await inbox.accept(f"k{n}", f"lane {n}", {}, owner="me", seconds=SECONDS)
        assert isinstance(place, Place)
        assert place.lease is not None
        await inbox.settle(place.lease, f"k{n}", note=b"1")
    found = [await inbox.lookup(f"k{n}", f"lane {n}") for n in range(10)]
    assert found == [None] * 7 + [Duplicate(settled=True)] * 3
    assert len(inbox._notes) <= 4
    assert await inbox.statistics() == InboxStatistics(0, 0)


async def test_leases_that_ran_out_are_forgotten_in_time() -> None:
    now = 0.0
    leases = MemoryLeases(clock=lambda: now)
    for n in range(5000):
        now += 1
        assert await leases.acquire(f"name {n}", "me", SECONDS) is not None
    assert len(leases._held) <= 1001


def test_a_bound_is_at_least_one() -> None:
    for make in (MemoryStore, MemoryInbox, MemoryState):
        with pytest.raises(ValueError, match="at least one"):
            make(most=0)
