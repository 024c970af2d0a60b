"""Typeahead search of Adaptive Cards: ``application/search`` (api-surface.md 1.7)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .base import WireModel

__all__ = [
    "SearchInvokeOptions",
    "SearchInvokeResponse",
    "SearchInvokeResponseValue",
    "SearchInvokeResult",
    "SearchInvokeType",
    "SearchInvokeValue",
    "SearchResponse",
]

SearchInvokeType = Literal["search", "searchAnswer", "typeahead"]
"""The known kinds of searches."""


class SearchInvokeOptions(WireModel):
    """Which of the results are wanted."""

    skip: int | None = None
    top: int | None = None


class SearchInvokeValue(WireModel):
    """What the user has typed so far. ``dataset`` is the name that the card gave to its choices."""

    kind: SearchInvokeType | str | None = None
    query_text: str = ""
    query_options: SearchInvokeOptions | None = None
    context: Any = None
    dataset: str | None = None


class SearchInvokeResult(WireModel):
    """One choice: what the user sees, and what the card submits."""

    title: str
    value: str


class SearchInvokeResponseValue(WireModel):
    """The choices."""

    results: list[SearchInvokeResult] = Field(default_factory=list)


class SearchResponse(WireModel):
    """The answer to ``application/search``. The status is Teams' own, inside the body of a 200."""

    status_code: int = 200
    type: Literal["application/vnd.microsoft.search.searchResponse"] = (
        "application/vnd.microsoft.search.searchResponse"
    )
    value: SearchInvokeResponseValue


SearchInvokeResponse = SearchResponse
"""Another name of :class:`SearchResponse`."""
