"""Writing a file into an upload session of OneDrive, whose URL Teams gives after the user's consent.

The rules are those of Microsoft's page on upload sessions (learn.microsoft.com, "createUploadSession"): PUT
with Content-Range; every piece but the last a multiple of 320 KiB, of at most 60 MiB; no token; 202 with
`nextExpectedRanges` until the last piece is answered with 200 or 201; a GET tells what is missing; a DELETE
gives it up.

A session that is complete is gone, and answers as one that has expired (404). So when the answer to the last
piece is lost, nothing can tell whether the file is there: the URL opens the session, not the file, and the
page says only "start over", which would make a second file here. That is an error of its own.
"""

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cadenza.api import (
    ApiClient,
    ApiError,
    ConnectError,
    HttpStatusError,
    InvalidResponseError,
    Request,
    Response,
    TransportError,
    status_error,
)

from .errors import FileError, FileUrlExpiredError, UploadUnconfirmedError
from .reading import bare, checked_url, without_key

if TYPE_CHECKING:
    from .accessor import FileData

STEP = 320 * 1024
PIECE_BYTES = 10 * STEP
"""3.1 MiB: small enough to be over within the time that a request may take on a slow line."""

MOST_ATTEMPTS = 5
"""How often one piece is tried."""

_GONE = frozenset((401, 403, 404, 410))
_AGAIN = frozenset((409, 416, 429, 500, 502, 503, 504, 509))
_NOT_TAKEN = frozenset((429, 509))


async def upload(api: ApiClient, url: str, data: "FileData", size: int | None) -> Mapping[str, Any]:
    """Write `data` to the session at `url`; the server's description of the file."""
    checked_url(api, url)
    total = await _size(data, size)
    if total < 1:
        raise ValueError("An empty file cannot be uploaded: an upload session takes at least one byte.")
    session = _Session(api, url, total)
    try:
        async for piece in _pieces(data):
            await session.write(piece)
    except ValueError:
        await session.give_up()
        raise
    if session.result is None and session.position < total:
        await session.give_up()
        raise _too_short(total, session.position)
    if session.result is None:
        raise UploadUnconfirmedError("the server has all of its bytes, and does not say that it is complete")
    return session.result


class _Session:
    def __init__(self, api: ApiClient, url: str, total: int) -> None:
        self._api = api
        self._url = url
        self._total = total
        self.position = 0
        """How many bytes the server has."""
        self.result: Mapping[str, Any] | None = None
        self._maybe_complete = False
        """Whether the last bytes went, and no answer came that tells what became of them."""

    async def write(self, piece: bytes) -> None:
        """Send what the server does not have of `piece`, until it has all of it."""
        first, end = self.position, self.position + len(piece)
        if end > self._total:
            raise _too_long(self._total)
        attempt = 0
        while self.position < end:
            rest = piece[self.position - first :]
            try:
                response = await self._send("PUT", rest)
                self._note(response, end)
            except ApiError as error:
                if end == self._total and _may_be_taken(error):
                    self._maybe_complete = True
                attempt += 1
                if attempt >= MOST_ATTEMPTS or not _worth_another(error):
                    raise
                await asyncio.sleep(_pause(error, attempt))
                await self._ask(first, end, error)

    async def give_up(self) -> None:
        with suppress(ApiError, FileError):  # it expires by itself
            await self._send("DELETE")

    async def _ask(self, first: int, end: int, failure: ApiError) -> None:
        """Where is the server? After a failure nobody else knows."""
        try:
            position = _expected(await self._send("GET"))
        except ApiError:
            return  # the next PUT will tell
        if position is None:
            return
        if not first <= position <= end:
            raise failure
        self.position = position
        self._maybe_complete = False

    def _note(self, response: Response, end: int) -> None:
        position = _expected(response)
        if response.status == 202:
            if position is not None and not self.position < position <= end:
                raise InvalidResponseError(
                    f"The server was sent the bytes from {self.position:,} to {end:,} of the file, and says "
                    f"that it misses those from {position:,}.",
                    Request("PUT", bare(self._url)),
                )
            self.position = end if position is None else position
            return
        self.position = end
        self.result = _json(response)

    async def _send(self, method: str, body: bytes | None = None) -> Response:
        headers = {"Accept": "application/json"}
        if body is not None:
            last = self.position + len(body) - 1
            headers["Content-Range"] = f"bytes {self.position}-{last}/{self._total}"
            headers["Content-Length"] = str(len(body))
            headers["Content-Type"] = "application/octet-stream"
        request = Request(method, checked_url(self._api, self._url), headers, body)
        try:
            response = await self._api.transport.send(request)
        except TransportError as error:
            raise without_key(error, self._url) from None
        if response.status in _GONE and self._maybe_complete:
            raise UploadUnconfirmedError(
                "the answer to its last bytes was lost, and the upload session has ended since, as it does "
                f"when the file is complete (status {response.status})"
            )
        if response.status in _GONE:
            raise FileUrlExpiredError(
                "first_fetch",
                f"The upload was refused with status {response.status}: its URL has expired, or the file is "
                "complete already. Ask for consent again (request_upload), and upload in the handler that "
                "gets the answer.",
            )
        if response.status >= 300:
            raise status_error(Request(method, bare(self._url)), response)
        return response


def _worth_another(error: ApiError) -> bool:
    if isinstance(error, HttpStatusError):
        return error.status in _AGAIN
    return isinstance(error, TransportError)


def _may_be_taken(error: ApiError) -> bool:
    """Whether the server may have the bytes of the request that has failed."""
    if isinstance(error, HttpStatusError):
        return error.status not in _NOT_TAKEN
    return not isinstance(error, ConnectError)


def _pause(error: ApiError, attempt: int) -> float:
    wait = min(2.0 ** (attempt - 1), 15.0) * (1 + 0.2 * random.random())
    asked = error.retry_after if isinstance(error, HttpStatusError) else None
    return max(wait, asked or 0.0)


def _expected(response: Response) -> int | None:
    """The first byte that the server misses; None if it does not say."""
    ranges = _json(response).get("nextExpectedRanges")
    if not isinstance(ranges, list) or not ranges:
        return None
    first = str(ranges[0]).partition("-")[0]
    return int(first) if first.isdecimal() else None


def _json(response: Response) -> dict[str, Any]:
    try:
        value = json.loads(response.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


async def _size(data: "FileData", size: int | None) -> int:
    if isinstance(data, bytes | bytearray | memoryview):
        return _checked_size(memoryview(data).nbytes, size)
    if isinstance(data, str | os.PathLike):
        return _checked_size((await asyncio.to_thread(os.stat, data)).st_size, size)
    if not hasattr(data, "__aiter__"):
        raise TypeError(
            f"A file to upload is bytes, a path, or an async iterable of bytes, not {type(data).__name__}."
        )
    if size is None:
        raise ValueError("An async iterable does not say how long it is: give size, the number of its bytes.")
    return size


def _checked_size(known: int, said: int | None) -> int:
    if said is not None and known != said:
        raise _too_short(said, known) if known < said else _too_long(said)
    return known


def _too_short(said: int, known: int) -> ValueError:
    return ValueError(f"The file was said to have {said:,} bytes, and has only {known:,}.")


def _too_long(said: int) -> ValueError:
    return ValueError(f"The file was said to have {said:,} bytes, and has more.")


async def _pieces(data: "FileData") -> AsyncIterator[bytes]:
    if isinstance(data, bytes | bytearray | memoryview):
        view = memoryview(data).cast("B")
        for start in range(0, len(view), PIECE_BYTES):
            yield bytes(view[start : start + PIECE_BYTES])
        return
    if isinstance(data, str | os.PathLike):
        file = await asyncio.to_thread(Path(data).open, "rb")
        try:
            while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                yield piece
        finally:
            file.close()
        return
    gathered = bytearray()
    async for chunk in data:
        gathered += chunk
        while len(gathered) >= PIECE_BYTES:
            yield bytes(gathered[:PIECE_BYTES])
            del gathered[:PIECE_BYTES]
    if gathered:
        yield bytes(gathered)
