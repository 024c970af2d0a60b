"""Answers that are read in pieces: a file must not have to fit into memory.

A transport that can do this has `open` (`StreamingTransport`); `open_response` makes do with `send` where it
has not, so that whoever reads files needs to know nothing of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from .transport import Request, Response, Transport


@dataclass(frozen=True, slots=True)
class StreamedResponse:
    """An answer of which only the head has been read. The names in ``headers`` are lower-case.

    ``chunks()`` gives the body, once, as it comes; it raises a :class:`~cadenza.api.TransportError` if the
    connection breaks or falls silent.
    """

    status: int
    headers: Mapping[str, str]
    chunks: Callable[[], AsyncIterator[bytes]] = field(repr=False)


@runtime_checkable
class StreamingTransport(Transport, Protocol):
    """A transport that can give an answer before it has read all of it."""

    def open(self, request: Request) -> AbstractAsyncContextManager[StreamedResponse]:
        """Send once, as ``send`` does, and give the answer while the block lasts. The time-out for a whole
        request does not count for the body, however long that is: only silence does."""
        ...


def open_response(transport: Transport, request: Request) -> AbstractAsyncContextManager[StreamedResponse]:
    """The answer to ``request``, streamed if ``transport`` can do that, else read whole and given in one
    piece."""
    if isinstance(transport, StreamingTransport):
        return transport.open(request)
    return _whole(transport, request)


@asynccontextmanager
async def _whole(transport: Transport, request: Request) -> AsyncIterator[StreamedResponse]:
    response: Response = await transport.send(request)

    async def chunks() -> AsyncIterator[bytes]:
        yield response.body

    yield StreamedResponse(response.status, response.headers, chunks)
