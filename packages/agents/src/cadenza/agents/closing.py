"""`close_source`: close what was iterated."""

from __future__ import annotations

__all__ = ["close_source"]


async def close_source(source: object) -> None:
    """Close a generator that was not iterated to its end. Other iterators need no closing, and have no
    `aclose`."""
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()
