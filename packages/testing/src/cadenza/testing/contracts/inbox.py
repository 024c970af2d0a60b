"""The laws of `Inbox`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from cadenza.state import (
    Busy,
    Duplicate,
    Inbox,
    InboxEntry,
    InboxStatistics,
    Lease,
    LeaseLostError,
    Place,
)

from .contract import AWKWARD, SEEDS, Advance, Contract
from .model import compare

__all__ = ["InboxContract"]

HOLD = 10
"""Units for which the leases of these tests are given."""

PAYLOADS = [
    pytest.param({}, id="empty"),
    pytest.param({"a": {"b": [1, 2, {"c": [[], {}, None, True, False]}]}, "": ""}, id="nested"),
    pytest.param({"f": [0.1, -0.0, 1e300, 5e-324, 1 / 3], "n": [0, -1, 2**53 + 1, 10**40]}, id="numbers"),
    pytest.param({"text": "ключ 鍵 🔑 \0 \n \u2028 \x7f"}, id="unicode"),
    pytest.param({"half \ud83d": "\udc00 pair"}, id="surrogates"),
    pytest.param({"text": "x" * 1_000_000}, id="a megabyte"),
]

BYTES = [
    pytest.param(b"", id="empty"),
    pytest.param(bytes(range(256)), id="each byte"),
    pytest.param(b"12 0 0 x" * 100_000, id="almost a megabyte"),
]


class InboxContract(Contract):
    """Claimed once, in order, by one at a time."""

    async def put(self, inbox: Inbox, key: str, lane: str = "lane", owner: str = "me") -> Place:
        """Accept, where that must succeed."""
        place = await inbox.accept(key, lane, {"key": key}, owner=owner, seconds=HOLD * self.unit)
        assert isinstance(place, Place)
        return place

    async def hold(self, inbox: Inbox, *keys: str, lane: str = "lane", owner: str = "me") -> Lease:
        """Accept them all in one lane, and return its lease."""
        places = [await self.put(inbox, key, lane, owner) for key in keys]
        assert places[0].lease is not None
        assert [place.lease for place in places[1:]] == [None] * (len(keys) - 1)
        return places[0].lease

    async def grab(self, inbox: Inbox, limit: int = 100, owner: str = "you") -> list[Place]:
        return await inbox.take(owner, HOLD * self.unit, limit)

    async def keys_of(self, inbox: Inbox, lease: Lease) -> list[str]:
        return [entry.key for entry in await inbox.entries(lease, 100)]

    # accept

    async def test_the_first_entry_of_a_lane_comes_with_its_lease(self, backend: Inbox) -> None:
        place = await backend.accept("a", "lane", {"x": 1}, owner="me", seconds=HOLD * self.unit)
        assert isinstance(place, Place)
        entry, lease = place.entry, place.lease
        assert lease is not None
        assert lease == Lease("lane", "me", lease.token, HOLD * self.unit)
        assert lease.token > 0
        assert (entry.key, entry.lane, entry.payload) == ("a", "lane", {"x": 1})
        assert (entry.intent, entry.taken, entry.behind, place.note) == (None, 0, 0, None)

    async def test_a_further_entry_waits_behind_it(self, backend: Inbox, peer: Inbox) -> None:
        first = await self.put(backend, "a")
        for inbox, key, owner in ((backend, "b", "me"), (peer, "c", "you")):
            place = await self.put(inbox, key, owner=owner)
            assert (place.lease, place.note, place.entry.key) == (None, None, key)
            assert place.entry.number > first.entry.number
            first = place

    async def test_lanes_are_apart(self, backend: Inbox) -> None:
        assert (await self.put(backend, "a", "one")).lease is not None
        assert (await self.put(backend, "b", "two")).lease is not None

    async def test_a_key_is_accepted_once(self, backend: Inbox, peer: Inbox) -> None:
        lease = await self.hold(backend, "a", "b")
        for key in ("a", "b"):
            again = await peer.accept(key, "lane", {}, owner="you", seconds=HOLD * self.unit)
            assert again == Duplicate(settled=False)
        assert await self.keys_of(backend, lease) == ["a", "b"]
        await backend.settle(lease, "a")
        again = await peer.accept("a", "lane", {}, owner="you", seconds=HOLD * self.unit)
        assert again == Duplicate(settled=True)
        assert await self.keys_of(backend, lease) == ["b"]

    async def test_a_key_stays_claimed_for_some_time_after_it_was_settled(
        self, backend: Inbox, peer: Inbox, advance: Advance
    ) -> None:
        lease = await self.hold(backend, "a")
        await advance(5 * self.unit)
        await backend.settle(lease, "a", response=b"1")
        await advance(19 * self.unit)
        again = await peer.accept("a", "lane", {}, owner="you", seconds=HOLD * self.unit)
        assert again == Duplicate(settled=True, response=b"1")
        await advance(1.5 * self.unit)
        assert await backend.lookup("a", "lane") is None
        place = await self.put(peer, "a")
        assert place.lease is not None
        assert place.lease.token > lease.token

    async def test_what_is_not_settled_is_held_however_long_it_takes(
        self, backend: Inbox, peer: Inbox, advance: Advance
    ) -> None:
        await self.hold(backend, "a", "b")
        await advance(3 * self.claim_seconds)
        assert await peer.lookup("b", "lane") == Duplicate(settled=False)
        [place] = await self.grab(peer)
        assert place.lease is not None
        assert await self.keys_of(peer, place.lease) == ["a", "b"]

    async def test_of_many_deliveries_of_one_activity_exactly_one_is_accepted(
        self, backend: Inbox, peer: Inbox
    ) -> None:
        for lane in ("one", "two", "three"):
            calls = [
                (backend, peer)[n % 2].accept(
                    f"{lane}/a", lane, {}, owner=f"owner {n}", seconds=HOLD * self.unit
                )
                for n in range(20)
            ]
            answers = await asyncio.gather(*calls)
            [place] = [answer for answer in answers if isinstance(answer, Place)]
            assert place.lease is not None
            assert place.lease.owner == f"owner {answers.index(place)}"
            assert answers.count(Duplicate(settled=False)) == 19

    async def test_of_many_entries_of_one_lane_exactly_one_comes_with_the_lease(
        self, backend: Inbox, peer: Inbox
    ) -> None:
        calls = [self.put((backend, peer)[n % 2], f"k{n}", owner=f"owner {n}") for n in range(20)]
        places = await asyncio.gather(*calls)
        [first] = [place for place in places if place.lease is not None]
        order = sorted(places, key=lambda place: place.entry.number)
        assert order[0] is first
        assert len({place.entry.number for place in places}) == 20
        assert first.lease is not None
        assert await self.keys_of(backend, first.lease) == [place.entry.key for place in order]

    async def test_who_does_not_want_to_wait_gets_a_lane_that_is_empty(self, backend: Inbox) -> None:
        place = await backend.accept("a", "lane", {}, owner="me", seconds=HOLD * self.unit, wait=False)
        assert isinstance(place, Place)
        assert place.lease is not None

    async def test_who_does_not_want_to_wait_is_settled_where_it_would_have_to(
        self, backend: Inbox, peer: Inbox, advance: Advance
    ) -> None:
        lease = await self.hold(backend, "a")
        seconds = HOLD * self.unit
        assert await peer.accept("b", "lane", {}, owner="you", seconds=seconds, wait=False) == Busy()
        assert await peer.lookup("b", "lane") == Duplicate(settled=True)
        again = await peer.accept("b", "lane", {}, owner="you", seconds=seconds)
        assert again == Duplicate(settled=True)
        assert await backend.settle(lease, "a") is None
        await advance(self.claim_seconds)
        assert await peer.lookup("b", "lane") is None

    async def test_a_lane_with_entries_is_busy_even_if_nobody_works_on_it(
        self, backend: Inbox, peer: Inbox
    ) -> None:
        await backend.release(await self.hold(backend, "a"))
        seconds = HOLD * self.unit
        assert await peer.accept("b", "lane", {}, owner="you", seconds=seconds, wait=False) == Busy()
        assert (await self.put(peer, "c")).lease is None
        [place] = await self.grab(peer)
        assert (place.entry.key, place.entry.behind) == ("a", 1)

    # accept, asked again

    async def again(self, inbox: Inbox, key: str, *, wait: bool = True) -> Place | Duplicate | Busy:
        """Accept with a nonce, as a client does whose connection broke."""
        return await inbox.accept(
            key, "lane", {"key": key}, owner="me", seconds=HOLD * self.unit, wait=wait, nonce=f"nonce {key}"
        )

    async def test_an_acceptance_that_is_asked_again_is_answered_as_the_first_time(
        self, backend: Inbox, peer: Inbox
    ) -> None:
        for key in ("a", "b"):
            one, other = await self.again(backend, key), await self.again(peer, key)
            assert isinstance(one, Place)
            assert isinstance(other, Place)
            assert (one.lease, one.note) == (other.lease, other.note)
            assert (one.lease is not None) == (key == "a")
            for name in ("key", "lane", "number", "payload", "intent", "taken", "behind"):
                assert getattr(one.entry, name) == getattr(other.entry, name)
        assert (await backend.statistics()).held == 2

    async def test_another_delivery_is_no_repetition(self, backend: Inbox) -> None:
        await self.again(backend, "a")
        for nonce in ("", "another"):
            again = await backend.accept("a", "lane", {}, owner="me", seconds=self.unit, nonce=nonce)
            assert again == Duplicate(settled=False)

    async def test_an_acceptance_that_is_asked_again_renews_the_lease(
        self, backend: Inbox, peer: Inbox, advance: Advance
    ) -> None:
        await self.again(backend, "a")
        await advance(6 * self.unit)
        await self.again(backend, "a")
        await advance(6 * self.unit)
        assert await self.grab(peer) == []

    async def test_what_settle_handed_out_is_not_handed_out_again_by_a_repetition(
        self, backend: Inbox
    ) -> None:
        first = await self.again(backend, "a")
        assert isinstance(first, Place)
        assert first.lease is not None
        await self.again(backend, "b")
        following = await backend.settle(first.lease, "a")
        assert following is not None
        assert following.key == "b"
        again = await self.again(backend, "b")
        assert isinstance(again, Place)
        assert again.lease is None

    async def test_an_acceptance_that_is_asked_again_too_late_comes_without_the_lease(
        self, backend: Inbox, peer: Inbox, advance: Advance
    ) -> None:
        await self.again(backend, "a")
        await advance(HOLD * self.unit)
        late = await self.again(backend, "a")
        assert isinstance(late, Place)
        assert late.lease is None
        [place] = await self.grab(peer)
        late = await self.again(backend, "a")
        assert isinstance(late, Place)
        assert late.lease is None
        assert place.lease is not None
        await peer.settle(place.lease, "a", response=b"1")
        assert await self.again(backend, "a") == Duplicate(settled=True, response=b"1")

    async def test_what_was_given_back_is_not_had_again_by_a_repetition(self, backend: Inbox) -> None:
        place = await self.again(backend, "a")
        assert isinstance(place, Place)
        assert place.lease is not None
        await backend.release(place.lease)
        again = await self.again(backend, "a")
        assert isinstance(again, Place)
        assert again.lease is None

    async def test_who_was_told_that_the_lane_is_busy_is_told_so_again(
        self, backend: Inbox, peer: Inbox
    ) -> None:
        lease = await self.hold(backend, "a")
        assert await self.again(backend, "b", wait=False) == Busy()
        assert await self.again(peer, "b", wait=False) == Busy()
        await backend.settle(lease, "a")
        assert await self.again(peer, "b", wait=False) == Busy()

    # settle

    async def test_entries_are_handed_out_in_the_order_of_their_acceptance(self, backend: Inbox) -> None:
        keys = [f"k{n}" for n in range(5)]
        lease = await self.hold(backend, *keys)
        for n, key in enumerate(keys[1:]):
            entry = await backend.settle(lease, keys[n])
            assert entry is not None
            assert (entry.key, entry.lane, entry.payload) == (key, "lane", {"key": key})
            assert (entry.behind, entry.taken, entry.intent) == (3 - n, 0, None)
        assert await backend.settle(lease, keys[-1]) is None

    async def test_a_lane_is_over_with_its_last_entry(self, backend: Inbox, peer: Inbox) -> None:
        lease = await self.hold(backend, "a")
        assert await backend.settle(lease, "a") is None
        assert await backend.renew([lease]) == {}
        assert await self.grab(peer) == []
        place = await self.put(peer, "b", owner="you")
        assert place.lease is not None
        assert place.lease.token > lease.token
        with pytest.raises(LeaseLostError):
            await backend.settle(lease, "b")

    async def test_settling_renews_the_lease_for_the_next_entry(
        self, backend: Inbox, peer: Inbox, advance: Advance
    ) -> None:
        lease = await self.hold(backend, "a", "b")
        await advance(6 * self.unit)
        await backend.settle(lease, "a")
        await advance(8 * self.unit)
        assert await self.grab(peer) == []
        await advance(2 * self.unit)
        [place] = await self.grab(peer)
        assert (place.entry.key, place.entry.taken) == ("b", 1)

    async def test_an_entry_that_waits_can_be_settled_before_its_turn(self, backend: Inbox) -> None:
        lease = await self.hold(backend, "a", "b", "c")
        entry = await backend.settle(lease, "b")
        assert entry is not None
        assert (entry.key, entry.behind) == ("a", 1)
        entry = await backend.settle(lease, "a")
        assert entry is not None
        assert (entry.key, entry.behind) == ("c", 0)

    async def test_a_lane_that_is_settled_with_release_is_free_for_others(
        self, backend: Inbox, peer: Inbox
    ) -> None:
        lease = await self.hold(backend, "a", "b")
        assert await backend.settle(lease, "a", release=True) is None
        assert await backend.renew([lease]) == {}
        [place] = await self.grab(peer)
        assert (place.entry.key, place.entry.taken) == ("b", 0)
        assert place.lease is not None
        assert place.lease.token > lease.token

    async def test_the_last_entry_can_be_settled_with_release(self, backend: Inbox, peer: Inbox) -> None:
        lease = await self.hold(backend, "a")
        assert await backend.settle(lease, "a", release=True) is None
        assert await self.grab(peer) == []
        assert (await self.put(peer, "b")).lease is not None

    async def test_settling_again_settles_nothing_more(self, backend: Inbox, peer: Inbox) -> None:
        lease = await self.hold(backend, "a", "b", "c")
        for inbox in (backend, peer, backend):
            entry = await inbox.settle(lease, "a", response=b"1")
            assert entry is not None
            assert (entry.key, entry.behind) == ("b", 1)
        assert await backend.lookup("a", "lane") == Duplicate(settled=True, response=b"1")
        assert await self.keys_of(backend, lease) == ["b", "c"]

    async def test_settling_the_last_entry_again_is_no_error(self, backend: Inbox, peer: Inbox) -> None:
        lease = await self.hold(backend, "a")
        for inbox in (backend, peer, backend):
            assert await inbox.settle(lease, "a", response=b"1") is None
        assert await backend.lookup("a", "lane") == Duplicate(settled=True, response=b"1")

    async def test_settling_again_does_nothing_to_a_lane_that_has_begun_anew(
        self, backend: Inbox, peer: Inbox
    ) -> None:
        old = await self.hold(backend, "a")
        await backend.settle(old, "a")
        new = await self.hold(peer, "b", "c", owner="you")
        assert await backend.settle(old, "a") is None
        assert await self.keys_of(peer, new) == ["b", "c"]

    async def test_settling_with_release_again_is_no_error(self, backend: Inbox, peer: Inbox) -> None:
        lease = await self.hold(backend, "a", "b")
        for _ in range(2):
            assert await backend.settle(lease, "a", release=True) is None
        [place] = await self.grab(peer)
        assert await backend.settle(lease, "a", release=True) is None
        assert place.lease is not None
        assert await peer.renew([place.lease]) == {"lane": 0}
        assert await self.keys_of(peer, place.lease) == ["b"]

    async def test_settling_again_leaves_no_old_note(self, backend: Inbox, peer: Inbox) -> None:
        lease = await self.hold(backend, "a", "b", "c")
        await backend.settle(lease, "a", note=b"old")
        await backend.settle(lease, "b", note=b"new")
        await backend.settle(lease, "a", note=b"old")
        await backend.release(lease)
        [place] = await self.grab(peer)
        assert place.note == b"new"

    async def test_to_settle_what_is_not_in_the_lane_changes_nothing(self, backend: Inbox) -> None:
        lease = await self.hold(backend, "a", "b")
        entry = await backend.settle(lease, "nobody", response=b"1", note=b"2")
        assert entry is not None
        assert (entry.key, entry.behind) == ("a", 1)
        assert await backend.lookup("nobody", "lane") is None
        await backend.release(lease)
        [place] = await self.grab(backend)
        assert place.note is None

    @pytest.mark.parametrize("response", [None, *BYTES])
    async def test_the_response_is_given_to_duplicates(
        self, backend: Inbox, peer: Inbox, response: bytes | None
    ) -> None:
        lease = await self.hold(backend, "a")
        await backend.settle(lease, "a", response=response)
        expected = Duplicate(settled=True, response=response)
        assert await peer.lookup("a", "lane") == expected
        assert await peer.accept("a", "lane", {}, owner="you", seconds=self.unit) == expected

    # settle, and forget

    @pytest.mark.parametrize("response", [None, b"", b"1"])
    async def test_a_key_that_is_forgotten_is_taken_as_new(
        self, backend: Inbox, peer: Inbox, response: bytes | None
    ) -> None:
        old = await self.hold(backend, "a")
        assert await backend.settle(old, "a", response=response, forget=True) is None
        assert await backend.statistics() == InboxStatistics(0, 0)
        place = await peer.accept("a", "lane", {"x": 2}, owner="you", seconds=HOLD * self.unit)
        assert isinstance(place, Place)
        assert place.lease is not None
        assert place.lease.token > old.token
        assert place.entry.payload == {"x": 2}
        assert (place.entry.intent, place.entry.taken, place.entry.behind) == (None, 0, 0)
        again = await backend.accept("a", "lane", {}, owner="me", seconds=HOLD * self.unit)
        assert again == Duplicate(settled=False)
        await peer.settle(place.lease, "a", response=b"2")
        again = await backend.accept("a", "lane", {}, owner="me", seconds=HOLD * self.unit)
        assert again == Duplicate(settled=True, response=b"2")

    async def test_of_many_deliveries_of_a_forgotten_key_exactly_one_is_accepted(
        self, backend: Inbox, peer: Inbox
    ) -> None:
        await backend.settle(await self.hold(backend, "a"), "a", forget=True)
        calls = [
            (backend, peer)[n % 2].accept("a", "lane", {}, owner=f"owner {n}", seconds=HOLD * self.unit)
            for n in range(10)
        ]
        answers = await asyncio.gather(*calls)
        assert sum(isinstance(answer, Place) for answer in answers) == 1
        assert answers.count(Duplicate(settled=False)) == 9

    @pytest.mark.parametrize("response", [None, *BYTES])
    async def test_who_waits_for_a_forgotten_key_can_look_up_how_it_was_settled(
        self, backend: Inbox, peer: Inbox, advance: Advance, response: bytes | None
    ) -> None:
        await backend.settle(await self.hold(backend, "a"), "a", response=response, forget=True)
        for inbox in (backend, peer):
            assert await inbox.lookup("a", "lane") == Duplicate(settled=True, response=response)
        await self.put(peer, "a")
        assert await backend.lookup("a", "lane") == Duplicate(settled=False)

    async def test_what_is_known_of_a_forgotten_key_is_gone_in_time(
        self, backend: Inbox, peer: Inbox, advance: Advance
    ) -> None:
        await backend.settle(await self.hold(backend, "a"), "a", response=b"1", forget=True)
        await advance(19 * self.unit)
        assert await peer.lookup("a", "lane") == Duplicate(settled=True, response=b"1")
        await advance(1.5 * self.unit)
        assert await peer.lookup("a", "lane") is None
        assert (await self.put(peer, "a")).lease is not None

    async def test_a_claim_outlives_what_is_known_of_the_one_that_was_forgotten(
        self, backend: Inbox, peer: Inbox, advance: Advance
    ) -> None:
        await backend.settle(await self.hold(backend, "a"), "a", response=b"1", forget=True)
        await advance(15 * self.unit)
        await backend.settle(await self.hold(backend, "a"), "a", response=b"2")
        await advance(15 * self.unit)
        assert await peer.lookup("a", "lane") == Duplicate(settled=True, response=b"2")
        await advance(6 * self.unit)
        assert await peer.lookup("a", "lane") is None

    async def test_forgetting_gives_the_lane_back(self, backend: Inbox, peer: Inbox) -> None:
        lease = await self.hold(backend, "a", "b")
        assert await backend.settle(lease, "a", note=b"1", forget=True) is None
        assert await backend.renew([lease]) == {}
        with pytest.raises(LeaseLostError):
            await backend.settle(lease, "b")
        assert (await self.put(peer, "a")).lease is None  # it waits behind "b"
        [place] = await self.grab(peer)
        assert (place.entry.key, place.entry.taken, place.entry.behind, place.note) == ("b", 0, 1, b"1")
        assert place.lease is not None
        assert await self.keys_of(peer, place.lease) == ["b", "a"]

    async def test_who_does_not_want_to_wait_may_find_a_forgotten_key_busy(
        self, backend: Inbox, peer: Inbox
    ) -> None:
        lease = await self.hold(backend, "a", "b")
        await backend.settle(lease, "a", response=b"1", forget=True)
        seconds = HOLD * self.unit
        assert await peer.accept("a", "lane", {}, owner="you", seconds=seconds, wait=False) == Busy()
        assert await backend.lookup("a", "lane") == Duplicate(settled=True)
        assert await peer.accept("a", "lane", {}, owner="you", seconds=seconds) == Duplicate(settled=True)

    async def test_forgetting_again_is_no_error(self, backend: Inbox, peer: Inbox) -> None:
        lease = await self.hold(backend, "a", "b")
        for inbox in (backend, peer, backend):
            assert await inbox.settle(lease, "a", response=b"1", note=b"1", forget=True) is None
        assert await backend.lookup("a", "lane") == Duplicate(settled=True, response=b"1")
        [place] = await self.grab(peer)
        assert place.lease is not None
        assert await peer.settle(place.lease, "b", forget=True) is None
        for inbox in (backend, peer):
            assert await inbox.settle(place.lease, "b", forget=True) is None
        assert await backend.statistics() == InboxStatistics(0, 0)

    async def test_forgetting_again_leaves_a_newer_claim_of_the_key_alone(
        self, backend: Inbox, peer: Inbox
    ) -> None:
        old = await self.hold(backend, "a")
        await backend.settle(old, "a", response=b"1", forget=True)
        new = await self.hold(peer, "a", "b", owner="me")
        for inbox in (backend, peer):
            assert await inbox.settle(old, "a", response=b"1", forget=True) is None
        assert await backend.lookup("a", "lane") == Duplicate(settled=False)
        assert await peer.renew([new]) == {"lane": 1}
        assert await self.keys_of(peer, new) == ["a", "b"]

    async def test_forgetting_again_leaves_a_newer_claim_alone_that_waits_in_the_same_lane(
        self, backend: Inbox, peer: Inbox
    ) -> None:
        old = await self.hold(backend, "a", "b")
        await backend.settle(old, "a", forget=True)
        await self.put(backend, "a")  # behind "b"
        assert await backend.settle(old, "a", forget=True) is None
        [place] = await self.grab(peer, owner="me")
        assert place.lease is not None
        assert await backend.settle(old, "a", forget=True) is None
        assert await self.keys_of(peer, place.lease) == ["b", "a"]
        entry = await peer.settle(place.lease, "b")
        assert entry is not None
        assert await backend.settle(old, "a", forget=True) is None
        assert await self.keys_of(peer, place.lease) == ["a"]

    async def test_forgetting_again_when_a_newer_claim_is_settled_changes_nothing(
        self, backend: Inbox, peer: Inbox
    ) -> None:
        old = await self.hold(backend, "a")
        await backend.settle(old, "a", response=b"1", forget=True)
        await peer.settle(await self.hold(peer, "a"), "a", response=b"2")
        with pytest.raises(LeaseLostError):
            await backend.settle(old, "a", response=b"1", forget=True)
        expected = Duplicate(settled=True, response=b"2")
        assert await peer.lookup("a", "lane") == expected
        assert await peer.accept("a", "lane", {}, owner="you", seconds=self.unit) == expected

    async def test_to_forget_what_is_not_in_the_lane_frees_no_key(self, backend: Inbox) -> None:
        lease = await self.hold(backend, "a", "b")
        await backend.settle(lease, "a", response=b"1")
        assert await backend.settle(lease, "a", forget=True) is None
        again = await backend.accept("a", "lane", {}, owner="me", seconds=self.unit)
        assert again == Duplicate(settled=True, response=b"1")

    async def test_who_has_lost_the_lease_can_forget_nothing(
        self, backend: Inbox, peer: Inbox, advance: Advance
    ) -> None:
        old = await self.hold(backend, "a")
        await advance(HOLD * self.unit)
        for taken in (False, True):
            if taken:
                assert len(await self.grab(peer)) == 1
            with pytest.raises(LeaseLostError):
                await backend.settle(old, "a", forget=True)
            assert await peer.lookup("a", "lane") == Duplicate(settled=False)

    # notes

    @pytest.mark.parametrize("note", BYTES)
    async def test_a_note_is_given_to_the_next_holder_of_the_lane(
        self, backend: Inbox, peer: Inbox, note: bytes
    ) -> None:
        lease = await self.hold(backend, "a", "b")
        await backend.settle(lease, "a", note=note)
        await backend.release(lease)
        [place] = await self.grab(peer)
        assert place.note == note
        assert place.lease is not None
        assert await peer.settle(place.lease, "b") is None
        assert (await self.put(backend, "c", "another")).note is None
        assert (await self.put(backend, "c'")).note == note
        assert (await self.put(backend, "d")).note is None  # it waits

    async def test_a_note_is_replaced_by_a_later_one(self, backend: Inbox) -> None:
        await backend.settle(await self.hold(backend, "a"), "a", note=b"1")
        await backend.settle(await self.hold(backend, "b"), "b")
        place = await self.put(backend, "c")
        assert place.note == b"1"
        assert place.lease is not None
        await backend.settle(place.lease, "c", note=b"2")
        assert (await self.put(backend, "d")).note == b"2"

    async def test_a_note_is_forgotten_in_time(self, backend: Inbox, advance: Advance) -> None:
        await backend.settle(await self.hold(backend, "a"), "a", note=b"1")
        await advance(19 * self.unit)
        place = await self.put(backend, "b")
        assert place.note == b"1"
        assert place.lease is not None
        await backend.settle(place.lease, "b")
        await advance(1.5 * self.unit)
        assert (await self.put(backend, "c")).note is None

    # intend

    @pytest.mark.parametrize("intent", BYTES)
    async def test_an_intent_is_handed_out_with_the_entry(
        self, backend: Inbox, peer: Inbox, intent: bytes
    ) -> None:
        lease = await self.hold(backend, "a", "b")
        await backend.intend(lease, "a", b"something")
        await backend.intend(lease, "a", intent)
        assert [entry.intent for entry in await peer.entries(lease, 2)] == [intent, None]
        await backend.release(lease)
        for _ in range(2):
            [place] = await self.grab(peer)
            assert place.entry.intent == intent
            assert place.lease is not None
            lease = place.lease
            await peer.release(lease)

    async def test_an_intent_of_an_entry_that_waits_is_handed_out_in_its_turn(self, backend: Inbox) -> None:
        lease = await self.hold(backend, "a", "b")
        await backend.intend(lease, "b", b"1")
        entry = await backend.settle(lease, "a")
        assert entry is not None
        assert entry.intent == b"1"

    async def test_an_intent_of_what_is_not_there_is_forgotten(self, backend: Inbox) -> None:
        lease = await self.hold(backend, "a", "c")
        await backend.intend(lease, "b", b"1")
        await backend.settle(lease, "a")
        await backend.intend(lease, "a", b"1")
        await self.put(backend, "b")
        assert [entry.intent for entry in await backend.entries(lease, 9)] == [None, None]

    # renew, and the end of a lease

    async def test_a_heartbeat_keeps_the_leases_that_are_still_held(
        self, backend: Inbox, peer: Inbox, advance: Advance
    ) -> None:
        leases = {f"lane {n}": await self.hold(backend, f"k{n}", lane=f"lane {n}") for n in range(40)}
        await self.put(peer, "more", "lane 7")
        lost = leases.pop("lane 3")
        await backend.release(lost)
        await advance(8 * self.unit)
        held = await backend.renew([lost, *leases.values(), Lease("nobody", "me", 1, HOLD * self.unit)])
        assert held == {name: int(name == "lane 7") for name in leases}
        await advance(8 * self.unit)
        [place] = await self.grab(peer)
        assert place.entry.lane == "lane 3"

    async def test_no_leases_to_renew_is_no_error(self, backend: Inbox) -> None:
        assert await backend.renew([]) == {}

    async def test_a_lease_lasts_for_its_seconds_and_not_longer(
        self, backend: Inbox, peer: Inbox, advance: Advance
    ) -> None:
        lease = await self.hold(backend, "a")
        await advance(8 * self.unit)
        assert await self.grab(peer) == []
        await backend.intend(lease, "a", b"1")  # which does not renew it
        await advance(2 * self.unit)
        assert await backend.renew([lease]) == {}
        with pytest.raises(LeaseLostError):
            await backend.intend(lease, "a", b"2")
        [place] = await self.grab(peer)
        assert place.entry.intent == b"1"

    async def test_the_seconds_of_each_renewal_count(
        self, backend: Inbox, peer: Inbox, advance: Advance
    ) -> None:
        lease = await self.hold(backend, "a")
        assert await backend.renew([replace(lease, seconds=3 * self.unit)]) == {"lane": 0}
        await advance(3 * self.unit)
        assert len(await self.grab(peer)) == 1

    @pytest.mark.parametrize("taken", [False, True], ids=["ran out", "taken by another"])
    async def test_who_has_lost_the_lease_can_do_nothing(
        self, backend: Inbox, peer: Inbox, advance: Advance, taken: bool
    ) -> None:
        old = await self.hold(backend, "a", "b")
        await advance(HOLD * self.unit)
        if taken:
            [place] = await self.grab(peer)
        with pytest.raises(LeaseLostError) as caught:
            await backend.settle(old, "a", response=b"1", note=b"1")
        assert (caught.value.name, caught.value.token) == ("lane", old.token)
        with pytest.raises(LeaseLostError):
            await backend.settle(old, "a", response=b"1", note=b"1", release=True)
        with pytest.raises(LeaseLostError):
            await backend.intend(old, "a", b"1")
        with pytest.raises(LeaseLostError):
            await backend.entries(old, 10)
        assert await backend.renew([old]) == {}
        await backend.release(old)
        assert await backend.lookup("a", "lane") == Duplicate(settled=False)
        if not taken:
            [place] = await self.grab(peer)
        assert await self.grab(backend, owner="third") == []
        assert place.lease is not None
        assert place.lease.token > old.token
        assert (place.entry.key, place.entry.intent, place.note) == ("a", None, None)
        assert place.entry.taken == 1
        assert await self.keys_of(peer, place.lease) == ["a", "b"]

    # release and take

    async def test_a_lane_that_was_given_back_can_be_taken_at_once(self, backend: Inbox, peer: Inbox) -> None:
        lease = await self.hold(backend, "a", "b")
        for _ in range(2):
            await backend.release(lease)
        [place] = await self.grab(peer)
        assert place.lease is not None
        assert place.lease == Lease("lane", "you", place.lease.token, HOLD * self.unit)
        assert place.lease.token > lease.token
        entry = place.entry
        assert (entry.key, entry.lane, entry.payload) == ("a", "lane", {"key": "a"})
        assert (entry.taken, entry.behind, entry.intent) == (0, 1, None)
        await backend.release(lease)
        assert await self.grab(backend) == []

    async def test_what_is_held_cannot_be_taken(self, backend: Inbox, peer: Inbox) -> None:
        assert await self.grab(backend) == []
        await self.hold(backend, "a")
        assert await self.grab(peer) == []
        assert await self.grab(peer, owner="me") == []

    async def test_the_lanes_that_wait_longest_are_taken_first(
        self, backend: Inbox, peer: Inbox, advance: Advance
    ) -> None:
        for n in range(20):
            await self.hold(backend, f"k{n}", lane=f"lane {n}")
            await advance(0.01 * self.unit)
        await advance(HOLD * self.unit)
        assert await self.grab(peer, limit=0) == []
        for n in (0, 6, 12):
            some = await self.grab(peer, limit=6)
            assert [place.entry.lane for place in some] == [f"lane {n + m}" for m in range(6)]
        assert len(await self.grab(peer, limit=6)) == 2

    async def test_of_many_who_take_each_lane_goes_to_one(self, backend: Inbox, peer: Inbox) -> None:
        for n in range(30):
            await backend.release(await self.hold(backend, f"k{n}", lane=f"lane {n}"))
        calls = [self.grab((backend, peer)[n % 2], limit=8, owner=f"owner {n}") for n in range(12)]
        places = [place for some in await asyncio.gather(*calls) for place in some]
        places += await self.grab(backend)
        assert sorted(place.entry.lane for place in places) == sorted(f"lane {n}" for n in range(30))
        leases = [place.lease for place in places if place.lease is not None]
        assert len(leases) == 30
        assert len(await backend.renew(leases)) == 30

    async def test_an_entry_counts_the_holders_that_it_has_seen_die(
        self, backend: Inbox, peer: Inbox, advance: Advance
    ) -> None:
        lease = await self.hold(backend, "a", "b")
        counts = []
        for died in (True, False, False, True, True):
            if died:
                await advance(HOLD * self.unit)
            else:
                await advance((HOLD - 1) * self.unit)
                await peer.release(lease)
            [place] = await self.grab(peer)
            counts.append(place.entry.taken)
            assert place.lease is not None
            lease = place.lease
        assert counts == [1, 1, 1, 2, 3]
        entry = await backend.settle(lease, "a")
        assert entry is not None
        assert (entry.key, entry.taken) == ("b", 0)

    async def test_tokens_grow_with_every_holder(self, backend: Inbox, peer: Inbox, advance: Advance) -> None:
        lease = await self.hold(backend, "a")
        tokens = [lease.token]
        for n in range(6):
            if n % 2:
                await backend.release(lease)
            else:
                await advance(HOLD * self.unit)
            [place] = await self.grab(peer)
            assert place.lease is not None
            lease = place.lease
            tokens.append(lease.token)
        await backend.settle(lease, "a")
        tokens.append((await self.hold(peer, "b")).token)
        assert tokens == sorted(set(tokens))

    # what can be seen

    async def test_the_entries_of_a_lane_are_listed_in_their_order(self, backend: Inbox, peer: Inbox) -> None:
        lease = await self.hold(backend, "a", "b", "c")
        await self.put(backend, "d", "another")
        found = await peer.entries(lease, 2)
        assert [(entry.key, entry.behind) for entry in found] == [("a", 2), ("b", 1)]
        assert [entry.payload for entry in found] == [{"key": "a"}, {"key": "b"}]
        assert found[0].number < found[1].number
        assert len(await peer.entries(lease, 10)) == 3

    async def test_a_look_at_a_key_changes_nothing(self, backend: Inbox, peer: Inbox) -> None:
        assert await backend.lookup("a", "lane") is None
        lease = await self.hold(backend, "a")
        assert await peer.lookup("a", "lane") == Duplicate(settled=False)
        await backend.settle(lease, "a", response=b"1")
        assert await peer.lookup("a", "lane") == Duplicate(settled=True, response=b"1")
        assert await backend.lookup("b", "lane") is None
        assert (await self.put(backend, "b")).lease is not None

    async def test_what_is_held_is_counted(self, backend: Inbox, peer: Inbox) -> None:
        assert await peer.statistics() == InboxStatistics(0, 0)
        lease = await self.hold(backend, "a", "b", "c")
        await self.hold(backend, "d", lane="another")
        assert await peer.statistics() == InboxStatistics(4, 2)
        await backend.settle(lease, "b")
        await backend.settle(lease, "b")
        assert await peer.statistics() == InboxStatistics(3, 2)
        await backend.settle(lease, "a")
        await backend.settle(lease, "c")
        assert await peer.statistics() == InboxStatistics(1, 1)

    # fidelity

    @pytest.mark.parametrize("payload", PAYLOADS)
    async def test_a_payload_comes_back_as_it_was(
        self, backend: Inbox, peer: Inbox, payload: Mapping[str, Any]
    ) -> None:
        lease = await self.hold(backend, "first")
        for key in ("a", "b"):
            await backend.accept(key, "lane", payload, owner="me", seconds=self.unit)

        def check(entry: InboxEntry | None) -> None:
            assert entry is not None
            assert entry.payload == payload
            assert repr(entry.payload) == repr(payload)  # tells 1 from 1.0 and from True

        check((await peer.entries(lease, 3))[1])
        check(await backend.settle(lease, "first"))
        await backend.release(lease)
        [place] = await self.grab(peer)
        check(place.entry)

    @pytest.mark.parametrize("name", AWKWARD)
    async def test_any_str_is_a_key_a_lane_an_owner_and_a_nonce(
        self, backend: Inbox, peer: Inbox, name: str
    ) -> None:
        seconds = HOLD * self.unit
        for inbox in (backend, peer):
            answer = await inbox.accept(name, name, {}, owner=name, seconds=seconds, nonce=name)
            assert isinstance(answer, Place)
            assert answer.lease is not None
            lease = answer.lease
            assert (answer.entry.key, answer.entry.lane) == (name, name)
            assert (lease.name, lease.owner) == (name, name)
        assert (await self.put(peer, name + "2", name)).lease is None
        await peer.intend(lease, name, b"1")
        assert await peer.renew([lease]) == {name: 1}
        assert [entry.key for entry in await backend.entries(lease, 9)] == [name, name + "2"]
        assert await peer.lookup(name, name) == Duplicate(settled=False)
        await peer.release(lease)
        [place] = await self.grab(backend)
        assert (place.entry.key, place.entry.lane, place.entry.intent) == (name, name, b"1")
        assert place.lease is not None
        following = await backend.settle(place.lease, name, response=b"1", note=b"2")
        assert following is not None
        assert (following.key, following.lane) == (name + "2", name)
        assert await peer.lookup(name, name) == Duplicate(settled=True, response=b"1")

    # robustness

    async def test_a_call_that_is_cancelled_leaves_the_inbox_usable(self, backend: Inbox) -> None:
        for n in range(20):
            call = asyncio.ensure_future(self.put(backend, f"k{n}"))
            for _ in range(n):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        for n in range(20):
            again = await backend.accept(f"k{n}", "lane", {}, owner="me", seconds=HOLD * self.unit)
            assert isinstance(again, Place) or again == Duplicate(settled=False)
        assert await backend.statistics() == InboxStatistics(20, 1)

    async def test_many_work_through_many_lanes_in_order(self, backend: Inbox, peer: Inbox) -> None:
        done: dict[str, list[int]] = {f"lane {n}": [] for n in range(10)}

        async def work(inbox: Inbox, place: Place) -> None:
            entry: InboxEntry | None = place.entry
            while entry is not None:
                assert place.lease is not None
                done[entry.lane].append(entry.payload["n"])
                await asyncio.sleep(0)
                entry = await inbox.settle(place.lease, entry.key)

        async def deliver(group: asyncio.TaskGroup, lane: str) -> None:
            for n in range(8):
                deliveries = [
                    inbox.accept(f"{lane}/{n}", lane, {"n": n}, owner="me", seconds=HOLD * self.unit)
                    for inbox in (backend, peer, backend)
                ]
                for inbox, place in zip(
                    (backend, peer, backend), await asyncio.gather(*deliveries), strict=True
                ):
                    if isinstance(place, Place) and place.lease is not None:
                        group.create_task(work(inbox, place))

        async with asyncio.TaskGroup() as group:
            for lane in done:
                group.create_task(deliver(group, lane))
        assert await backend.statistics() == InboxStatistics(0, 0)
        assert done == {lane: list(range(8)) for lane in done}

    @pytest.mark.parametrize("seed", SEEDS)
    async def test_any_sequence_of_calls_has_the_same_answers_as_in_memory(
        self, backend: Inbox, peer: Inbox, advance: Advance, seed: int
    ) -> None:
        moves = None if advance is asyncio.sleep else advance
        await compare([backend, peer], moves, seed=seed, unit=self.unit, claim_seconds=self.claim_seconds)
