"""The SDK that the bots run on: Cadenza, with their imports changed, or the reference, as they stand.

The environment variable CADENZA_TEST_SUBJECT says which, as in tests/faults/subject.py: `cadenza` (the
default) or `microsoft-teams-apps`, which check_reference.py sets where that is installed.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from cadenza.testing import Answer, Bot

__all__ = ["BOTS", "OURS", "connectable", "load_bot", "ported", "served"]

OURS = os.environ.get("CADENZA_TEST_SUBJECT", "cadenza") == "cadenza"
BOTS = Path(__file__).parent / "bots"


def ported(text: str) -> str:
    """A bot's text as its author would port it: the name of the package, and nothing else."""
    return text.replace("microsoft_teams.", "cadenza.")


def load_bot(name: str) -> dict[str, Any]:
    """The names that a bot defines, `app` among them."""
    file = BOTS / f"{name}.py"
    text = file.read_text()
    # A module like any other: what reads annotations looks for it where modules are.
    module = sys.modules[f"port_{name}"] = ModuleType(f"port_{name}")
    namespace = module.__dict__
    namespace["__file__"] = str(file)
    exec(compile(ported(text) if OURS else text, file, "exec", dont_inherit=True), namespace)
    return namespace


def connectable(app: Any) -> Bot:
    """What `teams.connect` takes."""
    bot: Bot = app if OURS else _ReferenceBot(app)
    return bot


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """The App on a port of this machine, while the block lasts; gives its address."""
    port = 0 if OURS else _free_port()
    opened = asyncio.Event()
    if OURS:
        app.events.once("start", lambda event: opened.set())
    serving = asyncio.create_task(app.start(port))
    waiting = asyncio.create_task(opened.wait() if OURS else _accepts(port))
    try:
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        yield f"http://127.0.0.1:{app.port if OURS else port}"
    finally:
        await app.stop()
        for task in (serving, waiting):
            task.cancel()
        await asyncio.wait({serving, waiting})


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


async def _accepts(port: int) -> None:
    """The reference tells of its start before the socket is open (P12), and takes no port 0."""
    while True:
        with socket.socket() as visitor:
            if visitor.connect_ex(("127.0.0.1", port)) == 0:
                return
        await asyncio.sleep(0.01)


class _ReferenceBot:
    """An App of the reference, called where its HTTP adapter would call it."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._ready = False

    async def process(self, activity: dict[str, Any], token: str | None = None) -> Answer:
        if not self._ready:
            await self._app.initialize()
            self._ready = True
        response = await self._app.server.handle_request({"body": activity, "headers": {}})
        return Answer(response["status"], json.loads(json.dumps(response.get("body"))))
