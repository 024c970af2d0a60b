"""The contract of stream logs on a real Redis, alone and as a cluster. Each test has its own data.

The scripts are told a time that is later than the server's, so that nobody waits.
"""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from cadenza.durable import RedisLog
from cadenza.testing.contracts import Advance, StreamLogContract

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=["plain", "cluster"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_role_url")
    return found


class TestRedisLog(StreamLogContract):
    unit = 60.0

    @pytest.fixture
    async def backend(self, url: str) -> AsyncIterator[RedisLog]:
        log = RedisLog(url, prefix=f"test-{uuid4().hex}", retention=self.retention)
        await log.start()
        yield log
        await log.close()

    @pytest.fixture
    async def peer(self, url: str, backend: RedisLog) -> AsyncIterator[RedisLog]:
        log = RedisLog(url, prefix=backend._link._prefix, retention=self.retention)
        await log.start()
        yield log
        await log.close()

    @pytest.fixture
    def advance(self, request: pytest.FixtureRequest, backend: RedisLog) -> Advance:
        async def advance(seconds: float) -> None:
            for name in {"backend", "peer"} & set(request.fixturenames):
                request.getfixturevalue(name)._link.advance(seconds)

        return advance
