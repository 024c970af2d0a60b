"""Cards together with their content types: what ``card_attachment()`` takes (api-surface.md 1.8)."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Literal

from .attachment import Card, CardAttachmentData
from .cards import AnimationCard, AudioCard, HeroCard, OAuthCard, SignInCard, ThumbnailCard, VideoCard

__all__ = [
    "AdaptiveCardAttachment",
    "AnimationCardAttachment",
    "AudioCardAttachment",
    "CardAttachment",
    "CardAttachmentType",
    "CardAttachmentTypes",
    "HeroCardAttachment",
    "OAuthCardAttachment",
    "SigninCardAttachment",
    "ThumbnailCardAttachment",
    "VideoCardAttachment",
]


class AdaptiveCardAttachment(CardAttachmentData):
    """An Adaptive Card: a dict, or an object with ``to_dict()``."""

    content_type: Literal["application/vnd.microsoft.card.adaptive"] = (
        "application/vnd.microsoft.card.adaptive"
    )
    content: Card


class AnimationCardAttachment(CardAttachmentData):
    """An animation card."""

    content_type: Literal["application/vnd.microsoft.card.animation"] = (
        "application/vnd.microsoft.card.animation"
    )
    content: AnimationCard


class AudioCardAttachment(CardAttachmentData):
    """An audio card."""

    content_type: Literal["application/vnd.microsoft.card.audio"] = "application/vnd.microsoft.card.audio"
    content: AudioCard


class HeroCardAttachment(CardAttachmentData):
    """A hero card."""

    content_type: Literal["application/vnd.microsoft.card.hero"] = "application/vnd.microsoft.card.hero"
    content: HeroCard


class OAuthCardAttachment(CardAttachmentData):
    """An OAuth card."""

    content_type: Literal["application/vnd.microsoft.card.oauth"] = "application/vnd.microsoft.card.oauth"
    content: OAuthCard


class SigninCardAttachment(CardAttachmentData):
    """A sign-in card."""

    content_type: Literal["application/vnd.microsoft.card.signin"] = "application/vnd.microsoft.card.signin"
    content: SignInCard


class ThumbnailCardAttachment(CardAttachmentData):
    """A thumbnail card."""

    content_type: Literal["application/vnd.microsoft.card.thumbnail"] = (
        "application/vnd.microsoft.card.thumbnail"
    )
    content: ThumbnailCard


class VideoCardAttachment(CardAttachmentData):
    """A video card."""

    content_type: Literal["application/vnd.microsoft.card.video"] = "application/vnd.microsoft.card.video"
    content: VideoCard


CardAttachment = (
    AdaptiveCardAttachment
    | AnimationCardAttachment
    | AudioCardAttachment
    | HeroCardAttachment
    | OAuthCardAttachment
    | SigninCardAttachment
    | ThumbnailCardAttachment
    | VideoCardAttachment
)
"""Any of them."""


class CardAttachmentType(StrEnum):
    """The kinds of cards."""

    ADAPTIVE = "adaptive"
    ANIMATION = "animation"
    AUDIO = "audio"
    HERO = "hero"
    OAUTH = "oauth"
    SIGN_IN = "signin"
    THUMBNAIL = "thumbnail"
    VIDEO = "video"


class CardAttachmentTypes(Enum):
    """The class for each kind of card."""

    ADAPTIVE = AdaptiveCardAttachment
    ANIMATION = AnimationCardAttachment
    AUDIO = AudioCardAttachment
    HERO = HeroCardAttachment
    OAUTH = OAuthCardAttachment
    SIGN_IN = SigninCardAttachment
    THUMBNAIL = ThumbnailCardAttachment
    VIDEO = VideoCardAttachment
