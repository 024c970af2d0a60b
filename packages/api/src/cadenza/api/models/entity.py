"""Entities: mentions, citations, the AI label, streaminfo, quotes; and whatever Teams invents next."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import Field, GetCoreSchemaHandler, SerializeAsAny
from pydantic_core import CoreSchema, core_schema

from .account import Account
from .base import WireModel

SCHEMA_MESSAGE: Final = "https://schema.org/Message"
AI_GENERATED: Final = "AIGeneratedContent"


class CitationIconName(StrEnum):
    """The icons that a citation may have (api-surface.md 1.8)."""

    MICROSOFT_WORD = "Microsoft Word"
    MICROSOFT_EXCEL = "Microsoft Excel"
    MICROSOFT_POWERPOINT = "Microsoft PowerPoint"
    MICROSOFT_ONENOTE = "Microsoft OneNote"
    MICROSOFT_SHAREPOINT = "Microsoft SharePoint"
    MICROSOFT_VISIO = "Microsoft Visio"
    MICROSOFT_LOOP = "Microsoft Loop"
    MICROSOFT_WHITEBOARD = "Microsoft Whiteboard"
    ADOBE_ILLUSTRATOR = "Adobe Illustrator"
    ADOBE_PHOTOSHOP = "Adobe Photoshop"
    ADOBE_INDESIGN = "Adobe InDesign"
    ADOBE_FLASH = "Adobe Flash"
    SKETCH = "Sketch"
    SOURCE_CODE = "Source Code"
    IMAGE = "Image"
    GIF = "GIF"
    VIDEO = "Video"
    SOUND = "Sound"
    ZIP = "ZIP"
    TEXT = "Text"
    PDF = "PDF"


class Entity(WireModel):
    """Something that an activity's text is about, or a property of the whole activity."""

    type: str = ""


EntityBase = Entity


class UnknownEntity(Entity):
    """An entity of a type without a model, or without a type; its fields are kept as they came."""


class ClientInfoEntity(Entity):
    """What the user's client says of itself."""

    type: str = "clientInfo"
    locale: str | None = None
    country: str | None = None
    platform: str | None = None
    timezone: str | None = None


class MentionEntity(Entity):
    """An @mention. ``text`` is what stands for it in the message: ``<at>name</at>``."""

    type: str = "mention"
    mentioned: Account = Field(default_factory=Account)
    text: str | None = None


class StreamInfoEntity(Entity):
    """The place of an activity in a streamed message (teams-protocol.md 1.2)."""

    type: str = "streaminfo"
    stream_id: str | None = None
    stream_type: Literal["informative", "streaming", "final"] | str | None = None
    stream_sequence: int | None = None


class ProductInfoEntity(Entity):
    """The product that sent the activity, such as Microsoft 365 Copilot."""

    type: str = "ProductInfo"
    id: str | None = None


class QuotedReplyData(WireModel):
    """The message that is quoted."""

    message_id: str = ""
    sender_id: str | None = None
    sender_name: str | None = None
    preview: str | None = None
    time: str | None = None
    is_reply_deleted: bool | None = None
    validated_message_reference: bool | None = None


class QuotedReplyEntity(Entity):
    """A quote; ``<quoted messageId="..."/>`` marks its place in the text."""

    type: str = "quotedReply"
    quoted_reply: QuotedReplyData = Field(default_factory=QuotedReplyData)


class TargetedMessageInfoEntity(Entity):
    """The targeted message that this one belongs to. Experimental in Teams."""

    type: str = "targetedMessageInfo"
    message_id: str = ""


class SensitiveUsagePattern(WireModel):
    """The sensitivity label's place in its set."""

    at_type: str = "DefinedTerm"
    in_defined_term_set: str | None = None
    name: str | None = None
    term_code: str | None = None


class SensitiveUsage(WireModel):
    """A sensitivity label."""

    type: str | None = None
    at_type: str = "CreativeWork"
    name: str | None = None
    description: str | None = None
    pattern: SensitiveUsagePattern | None = None


class CitationUsageInfo(SensitiveUsage):
    """The sensitivity of a cited document."""

    at_id: str | None = None
    position: int | None = None


class MessageEntity(Entity):
    """Properties of the whole message. One message carries one of these: label, citations and sensitivity
    share it (teams-protocol.md 1.5)."""

    type: str = SCHEMA_MESSAGE
    at_type: str = "Message"
    at_context: str = "https://schema.org"
    at_id: str = ""
    additional_type: list[str] | None = None
    usage_info: SerializeAsAny[SensitiveUsage] | None = None


class AIMessageEntity(MessageEntity):
    """The AI label."""

    additional_type: list[str] | None = Field(default_factory=lambda: [AI_GENERATED])


class SensitiveUsageEntity(MessageEntity):
    """A sensitivity label on the whole message."""


class CitationImage(WireModel):
    """The icon of a citation."""

    at_type: str = "ImageObject"
    name: CitationIconName | str = ""


Image = CitationImage


class Appearance(WireModel):
    """A cited document, as it goes over the wire."""

    at_type: str = "DigitalDocument"
    name: str = ""
    abstract: str | None = None
    text: str | None = None
    url: str | None = None
    encoding_format: str | None = None
    image: CitationImage | None = None
    keywords: list[str] | None = None
    usage_info: SerializeAsAny[SensitiveUsage] | None = None


class Claim(WireModel):
    """One citation: ``position`` n belongs to ``[n]`` in the text."""

    at_type: str = "Claim"
    position: int = 0
    appearance: Appearance = Field(default_factory=Appearance)


class CitationEntity(MessageEntity):
    """Citations, with whatever else the message's one schema.org entity says."""

    citation: list[Claim] | None = None


class CitationAppearance(WireModel):
    """What a citation shows, for ``add_citation()``, which clips what is over Teams' limits: 80 characters of
    ``name``, 160 of ``abstract``, three ``keywords`` of 28 each (api-surface.md 1.8)."""

    name: str
    abstract: str
    text: str | None = None
    url: str | None = None
    encoding_format: str | None = None
    icon: CitationIconName | str | None = None
    keywords: list[str] | None = None
    usage_info: SerializeAsAny[SensitiveUsage] | None = None

    def to_appearance(self) -> Appearance:
        """The clipped wire form. Limits are counted in UTF-16 code units, as Teams counts text."""
        return Appearance(
            name=clipped(self.name, 80),
            abstract=clipped(self.abstract, 160),
            text=self.text,
            url=self.url,
            encoding_format=self.encoding_format,
            image=CitationImage(name=self.icon) if self.icon else None,
            keywords=[clipped(word, 28) for word in self.keywords[:3]] if self.keywords else None,
            usage_info=self.usage_info,
        )


def clipped(text: str, limit: int) -> str:
    """``text``, cut to ``limit`` UTF-16 code units with an ellipsis where it is longer. Splits no surrogate
    pair."""
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) <= 2 * limit:
        return text
    return units[: 2 * (limit - 1)].decode("utf-16-le", "ignore").rstrip() + "…"


_BY_TYPE: Final[dict[str, type[Entity]]] = {
    "clientInfo": ClientInfoEntity,
    "mention": MentionEntity,
    "streaminfo": StreamInfoEntity,  # the protocol's own pages spell it in two ways (teams-protocol.md 1.2)
    "streamInfo": StreamInfoEntity,
    "ProductInfo": ProductInfoEntity,
    "quotedReply": QuotedReplyEntity,
    "targetedMessageInfo": TargetedMessageInfoEntity,
}
_BY_LOWER_TYPE: Final = {name.lower(): model for name, model in _BY_TYPE.items()}


def entity_model(data: Mapping[Any, Any]) -> type[Entity]:
    """The model for an entity's JSON, by its type and, for schema.org messages, by what it says."""
    kind = data.get("type")
    if not isinstance(kind, str):
        return UnknownEntity
    if kind == SCHEMA_MESSAGE:
        if "citation" in data:
            return CitationEntity
        if "usageInfo" in data or "usage_info" in data:
            return SensitiveUsageEntity
        labels = data.get("additionalType", data.get("additional_type"))
        return AIMessageEntity if isinstance(labels, list) and AI_GENERATED in labels else MessageEntity
    return _BY_LOWER_TYPE.get(kind.lower(), UnknownEntity)


def _tag(value: Any) -> str:
    # An object of a program is what it is: of Entity or of a class made from it.
    return entity_model(value).__name__ if isinstance(value, dict) else Entity.__name__


class _ByType:
    """How an entity of any kind is read. The usual ones are told apart by pydantic itself: a call of Python
    for each would take longer than the rest of a message."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        usual = {name: handler.generate_schema(model) for name, model in _BY_TYPE.items()}
        models = {Entity, UnknownEntity, MessageEntity, AIMessageEntity, SensitiveUsageEntity, CitationEntity}
        models.update(_BY_TYPE.values())
        every = {model.__name__: handler.generate_schema(model) for model in models}
        return core_schema.union_schema(
            [core_schema.tagged_union_schema(usual, "type"), core_schema.tagged_union_schema(every, _tag)],
            mode="left_to_right",
            serialization=core_schema.simple_ser_schema("any"),  # by what it is, not by what the list says
        )


AnyEntity = Annotated[Entity, _ByType()]
"""An entity of any kind: a dict becomes the model for its type."""
