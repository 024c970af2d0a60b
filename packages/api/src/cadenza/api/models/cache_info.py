"""How long Teams may keep the answer to an invoke."""

from __future__ import annotations

from .base import WireModel

__all__ = ["CacheInfo"]


class CacheInfo(WireModel):
    """How long, in seconds, and for whom an answer may be kept."""

    cache_type: str | None = None
    cache_duration: int | None = None
