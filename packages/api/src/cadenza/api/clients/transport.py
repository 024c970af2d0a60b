"""The seam to the network: a request is a value, and a transport turns it into a response.

Everything above this seam (retries, tokens, errors) works the same on a real network, on the emulator in this
process and on :class:`HandlerTransport`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. ``url`` is absolute and already percent-encoded: a transport sends it as it is.

    Headers and body stay out of the repr: they hold tokens and people's words.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response, read to its end. The names in ``headers`` are lower-case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    def json(self) -> Any:
        """The body as JSON, or None if it is empty. Raises ValueError if it is something else."""
        if not self.body.strip():
            return None
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("the JSON is nested too deeply") from None


class Transport(Protocol):
    """What an :class:`~cadenza.api.ApiClient` needs of a network."""

    async def send(self, request: Request) -> Response:
        """Send once, without retries and without following redirects, and read the whole answer.

        Any status is an answer. Raises :class:`~cadenza.api.TransportError` (one of its subclasses) if none
        was read, and nothing else.
        """
        ...

    async def close(self) -> None:
        """Give back connections. May be called more than once."""
        ...


class HandlerTransport:
    """A transport without a network: ``handler`` answers each request. For tests.

    ``handler`` is a function, plain or async, from :class:`Request` to :class:`Response`; it may raise a
    :class:`~cadenza.api.TransportError` to play a broken network.
    """

    def __init__(self, handler: Callable[[Request], Response | Awaitable[Response]]) -> None:
        self._handler = handler

    async def send(self, request: Request) -> Response:
        answer = self._handler(request)
        return await answer if inspect.isawaitable(answer) else answer

    async def close(self) -> None:
        """Does nothing: there is nothing to give back."""
