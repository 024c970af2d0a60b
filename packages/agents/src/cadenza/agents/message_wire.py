"""Messages as JSON: `message_to_dict`, `message_from_dict`. Nothing is lost on the way; parts of a kind that
this version does not know are kept, and written back as they came.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from .message import (
    DataPart,
    Message,
    Part,
    ProviderPart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["UNKNOWN", "MessageDecodeError", "message_from_dict", "message_to_dict"]

UNKNOWN: Final = "cadenza.unknown"
"""The source of the ProviderPart that stands for a part of an unknown kind; its data is the whole JSON."""


class MessageDecodeError(ValueError):
    """This JSON is no message. The text names what is wrong, and never what the message says."""


def message_to_dict(message: Message) -> dict[str, Any]:
    """The message as JSON, without what is at its default."""
    document: dict[str, Any] = {
        "role": message.role,
        "parts": [_part_to_dict(part) for part in message.parts],
    }
    if message.status != "complete":
        document["status"] = message.status
    if message.metadata:
        document["metadata"] = dict(message.metadata)
    return document


def message_from_dict(data: dict[str, Any]) -> Message:
    """The message that this JSON is. Raises MessageDecodeError for what is none."""
    if not isinstance(data, dict):
        raise MessageDecodeError(f"A message is a JSON object, not {type(data).__name__}.")
    role, status, parts = data.get("role"), data.get("status", "complete"), data.get("parts", [])
    if role not in ("system", "user", "assistant", "tool"):
        raise MessageDecodeError(f"The role of a message is system, user, assistant or tool, not {role!r}.")
    if status not in ("complete", "interrupted"):
        raise MessageDecodeError(f"The status of a message is complete or interrupted, not {status!r}.")
    if not isinstance(parts, list):
        raise MessageDecodeError(f"The parts of a message are a list, not {type(parts).__name__}.")
    metadata = data.get("metadata", {})
    if not isinstance(metadata, dict):
        raise MessageDecodeError(
            f"The metadata of a message is a JSON object, not {type(metadata).__name__}."
        )
    return Message(role, tuple(map(_part_from_dict, parts)), status, metadata)


def _part_to_dict(part: Part) -> dict[str, Any]:
    if isinstance(part, ProviderPart) and part.source == UNKNOWN:
        return dict(part.data)
    document: dict[str, Any] = {"kind": _NAMES[type(part)]}
    for name, default in _FIELDS[type(part)].items():
        value = getattr(part, name)
        if default is dataclasses.MISSING or value != default:
            document[name] = value
    return document


def _part_from_dict(data: Any) -> Part:
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str):
        raise MessageDecodeError("A part of a message is a JSON object with a string as its kind.")
    cls = _KINDS.get(kind)
    if cls is None:
        return ProviderPart(UNKNOWN, dict(data))
    fields = _FIELDS[cls]
    values: dict[str, Any] = {}
    for name, types in _TYPES[cls].items():
        if name in data:
            value = values[name] = data[name]
            if not isinstance(value, types):
                raise MessageDecodeError(
                    f"{name!r} of a part of the kind {kind!r} cannot be {type(value).__name__}."
                )
        elif fields[name] is dataclasses.MISSING:
            raise MessageDecodeError(f"A part of the kind {kind!r} needs {name}.")
    part: Part = cls(**values)
    return part


_KINDS: dict[str, type[Any]] = {
    "text": TextPart,
    "data": DataPart,
    "reasoning": ReasoningPart,
    "tool_call": ToolCallPart,
    "tool_result": ToolResultPart,
    "provider": ProviderPart,
}
_NAMES = {cls: kind for kind, cls in _KINDS.items()}
_FIELDS: dict[type[Any], dict[str, Any]] = {
    cls: {field.name: field.default for field in dataclasses.fields(cls)} for cls in _NAMES
}
_JSON = {"str": (str,), "str | None": (str, type(None)), "bool": (bool,), "Mapping[str, Any]": (dict,)}
_TYPES: dict[type[Any], dict[str, tuple[type[Any], ...]]] = {
    cls: {field.name: _JSON[str(field.type)] for field in dataclasses.fields(cls)} for cls in _NAMES
}
