"""What a person sees of the answers to invokes: results of a message extension, cards of a tab, choices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Choice", "ExtensionAnswer", "SearchResult", "Tab"]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One result of a message extension: the attachment of the answer, with its preview."""

    attachment: dict[str, Any]

    @property
    def card(self) -> dict[str, Any]:
        """The card that goes into the message."""
        return dict(self.attachment["content"])

    @property
    def preview(self) -> dict[str, Any]:
        """The card in the list of results; without one, the card itself."""
        preview = self.attachment.get("preview")
        return dict(preview["content"]) if isinstance(preview, dict) else self.card

    @property
    def title(self) -> str:
        """What the list shows: the preview's title; of an Adaptive Card, its first text."""
        preview = self.preview
        return str(preview.get("title") or _first_text(preview))

    @property
    def tap(self) -> Any:
        """The value of the preview's `tap`: what `composeExtension/selectItem` says. None without a tap."""
        tap = self.preview.get("tap")
        return tap.get("value") if isinstance(tap, dict) else None


@dataclass(frozen=True, slots=True)
class ExtensionAnswer:
    """A `composeExtension` answer. `type` is "" where the bot answered nothing."""

    type: str = ""  # result, auth, config, message, botMessagePreview, silentAuth
    results: list[SearchResult] = field(default_factory=list)
    layout: str = ""  # list, grid
    text: str = ""
    actions: list[dict[str, Any]] = field(default_factory=list)
    """Of type auth, config and silentAuth: the buttons."""
    preview: dict[str, Any] | None = None
    """Of type botMessagePreview: the activity that would be sent."""

    @classmethod
    def read(cls, body: Any) -> ExtensionAnswer:
        """From the body of an answer that `acceptance` has nothing against."""
        found = body.get("composeExtension") if isinstance(body, dict) else None
        if not isinstance(found, dict):
            return cls()
        return cls(
            type=found["type"],
            results=[SearchResult(one) for one in found.get("attachments") or ()],
            layout=found.get("attachmentLayout") or "",
            text=found.get("text") or "",
            actions=(found.get("suggestedActions") or {}).get("actions") or [],
            preview=found.get("activityPreview"),
        )


@dataclass(frozen=True, slots=True)
class Tab:
    """What a tab of cards shows."""

    type: str  # continue, auth, silentAuth
    cards: list[dict[str, Any]] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, body: Any) -> Tab:
        """From the body of an answer that `acceptance` has nothing against."""
        tab = body["tab"]
        return cls(
            type=tab["type"],
            cards=[one["card"] for one in (tab.get("value") or {}).get("cards") or ()],
            actions=(tab.get("suggestedActions") or {}).get("actions") or [],
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice that a search for an Input.ChoiceSet has found."""

    title: str
    value: str


def _first_text(card: Any) -> str:
    """The first text of an Adaptive Card, "" if there is none."""
    if isinstance(card, list):
        return next((text for one in card if (text := _first_text(one))), "")
    if not isinstance(card, dict):
        return ""
    own = card.get("text")
    if isinstance(own, str) and own:
        return own
    return next(
        (found for name in ("body", "items", "columns") if (found := _first_text(card.get(name)))), ""
    )
