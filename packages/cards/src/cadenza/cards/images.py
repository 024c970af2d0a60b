"""Images: alone, in sets, and behind other things."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from .objects import CardElement, CardObject, JsonObject, OneAction, Part, Parts, Plain, Slot, ThemedUrl
from .words import (
    FillMode,
    HorizontalAlignment,
    ImageFitMode,
    ImageSize,
    ImageStyle,
    Size,
    VerticalAlignment,
)

__all__ = ["BackgroundImage", "Image", "ImageSet", "TeamsImageProperties"]


class BackgroundImage(CardObject):
    """An image behind a card or a container. Its address alone may be given in its place."""

    url: str
    fill_mode: FillMode | None = None
    horizontal_alignment: HorizontalAlignment | None = None
    vertical_alignment: VerticalAlignment | None = None
    themed_urls: Parts[ThemedUrl] | None = None


if TYPE_CHECKING:
    Background: TypeAlias = str | BackgroundImage | Plain | JsonObject
else:
    Background = Annotated[Any, Slot(BackgroundImage, text=True)]


class TeamsImageProperties(CardObject):
    """What only Teams does with an image: ``allow_expand`` lets the user look at it in large."""

    allow_expand: bool | None = None


class Image(CardElement):
    """An image. ``width`` and ``height`` are in pixels: ``"80px"``."""

    type: Literal["Image"] = "Image"
    url: str
    alt_text: str | None = None
    background_color: str | None = None
    style: ImageStyle | None = None
    size: Size | None = None
    width: str | None = None
    height: str | None = None  # type: ignore[assignment] # pixels, beside the words of other elements
    horizontal_alignment: HorizontalAlignment | None = None
    select_action: OneAction | None = None
    allow_expand: bool | None = None
    msteams: Part[TeamsImageProperties] | None = None
    themed_urls: Parts[ThemedUrl] | None = None
    fit_mode: ImageFitMode | None = None
    horizontal_content_alignment: HorizontalAlignment | None = None
    vertical_content_alignment: VerticalAlignment | None = None


class ImageSet(CardElement):
    """Images beside each other, like a gallery."""

    type: Literal["ImageSet"] = "ImageSet"
    images: Parts[Image]
    image_size: ImageSize | None = None
    horizontal_alignment: HorizontalAlignment | None = None
