"""`IncomingFile`: a file that a user sent, to be read when it is wanted."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, Literal, TypeAlias

from cadenza.api import ApiClient
from cadenza.api.clients.streaming import StreamedResponse

from .downloaded import DownloadedFile
from .errors import (
    FileAccessError,
    FileCredentialError,
    FileScopeNotSupportedError,
    FileTooLargeError,
    FileUrlExpiredError,
)
from .reading import bare, reading, too_slow

FileSource: TypeAlias = Literal["botActivity", "graph"]
"""Where it is known from: the activity that came to the bot, or Graph (not used yet)."""

MAX_FILE_BYTES = 100 * 1024 * 1024
"""How much of a file is read unless you say otherwise."""

FILE_SECONDS = 300.0
"""How long reading a file may take unless you say otherwise."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_EXPIRED = frozenset((401, 403, 404, 410))
_REFUSED = frozenset((401, 403, 404, 410))


class IncomingFile:
    """A file, of which only the description has come. Reading it twice fetches it twice.

    Everything that reads takes `max_bytes` (None: no limit) and raises `FileTooLargeError` beyond it,
    `FileUrlExpiredError`, `FileAccessError`, `FileScopeNotSupportedError`, or `cadenza.api.ApiError` (no
    answer, a status like 503 even after trying again, a URL that is not https).
    """

    def __init__(
        self,
        *,
        name: str,
        scope: str,
        source: FileSource,
        unique_id: str | None = None,
        content_type: str | None = None,
        extension: str | None = None,
        content_url: str | None = None,
        raw: Any = None,
        download_url: str | None = None,
        as_bot: bool = False,
        api: ApiClient | None = None,
    ) -> None:
        """`as_bot`: reading needs the bot's token, which goes to the service's own hosts only."""
        self.unique_id = unique_id
        self.name = name
        """A mere file name: no folder of the sender's making is in it."""
        self.content_type = content_type
        """None for files, whose attachments do not tell it; DownloadedFile.content_type does."""
        self.extension = extension
        """Without the dot."""
        self.scope = scope
        """The kind of conversation: personal, groupChat, channel, or newer."""
        self.source: FileSource = source
        self.content_url = content_url
        """Where people open it."""
        self.raw = raw
        """The attachment as it came."""
        self._download_url = download_url
        self._as_bot = as_bot
        self._api = api
        self._was_read = False

    def __repr__(self) -> str:
        return f"IncomingFile(name={self.name!r}, scope={self.scope!r}, unique_id={self.unique_id!r})"

    async def stream(self, *, max_bytes: int | None = MAX_FILE_BYTES) -> AsyncGenerator[bytes]:
        """The bytes as they come; nothing is kept.

            async for chunk in file.stream():
                parser.feed(chunk)

        There is no time limit but that of the transport for silence.
        """
        async with self._open(max_bytes) as response, aclosing(self._limited(response, max_bytes)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def download(
        self, *, max_bytes: int | None = MAX_FILE_BYTES, timeout: float | None = FILE_SECONDS
    ) -> DownloadedFile:
        """The whole file in memory. `timeout`: seconds for all of it; then `RequestTimeoutError`."""
        body = bytearray()
        async with (
            self._in_time(timeout),
            self._open(max_bytes) as response,
            aclosing(self._limited(response, max_bytes)) as chunks,
        ):
            async for chunk in chunks:
                body += chunk
        kind = response.headers.get("content-type") or self._known_type or "application/octet-stream"
        return DownloadedFile(bytes(body), kind, self.name, bare(self._download_url or ""))

    async def text(
        self,
        encoding: str = "utf-8",
        *,
        max_bytes: int | None = MAX_FILE_BYTES,
        timeout: float | None = FILE_SECONDS,
    ) -> str:
        """The whole file as text, as `DownloadedFile.text` makes it."""
        return (await self.download(max_bytes=max_bytes, timeout=timeout)).text(encoding)

    async def save_as(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = MAX_FILE_BYTES,
        timeout: float | None = FILE_SECONDS,
    ) -> None:
        """Write the file to `path` while it comes. What was there is replaced when all of it has come, and
        left alone when something fails."""
        target = Path(path)
        async with self._in_time(timeout), self._open(max_bytes) as response:
            partial = _Partial(target)
            try:
                await asyncio.to_thread(partial.make)
                async with aclosing(self._limited(response, max_bytes)) as chunks:
                    async for chunk in chunks:
                        await asyncio.to_thread(partial.write, chunk)
                await asyncio.to_thread(partial.finish)
            except BaseException:
                partial.discard()
                raise

    @property
    def _known_type(self) -> str | None:
        kind = self.content_type
        return None if kind is None or kind.endswith("*") else kind

    @asynccontextmanager
    async def _open(self, max_bytes: int | None) -> AsyncIterator[StreamedResponse]:
        if self._download_url is None:
            raise FileScopeNotSupportedError(self.scope)
        if self._api is None:
            raise FileCredentialError(cause="this IncomingFile was made without an api to read it through")
        async with reading(
            self._api, self._download_url, as_bot=self._as_bot, refused=self._refused
        ) as response:
            size = response.headers.get("content-length", "")
            if max_bytes is not None and size.isdecimal() and int(size) > max_bytes:
                raise FileTooLargeError(self.name, max_bytes, int(size))
            yield response

    async def _limited(self, response: StreamedResponse, max_bytes: int | None) -> AsyncGenerator[bytes]:
        # Counted as well: what is compressed is longer than Content-Length says, or there is none.
        count = 0
        async for chunk in response.chunks():
            count += len(chunk)
            if max_bytes is not None and count > max_bytes:
                raise FileTooLargeError(self.name, max_bytes)
            self._was_read = True
            yield chunk
        self._was_read = True

    def _refused(self, status: int) -> Exception | None:
        if self._as_bot:
            if status not in _REFUSED:
                return None
            return FileAccessError(status, "app", f"{self.name!r} is at {bare(self._download_url or '')}.")
        if status not in _EXPIRED:
            return None
        return FileUrlExpiredError("reread" if self._was_read else "first_fetch")

    @asynccontextmanager
    async def _in_time(self, seconds: float | None) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds) as limit:
                yield
        except TimeoutError as error:
            if not limit.expired() or seconds is None:
                raise
            raise too_slow(self._download_url or "", seconds) from error


class _Partial:
    """A file beside `target`, in the same folder, so that it can take its place in one step.

    Threads write it, and one that is at work goes on when its task is cancelled: `discard` may be called at
    any time, and leaves nothing.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._path = target.parent / f".{target.name[:40]}.{token_hex(8)}.part"
        self._file: IO[bytes] | None = None
        self._discarded = False
        self._lock = threading.Lock()
        """For the two above; never held while the disk works."""

    def make(self) -> None:
        # With the permissions of any file that the bot makes; never one that is there already, or a link.
        file = open(os.open(self._path, _NEW, 0o666), "wb")  # noqa: SIM115 - discard or finish closes it
        with self._lock:
            self._file = file
            late = self._discarded
        if late:
            self._remove()

    def write(self, chunk: bytes) -> None:
        if self._file is not None:
            self._file.write(chunk)

    def finish(self) -> None:
        if self._file is not None:
            self._file.close()
            self._path.replace(self._target)

    def discard(self) -> None:
        with self._lock:
            self._discarded = True
            made = self._file is not None
        if made:
            self._remove()

    def _remove(self) -> None:
        with suppress(OSError):  # what is still to be written may not fit on the disk
            if self._file is not None:
                self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
