"""Pending sign-ins: the rules, and how they are kept (apps/sign_in/pending.py)."""

from __future__ import annotations

import asyncio

import pytest
from auth.sign_in import activity
from cadenza.api import Activity, parse_activity
from cadenza.apps.sign_in.pending import (
    MOST_GUESSES,
    MOST_PENDING,
    MOST_TOLD,
    PENDING_SECONDS,
    Completed,
    PendingSignIn,
    PendingSignIns,
    SignIns,
    begun,
    completed,
    guessed,
    live,
    spared,
    told,
    withdrawn,
)
from cadenza.state import ConflictError, MemoryState


def one(connection: str, began: float = 0.0, id: str | None = None) -> PendingSignIn:
    return PendingSignIn(id or f"{connection}-{began}", connection, began)


def pending(*sign_ins: PendingSignIn) -> SignIns:
    known = SignIns()
    for sign_in in sign_ins:
        known = begun(known, sign_in)
    return known


def mark(connection: str, at: float = 0.0) -> Completed:
    return Completed(f"{connection}-{at}", connection, at)


def test_the_newest_comes_first_and_each_connection_once() -> None:
    assert pending(one("graph", 0), one("github", 1), one("Graph", 2)).names == ["Graph", "github"]


def test_what_is_too_old_or_too_much_is_left_out() -> None:
    known = pending(*(one(f"c{at}", at) for at in range(MOST_PENDING + 3)))
    assert len(known.pending) == MOST_PENDING
    assert known.names[0] == f"c{MOST_PENDING + 2}"
    assert live(known, PENDING_SECONDS + MOST_PENDING + 1.5).names == [f"c{MOST_PENDING + 2}"]
    assert live(SignIns(completed=(mark("graph"),)), PENDING_SECONDS).completed == ()


def test_a_card_that_was_not_sent_takes_back_itself_alone() -> None:
    known = pending(one("graph", 1), one("graph", 2))
    assert withdrawn(known, "graph-2").pending == (one("graph", 1),)


def test_who_has_signed_in_is_done_with_all_cards_of_that_connection() -> None:
    known = pending(one("graph", 1), one("github", 2), one("GRAPH", 3))
    after, first = completed(known, mark("Graph"), known, fresh=False)
    assert first
    assert after.names == ["github"]
    assert after.all_names == ["github", "Graph"]
    assert completed(after, mark("graph", 1), known, fresh=True) == (after, False)


def test_a_sign_in_that_is_not_pending_counts_where_the_user_was_not_signed_in_before() -> None:
    nothing = SignIns()
    after, first = completed(nothing, mark("graph"), nothing, fresh=True)
    assert first
    assert not completed(nothing, mark("graph"), nothing, fresh=False)[1]
    assert not completed(after, mark("graph", 1), nothing, fresh=True)[1]  # somebody else was first
    again, first = completed(after, mark("graph", 1), after, fresh=True)  # they had signed out
    assert first
    assert again.completed == (mark("graph", 1),)


def test_guesses_are_counted_unless_nobody_could_say_whether_they_were_right() -> None:
    known = pending(one("graph"))
    for _ in range(MOST_GUESSES):
        before = known
        known, tried = guessed(known)
        assert tried.names == ["graph"]
    assert guessed(known) == (known, SignIns())
    assert spared(known, tried.pending) == before
    known = begun(known, one("github", 1))
    assert guessed(known)[1].names == ["github"]


def test_a_failure_is_news_once_for_each_sign_in_and_code() -> None:
    known, news = told(pending(one("graph")), "invokeerror")
    assert news == ["graph"]
    assert told(known, "invokeerror") == (known, [])
    assert told(begun(known, one("github", 1)), "invokeerror")[1] == ["github"]
    assert told(known, "tokenmissing")[1] == ["graph"]
    for number in range(100):
        known, _ = told(known, f"{number}" * 1000)
    assert len(known.pending[0].told) == MOST_TOLD
    assert {len(code) for code in known.pending[0].told} == {64}


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
    seen = await other.of(message)
    assert sorted(seen.names) == ["github", "graph", "jira"]
    firsts = await asyncio.gather(
        *(
            process.complete(message, name, seen, fresh=True)
            for name in ("graph", "github", "jira")
            for process in (one_process, other, one_process)
        )
    )
    assert sum(firsts) == 3
    assert (await one_process.of(message)).names == []


async def test_who_takes_back_the_only_card_leaves_nothing_in_the_store(message: Activity) -> None:
    store = MemoryState().store
    sign_ins = PendingSignIns(store)
    await sign_ins.withdraw(message, await sign_ins.begin(message, "graph"))
    assert [key async for key in store.keys("")] == []


async def test_who_never_gets_to_write_is_told(message: Activity) -> None:
    state = MemoryState()
    sign_ins = PendingSignIns(state.store)
    put = state.store.put

    async def contended(key: str, value: bytes, **options: object) -> int:
        await put(key, b'{"pending": [], "completed": []}')
        return await put(key, value, **options)  # type: ignore[arg-type]

    state.store.put = contended  # type: ignore[method-assign]
    with pytest.raises(ConflictError):
        await sign_ins.begin(message, "graph")


async def test_a_sign_in_is_not_waited_for_for_ever(message: Activity) -> None:
    now = 1000.0
    sign_ins = PendingSignIns(MemoryState().store, now=lambda: now)
    await sign_ins.begin(message, "graph")
    now += PENDING_SECONDS - 1
    assert (await sign_ins.of(message)).names == ["graph"]
    now += 2
    assert (await sign_ins.of(message)).names == []
