"""The random calls of the contract on a backend whose time nobody moves, as a third party may have it."""

import pytest
from cadenza.state import MemoryInbox
from cadenza.testing.contracts.model import compare


@pytest.mark.parametrize("seed", range(8))
async def test_a_backend_with_a_clock_of_its_own_keeps_the_inbox_contract(seed: int) -> None:
    await compare([MemoryInbox(claim_seconds=2.05)], None, seed=seed, unit=0.1, claim_seconds=2.05)
