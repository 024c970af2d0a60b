"""The laws of `Leases`."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest
from cadenza.state import Lease, Leases, MemoryLeases

from .contract import AWKWARD, SEEDS, Advance, Contract, Twins

__all__ = ["LeasesContract"]


class LeasesContract(Contract):
    """One holder at a time."""

    async def test_a_lease_goes_to_who_asks_first(self, backend: Leases, peer: Leases) -> None:
        lease = await backend.acquire("a", "me", 10 * self.unit)
        assert lease is not None
        assert lease == Lease("a", "me", lease.token, 10 * self.unit)
        assert lease.token > 0
        assert await peer.acquire("a", "you", 10 * self.unit) is None

    async def test_names_are_apart(self, backend: Leases) -> None:
        assert await backend.acquire("a", "me", 10 * self.unit) is not None
        assert await backend.acquire("b", "you", 10 * self.unit) is not None

    @pytest.mark.parametrize("name", AWKWARD)
    async def test_any_str_is_a_name_and_an_owner(self, backend: Leases, peer: Leases, name: str) -> None:
        lease = await backend.acquire(name, name, 10 * self.unit)
        assert lease is not None
        assert (lease.name, lease.owner) == (name, name)
        assert await peer.acquire(name, "you", 10 * self.unit) is None
        assert await peer.acquire(name, name, 10 * self.unit) == lease
        assert await peer.renew(lease)
        await peer.release(lease)
        assert await peer.acquire(name, "you", 10 * self.unit) is not None

    async def test_to_acquire_what_one_holds_renews_it_with_the_same_token(
        self, backend: Leases, peer: Leases, advance: Advance
    ) -> None:
        lease = await backend.acquire("a", "me", 10 * self.unit)
        assert lease is not None
        await advance(6 * self.unit)
        assert await peer.acquire("a", "me", 10 * self.unit) == lease
        await advance(6 * self.unit)
        assert await backend.acquire("a", "you", 10 * self.unit) is None

    async def test_of_many_who_ask_at_once_exactly_one_gets_it(self, backend: Leases, peer: Leases) -> None:
        for _ in range(5):
            calls = [(backend, peer)[n % 2].acquire("a", f"owner {n}", 10 * self.unit) for n in range(20)]
            won = [lease for lease in await asyncio.gather(*calls) if lease is not None]
            assert len(won) == 1
            await backend.release(won[0])

    async def test_a_lease_lasts_for_its_seconds_and_not_longer(
        self, backend: Leases, peer: Leases, advance: Advance
    ) -> None:
        lease = await backend.acquire("a", "me", 10 * self.unit)
        assert lease is not None
        await advance(8 * self.unit)
        assert await peer.acquire("a", "you", 10 * self.unit) is None
        await advance(2 * self.unit)
        assert not await backend.renew(lease)
        other = await peer.acquire("a", "you", 10 * self.unit)
        assert other is not None
        assert other.token > lease.token

    async def test_a_renewed_lease_lasts_for_its_seconds_from_then_on(
        self, backend: Leases, peer: Leases, advance: Advance
    ) -> None:
        lease = await backend.acquire("a", "me", 10 * self.unit)
        assert lease is not None
        await advance(6 * self.unit)
        assert await backend.renew(lease)
        await advance(8 * self.unit)
        assert await peer.acquire("a", "you", 10 * self.unit) is None
        assert await backend.renew(replace(lease, seconds=3 * self.unit))
        await advance(3 * self.unit)
        assert await peer.acquire("a", "you", 10 * self.unit) is not None

    async def test_a_released_lease_can_be_had_at_once(self, backend: Leases, peer: Leases) -> None:
        lease = await backend.acquire("a", "me", 10 * self.unit)
        assert lease is not None
        await backend.release(lease)
        assert not await backend.renew(lease)
        other = await peer.acquire("a", "you", 10 * self.unit)
        assert other is not None
        assert other.token > lease.token

    async def test_tokens_grow_with_every_acquisition(self, backend: Leases, advance: Advance) -> None:
        tokens = []
        for n in range(6):
            lease = await backend.acquire("a", "me", 3 * self.unit)
            assert lease is not None
            tokens.append(lease.token)
            if n % 2:
                await backend.release(lease)
            else:
                await advance(3 * self.unit)
        assert tokens == sorted(set(tokens))

    async def test_who_has_lost_a_lease_can_do_nothing_to_its_successor(
        self, backend: Leases, peer: Leases, advance: Advance
    ) -> None:
        old = await backend.acquire("a", "me", 10 * self.unit)
        assert old is not None
        await advance(10 * self.unit)
        new = await peer.acquire("a", "me", 10 * self.unit)  # of the same name, and yet another
        assert new is not None
        assert new.token > old.token
        assert not await backend.renew(old)
        await backend.release(old)
        assert await backend.acquire("a", "you", 10 * self.unit) is None
        assert await peer.renew(new)

    async def test_what_ran_out_is_not_renewed_even_if_nobody_else_took_it(
        self, backend: Leases, advance: Advance
    ) -> None:
        lease = await backend.acquire("a", "me", 5 * self.unit)
        assert lease is not None
        await advance(5 * self.unit)
        assert not await backend.renew(lease)
        await backend.release(lease)
        assert await backend.acquire("a", "you", 5 * self.unit) is not None

    async def test_a_call_that_is_cancelled_leaves_the_leases_usable(self, backend: Leases) -> None:
        for n in range(20):
            call = asyncio.ensure_future(backend.acquire(f"k{n}", "me", 10 * self.unit))
            for _ in range(n):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        for n in range(20):
            assert await backend.acquire(f"k{n}", "me", 10 * self.unit) is not None

    @pytest.mark.parametrize("seed", SEEDS)
    async def test_any_sequence_of_calls_has_the_same_answers_as_in_memory(
        self, backend: Leases, peer: Leases, advance: Advance, seed: int
    ) -> None:
        dice = random.Random(seed)
        now = 0.0
        memory = MemoryLeases(clock=lambda: now)
        tokens = Twins()
        known: list[tuple[Lease, Lease]] = []
        highest = {"a": 0, "b": 0}
        story = [f"seed {seed}"]
        for _ in range(150):
            leases = dice.choice([backend, peer])
            what = dice.choice(["acquire", "acquire", "renew", "release", "pass"])
            if what == "acquire":
                name, owner = dice.choice("ab"), dice.choice(["me", "you"])
                seconds = dice.choice([2.5, 5.5]) * self.unit
                story.append(f"acquire {name} {owner} {seconds}")
                one = await memory.acquire(name, owner, seconds)
                other = await leases.acquire(name, owner, seconds)
                if one is None or other is None:
                    assert one == other, "\n".join(story)
                else:
                    assert replace(one, token=other.token) == other, "\n".join(story)
                    assert tokens.match(one.token, other.token), "\n".join(story)
                    assert other.token >= highest[name], "\n".join(story)
                    highest[name] = other.token
                    known.append((one, other))
            elif what != "pass" and known:
                mine, yours = dice.choice(known[-6:])
                story.append(f"{what} {mine}")
                if what == "renew":
                    assert await memory.renew(mine) == await leases.renew(yours), "\n".join(story)
                else:
                    await memory.release(mine)
                    await leases.release(yours)
            elif advance is not asyncio.sleep:
                story.append("a unit passes")
                now += self.unit
                await advance(self.unit)
