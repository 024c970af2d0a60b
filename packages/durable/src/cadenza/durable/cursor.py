"""`encode_cursor`, `decode_cursor`: the place of a reader in a log, as an opaque str.

A cursor stands after an event, or at the start of its run. It is short, safe in URLs and HTTP headers, and
good for one incarnation of one run alone: that of another run, one of an earlier run of the same id, and one
that was damaged are told apart from a good one by 48 bits of a hash.
"""

from __future__ import annotations

from hashlib import blake2b

from .errors import InvalidCursor

__all__ = ["decode_cursor", "encode_cursor"]

_FORM = "1"
"""The version: a cursor is this, the number of the event, and the hash of them and of the run."""


def encode_cursor(run_id: str, incarnation: int, seq: int) -> str:
    """The cursor after event `seq` (0: the start). `incarnation`: `RunHead.incarnation`."""
    return f"{_FORM}.{seq}.{_hash(run_id, incarnation, seq)}"


def decode_cursor(cursor: str, run_id: str, incarnation: int) -> int:
    """The number of the event that it stands after. Raises InvalidCursor."""
    parts = cursor.split(".") if isinstance(cursor, str) and len(cursor) < 64 else []
    if len(parts) == 3 and parts[0] == _FORM and parts[1].isascii() and parts[1].isdigit():
        seq = int(parts[1])
        if cursor == encode_cursor(run_id, incarnation, seq):
            return seq
    raise InvalidCursor(
        f"This is no cursor of the run {run_id!r}: it was damaged, or belongs to another run. Read from the "
        "start, or with a cursor that came with an event of this run."
    )


def _hash(run_id: str, incarnation: int, seq: int) -> str:
    text = f"{_FORM}/{seq}/{incarnation}/{run_id}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
