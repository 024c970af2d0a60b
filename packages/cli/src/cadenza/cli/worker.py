"""One of several processes that serve a bot on one socket: what `cadenza run --workers` starts.

    python -m cadenza.cli.worker PATH NUMBER LINE

LINE is the descriptor of its line to the parent, a pair of connected sockets:

    worker  {"host": ..., "port": ..., "state": ..., "shared": ...}   the bot is loaded
    parent  one byte, and the listening socket
    worker  "serves"                                                  it takes requests

The parent says nothing more. When its end is closed it is gone, however it ended; then the worker stops as on
SIGTERM, and ends in any case a minute later.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from typing import Final

from cadenza.state import StateError, StateUnavailableError

from .bot import BotError, load_app, start

ORPHAN_SECONDS: Final = 60.0
"""How long a worker may take to stop when there is nobody left who would wait for it, or kill it."""

HOPELESS: Final = os.EX_CONFIG if os.name == "posix" else 78
"""The status of a worker whose bot cannot be loaded, or not with its credentials: starting it again would
change nothing."""


def main(path: str, number: int, line: socket.socket) -> None:
    """Serve the bot at `path` until SIGTERM, or until the parent is gone."""
    logging.basicConfig(
        level=logging.INFO, format=f"%(asctime)s %(levelname)s worker {number}: %(name)s: %(message)s"
    )
    try:
        asyncio.run(_serve(path, line))
    except BotError as error:
        print(f"{error.format_cause()}cadenza run: {error}", file=sys.stderr)
        sys.exit(HOPELESS)
    except StateUnavailableError as error:
        print(f"cadenza run: {error}", file=sys.stderr)
        sys.exit(1)
    except StateError as error:
        print(f"cadenza run: {error}", file=sys.stderr)
        sys.exit(HOPELESS)


async def _serve(path: str, line: socket.socket) -> None:
    app = load_app(path)  # inside the loop, so that a bot which starts itself is told that it must not
    state, (host, port) = app.state, app.address
    loaded = {
        "host": host,
        "port": port,
        "state": type(state).__name__,
        "shared": bool(getattr(state, "shared", False)),
    }
    line.sendall(json.dumps(loaded).encode() + b"\n")
    _, descriptors, _, _ = await asyncio.to_thread(socket.recv_fds, line, 1, 1)
    if not descriptors:
        return  # the parent is gone, or has no use for this bot
    threading.Thread(target=_watch, args=(line,), daemon=True).start()
    serves = False

    def started(event: object) -> None:
        nonlocal serves
        serves = True
        line.sendall(b"serves\n")

    def terminated(number: int, frame: object) -> None:
        if not serves:
            os._exit(0)
        # Else the App knows of it. It takes a second SIGTERM for impatience, but here it may be one that all
        # processes of a service were sent, after the one that the parent has passed on.

    app.events.on("start", started)
    signal.signal(signal.SIGTERM, terminated)
    await start(app, path, sock=socket.socket(fileno=descriptors[0]))


def _watch(line: socket.socket) -> None:
    """Wait until the parent is gone. In a thread: a handler that blocks the loop must not make an orphan."""
    line.recv(1)
    logging.getLogger("cadenza.cli").error("The parent process is gone: this worker stops.")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    descriptor = int(sys.argv[3])
    os.set_inheritable(descriptor, False)  # what the bot starts must not keep the line open
    main(sys.argv[1], int(sys.argv[2]), socket.socket(fileno=descriptor))
