"""No way that a request can take holds up the event loop. What waits there (sockets, files, locks) is
reported by the fixture of conftest.py; here it is what computes: processor time, so that a busy machine fails
nothing.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from auth.scene import KEYS_URL, Bot, Provider, message
from cadenza.testing import VirtualClock
from cadenza.testing.keys import SigningKey, private_key

LONGEST = 0.05


@pytest.fixture(autouse=True)
def _keys_are_made_before() -> None:
    for name in ("bot-key-1", "bot-key-2", "stranger", "entra-key-1"):
        private_key(name)


class Watch:
    longest = 0.0


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """The processor time of the longest step of the loop, in seconds."""
    watch, run = Watch(), asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        watch.longest = max(watch.longest, time.thread_time() - began)

    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    yield watch
    assert watch.longest < LONGEST


def many_keys() -> dict[str, Any]:
    key = SigningKey("bot-key-1").to_jwk()
    return {"keys": [{**key, "kid": f"k{number}", "x5c": ["x" * 2000]} for number in range(200)] + [key]}


WAYS: dict[str, Callable[[Provider], str | None]] = {
    "good": lambda p: p.token(),
    "unknown key": lambda p: p.token(headers={"kid": "x"}),
    "stranger": lambda p: p.token(key=p.identity.stranger),
    "HS256": lambda p: p.token(algorithm="HS256"),
    "Entra": lambda p: p.identity.entra_token(),
    "as long as can be": lambda p: p.token(extra="x" * 12_000),
    "too long": lambda p: "x" * 1_000_000,
    "nesting": lambda p: p.identity.sign(b"[" * 12_000),
    "spaces": lambda p: " " * 16_000,
    "none": lambda p: None,
}


@pytest.mark.parametrize("way", WAYS)
async def test_a2_no_way_holds_the_loop_for_50_ms(
    bot: Bot, provider: Provider, watch: Watch, clock: VirtualClock, way: str
) -> None:
    for state in ("cold", "known", "stale", "down", "many keys"):
        if state == "stale":
            await asyncio.sleep(30 * 3600)
        provider.identity.down = state == "down"
        if state == "many keys":
            provider.documents[KEYS_URL] = many_keys()
            await asyncio.sleep(10 * 24 * 3600)
        assert await bot.post(WAYS[way](provider)) in (200, 401, 403)
        await asyncio.sleep(20)


FRESH = """
import asyncio, json, sys, time
from cadenza.api import Response
from cadenza.apps import App

token, keys, message = json.loads(sys.stdin.read())

class Provider:
    async def send(self, request):
        if request.method == "GET":
            document = {"jwks_uri": "https://login.botframework.com/v1/.well-known/keys"}
            return Response(200, {}, json.dumps(keys if request.url.endswith("/keys") else document).encode())
        return Response(201, {}, b'{"id": "1"}')
    async def close(self): ...

async def main():
    app = App(client_id=%r, token=lambda scope, tenant: "t", transport=Provider())
    await app.initialize()
    longest, run = 0.0, asyncio.Handle._run
    def timed(handle):
        nonlocal longest
        began = time.thread_time()
        run(handle)
        longest = max(longest, time.thread_time() - began)
    asyncio.Handle._run = timed
    response = await app.process(message, token)
    asyncio.Handle._run = run
    await app.stop()
    print(response.status, longest)

asyncio.run(main())
"""


def test_the_first_activity_of_a_process_waits_for_no_import(provider: Provider) -> None:
    keys = {"keys": [{**SigningKey("bot-key-1").to_jwk(), "endorsements": ["msteams"]}]}
    given = json.dumps([provider.token(), keys, message()])
    program = FRESH % "00000000-0000-0000-0000-0000000000aa"
    done = subprocess.run(
        [sys.executable, "-c", program], input=given, capture_output=True, text=True, check=True
    )
    status, longest = done.stdout.split()
    assert status == "200"
    assert float(longest) < LONGEST, longest
