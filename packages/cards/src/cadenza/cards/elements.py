"""What a card shows: text, facts, media, code, badges, stars, progress."""

from __future__ import annotations

from typing import Literal

from .objects import (
    CardElement,
    CardObject,
    Inline,
    Inlines,
    Number,
    OneAction,
    Part,
    Parts,
    ThemedUrl,
)
from .words import (
    BadgeAppearance,
    BadgeIconPosition,
    BadgeShape,
    BadgeSize,
    BadgeStyle,
    CodeLanguage,
    FontType,
    HorizontalAlignment,
    IconSize,
    IconStyle,
    ImageStyle,
    ProgressBarColor,
    ProgressRingLabelPosition,
    ProgressRingSize,
    RatingColor,
    RatingSize,
    RatingStyle,
    TextBlockStyle,
    TextColor,
    TextSize,
    TextWeight,
)

__all__ = [
    "Badge",
    "CaptionSource",
    "CodeBlock",
    "CompoundButton",
    "Fact",
    "FactSet",
    "Icon",
    "IconInfo",
    "IconRun",
    "ImageRun",
    "Media",
    "MediaSource",
    "ProgressBar",
    "ProgressRing",
    "Rating",
    "RichTextBlock",
    "TextBlock",
    "TextRun",
]


class TextBlock(CardElement):
    """A paragraph. ``text`` may have the Markdown of Adaptive Cards: bold, italic, lists, links."""

    type: Literal["TextBlock"] = "TextBlock"
    text: str
    size: TextSize | None = None
    weight: TextWeight | None = None
    color: TextColor | None = None
    is_subtle: bool | None = None
    font_type: FontType | None = None
    wrap: bool | None = None
    max_lines: Number | None = None
    style: TextBlockStyle | None = None
    horizontal_alignment: HorizontalAlignment | None = None
    label_for: str | None = None


class TextRun(Inline):
    """A stretch of text within a RichTextBlock, with a look of its own."""

    type: Literal["TextRun"] = "TextRun"
    text: str
    size: TextSize | None = None
    weight: TextWeight | None = None
    color: TextColor | None = None
    is_subtle: bool | None = None
    font_type: FontType | None = None
    italic: bool | None = None
    strikethrough: bool | None = None
    highlight: bool | None = None
    underline: bool | None = None
    select_action: OneAction | None = None


class IconRun(Inline):
    """An icon within a RichTextBlock."""

    type: Literal["IconRun"] = "IconRun"
    name: str
    size: TextSize | None = None
    style: IconStyle | None = None
    color: TextColor | None = None
    select_action: OneAction | None = None


class ImageRun(Inline):
    """An image within a RichTextBlock."""

    type: Literal["ImageRun"] = "ImageRun"
    url: str
    size: TextSize | None = None
    style: ImageStyle | None = None
    select_action: OneAction | None = None
    themed_urls: Parts[ThemedUrl] | None = None


class RichTextBlock(CardElement):
    """A paragraph of runs: text (plain, or TextRun), IconRun, ImageRun."""

    type: Literal["RichTextBlock"] = "RichTextBlock"
    inlines: Inlines
    horizontal_alignment: HorizontalAlignment | None = None
    label_for: str | None = None


class Fact(CardObject):
    """A title and its value."""

    title: str
    value: str


class FactSet(CardElement):
    """Facts as a table of two columns."""

    type: Literal["FactSet"] = "FactSet"
    facts: Parts[Fact]


class MediaSource(CardObject):
    """Where a video or sound is."""

    url: str
    mime_type: str | None = None


class CaptionSource(CardObject):
    """Where the captions of a video are."""

    url: str
    mime_type: str | None = None
    label: str | None = None


class Media(CardElement):
    """A video or sound."""

    type: Literal["Media"] = "Media"
    sources: Parts[MediaSource]
    caption_sources: Parts[CaptionSource] | None = None
    poster: str | None = None
    alt_text: str | None = None


class Icon(CardElement):
    """An icon of Fluent, by its name."""

    type: Literal["Icon"] = "Icon"
    name: str
    size: IconSize | None = None
    style: IconStyle | None = None
    color: TextColor | None = None
    horizontal_alignment: HorizontalAlignment | None = None
    select_action: OneAction | None = None


class IconInfo(CardObject):
    """The icon of a CompoundButton."""

    name: str
    size: IconSize | None = None
    style: IconStyle | None = None
    color: TextColor | None = None


class CompoundButton(CardElement):
    """A large button: icon, badge, title and description. ``select_action`` is what it does."""

    type: Literal["CompoundButton"] = "CompoundButton"
    title: str | None = None
    description: str | None = None
    icon: Part[IconInfo] | None = None
    badge: str | None = None
    select_action: OneAction | None = None
    horizontal_alignment: HorizontalAlignment | None = None


class Badge(CardElement):
    """A word or an icon on a coloured ground."""

    type: Literal["Badge"] = "Badge"
    text: str | None = None
    icon: str | None = None
    icon_position: BadgeIconPosition | None = None
    appearance: BadgeAppearance | None = None
    size: BadgeSize | None = None
    shape: BadgeShape | None = None
    style: BadgeStyle | None = None
    tooltip: str | None = None
    horizontal_alignment: HorizontalAlignment | None = None


class Rating(CardElement):
    """Stars, to be looked at. :class:`~cadenza.cards.InputRating` asks for them."""

    type: Literal["Rating"] = "Rating"
    value: Number | None = None
    max: Number | None = None
    count: Number | None = None
    size: RatingSize | None = None
    color: RatingColor | None = None
    style: RatingStyle | None = None
    horizontal_alignment: HorizontalAlignment | None = None


class ProgressRing(CardElement):
    """Turns as long as the card is shown."""

    type: Literal["ProgressRing"] = "ProgressRing"
    label: str | None = None
    label_position: ProgressRingLabelPosition | None = None
    size: ProgressRingSize | None = None
    horizontal_alignment: HorizontalAlignment | None = None


class ProgressBar(CardElement):
    """How far something is: ``value`` of ``max`` (100 unless given). Without ``value`` it runs to and fro."""

    type: Literal["ProgressBar"] = "ProgressBar"
    value: Number | None = None
    max: Number | None = None
    color: ProgressBarColor | None = None
    horizontal_alignment: HorizontalAlignment | None = None


class CodeBlock(CardElement):
    """Code with line numbers and colours."""

    type: Literal["CodeBlock"] = "CodeBlock"
    code_snippet: str | None = None
    language: CodeLanguage | None = None
    start_line_number: Number | None = None
    horizontal_alignment: HorizontalAlignment | None = None
