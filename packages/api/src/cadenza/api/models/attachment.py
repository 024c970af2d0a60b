"""Attachments, suggested actions and the actions behind buttons."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Protocol, runtime_checkable

from pydantic import BaseModel, Field, PlainSerializer, PlainValidator

from .base import WireModel

ADAPTIVE_CARD: Final = "application/vnd.microsoft.card.adaptive"
"""The content type of an Adaptive Card."""


@runtime_checkable
class CardLike(Protocol):
    """A card object of any library that can write itself as a dict, such as adaptive-cards-py's."""

    def to_dict(self) -> dict[str, Any]: ...


def card_content(card: object) -> dict[str, Any]:
    """The JSON object of a card: a dict as it is, an object's ``to_dict()``, a pydantic model by alias and
    without None. Raises TypeError for anything else."""
    if isinstance(card, dict):
        return card
    content: object = card
    if isinstance(card, CardLike):
        content = card.to_dict()
    elif isinstance(card, BaseModel):
        content = card.model_dump(mode="json", by_alias=True, exclude_none=True)
    if not isinstance(content, Mapping):
        raise TypeError(f"a card is a dict or an object with to_dict(), not {type(card).__name__}")
    return content if isinstance(content, dict) else dict(content)


def _is_card(value: Any) -> Any:
    if isinstance(value, Mapping | CardLike | BaseModel):
        return value
    raise ValueError(f"a card is a dict or an object with to_dict(), not {type(value).__name__}")


def _written(value: Any) -> Any:
    # A dataclass or a model of a card library would else be written by its Python names. A dict is told
    # first: asking for a protocol costs more than the rest of the message.
    return card_content(value) if not isinstance(value, dict) and isinstance(value, CardLike) else value


Card = Annotated[
    dict[str, Any] | CardLike, PlainValidator(_is_card), PlainSerializer(card_content, return_type=Any)
]
"""The type of a field that holds a card: a dict, or an object that is asked for ``to_dict()`` when the model
is written."""


class Attachment(WireModel):
    """A card, a file or an image that goes with a message. ``content`` is passed on as it is; an object with
    ``to_dict()`` is asked for it when the attachment is written."""

    content_type: str = ""
    content: Annotated[Any, PlainSerializer(_written, return_type=Any, when_used="unless-none")] = None
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
    SET_CACHE_POLICY = "setCachePolicy"
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


class CardAttachmentData(WireModel):
    """A card with its content type. The classes for each kind are in ``card_attachments``."""

    content_type: str
    content: Any


def card_attachment(
    attachment: Mapping[str, Any] | CardLike | BaseModel, content_type: str | None = None
) -> Attachment:
    """The attachment that carries a card.

    A dict is taken as it is, not copied and not checked. An object is asked for its ``to_dict()`` once, now;
    a pydantic model without one is dumped by alias, without None. Raises TypeError for anything else. The
    content type is, unless given, that of the class (:class:`~cadenza.api.HeroCard`,
    :class:`~cadenza.api.HeroCardAttachment` and so on), and else an Adaptive Card's: an object that is only a
    part of one, such as a TextBlock, is a TypeError.
    """
    if isinstance(attachment, Attachment):
        return attachment
    card: object = attachment
    if isinstance(attachment, CardAttachmentData):
        card, content_type = attachment.content, content_type or attachment.content_type
    own = getattr(card, "CONTENT_TYPE", None)
    kind = content_type or (own if isinstance(own, str) else ADAPTIVE_CARD)
    content = card_content(card)
    part = content.get("type")
    if kind == ADAPTIVE_CARD and not isinstance(card, Mapping) and part not in (None, "AdaptiveCard"):
        raise TypeError(
            f"{type(card).__name__} is {part!r}, and no card: put it into one, as in "
            "AdaptiveCard(body=[...]) or AdaptiveCard(actions=[...])."
        )
    return Attachment(content_type=kind, content=content)


def as_attachment(value: Any) -> Any:
    """For fields that hold an attachment: a bare card becomes the attachment that carries it."""
    if isinstance(value, Attachment):
        return value
    if isinstance(value, CardLike | BaseModel) or (
        isinstance(value, dict) and value.get("type") == "AdaptiveCard"
    ):
        return card_attachment(value)
    return value
