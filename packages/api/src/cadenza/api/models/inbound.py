"""Reading what Teams sends: the other inbound activities, and ``parse_activity``, which refuses next to
nothing.

Teams backs off for hours from a bot that answers a new kind of payload with a 5xx (api-surface.md 3.3 P1), so
an unknown type, name, literal, entity or field never fails here.
"""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from pydantic import ValidationError
from pydantic_core import from_json

from ..errors import InvalidActivityError
from .account import Account
from .activity import Activity
from .base import WireModel
from .message import MessageActivity, MessageFields, TypingActivity

MAX_DEPTH: Final = 200
"""How many objects and arrays may be nested in one activity, itself included."""


class MessageUpdateActivity(MessageFields, Activity):
    """A message was edited or undeleted: see ``channel_data.event_type``. ``id`` is the message's own."""

    type: str = "messageUpdate"
    text: str = ""


class MessageDeleteActivity(Activity):
    """A message was deleted."""

    type: str = "messageDelete"


class MessageReaction(WireModel):
    """One reaction, such as like or heart."""

    type: str = ""
    created_date_time: str | None = None
    user: Account | None = None


class MessageReactionActivity(Activity):
    """Reactions were put on, or taken off, the message ``reply_to_id``."""

    type: str = "messageReaction"
    reactions_added: list[MessageReaction] | None = None
    reactions_removed: list[MessageReaction] | None = None


class ConversationUpdateActivity(Activity):
    """Members came or went, or the conversation changed: see ``channel_data.event_type``."""

    type: str = "conversationUpdate"
    members_added: list[Account] | None = None
    members_removed: list[Account] | None = None
    topic_name: str | None = None
    history_disclosed: bool | None = None


class InstallationUpdateActivity(Activity):
    """The app was added, removed or upgraded: ``action`` is add, remove, add-upgrade, remove-upgrade or
    newer."""

    type: str = "installationUpdate"
    action: str | None = None


class EventActivity(Activity):
    """Something called ``name`` happened; ``value`` is as it came."""

    type: str = "event"
    name: str | None = None
    value: Any = None


class InvokeActivity(Activity):
    """A request called ``name`` that wants its answer in the HTTP response; ``value`` is as it came."""

    type: str = "invoke"
    name: str | None = None
    value: Any = None


class CommandSendActivity(Activity):
    """A command called ``name``."""

    type: str = "command"
    name: str | None = None
    value: Any = None


class CommandResultActivity(Activity):
    """What came of a command."""

    type: str = "commandResult"
    name: str | None = None
    value: Any = None


class EndOfConversationActivity(Activity):
    """The conversation is over."""

    type: str = "endOfConversation"
    code: str | None = None
    text: str | None = None
    value: Any = None


class TraceActivity(Activity):
    """A note for debugging."""

    type: str = "trace"
    name: str | None = None
    label: str | None = None
    value_type: str | None = None
    value: Any = None


class HandoffActivity(Activity):
    """The conversation is handed over."""

    type: str = "handoff"
    name: str | None = None
    value: Any = None


class UnknownActivity(Activity):
    """An activity of a type without a model, or without a type. Its fields are extras; ``raw`` has it all."""


_BY_TYPE: Final[dict[str, type[Activity]]] = {
    kind.model_fields["type"].default: kind
    for kind in (
        MessageActivity,
        TypingActivity,
        MessageUpdateActivity,
        MessageDeleteActivity,
        MessageReactionActivity,
        ConversationUpdateActivity,
        InstallationUpdateActivity,
        EventActivity,
        InvokeActivity,
        CommandSendActivity,
        CommandResultActivity,
        EndOfConversationActivity,
        TraceActivity,
        HandoffActivity,
    )
}


def parse_activity(data: bytes | str | dict[str, Any]) -> Activity:
    """Read one activity from JSON text or from a JSON object; the dict is kept as ``raw``, not copied.

    The class follows ``type``; an unknown type gives :class:`UnknownActivity`. A field whose value does not
    fit takes its default, an item of a list that does not fit is left out; ``raw`` always has what came.
    Raises :class:`~cadenza.api.InvalidActivityError` for text that is not JSON, for anything that is not an
    object, and for more than 200 levels of nesting; for nothing else.
    """
    text = data if isinstance(data, bytes | bytearray | str) else None
    parsed = data if text is None else _load(text)
    if not isinstance(parsed, dict):
        raise InvalidActivityError(f"an activity is a JSON object, not {_json_kind(parsed)}")
    if (text is None or _may_be_too_deep(text)) and _is_too_deep(parsed):
        raise _too_deep()
    kind = parsed.get("type")
    model = _BY_TYPE.get(kind, UnknownActivity) if isinstance(kind, str) else UnknownActivity
    try:
        activity = model.received(parsed)
    except ValidationError:  # not known to happen; if it does, the raw JSON is worth more than a refusal
        activity = UnknownActivity()
    activity.__dict__["raw"] = parsed
    return activity


def _load(text: bytes | bytearray | str) -> Any:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        pass  # the slower reader knows more encodings, lone surrogates and longer numbers, and says why not
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_int=_integer)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise InvalidActivityError(f"not JSON: {error}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _integer(digits: str) -> int | float:
    # Python refuses to read integers of thousands of digits; JSON allows them.
    return int(digits) if len(digits) < 1000 else float(digits)


def _may_be_too_deep(text: bytes | bytearray | str) -> bool:
    """Whether there are brackets enough. Counting them costs next to nothing, walking through what was read
    as much as reading it."""
    if isinstance(text, str):
        return text.count("{") + text.count("[") > MAX_DEPTH
    return text.count(b"{") + text.count(b"[") > MAX_DEPTH


def _is_too_deep(value: dict[str, Any]) -> bool:
    """Whether there are more than ``MAX_DEPTH`` levels. Walks level by level: no recursion to run out of."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for node in level:
            children = node.values() if isinstance(node, dict) else node
            deeper += [child for child in children if isinstance(child, dict | list)]
        if not deeper:
            return False
        level = deeper
    return True


def _too_deep() -> InvalidActivityError:
    return InvalidActivityError(f"the activity is nested deeper than {MAX_DEPTH} levels")


def _json_kind(value: object) -> str:
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return "a number"
