"""The option `token`: a function of the bot author's, or an object that gives tokens."""

import asyncio
import gc
import logging
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest
from auth.outbound import Outbound
from auth.scene import CLIENT_ID
from cadenza.api import JsonWebToken
from cadenza.apps import TokenError
from cadenza.apps.auth import providers
from cadenza.apps.auth.app_tokens import ACQUIRE_SECONDS
from cadenza.apps.auth.outbound import OutboundTokens
from cadenza.apps.settings import Settings
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
        return f"token-{len(asked)}"

    app = outbound.app(token=slow)
    assert await outbound.token(app) == "token-1"
    assert await outbound.token(app) == "token-2"
    await asyncio.gather(*(app.send(f"a:{number}", "hello") for number in range(5)))
    assert len(asked) == 3


JWT = JsonWebToken("e30.e30.c2ln")


@pytest.mark.parametrize(
    ("given", "token"),
    [
        ("text", "text"),
        (AccessToken("azure", 4_000_000_000), "azure"),
        ({"access_token": "of-msal", "expires_in": 3600}, "of-msal"),
        (JWT, str(JWT)),
    ],
)
async def test_a_token_is_text_or_in_an_object(outbound: Outbound, given: Any, token: str) -> None:
    assert await outbound.token(outbound.app(token=lambda scope, tenant: given)) == token


async def test_when_a_given_token_expires_is_known_if_it_says_so(outbound: Outbound) -> None:
    def give(scope: str | list[str], tenant: str | None) -> Any:
        return AccessToken("azure", 4_000_000_000)

    settings = Settings.resolve({"client_id": CLIENT_ID, "token": give}, {})
    source = OutboundTokens(settings, outbound.provider, logging.getLogger("test")).bot()
    assert source is not None
    assert source.expires_on is None
    await source.get(fresh=False)
    assert source.expires_on == 4_000_000_000


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (None, "gave no token for https://api.botframework.com/.default: it is None"),
        ("", "it is an empty one"),
        (5, "it is of type int, and neither text nor has it a token"),
        (AccessToken("", 5), "it is an empty one"),
        ("Bearer s3cr3t", 'it begins with "Bearer ", which is put before it anyway'),
        ("s3cr3t\n", "it has blanks or line ends at its ends: strip it"),
        ("s3cr3t\r\nX-Evil: 1", "which no token has"),
        ("s3cr3t one", "which no token has"),
        (AccessToken("s3cr3t-ü", 5), "which no token has"),
    ],
)
async def test_no_token_is_an_error_that_says_so_and_nothing_is_sent(
    outbound: Outbound, given: Any, complaint: str
) -> None:
    with pytest.raises(TokenError, match=complaint) as caught:
        await outbound.app(token=lambda scope, tenant: given).send("a:1", "hello")
    assert "s3cr3t" not in str(caught.value)
    assert outbound.provider.sent == []


async def vault(scope: str, tenant: str | None) -> str:
    raise KeyError("vault")


class Vault:
    def get_app_token(self, scope: str, tenant_id: str | None) -> str:
        raise LookupError("closed\ntill nine")


def slow_vault(scope: str, tenant: str | None) -> str:
    raise TimeoutError


@pytest.mark.parametrize(
    ("giver", "said", "cause"),
    [
        (vault, "vault raised KeyError: 'vault'", KeyError),
        (Vault(), "Vault.get_app_token raised LookupError: closed till nine", LookupError),
        (slow_vault, "slow_vault raised TimeoutError", TimeoutError),
    ],
    ids=["function", "object", "without words"],
)
async def test_what_a_function_raises_is_a_token_error_that_names_it_and_keeps_the_cause(
    outbound: Outbound, giver: Any, said: str, cause: type[Exception]
) -> None:
    app = outbound.app(token=giver)
    for _ in range(2):
        with pytest.raises(TokenError) as caught:
            await app.send("a:1", "hello")
        assert str(caught.value) == f"No token for https://api.botframework.com/.default: {said}."
        assert isinstance(caught.value.__cause__, cause)


def no_tenant(scope: str) -> str:
    return scope


class NoTenant:
    def get_app_token(self, scope: str, tenant_id: str | None) -> str:
        return scope

    def get_agentic_app_token(self, scope: str) -> str:
        return scope


@pytest.mark.parametrize(
    ("giver", "said"),
    [
        (
            no_tenant,
            r"token calls its function as no_tenant\(scope, tenant_id\), which .*too many positional",
        ),
        (NoTenant, r"token, a provider of type type, calls its function as NoTenant.get_app_token\("),
        (
            NoTenant(),
            r"a provider of type NoTenant, calls .*get_agentic_app_token\(scope, agentic_app_id, tenant_id\)",
        ),
    ],
    ids=["function", "class", "object"],
)
async def test_what_cannot_be_called_as_it_will_be_is_refused_when_the_app_is_made(
    outbound: Outbound, giver: Any, said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        outbound.app(token=giver)


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


def stop_iteration(scope: str, tenant: str | None) -> str:
    raise StopIteration


def leave(scope: str, tenant: str | None) -> str:
    raise SystemExit(3)


def cancel(scope: str, tenant: str | None) -> str:
    raise asyncio.CancelledError


async def cancelled(scope: str, tenant: str | None) -> str:
    raise asyncio.CancelledError("by the vault")


@pytest.mark.parametrize(
    ("giver", "said"),
    [
        (stop_iteration, "stop_iteration raised StopIteration"),
        (leave, "leave raised SystemExit: 3"),
        (cancel, "cancel raised CancelledError"),
        (cancelled, "cancelled raised CancelledError: by the vault"),
    ],
)
async def test_what_cannot_go_through_a_coroutine_is_a_token_error_at_once(
    outbound: Outbound, clock: VirtualClock, giver: Any, said: str
) -> None:
    with pytest.raises(TokenError) as caught:
        await outbound.app(token=giver).send("a:1", "hello")
    assert str(caught.value) == f"No token for https://api.botframework.com/.default: {said}."
    assert clock.elapsed == 0


async def test_all_who_wait_for_a_function_that_fails_raise_an_error_of_their_own(outbound: Outbound) -> None:
    class OwnError(TokenError):
        def __init__(self, code: int, where: str) -> None:
            super().__init__(f"{code} at {where}")

    async def fail(scope: str, tenant: str | None) -> str:
        await asyncio.sleep(1)
        raise OwnError(5, "vault")

    app = outbound.app(token=fail)
    waiting = (app.token_provider.get_app_token() for _ in range(3))
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(error) for error in errors] == ["5 at vault"] * 3
    assert len({id(error) for error in errors}) == 3


@pytest.mark.filterwarnings("error")
async def test_a_coroutine_that_gives_a_coroutine_is_told_and_leaves_none_behind(outbound: Outbound) -> None:
    async def inner() -> str:
        return "token"

    async def outer(scope: str, tenant: str | None) -> Any:
        return inner()

    with pytest.raises(TokenError, match="it is a coroutine, which was not awaited"):
        await outbound.app(token=outer).send("a:1", "hello")
    gc.collect()


async def test_calls_that_never_come_back_do_not_keep_others_from_theirs_until_there_are_too_many(
    outbound: Outbound, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "MOST_ABANDONED", providers.THREADS + 1)
    released = threading.Event()

    def give(scope: str, tenant: str | None) -> str:
        if tenant:
            released.wait()
        return "token"

    app = outbound.app(token=give)
    tokens = app.token_provider

    async def block(*tenants: str) -> None:
        asked = [asyncio.create_task(tokens.get_app_token("s", tenant)) for tenant in tenants]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in asked:
            task.cancel()
        for request in set(app._tokens._tokens._running):
            request.cancel()  # as the time-out does: the clock stands still while a thread runs
        await asyncio.wait(asked)

    await block(*(f"t{number}" for number in range(providers.THREADS)))
    assert await tokens.get_app_token("s") == "token"
    await block("one-more")
    with pytest.raises(TokenError, match=f"{providers.THREADS + 1} calls of .*give have not come back"):
        await tokens.get_app_token("s")
    released.set()
    for thread in threading.enumerate():
        if thread.name == "cadenza-token":
            await asyncio.to_thread(thread.join, 5)
    assert await tokens.get_app_token("s") == "token"


def test_the_process_ends_while_a_function_blocks() -> None:
    program = """
import asyncio, threading
from cadenza.apps import App

called = threading.Event()

def block(scope, tenant):
    called.set()
    threading.Event().wait()

async def main():
    app = App(client_id="id", token=block)
    asking = asyncio.create_task(app.token_provider.get_app_token())
    await asyncio.to_thread(called.wait)
    stopping = asyncio.create_task(app.stop())
    await asyncio.wait({asking, stopping})
    print(asking.exception())

asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert (ended.stdout, ended.returncode) == ("No token: the App has been stopped.\n", 0)
