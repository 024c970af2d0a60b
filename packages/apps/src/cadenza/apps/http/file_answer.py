"""How a file is answered with: the conditions and the range of a request (RFC 9110, sections 13 and 14), as
aiohttp's `FileResponse` understands them; for servers that have nothing of the kind."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

__all__ = ["FileAnswer", "open_file"]

_PACKED = {".br": "br", ".gz": "gzip"}
"""A file beside the one that is asked for, packed when the page was built, by its suffix."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """What to answer: of `file`, `count` bytes from `offset` on. There is no file if there is no body."""

    status: int
    headers: Mapping[str, str]
    file: BinaryIO | None = None
    offset: int = 0
    count: int = 0


def open_file(path: Path, headers: Mapping[str, str], request: Mapping[str, str]) -> FileAnswer:
    """The answer that shows `path`, with these headers, to a request with those (lower-case names).

    Waits for the disk: call it in a thread, and close the file. Raises OSError.
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
    wanted = request.get("range")
    if wanted is None or not _same(request, tag, found.st_mtime):
        return FileAnswer(200, headers, file, 0, found.st_size)
    part = _part(wanted, found.st_size)
    if part is None:
        return FileAnswer(416, {**headers, "Content-Range": f"bytes */{found.st_size}"})
    begin, end = part
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
    """The first byte, and the one after the last. Several parts at once are not served."""
    match = _RANGE.fullmatch(wanted)
    if match is None or wanted == "bytes=-":
        return None
    first, last = match[1], match[2]
    if not first:
        begin, end = max(0, size - int(last)), size
    else:
        begin, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < begin:
            return None
    return (begin, end) if begin < end else None
