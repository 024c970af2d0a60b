"""`SharedPermits` in a real Redis, alone and as a cluster, by its laws (cadenza.state.shares)."""

import asyncio
from collections.abc import AsyncIterator
from random import Random
from uuid import uuid4

import pytest
from cadenza.state.redis import RedisState
from cadenza.state.shares import Demand

pytestmark = pytest.mark.filterwarnings("error")

LIMIT = 45


@pytest.fixture(params=["plain", "cluster"])
async def state(request: pytest.FixtureRequest) -> AsyncIterator[RedisState]:
    state = RedisState(request.getfixturevalue(f"{request.param}_url"), prefix=f"test-{uuid4().hex}")
    await state.start()
    yield state
    await state.close()


async def ask(state: RedisState, process: str, held: int, wanted: int, tenant: str = "t") -> int:
    assert state.permits is not None
    return (await state.permits.exchange(process, {tenant: Demand(held, wanted)}, limit=LIMIT))[tenant]


async def test_one_process_gets_what_it_wants_and_no_more_than_there_is(state: RedisState) -> None:
    assert await ask(state, "a", 0, 6) == 6
    assert await ask(state, "a", 6, 60) == LIMIT
    assert await ask(state, "a", 0, 0) == 0
    assert await ask(state, "b", 0, LIMIT) == LIMIT


async def test_who_comes_second_gets_what_the_first_gives_back(state: RedisState) -> None:
    assert await ask(state, "a", 0, 45) == 45
    assert await ask(state, "b", 0, 45) == 0
    fair = await ask(state, "a", 45, 45)  # it has them in use, and is told to give back
    assert fair in (22, 23)
    assert await ask(state, "b", 0, 45) == 0  # not before they are free
    await ask(state, "a", 30, 45)
    assert await ask(state, "b", 0, 45) == 15
    await ask(state, "a", fair, 45)
    assert await ask(state, "b", 15, 45) in (22, 23)


async def test_what_some_do_not_want_goes_to_those_who_do(state: RedisState) -> None:
    await ask(state, "small", 0, 5)
    await ask(state, "a", 0, 45)
    await ask(state, "b", 0, 45)
    for _ in range(3):
        a = await ask(state, "a", 20, 45)
        b = await ask(state, "b", 20, 45)
    assert (a, b) == (20, 20)
    assert await ask(state, "small", 5, 5) == 5


async def test_what_cannot_be_divided_goes_round_among_more_processes_than_permits(state: RedisState) -> None:
    got = [0] * 60
    for _ in range(8):
        for number in range(60):
            await ask(state, f"p{number:02}", 0, 45)
        caps = [await ask(state, f"p{number:02}", 0, 45) for number in range(60)]
        assert sum(caps) <= LIMIT
        got = [before + cap for before, cap in zip(got, caps, strict=True)]
        state._link.advance(5)
    assert min(got) > 0


async def test_a_process_that_does_not_call_for_ten_seconds_has_nothing_any_more(state: RedisState) -> None:
    assert await ask(state, "dead", 0, 40) == 40
    state._link.advance(9)
    assert await ask(state, "b", 0, 22) == 5
    state._link.advance(2)
    assert await ask(state, "b", 5, 45) == 45
    assert await ask(state, "dead", 40, 40) == 0  # it comes back, and must wait for its share


async def test_what_a_process_held_in_the_end_is_free_two_seconds_later(state: RedisState) -> None:
    assert await ask(state, "ended", 0, 45) == 45
    assert await ask(state, "ended", 30, 0) == 0
    assert await ask(state, "b", 0, 45) == 15
    state._link.advance(2)
    assert await ask(state, "b", 15, 45) == 45


async def test_one_call_is_about_all_tenants_of_a_process(state: RedisState) -> None:
    assert state.permits is not None
    demands = {f"tenant {number} é": Demand(0, number) for number in range(60)}
    caps = await state.permits.exchange("a", demands, limit=LIMIT)
    assert caps == {tenant: min(LIMIT, demand.wanted) for tenant, demand in demands.items()}
    assert await state.permits.exchange("a", {}, limit=LIMIT) == {}


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_asked_the_caps_never_add_up_to_more_than_there_is(
    state: RedisState, seed: int
) -> None:
    """Each process holds at most the greater of its cap and what it told; some die, some forget."""
    random = Random(seed)
    names = [f"p{number}" for number in range(random.choice((2, 5, 12)))]
    caps = dict.fromkeys(names, 0)
    held = dict.fromkeys(names, 0)
    until = dict.fromkeys(names, 0.0)
    now = 0.0
    for _ in range(250):
        name = random.choice(names)
        if now >= until[name]:  # it died; another one takes its name
            caps[name] = held[name] = 0
        use = random.randint(0, max(caps[name], held[name]))
        keep = random.randint(use, max(use, caps[name]))
        wanted = random.choice((0, keep, 10, 45))
        caps[name] = await ask(state, name, keep, wanted)
        held[name] = random.randint(0, keep)
        until[name] = now + (9.5 if wanted else 1.5)
        alive = [one for one in names if now < until[one]]
        assert sum(max(caps[one], held[one]) for one in alive) <= LIMIT
        step = random.choice((0.0, 0.0, 0.5, 0.5, 3.0))
        now += step
        state._link.advance(step)


async def test_two_clients_at_once_share_one_limit(state: RedisState) -> None:
    caps = await asyncio.gather(*(ask(state, f"p{number}", 0, 45) for number in range(8)))
    assert sum(caps) <= LIMIT
