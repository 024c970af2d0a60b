from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from auth.outbound import Outbound
from auth.scene import Bot, Provider
from auth.sign_in import new_app
from auth.token_service import TokenService
from blockbuster import blockbuster_ctx
from cadenza.apps import App
from cadenza.testing import VirtualClock

VARIABLES = (
    "CLIENT_ID",
    "CLIENT_SECRET",
    "TENANT_ID",
    "SERVICE_URL",
    "CLOUD",
    "OAUTH_URL",
    "PORT",
    "CLIENT_CERTIFICATE_PATH",
    "CLIENT_CERTIFICATE_PASSWORD",
    "MANAGED_IDENTITY_CLIENT_ID",
    "DANGEROUSLY_ALLOW_UNAUTHENTICATED_REQUESTS",
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _nothing_blocks_the_loop() -> Iterator[None]:
    """A call on the event loop that blocks (a socket, a file, a sleep, a lock) raises `BlockingError`."""
    with blockbuster_ctx() as guard:
        # Our version is read once in a process, for User-Agent: a millisecond.
        for call in (
            "os.stat",
            "os.listdir",
            "os.scandir",
            "io.TextIOWrapper.read",
            "io.BufferedReader.read",
        ):
            if call in guard.functions:
                guard.functions[call].can_block_in("api_client.py", {"_user_agent"})
        yield


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
async def make_bot(provider: Provider, clock: VirtualClock) -> AsyncIterator[Callable[..., Bot]]:
    """Makes bots that are stopped in the end, in virtual time."""
    bots: list[Bot] = []

    def make(**options: Any) -> Bot:
        bots.append(Bot(**{"provider": provider, **options}))
        return bots[-1]

    yield make
    for bot in bots:
        await bot.app.stop()


@pytest.fixture
def bot(make_bot: Callable[..., Bot]) -> Bot:
    return make_bot()


@pytest.fixture
async def outbound(provider: Provider, clock: VirtualClock) -> AsyncIterator[Outbound]:
    """Makes bots that speak to the identity platform and are stopped in the end, in virtual time."""
    scene = Outbound(provider)
    yield scene
    for app in scene.apps:
        await app.stop()


@pytest.fixture
async def service(clock: VirtualClock) -> AsyncIterator[TokenService]:
    """The token service of the tests of signing in; it fails those that ask it wrongly."""
    service = TokenService()
    yield service
    assert service.wrong == []


@pytest.fixture
async def app(service: TokenService) -> AsyncIterator[App]:
    app = new_app(service)
    yield app
    await app.stop()
