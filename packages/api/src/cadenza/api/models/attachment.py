"""Attachments, suggested actions and the actions behind buttons."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Protocol, runtime_checkable

from pydantic import BaseModel, Field

from .base import WireModel

ADAPTIVE_CARD: Final = "application/vnd.microsoft.card.adaptive"
"""The content type of an Adaptive Card."""


class Attachment(WireModel):
    """A card, a file or an image that goes with a message. ``content`` is passed on as it is."""

    content_type: str = ""
    content: Any = None
    content_url: str | None = None
    name: str | None = None
    thumbnail_url: str | None = None
    id: str | None = None


class CardActionType(StrEnum):
    """What a button does (api-surface.md 1.8)."""

    OPEN_URL = "openUrl"
    IM_BACK = "imBack"
    POST_BACK = "postBack"
    MESSAGE_BACK = "messageBack"
    PLAY_AUDIO = "playAudio"
    PLAY_VIDEO = "playVideo"
    SHOW_IMAGE = "showImage"
    DOWNLOAD_FILE = "downloadFile"
    SIGN_IN = "signin"
    CALL = "call"
    INVOKE = "invoke"
    SUBMIT = "Action.Submit"


class CardAction(WireModel):
    """A button of a classic card, or a suggested action. ``type`` is a :class:`CardActionType` or newer."""

    type: str = ""
    title: str | None = None
    value: Any = None
    text: str | None = None
    display_text: str | None = None
    image: str | None = None
    image_alt_text: str | None = None
    channel_data: Any = None


class SuggestedActions(WireModel):
    """Buttons above the compose box, one-to-one chats only (teams-protocol.md 1.5)."""

    to: list[str] = Field(default_factory=list)
    actions: list[CardAction] = Field(default_factory=list)


@runtime_checkable
class CardLike(Protocol):
    """A card object of any library that can write itself as a dict, such as adaptive-cards-py's."""

    def to_dict(self) -> dict[str, Any]: ...


def card_attachment(
    card: Mapping[str, Any] | CardLike | BaseModel, content_type: str = ADAPTIVE_CARD
) -> Attachment:
    """The attachment that carries a card.

    A dict is taken as it is, not copied and not checked. An object is asked for its ``to_dict()`` once, now;
    a pydantic model without one is dumped by alias, without None. Raises TypeError for anything else.
    """
    if isinstance(card, Mapping):
        content: object = card
    elif isinstance(card, CardLike):
        content = card.to_dict()
    elif isinstance(card, BaseModel):
        content = card.model_dump(mode="json", by_alias=True, exclude_none=True)
    else:
        content = None
    if not isinstance(content, Mapping):
        raise TypeError(f"a card is a dict or an object with to_dict(), not {type(card).__name__}")
    return Attachment(
        content_type=content_type, content=content if isinstance(content, dict) else dict(content)
    )
