"""The laws of `Store`."""

from __future__ import annotations

import asyncio
import random

import pytest
from cadenza.state import ConflictError, Item, MemoryStore, Store

from .contract import AWKWARD, SEEDS, Advance, Contract, Twins, outcome_of

__all__ = ["StoreContract"]

VALUES = [
    pytest.param(b"", id="empty"),
    pytest.param(b"\0", id="nul"),
    pytest.param(bytes(range(256)), id="each byte"),
    pytest.param(b"0 0 - ", id="like a header"),
    pytest.param(b"x" * 1_000_000, id="a megabyte"),
]


class StoreContract(Contract):
    """Bytes by key."""

    async def test_a_key_that_was_never_written_has_no_value(self, backend: Store) -> None:
        assert await backend.get("nobody") is None
        assert await backend.get_many(["nobody", "none"]) == {}
        assert [key async for key in backend.keys("")] == []

    async def test_what_was_put_is_what_is_got(self, backend: Store, peer: Store) -> None:
        version = await backend.put("a", b"1")
        assert version > 0
        assert await backend.get("a") == await peer.get("a") == Item(b"1", version)

    async def test_a_second_put_replaces_the_first(self, backend: Store, peer: Store) -> None:
        first = await backend.put("a", b"1")
        second = await peer.put("a", b"2")
        assert second != first
        assert await backend.get("a") == Item(b"2", second)

    @pytest.mark.parametrize("value", VALUES)
    async def test_any_bytes_are_a_value(self, backend: Store, peer: Store, value: bytes) -> None:
        version = await backend.put("a", value)
        assert await peer.get("a") == Item(value, version)
        version = await backend.put("a", value, expected=version, seconds=100 * self.unit)
        assert await peer.get("a") == Item(value, version)

    @pytest.mark.parametrize("key", AWKWARD)
    async def test_any_str_is_a_key(self, backend: Store, peer: Store, key: str) -> None:
        version = await backend.put(key, b"1", expected=0)
        assert await peer.get(key) == Item(b"1", version)
        assert await peer.get_many([key, key + "x"]) == {key: Item(b"1", version)}
        assert [found async for found in peer.keys(key)] == [key]
        assert [found async for found in peer.keys(key[:1])] == [key]
        await peer.delete(key, expected=version)
        assert await backend.get(key) is None

    async def test_an_empty_key_is_refused(self, backend: Store) -> None:
        with pytest.raises(ValueError, match="empty"):
            await backend.put("", b"1")
        with pytest.raises(ValueError, match="empty"):
            await backend.delete("")

    async def test_many_are_got_at_once_and_those_that_are_missing_left_out(self, backend: Store) -> None:
        versions = {f"k{n}": await backend.put(f"k{n}", b"%d" % n) for n in range(50)}
        found = await backend.get_many([*versions, "nobody", "k1"])
        assert found == {key: Item(key[1:].encode(), version) for key, version in versions.items()}

    async def test_a_put_that_expects_nothing_finds_nothing(self, backend: Store) -> None:
        version = await backend.put("a", b"1", expected=0)
        with pytest.raises(ConflictError):
            await backend.put("a", b"2", expected=0)
        assert await backend.get("a") == Item(b"1", version)

    async def test_a_put_that_expects_another_version_changes_nothing(self, backend: Store) -> None:
        old = await backend.put("a", b"1")
        new = await backend.put("a", b"2", expected=old)
        with pytest.raises(ConflictError) as caught:
            await backend.put("a", b"3", expected=old)
        assert (caught.value.key, caught.value.expected) == ("a", old)
        with pytest.raises(ConflictError):
            await backend.put("b", b"3", expected=old)
        assert await backend.get("a") == Item(b"2", new)
        assert await backend.get("b") is None

    async def test_a_put_that_failed_does_not_change_how_long_the_value_is_kept(
        self, backend: Store, advance: Advance
    ) -> None:
        version = await backend.put("a", b"1")
        with pytest.raises(ConflictError):
            await backend.put("a", b"2", expected=0, seconds=2 * self.unit)
        await advance(4 * self.unit)
        assert await backend.get("a") == Item(b"1", version)

    async def test_a_deleted_key_is_gone(self, backend: Store, peer: Store) -> None:
        await backend.put("a", b"1")
        await backend.delete("a")
        assert await peer.get("a") is None
        assert [key async for key in peer.keys("")] == []
        await backend.delete("a")

    async def test_a_deletion_that_expects_another_version_changes_nothing(self, backend: Store) -> None:
        version = await backend.put("a", b"1")
        for wrong in (0, version + 1):
            with pytest.raises(ConflictError):
                await backend.delete("a", expected=wrong)
        assert await backend.get("a") == Item(b"1", version)
        await backend.delete("a", expected=version)
        with pytest.raises(ConflictError):
            await backend.delete("a", expected=version)
        await backend.delete("a", expected=0)

    async def test_of_many_writers_that_expect_the_same_exactly_one_succeeds(
        self, backend: Store, peer: Store
    ) -> None:
        expected = 0
        for _ in range(3):
            writers = [(backend, peer)[n % 2].put("a", b"%d" % n, expected=expected) for n in range(20)]
            results = await asyncio.gather(*writers, return_exceptions=True)
            won = {n: result for n, result in enumerate(results) if isinstance(result, int)}
            assert len(won) == 1
            assert [type(result) for result in results].count(ConflictError) == 19
            [(winner, expected)] = won.items()
            assert await backend.get("a") == Item(b"%d" % winner, expected)

    async def test_no_increment_is_lost(self, backend: Store, peer: Store) -> None:
        async def increment(store: Store) -> None:
            while True:
                item = await store.get("count")
                before = (0, 0) if item is None else (int(item.value), item.version)
                try:
                    await store.put("count", b"%d" % (before[0] + 1), expected=before[1])
                except ConflictError:
                    continue
                return

        await asyncio.gather(*(increment((backend, peer)[n % 2]) for n in range(12)))
        item = await backend.get("count")
        assert item is not None
        assert item.value == b"12"

    async def test_a_version_is_never_used_again(self, backend: Store, advance: Advance) -> None:
        versions = [await backend.put("a", b"1")]
        await backend.delete("a")
        versions.append(await backend.put("a", b"1", expected=0, seconds=2 * self.unit))
        await advance(2 * self.unit)
        versions.append(await backend.put("a", b"1", expected=0))
        versions.append(await backend.put("a", b"1"))
        assert len(set(versions)) == 4

    async def test_a_value_is_kept_for_its_seconds_and_not_longer(
        self, backend: Store, peer: Store, advance: Advance
    ) -> None:
        version = await backend.put("a", b"1", seconds=10 * self.unit)
        await advance(8 * self.unit)
        assert await peer.get("a") == Item(b"1", version)
        assert [key async for key in backend.keys("")] == ["a"]
        await advance(2 * self.unit)
        assert await backend.get("a") is None
        assert await peer.get_many(["a"]) == {}
        assert [key async for key in backend.keys("")] == []
        await backend.delete("a", expected=0)
        with pytest.raises(ConflictError):
            await backend.put("a", b"2", expected=version)

    async def test_a_put_without_seconds_keeps_the_value_for_good(
        self, backend: Store, advance: Advance
    ) -> None:
        await backend.put("a", b"1", seconds=5 * self.unit)
        version = await backend.put("a", b"2")
        await advance(6 * self.unit)
        assert await backend.get("a") == Item(b"2", version)
        assert [key async for key in backend.keys("")] == ["a"]

    async def test_a_put_with_seconds_counts_them_anew(self, backend: Store, advance: Advance) -> None:
        await backend.put("a", b"1", seconds=5 * self.unit)
        await advance(4 * self.unit)
        version = await backend.put("a", b"2", seconds=5 * self.unit)
        await advance(4 * self.unit)
        assert await backend.get("a") == Item(b"2", version)
        await advance(1 * self.unit)
        assert await backend.get("a") is None

    async def test_keys_are_found_by_their_beginning_each_once(self, backend: Store, peer: Store) -> None:
        mine = [f"user:{n}" for n in range(450)]
        await asyncio.gather(*(backend.put(key, b"") for key in mine))
        for other in ("user", "usex:1", "xuser:1", "USER:1"):
            await backend.put(other, b"")
        assert sorted([key async for key in peer.keys("user:")]) == sorted(mine)
        assert len([key async for key in peer.keys("")]) == 454
        assert [key async for key in peer.keys("nobody")] == []

    async def test_a_prefix_is_no_pattern(self, backend: Store) -> None:
        for key in ("a*c", "abc", "a?c", "a[b]c", "a%c", "a_c", "a\\c"):
            await backend.put(key, b"")
        for prefix in ("a*", "a?", "a[b]", "a%", "a_", "a\\"):
            assert [key async for key in backend.keys(prefix)] == [prefix + "c"]

    async def test_keys_may_go_while_they_are_listed(self, backend: Store) -> None:
        for n in range(300):
            await backend.put(f"k{n}", b"")
        seen = set()
        async for key in backend.keys("k"):
            assert key not in seen
            seen.add(key)
            await backend.delete(key)
        assert len(seen) == 300
        assert [key async for key in backend.keys("")] == []

    async def test_a_call_that_is_cancelled_leaves_the_store_usable(self, backend: Store) -> None:
        for n in range(20):
            call = asyncio.ensure_future(backend.put(f"k{n}", b"x" * 10_000, expected=0))
            for _ in range(n):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        for n in range(20):
            version = await backend.put(f"k{n}", b"1")
            assert await backend.get(f"k{n}") == Item(b"1", version)

    @pytest.mark.parametrize("seed", SEEDS)
    async def test_any_sequence_of_calls_has_the_same_answers_as_in_memory(
        self, backend: Store, peer: Store, advance: Advance, seed: int
    ) -> None:
        dice = random.Random(seed)
        now = 0.0
        memory = MemoryStore(clock=lambda: now)
        keys = ["a", "b", "ab", "ключ"]
        versions = Twins()
        known: list[tuple[int, int]] = [(0, 0)]
        story = [f"seed {seed}"]
        for _ in range(150):
            store, key = dice.choice([backend, peer]), dice.choice(keys)
            what = dice.choice(["get", "put", "put", "put", "delete", "keys", "pass"])
            expected = dice.choice([None, None, *known[-4:]])
            ours, theirs = (None, None) if expected is None else expected
            seconds = dice.choice([None, 2.5 * self.unit, 4.5 * self.unit])
            story.append(f"{what} {key} expected={expected} seconds={seconds}")
            if what == "get":
                mine, yours = await memory.get(key), await store.get(key)
                if mine is not None and yours is not None and mine.value == yours.value:
                    assert versions.match(mine.version, yours.version), "\n".join(story)
                else:
                    assert mine == yours, "\n".join(story)
            elif what == "put":
                value = dice.randbytes(4)
                one = await outcome_of(memory.put(key, value, expected=ours, seconds=seconds))
                other = await outcome_of(store.put(key, value, expected=theirs, seconds=seconds))
                if isinstance(one, int) and isinstance(other, int):
                    assert versions.match(one, other), "\n".join(story)
                    known.append((one, other))
                else:
                    assert one == other, "\n".join(story)
            elif what == "delete":
                gone = await outcome_of(memory.delete(key, expected=ours))
                assert gone == await outcome_of(store.delete(key, expected=theirs)), "\n".join(story)
            elif what == "keys":
                listed = sorted([key async for key in memory.keys(key[:1])])
                assert listed == sorted([key async for key in store.keys(key[:1])]), "\n".join(story)
            elif advance is not asyncio.sleep:
                now += self.unit
                await advance(self.unit)
