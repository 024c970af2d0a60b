"""The value of the invokes that unfurl a link."""

from __future__ import annotations

from .base import WireModel

__all__ = ["AppBasedLinkQuery"]


class AppBasedLinkQuery(WireModel):
    """The link that somebody pasted. ``state`` is the code of a sign-in that has just ended."""

    url: str | None = None
    state: str | None = None
