"""What entries and names look like as bytes, on disk and on the wire."""

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["from_name", "pack", "to_name", "unpack"]


def pack(payload: Mapping[str, Any]) -> bytes:
    """JSON; half of a surrogate pair, which some clients send, goes as an escape."""
    try:
        return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(payload, separators=(",", ":")).encode()


def unpack(data: bytes) -> Any:
    """What was packed."""
    return json.loads(data)


def to_name(name: str) -> bytes:
    """Any str, half surrogate pairs included."""
    return name.encode("utf-8", "surrogatepass")


def from_name(data: bytes) -> str:
    """The str again."""
    return data.decode("utf-8", "surrogatepass")
