"""The option `token`: a function of the bot author's, or an object that gives tokens."""

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest
from auth.outbound import Outbound
from cadenza.api import JsonWebToken
from cadenza.apps import TokenError
from cadenza.apps.auth.app_tokens import ACQUIRE_SECONDS
from cadenza.testing import VirtualClock


@dataclass
class AccessToken:
    """As azure-identity gives them."""

    token: str
    expires_on: int


async def test_a12_a_function_may_be_async_and_its_tokens_opaque(outbound: Outbound) -> None:
    asked: list[tuple[str, str | None]] = []

    async def opaque(scope: str, tenant: str | None) -> str:
        asked.append((scope, tenant))
        return "opaque"

    assert await outbound.token(outbound.app(token=opaque)) == "opaque"
    assert await outbound.token(outbound.app(token=opaque, tenant_id="mine")) == "opaque"
    assert asked == [
        ("https://api.botframework.com/.default", None),
        ("https://api.botframework.com/.default", "mine"),
    ]


async def test_a_function_that_blocks_blocks_a_thread_and_not_the_loop(outbound: Outbound) -> None:
    threads: list[threading.Thread] = []

    def blocking(scope: str, tenant: str | None) -> str:
        threads.append(threading.current_thread())
        time.sleep(0.001)  # on the loop, blockbuster would not let it
        return "token"

    assert await outbound.token(outbound.app(token=blocking)) == "token"
    assert threads[0] is not threading.main_thread()


async def test_a_coroutine_function_runs_on_the_loop_of_the_app(outbound: Outbound) -> None:
    loops: list[object] = []

    class Callable:
        async def __call__(self, scope: str, tenant: str | None) -> str:
            loops.append(asyncio.get_running_loop())
            return "token"

    instance = Callable()
    assert await outbound.token(outbound.app(token=instance)) == "token"
    assert await outbound.token(outbound.app(token=lambda scope, tenant: instance(scope, tenant))) == "token"
    assert loops == [asyncio.get_running_loop()] * 2


async def test_it_is_asked_for_each_request_and_once_for_those_that_come_together(
    outbound: Outbound, clock: VirtualClock
) -> None:
    asked: list[str] = []

    async def slow(scope: str, tenant: str | None) -> str:
        asked.append(scope)
        await clock.sleep(1)
        return f"token {len(asked)}"

    app = outbound.app(token=slow)
    assert await outbound.token(app) == "token 1"
    assert await outbound.token(app) == "token 2"
    await asyncio.gather(*(app.send(f"a:{number}", "hello") for number in range(5)))
    assert len(asked) == 3


JWT = JsonWebToken("e30.e30.c2ln")


@pytest.mark.parametrize(
    ("given", "token"),
    [
        ("text", "text"),
        (AccessToken("azure", 4_000_000_000), "azure"),
        ({"access_token": "of msal", "expires_in": 3600}, "of msal"),
        (JWT, str(JWT)),
    ],
)
async def test_a_token_is_text_or_in_an_object(outbound: Outbound, given: Any, token: str) -> None:
    assert await outbound.token(outbound.app(token=lambda scope, tenant: given)) == token


async def test_when_a_given_token_expires_is_known_if_it_says_so(outbound: Outbound) -> None:
    source = outbound.app(token=lambda scope, tenant: AccessToken("azure", 4_000_000_000))._tokens.bot()
    assert source is not None
    assert source.expires_on is None
    await source.get(fresh=False)
    assert source.expires_on == 4_000_000_000


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (None, "gave no token for https://api.botframework.com/.default: it is None"),
        ("", "it is an empty one"),
        (5, "it is a int, and neither text nor has it a token"),
        (AccessToken("", 5), "it is an empty one"),
    ],
)
async def test_no_token_is_an_error_that_says_so_and_nothing_is_sent(
    outbound: Outbound, given: Any, complaint: str
) -> None:
    with pytest.raises(TokenError, match=complaint):
        await outbound.app(token=lambda scope, tenant: given).send("a:1", "hello")
    assert outbound.provider.sent == []


async def test_what_a_function_raises_comes_through(outbound: Outbound) -> None:
    def broken(scope: str, tenant: str | None) -> str:
        raise LookupError("the vault is closed")

    app = outbound.app(token=broken)
    for _ in range(2):
        with pytest.raises(LookupError, match="the vault is closed"):
            await app.send("a:1", "hello")


async def test_a_function_that_never_returns_is_given_up(outbound: Outbound, clock: VirtualClock) -> None:
    async def never(scope: str, tenant: str | None) -> str:
        await asyncio.Event().wait()
        return ""

    with pytest.raises(TokenError, match=f"did not come within {ACQUIRE_SECONDS:g} s"):
        await outbound.app(token=never).send("a:1", "hello")


async def test_stopping_the_app_stops_a_function_that_is_waited_for(
    outbound: Outbound, clock: VirtualClock
) -> None:
    app = outbound.app(token=lambda scope, tenant: asyncio.sleep(3600, "token"))
    waiting = asyncio.create_task(app.token_provider.get_app_token())
    await clock.sleep(1)
    await app.stop()
    with pytest.raises(TokenError, match="the App has been stopped"):
        await waiting
