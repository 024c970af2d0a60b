"""The classic cards (api-surface.md 1.8). ``card_attachment()`` makes an attachment of each, with its content
type."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from .attachment import CardAction
from .base import WireModel
from .token import TokenExchangeResource, TokenPostResource

__all__ = [
    "AnimationCard",
    "AudioCard",
    "BasicCard",
    "CardImage",
    "HeroCard",
    "MediaCard",
    "MediaUrl",
    "OAuthCard",
    "SignInCard",
    "ThumbnailCard",
    "ThumbnailUrl",
    "VideoCard",
]


class CardImage(WireModel):
    """A picture on a card; ``alt`` is read aloud, ``tap`` is what pressing it does."""

    url: str
    alt: str | None = None
    tap: CardAction | None = None


class ThumbnailUrl(WireModel):
    """The picture of a media card."""

    url: str
    alt: str | None = None


class MediaUrl(WireModel):
    """A place where the media are."""

    url: str
    profile: str | None = None


class BasicCard(WireModel):
    """What hero and thumbnail cards have in common."""

    title: str | None = None
    subtitle: str | None = None
    text: str | None = None
    images: list[CardImage] | None = None
    buttons: list[CardAction] | None = None
    tap: CardAction | None = None


class HeroCard(BasicCard):
    """A card with one large picture."""

    CONTENT_TYPE: ClassVar[str] = "application/vnd.microsoft.card.hero"


class ThumbnailCard(BasicCard):
    """A card with one small picture."""

    CONTENT_TYPE: ClassVar[str] = "application/vnd.microsoft.card.thumbnail"


class MediaCard(WireModel):
    """What cards that play something have in common. ``duration`` is an ISO 8601 duration, ``aspect`` 16:9 or
    4:3."""

    title: str | None = None
    subtitle: str | None = None
    text: str | None = None
    image: ThumbnailUrl | None = None
    media: list[MediaUrl] | None = None
    buttons: list[CardAction] | None = None
    shareable: bool | None = None
    auto_loop: bool | None = None
    auto_start: bool | None = None
    aspect: str | None = None
    duration: str | None = None
    value: Any = None


class AnimationCard(MediaCard):
    """A card that plays an animated picture."""

    CONTENT_TYPE: ClassVar[str] = "application/vnd.microsoft.card.animation"


class AudioCard(MediaCard):
    """A card that plays sound."""

    CONTENT_TYPE: ClassVar[str] = "application/vnd.microsoft.card.audio"


class VideoCard(MediaCard):
    """A card that plays a video."""

    CONTENT_TYPE: ClassVar[str] = "application/vnd.microsoft.card.video"


class SignInCard(WireModel):
    """A card with a button that opens a sign-in page."""

    CONTENT_TYPE: ClassVar[str] = "application/vnd.microsoft.card.signin"

    title: str | None = None
    subtitle: str | None = None
    text: str | None = None
    buttons: list[CardAction] = Field(default_factory=list)


class OAuthCard(WireModel):
    """A card that signs the user in to ``connection_name``, silently where ``token_exchange_resource``
    allows."""

    CONTENT_TYPE: ClassVar[str] = "application/vnd.microsoft.card.oauth"

    text: str
    connection_name: str
    token_exchange_resource: TokenExchangeResource | None = None
    token_post_resource: TokenPostResource | None = None
    buttons: list[CardAction] | None = None
