from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from openai_wire import OpenAIServer


@pytest.fixture
async def openai_server() -> AsyncIterator[OpenAIServer]:
    """A server of OpenAI's wire, on this machine. `openai_wire` says how it is told what to say."""
    from openai_wire import OpenAIServer  # with the package openai, which takes a second

    async with OpenAIServer() as server:
        yield server
