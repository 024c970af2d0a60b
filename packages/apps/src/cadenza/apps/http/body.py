"""The body of a request as it comes in: unpacked, and no larger than it may be. The rule of every server."""

from __future__ import annotations

import zlib
from typing import Any

from .adapter import BodyTooLargeError, BrokenBodyError

__all__ = ["Body"]

_PACKED = ("gzip", "x-gzip", "deflate")


class Body:
    """What has come so far. Nothing beyond `limit` bytes is unpacked, let alone kept."""

    def __init__(self, limit: int, encoding: str = "") -> None:
        """`encoding`: Content-Encoding. Raises `BrokenBodyError` for one that is not known, several
        together among them."""
        self._encoding = encoding.strip().lower()
        if self._encoding not in ("", "identity", *_PACKED):
            known = f"the Content-Encoding {self._encoding:.32} is not known"
            raise BrokenBodyError(f"The body cannot be read: {known}.")
        self._left = limit  # of what is unpacked
        self._packed_left = limit  # blocks of nothing are a body that never ends, too
        self._unpack: Any = None
        self._body = bytearray()

    def add(self, chunk: bytes) -> None:
        """Raises `BodyTooLargeError`, and `BrokenBodyError` where it is not packed as it should be."""
        if self._encoding in _PACKED:
            chunk = self._unpacked(chunk)
        self._left -= len(chunk)
        if self._left < 0:
            raise BodyTooLargeError
        self._body += chunk

    def whole(self) -> bytes:
        """All of it, when it has come. Raises `BrokenBodyError` if its packing says that there is more."""
        if self._encoding in _PACKED and (self._unpack is None or not self._unpack.eof):
            raise BrokenBodyError("The body is encoded, and ends early.")
        return bytes(self._body)

    def _unpacked(self, chunk: bytes) -> bytes:
        if not chunk:
            return b""
        self._packed_left -= len(chunk)
        if self._packed_left < 0:
            raise BodyTooLargeError
        if self._unpack is None:
            # What is called deflate comes with the head of zlib, as it should, or without.
            bare = self._encoding == "deflate" and chunk[0] & 15 != 8
            self._unpack = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS | 32)
        try:
            out: bytes = self._unpack.decompress(chunk, self._left + 1)
        except zlib.error:
            raise BrokenBodyError("The body is not encoded as its Content-Encoding says.") from None
        if self._unpack.unused_data:
            raise BrokenBodyError("The body is encoded, and goes on after its end.")
        return out
