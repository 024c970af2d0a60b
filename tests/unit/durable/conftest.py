from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from cadenza.testing import VirtualClock


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    async with VirtualClock() as clock:
        yield clock
