"""The seam between an App and a web server: requests and responses as values, and what a server must do.

A server of your own implements `HttpServerAdapter`; it needs to know nothing of Teams.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from logging import Logger
from socket import socket
from typing import Protocol, TypeAlias, runtime_checkable

from cadenza.api import CadenzaError


class BodyTooLargeError(CadenzaError):
    """`HttpRequest.read` met a body that is larger than it may be; nothing beyond the limit was kept."""


class BrokenBodyError(CadenzaError):
    """`HttpRequest.read` met a body that ends early, or is not encoded as its headers say."""


class HostedAppError(CadenzaError):
    """`App.start` was called on an App whose server others run: `App.lifespan` is for that."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, of which only the head has been read."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Lower-case names."""
    read: Callable[[int], Awaitable[bytes]]
    """Reads the body, of at most so many bytes. Raises `BodyTooLargeError` if it is larger, and where
    Content-Length says so, before a byte of it is read; and `BrokenBodyError`."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What to answer; `body` is JSON already, and `b""` is an empty answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


HttpHandler: TypeAlias = Callable[[HttpRequest], Awaitable[HttpResponse]]


class HttpServerAdapter(Protocol):
    """A web server, as far as an App needs one."""

    @property
    def port(self) -> int | None:
        """The port that it listens on; None while it does not listen, or where others look after that."""
        ...

    def register_route(self, path: str, handler: HttpHandler) -> None:
        """Send every request for `path`, of whatever method, to `handler`. Called before `start`."""
        ...

    async def start(self, host: str, port: int) -> None:
        """Open the socket (port 0: any free one) and return when it accepts connections."""
        ...

    async def stop_listening(self) -> None:
        """Accept no new connection; go on serving those that are open."""
        ...

    async def stop(self) -> None:
        """Close everything. Does nothing on a server that was not started."""
        ...


@runtime_checkable
class StaticServerAdapter(HttpServerAdapter, Protocol):
    """A server that can serve files: `App.tab` and `App.page` need that, and nothing else does."""

    def serve_static(self, path: str, directory: str) -> None:
        """Serve the files of `directory`, and of the directories in it, below `path`, which begins with "/".

        For a directory its index.html; nothing hidden, and nothing outside, whatever a link says. Called
        before `start`, and with "/" after every other route.
        """
        ...


@runtime_checkable
class SocketServerAdapter(HttpServerAdapter, Protocol):
    """A server that can be given its socket, so that several processes may serve on one:
    `cadenza run --workers` needs that, and nothing else does."""

    async def start_on(self, sock: socket) -> None:
        """Accept connections from `sock`, which is bound and listens already, and belongs to the server
        from now on. Instead of `start`."""
        ...


Lifespan: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]
"""Within its block, an App runs."""


@runtime_checkable
class HostedServerAdapter(HttpServerAdapter, Protocol):
    """A server that others start and stop, so that the App is not the one who does: its `start` and
    `stop_listening` are never called, and `App.lifespan` takes the place of `App.start`."""

    @property
    def how_to_run(self) -> str:
        """A sentence for the error of `App.start`: what to do instead."""
        ...

    def attach(self, lifespan: Lifespan, initialized: Callable[[], bool], logger: Logger) -> None:
        """Called once, by the App that is made with it. `lifespan` runs that App, where the server itself is
        asked to by its host. Until `initialized()`, there may be routes to come."""
        ...
