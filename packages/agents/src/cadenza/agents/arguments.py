"""What callers give: a message in each of its forms, and what to call a thing that is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .message import Message

__all__ = ["as_messages", "kind_of"]


def kind_of(given: object) -> str:
    """What it is, for an error: never its value, which may be a secret."""
    return f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__


def as_messages(message: str | Message | Sequence[Message], taker: str) -> tuple[Message, ...]:
    """The messages that were given to `taker`, which is named in the TypeError for what is none."""
    if isinstance(message, str):
        return (Message.user(message),)
    if isinstance(message, Message):
        return (message,)
    hint = f"{taker} takes a str, a Message (Message.user(...)), or a list of Messages"
    if isinstance(message, (bytes, bytearray, Mapping)) or not isinstance(message, Iterable):
        raise TypeError(f"{hint}, not {kind_of(message)}")
    messages = tuple(message)
    for one in messages:
        if not isinstance(one, Message):
            raise TypeError(f"{hint}; this list has {kind_of(one)} in it")
    return messages
