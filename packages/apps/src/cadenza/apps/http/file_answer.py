"""How a file is answered with, on whatever server: the conditions and the range of a request (RFC 9110,
sections 13 and 14). One part of a file is served; a Range that asks for several, or is none of bytes, or
malformed, counts for nothing."""

import asyncio
import math
import os
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from .adapter import HttpResponse
from .endpoint import error_response
from .static_files import StaticFiles

__all__ = ["FileAnswer", "find_file", "open_file"]

CHUNK = 256 * 1024
"""Bytes of a file that are read and sent at once."""

_PACKED = {".br": "br", ".gz": "gzip"}
"""A file beside the one that is asked for, packed when the page was built, by its suffix."""

_RANGE = re.compile(r"bytes=(\d{0,1000})-(\d{0,1000})", re.ASCII | re.IGNORECASE)
"""int() takes no more than 4300 digits."""


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """What to answer: of `file`, `count` bytes from `offset` on. There is no file if there is no body."""

    status: int
    headers: Mapping[str, str]
    file: BinaryIO | None = None
    offset: int = 0
    count: int = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        """What is to be sent as the body of an answer that has one. Ends early if the file has become
        shorter: then the connection has to be closed."""
        file, left = self.file, self.count
        if file is None or not left:
            return
        await asyncio.to_thread(file.seek, self.offset)
        while left and (chunk := await asyncio.to_thread(file.read, min(left, CHUNK))):
            left -= len(chunk)
            yield chunk

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


async def find_file(
    files: StaticFiles, method: str, path: str, name: str, query: str, headers: Mapping[str, str]
) -> HttpResponse | FileAnswer:
    """The answer to a request for a file; `headers` are the request's (lower-case names), and the rest is as
    `StaticFiles.find` wants it. A `FileAnswer` is to be closed."""
    found = await files.find(method, path, name, query)
    if isinstance(found, HttpResponse):
        return found
    if method != "GET":
        headers = {**headers, "range": ""}  # it is defined for GET alone
    try:
        return await asyncio.to_thread(open_file, found.file, found.headers, headers)
    except PermissionError:
        return error_response(403, "Forbidden", f"{path} cannot be read.")
    except OSError:
        return error_response(404, "NotFound", f"There is nothing at {path}.")


def open_file(path: Path, headers: Mapping[str, str], request: Mapping[str, str]) -> FileAnswer:
    """The answer that shows `path`, with these headers, to a request with those (lower-case names).

    Waits for the disk: call it in a thread, and close the answer. Raises OSError.
    """
    path, packed = _packed(path, request.get("accept-encoding", "").lower())
    file = path.open("rb")
    try:
        found = os.fstat(file.fileno())
        if not S_ISREG(found.st_mode):
            raise FileNotFoundError(path)
        if packed:
            headers = {**headers, "Content-Encoding": packed, "Vary": "Accept-Encoding"}
        answer = _answer(file, found, headers, request)
    except BaseException:
        file.close()
        raise
    if answer.file is None:
        file.close()
    return answer


def _packed(path: Path, accepted: str) -> tuple[Path, str | None]:
    for suffix, encoding in _PACKED.items():
        if encoding in accepted:
            beside = path.with_name(path.name + suffix)
            try:
                if S_ISREG(beside.lstat().st_mode):  # no link: that could lead outside
                    return beside, encoding
            except OSError:
                pass
    return path, None


def _answer(
    file: BinaryIO, found: os.stat_result, headers: Mapping[str, str], request: Mapping[str, str]
) -> FileAnswer:
    tag = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
    known = {"ETag": tag, "Last-Modified": formatdate(math.ceil(found.st_mtime), usegmt=True)}
    if not _still(request, tag, found.st_mtime):
        return FileAnswer(412, headers)
    if not _changed(request, tag, found.st_mtime):
        return FileAnswer(304, {**headers, **known})
    headers = {**headers, **known, "Accept-Ranges": "bytes"}
    part = _part(request.get("range", ""), found.st_size)
    if part is None or not _same(request, tag, found.st_mtime):
        return FileAnswer(200, headers, file, 0, found.st_size)
    begin, end = part
    if begin >= end:
        return FileAnswer(416, {**headers, "Content-Range": f"bytes */{found.st_size}"})
    shown = {**headers, "Content-Range": f"bytes {begin}-{end - 1}/{found.st_size}"}
    return FileAnswer(206, shown, file, begin, end - begin)


def _still(request: Mapping[str, str], tag: str, modified: float) -> bool:
    """Whether the file is as the request wants it to be."""
    tags = request.get("if-match")
    if tags is not None:
        return _names(tags, tag, weak=False)
    date = _date(request.get("if-unmodified-since"))
    return date is None or modified <= date


def _changed(request: Mapping[str, str], tag: str, modified: float) -> bool:
    """Whether the file is another than the one that who asks has."""
    tags = request.get("if-none-match")
    if tags is not None:
        return not _names(tags, tag, weak=True)
    date = _date(request.get("if-modified-since"))
    return date is None or modified > date


def _same(request: Mapping[str, str], tag: str, modified: float) -> bool:
    """Whether a part may be sent, since the rest of what who asks has is of this file."""
    condition = request.get("if-range")
    if condition is None or condition.strip() == tag:
        return True
    date = _date(condition)
    return date is not None and modified <= date


def _names(tags: str, tag: str, *, weak: bool) -> bool:
    for one in map(str.strip, tags.split(",")):
        if one == "*" or one == tag or (weak and one == f"W/{tag}"):
            return True
    return False


def _date(text: str | None) -> float | None:
    """Seconds since 1970; None if that is no date, and counts for nothing."""
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _part(wanted: str, size: int) -> tuple[int, int] | None:
    """The first byte that a Range asks for, and the one after the last, which is no greater if there is
    nothing of it; None if it counts for nothing."""
    match = _RANGE.fullmatch(wanted)
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size
    begin, end = int(match[1]), size
    if match[2]:
        if int(match[2]) < begin:
            return None
        end = min(size, int(match[2]) + 1)
    return begin, end
