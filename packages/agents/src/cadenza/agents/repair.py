"""`repair`: messages that every provider takes, whatever cut the runs short that they come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from .message import Message, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart

__all__ = ["interrupted_result", "repair"]

INTERRUPTED = (
    "This call was interrupted and gave no result. Whether it had an effect is not known: "
    "check that before you call it again."
)
"""What the model reads in the place of a result that never came."""


def interrupted_result(call: ToolCallPart) -> ToolResultPart:
    """The result of a call that never came to one."""
    return ToolResultPart(call.id, call.name, INTERRUPTED, error=True, interrupted=True)


def repair(messages: Iterable[Message]) -> list[Message]:
    """The same messages, so that a provider takes them:

    - Right after each message with calls come the results of all of them, one each. A result that stands
      further on is moved there; one that is missing is made up (`interrupted_result`).
    - A result without a call before it, and the second result of a call, is removed; so is the second call
      with the same id in one message, and a call that is not an assistant's. The same id may be used again
      in a later message. A result in another message than one of a tool gets one of its own.
    - An assistant's message that says nothing is removed. Where it was interrupted, reasoning that nothing
      follows is removed from its end: its provider refuses reasoning alone.

    What needs no repair is the same object as before. Repairing twice changes nothing, and the same messages
    always give the same.
    """
    blocks: list[_Block] = []
    asked: dict[str, _Block] = {}
    """By the id of a call: the block that has the newest call with that id."""
    for message in messages:
        if message.role == "assistant":
            said = _without_remains(message)
            if said is not None:
                block = _Block(said)
                blocks.append(block)
                asked.update(dict.fromkeys(block.missing, block))
            _take_results(message, asked)
            continue
        if not any(isinstance(part, (ToolCallPart, ToolResultPart)) for part in message.parts):
            blocks.append(_Block(message))
            continue
        _take_results(message, asked)
        rest: list[Part] = [
            part for part in message.parts if not isinstance(part, (ToolCallPart, ToolResultPart))
        ]
        if rest:
            blocks.append(_Block(_with_parts(message, rest)))
    return [message for block in blocks for message in block.messages()]


def _take_results(message: Message, asked: Mapping[str, _Block]) -> None:
    for part in message.parts:
        if isinstance(part, ToolResultPart) and part.id in asked:
            asked[part.id].take(part, message)


class _Block:
    """A message, and the results of its calls."""

    __slots__ = ("answers", "message", "missing")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.missing = {call.id: call for call in message.tool_calls}
        """By id: the calls that have no result yet, in their order."""
        self.answers: list[tuple[Message, list[Part]]] = []
        """The messages that brought results, and which of their parts those are."""

    def take(self, result: ToolResultPart, source: Message) -> None:
        if self.missing.pop(result.id, None) is None:
            return
        if not self.answers or self.answers[-1][0] is not source:
            self.answers.append((source, []))
        self.answers[-1][1].append(result)

    def messages(self) -> list[Message]:
        found = [self.message]
        for source, parts in self.answers:
            found.append(
                _with_parts(source, parts) if source.role == "tool" else Message("tool", tuple(parts))
            )
        if self.missing:
            found.append(Message("tool", tuple(interrupted_result(call) for call in self.missing.values())))
        return found


def _without_remains(message: Message) -> Message | None:
    """An assistant's message without calls that repeat, results, and reasoning that leads nowhere; None
    where it says nothing."""
    parts: list[Part] = []
    ids: set[str] = set()
    for part in message.parts:
        if isinstance(part, ToolResultPart) or (isinstance(part, ToolCallPart) and part.id in ids):
            continue
        if isinstance(part, ToolCallPart):
            ids.add(part.id)
        parts.append(part)
    if message.status == "interrupted":
        while parts and (isinstance(parts[-1], ReasoningPart) or parts[-1] == TextPart("")):
            parts.pop()
    if all(isinstance(part, TextPart) and not part.text for part in parts):
        return None
    return _with_parts(message, parts)


def _with_parts(message: Message, parts: list[Part]) -> Message:
    return message if len(parts) == len(message.parts) else replace(message, parts=tuple(parts))
