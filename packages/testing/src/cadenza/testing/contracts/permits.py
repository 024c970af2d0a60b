"""The laws of `SharedPermits`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

import pytest
from cadenza.state import Demand, SharedPermits

from .contract import AWKWARD, SEEDS, Advance, Contract

__all__ = ["PermitsContract"]

LIMIT = 45
MEMORY = 10.0
"""Seconds after which a process that does not call has nothing any more; the contract says so."""
LAST_MEMORY = 2.0
"""The same, for a process that wanted nothing in its last call."""


class PermitsContract(Contract):
    """What all hold together is never more than there is."""

    async def ask(self, permits: SharedPermits, process: str, held: int, wanted: int) -> int:
        answer = await permits.exchange(process, {"tenant": Demand(held, wanted)}, limit=LIMIT)
        return answer["tenant"]

    async def test_who_is_alone_gets_what_it_wants_and_no_more_than_there_is(
        self, backend: SharedPermits
    ) -> None:
        assert await self.ask(backend, "a", 0, 6) == 6
        assert await self.ask(backend, "a", 6, 60) == LIMIT
        assert await self.ask(backend, "a", 0, 0) == 0

    async def test_nobody_gets_what_another_has(self, backend: SharedPermits, peer: SharedPermits) -> None:
        assert await self.ask(backend, "a", 0, 45) == 45
        assert await self.ask(peer, "b", 0, 45) == 0
        assert await self.ask(backend, "a", 45, 45) < 45  # it is told to give back
        assert await self.ask(peer, "b", 0, 45) == 0  # and has not done so yet
        await self.ask(backend, "a", 30, 45)
        assert await self.ask(peer, "b", 0, 45) <= 15

    async def test_where_more_is_wanted_than_there_is_all_come_to_fair_shares(
        self, backend: SharedPermits, peer: SharedPermits
    ) -> None:
        wanted = {"small": 5, "a": 45, "b": 45}
        caps = dict.fromkeys(wanted, 0)
        for _ in range(6):
            for number, (process, most) in enumerate(wanted.items()):
                permits = (backend, peer)[number % 2]
                caps[process] = await self.ask(permits, process, caps[process], most)
        assert caps == {"small": 5, "a": 20, "b": 20}

    async def test_what_is_given_back_can_be_had_by_others(
        self, backend: SharedPermits, peer: SharedPermits
    ) -> None:
        await self.ask(backend, "a", 0, 45)
        await self.ask(backend, "a", 0, 0)
        assert await self.ask(peer, "b", 0, 45) == 45

    async def test_who_does_not_call_for_ten_seconds_has_nothing_any_more(
        self, backend: SharedPermits, peer: SharedPermits, advance: Advance
    ) -> None:
        assert await self.ask(backend, "dead", 0, 40) == 40
        await advance(MEMORY - 1)
        assert await self.ask(peer, "b", 0, 22) == 5
        await advance(1.5)
        assert await self.ask(peer, "b", 5, 45) == 45

    async def test_what_is_held_by_who_wants_nothing_more_is_kept_for_it_for_two_seconds(
        self, backend: SharedPermits, peer: SharedPermits, advance: Advance
    ) -> None:
        assert await self.ask(backend, "gone", 0, 40) == 40
        assert await self.ask(backend, "gone", 40, 0) == 0  # the last call of a process that ends
        assert await self.ask(peer, "b", 0, 45) == 5
        await advance(LAST_MEMORY - 0.5)
        assert await self.ask(peer, "b", 5, 45) == 5
        await advance(1.0)
        assert await self.ask(peer, "b", 5, 45) == 45

    async def test_tenants_are_apart_and_asked_for_in_one_step(self, backend: SharedPermits) -> None:
        demands = {f"tenant {number}": Demand(0, number) for number in range(60)}
        caps = await backend.exchange("a", demands, limit=LIMIT)
        assert caps == {tenant: min(LIMIT, demand.wanted) for tenant, demand in demands.items()}
        nothing: Mapping[str, Demand] = {}
        assert await backend.exchange("a", nothing, limit=LIMIT) == {}

    @pytest.mark.parametrize("name", AWKWARD)
    async def test_any_str_is_a_tenant_and_a_process(
        self, backend: SharedPermits, peer: SharedPermits, name: str
    ) -> None:
        assert await backend.exchange(name, {name: Demand(0, 40)}, limit=LIMIT) == {name: 40}
        assert await peer.exchange("other", {name: Demand(0, 5)}, limit=LIMIT) == {name: 5}

    async def test_of_many_who_ask_at_once_nobody_gets_too_much(
        self, backend: SharedPermits, peer: SharedPermits
    ) -> None:
        calls = [self.ask((backend, peer)[number % 2], f"p{number}", 0, 45) for number in range(20)]
        assert sum(await asyncio.gather(*calls)) <= LIMIT

    @pytest.mark.parametrize("seed", SEEDS)
    async def test_whatever_is_asked_what_all_hold_is_never_more_than_there_is(
        self, backend: SharedPermits, peer: SharedPermits, seed: int
    ) -> None:
        dice = random.Random(seed)
        processes = [f"p{number}" for number in range(dice.choice([2, 3, 7]))]
        caps, held = dict.fromkeys(processes, 0), dict.fromkeys(processes, 0)
        for _ in range(100):
            process = dice.choice(processes)
            keep = dice.randint(0, max(caps[process], held[process]))
            caps[process] = await self.ask(
                dice.choice([backend, peer]), process, keep, dice.choice([keep, keep + 10, 45])
            )
            held[process] = keep
            total = sum(max(caps[one], held[one]) for one in processes)
            assert total <= LIMIT, f"seed {seed}: caps {caps}, held {held}"
