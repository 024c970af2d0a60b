"""Events as JSON: `to_dict`, `from_dict`. Nothing is lost on the way, not even what is not known here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from . import stream_event
from .stream_event import StreamEvent, UnknownEvent

__all__ = ["EventDecodeError", "from_dict", "to_dict"]


class EventDecodeError(ValueError):
    """This JSON is no event. `data` is what came; the message does not tell it, since it may hold what
    people wrote."""

    def __init__(self, message: str, data: object) -> None:
        super().__init__(message)
        self.data = data


def to_dict(event: StreamEvent) -> dict[str, Any]:
    """The event as JSON: "kind", and each field that is not at its default."""
    if isinstance(event, UnknownEvent):
        return _unknown_to_dict(event)
    document: dict[str, Any] = {"kind": event.kind}
    for name, default in _FIELDS[type(event)].items():
        value = getattr(event, name)
        if default is dataclasses.MISSING or value != default:
            document[name] = list(value) if isinstance(value, tuple) else value
    return {**event.extra, **document} if event.extra else document


def from_dict(data: Mapping[str, Any]) -> StreamEvent:
    """The event that this JSON is. A kind that is not known is an `UnknownEvent`, a field that is not known
    is in `extra`, and a word of an enumeration that is not known stays a str. Raises EventDecodeError for
    what has no kind, lacks what its kind needs, or has a field of another type than its kind's."""
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(kind, str):
        raise EventDecodeError(
            f"An event is a JSON object with a string as its kind, not {type(data).__name__} with a kind of "
            f"type {type(kind).__name__}.",
            data,
        )
    cls = _KINDS.get(kind)
    if cls is None:
        return _unknown(data)
    fields = _FIELDS[cls]
    readers = _READERS[cls]
    known: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in data.items():
        if name in fields:
            try:
                known[name] = readers[name](value)
            except TypeError as error:
                raise EventDecodeError(
                    f"{name!r} of an event of the kind {kind!r} is {error}.", data
                ) from None
        elif name != "kind":
            extra[name] = value
    missing = [
        name for name, default in fields.items() if default is dataclasses.MISSING and name not in known
    ]
    if missing:
        raise EventDecodeError(f"An event of the kind {kind!r} needs {', '.join(missing)}.", data)
    return cls(**known, extra=extra or None)


def _unknown(data: Mapping[str, Any]) -> UnknownEvent:
    return UnknownEvent(dict(data), **_common(data))


def _unknown_to_dict(event: UnknownEvent) -> dict[str, Any]:
    """As it came, unless its scope or token was changed since."""
    document = dict(event.data)
    came = _common(document)
    for name, default in _COMMON.items():
        value = getattr(event, name)
        if value != came.get(name, default):
            document[name] = value
    return document


def _common(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that events of all kinds have: whoever sorts events by scope sorts those, too."""
    return {name: data[name] for name in _COMMON if isinstance(data.get(name), str)}


_COMMON: dict[str, str | None] = {"scope": "", "continuation_token": None}


def _reader(hint: Any) -> Callable[[Any], Any]:
    """What makes a field's value of its JSON; it raises TypeError, which says in what the two differ."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if Any in options:
        return lambda value: value
    return partial(_read, tuple(option for option in options if option is not NoneType), NoneType in options)


def _read(types: tuple[Any, ...], optional: bool, value: Any) -> Any:
    if value is None and optional:
        return None
    for expected in types:
        origin = get_origin(expected) or expected
        if origin is Literal:
            if isinstance(value, str) and value in get_args(expected):
                return value
        elif origin is tuple:
            if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
                return tuple(value)
        elif issubclass(origin, StrEnum):
            if isinstance(value, str):
                return origin(value) if value in origin._value2member_map_ else value
        elif isinstance(value, origin) and not (origin is int and isinstance(value, bool)):
            return value
    wanted = " or ".join(map(_name, types))
    raise TypeError(f"to be {wanted}, not this value of the type {type(value).__name__}")


def _name(expected: Any) -> str:
    if get_origin(expected) is Literal:
        return " or ".join(map(repr, get_args(expected)))
    return "a list of str" if get_origin(expected) is tuple else str(getattr(expected, "__name__", expected))


_KINDS: dict[str, type[StreamEvent]] = {
    cls.kind: cls
    for cls in (getattr(stream_event, name) for name in stream_event.__all__)
    if isinstance(cls, type) and issubclass(cls, StreamEvent) and cls not in (StreamEvent, UnknownEvent)
}
_FIELDS: dict[type[StreamEvent], dict[str, Any]] = {
    cls: {field.name: field.default for field in dataclasses.fields(cls) if field.name != "extra"}
    for cls in _KINDS.values()
}
_READERS: dict[type[StreamEvent], dict[str, Callable[[Any], Any]]] = {
    cls: {name: _reader(hint) for name, hint in get_type_hints(cls).items() if name in _FIELDS[cls]}
    for cls in _KINDS.values()
}
