"""Pending sign-ins: the rules, and how they are kept (apps/sign_in/pending.py)."""

from __future__ import annotations

import asyncio

import pytest
from auth.sign_in import activity
from cadenza.api import Activity, parse_activity
from cadenza.apps.sign_in.pending import (
    MOST_PENDING,
    PENDING_SECONDS,
    Pending,
    PendingSignIn,
    PendingSignIns,
    begun,
    done,
    live,
    names,
    withdrawn,
)
from cadenza.state import ConflictError, MemoryState


def one(connection: str, began: float = 0.0, id: str | None = None) -> PendingSignIn:
    return PendingSignIn(id or f"{connection}-{began}", connection, began)


def test_the_newest_comes_first_and_each_connection_once() -> None:
    pending: Pending = ()
    for at, name in enumerate(["graph", "github", "Graph"]):
        pending = begun(pending, one(name, at), at)
    assert names(pending) == ["Graph", "github"]


def test_what_is_too_old_or_too_much_is_left_out() -> None:
    pending: Pending = ()
    for at in range(MOST_PENDING + 3):
        pending = begun(pending, one(f"c{at}", at), at)
    assert len(pending) == MOST_PENDING
    assert names(pending)[0] == f"c{MOST_PENDING + 2}"
    assert names(live(pending, PENDING_SECONDS + MOST_PENDING + 1.5)) == [f"c{MOST_PENDING + 2}"]
    late = one("late", 10 * PENDING_SECONDS)
    assert begun(pending, late, late.began) == (late,)


def test_a_card_that_was_not_sent_takes_back_itself_alone() -> None:
    pending = begun(begun((), one("graph", 1), 1), one("graph", 2), 2)
    assert withdrawn(pending, "graph-2") == (one("graph", 1),)


def test_who_has_signed_in_is_done_with_all_cards_of_that_connection() -> None:
    pending = begun(begun(begun((), one("graph", 1), 1), one("github", 2), 2), one("GRAPH", 3), 3)
    assert names(done(pending, "Graph")) == ["github"]


@pytest.fixture
def message() -> Activity:
    return parse_activity(activity("message", text="hi"))


async def test_what_two_processes_begin_at_once_is_pending_both(message: Activity) -> None:
    store = MemoryState().store
    one_process, other = PendingSignIns(store), PendingSignIns(store)
    await asyncio.gather(
        *(
            process.begin(message, name)
            for process, name in ((one_process, "graph"), (other, "github"), (one_process, "jira"))
        )
    )
    assert sorted(await other.of(message)) == ["github", "graph", "jira"]
    await asyncio.gather(*(other.finish(message, name) for name in ("graph", "github", "jira")))
    assert await one_process.of(message) == []
    assert [key async for key in store.keys("")] == []


async def test_who_never_gets_to_write_is_told(message: Activity) -> None:
    class Contended(MemoryState):
        pass

    state = Contended()
    pending = PendingSignIns(state.store)
    put = state.store.put

    async def contended(key: str, value: bytes, **options: object) -> int:
        await put(key, b"[]")
        return await put(key, value, **options)  # type: ignore[arg-type]

    state.store.put = contended  # type: ignore[method-assign]
    with pytest.raises(ConflictError):
        await pending.begin(message, "graph")


async def test_a_sign_in_is_not_waited_for_for_ever(message: Activity) -> None:
    now = 1000.0
    pending = PendingSignIns(MemoryState().store, now=lambda: now)
    await pending.begin(message, "graph")
    now += PENDING_SECONDS - 1
    assert await pending.of(message) == ["graph"]
    now += 2
    assert await pending.of(message) == []
