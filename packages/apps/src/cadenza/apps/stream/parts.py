"""What an answer carries beside its text, and which of its messages carries what.

Activities emitted in one cycle are merged: lists grow, mappings merge, a later value replaces an earlier
one, and an absent value replaces nothing. All values are JSON as it goes over the wire.

Where an answer becomes several messages, attachments, suggested actions and channelData (feedback) go with
the last, the AI label with all, citations and mentions where the text uses them (design.md section 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

__all__ = ["Parts"]

Json = dict[str, Any]

_MESSAGE_ENTITY = "https://schema.org/Message"
_NOT_CONTENT = frozenset(
    {"type", "id", "text", "from", "conversation", "recipient", "replyToId", "serviceUrl", "channelId"}
)
_STREAM_KEYS = frozenset({"streamId", "streamType", "streamSequence"})


class Parts:
    """The attachments, entities, suggested actions, channelData and other fields of one cycle."""

    __slots__ = ("attachments", "channel_data", "entities", "fields", "suggested_actions")

    def __init__(self) -> None:
        self.attachments: list[Json] = []
        self.entities: list[Json] = []
        self.suggested_actions: Json = {}
        self.channel_data: Json = {}
        self.fields: Json = {}
        """Every other field of a message, such as textFormat or importance."""

    def merge(self, activity: Mapping[str, Any]) -> None:
        """Take over what `activity`, a message as it goes over the wire, carries beside its text."""
        for name, value in activity.items():
            if value is None or name in _NOT_CONTENT:
                continue
            if name == "attachments":
                self.attachments += value
            elif name == "entities":
                for entity in value:
                    self._add_entity(entity)
            elif name == "suggestedActions":
                _merge_lists(self.suggested_actions, value)
            elif name == "channelData":
                _merge_mappings(self.channel_data, {k: v for k, v in value.items() if k not in _STREAM_KEYS})
            else:
                self.fields[name] = value

    def _add_entity(self, entity: Json) -> None:
        kind = str(entity.get("type", ""))
        if kind.lower() == "streaminfo" or entity in self.entities:
            return  # the stream writes its own streaminfo
        if kind == _MESSAGE_ENTITY:  # a message has one such entity: label, citations and sensitivity in one
            for present in self.entities:
                if present.get("type") == kind:
                    _merge_lists(present, entity)
                    return
        self.entities.append(_copy(entity))

    @property
    def has_extras(self) -> bool:
        """Whether there is anything that a message can consist of without text."""
        return bool(self.attachments or self.suggested_actions)

    def extras(self) -> Json:
        """The fields that can stand in a message of their own."""
        wire: Json = {}
        if self.attachments:
            wire["attachments"] = self.attachments
        if self.suggested_actions:
            wire["suggestedActions"] = self.suggested_actions
        if "attachmentLayout" in self.fields:
            wire["attachmentLayout"] = self.fields["attachmentLayout"]
        return wire

    def metadata(self, text: str, *, last: bool, before: str = "") -> Json:
        """The fields that belong to the text of one message. `before` is the text of the messages that
        the same answer has had before this one."""
        wire = {name: value for name, value in self.fields.items() if name != "attachmentLayout"}
        entities = [e for e in (_of_text(entity, text, before, last) for entity in self.entities) if e]
        if entities:
            wire["entities"] = entities
        if last and self.channel_data:
            wire["channelData"] = self.channel_data
        return wire

    def missing(self, *, extras: bool, metadata: bool) -> tuple[str, ...]:
        """Names of the fields that hold anything, of those that `extras` and `metadata` select."""
        held = (
            ("attachments", extras and self.attachments),
            ("suggestedActions", extras and self.suggested_actions),
            ("entities", metadata and self.entities),
            ("channelData", metadata and self.channel_data),
        )
        return tuple(name for name, value in held if value)

    def to_json(self) -> Json:
        return {name: deepcopy(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Parts:
        parts = cls()
        for name in cls.__slots__:
            setattr(parts, name, deepcopy(data[name]))
        return parts


def _of_text(entity: Json, text: str, before: str, last: bool) -> Json | None:
    """The part of `entity` that belongs to a message with `text`; the last one takes what no text used."""

    def here(mark: str) -> bool:
        return mark in text or (last and mark not in before)

    if entity.get("type") == "mention":
        return entity if here(str(entity.get("text", ""))) else None
    if entity.get("type") == _MESSAGE_ENTITY:
        kept = {name: value for name, value in entity.items() if name != "citation"}
        citations = [c for c in entity.get("citation", ()) if here(f"[{c.get('position')}]")]
        if citations:
            kept["citation"] = citations
        labelled = citations or entity.get("additionalType") or entity.get("usageInfo")
        return kept if labelled or not entity.get("citation") else None
    return entity if last else None


def _merge_lists(into: Json, new: Mapping[str, Any]) -> None:
    """Merge a mapping whose lists grow by what they do not hold yet; a citation replaces the one of its
    position."""
    for name, value in new.items():
        if isinstance(value, list):
            present: list[Any] = into.setdefault(name, [])
            if name == "citation":
                taken = {c.get("position") for c in value}
                present[:] = [c for c in present if c.get("position") not in taken]
            present += [item for item in value if item not in present]
        elif value is not None:
            into[name] = value


def _merge_mappings(into: Json, new: Mapping[str, Any]) -> None:
    for name, value in new.items():
        if isinstance(value, Mapping) and isinstance(into.get(name), dict):
            _merge_mappings(into[name], value)
        elif value is not None:
            into[name] = _copy(value) if isinstance(value, dict) else value


def _copy(entity: Mapping[str, Any]) -> Json:
    """A copy down to the lists and mappings that merging changes."""
    return {
        name: list(value) if isinstance(value, list) else _copy(value) if isinstance(value, dict) else value
        for name, value in entity.items()
    }
