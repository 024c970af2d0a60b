"""`LogFields`: what says of each line of the log which turn it belongs to.

    field             what it is; "" where it is unknown, and outside of turns
    activity_id       the id of the activity that the turn is about
    activity_type     its type, such as "message" or "invoke"
    invoke_name       the name of an invoke, such as "task/fetch"; "" for all else
    conversation_id   the id of the conversation, with the thread of a channel (";messageid=...")
    channel_id        "msteams", or the channel that a plugin brings
    tenant_id         the tenant of the conversation
    trace_id          the OpenTelemetry trace that is being recorded, as 32 hexadecimal digits
    span_id           and the span, as 16

These names stay. The values come from outside, so they are cut after 256 characters, and what cannot be
printed (line ends, control and formatting characters) is a "?" in them: no id writes a line of its own. No
text, no name of a person and no token is among them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cadenza.api import Activity

__all__ = ["FIELDS", "LogFields", "enter", "leave", "with_fields"]

FIELDS = (
    "activity_id",
    "activity_type",
    "invoke_name",
    "conversation_id",
    "channel_id",
    "tenant_id",
    "trace_id",
    "span_id",
)
"""The names of the attributes that a `LogFields` gives each record."""

MOST_CHARACTERS = 256
"""Of each value. The ids of Teams have up to some 200."""

_NOTHING: Mapping[str, str] = dict.fromkeys(FIELDS[:-2], "")


class LogFields(logging.Filter):
    """Gives each record the attributes that `log_fields.py` lists, and lets all of them pass.

        handler = logging.StreamHandler()
        handler.addFilter(LogFields())
        handler.setFormatter(logging.Formatter("%(message)s conversation=%(conversation_id)s"))

    Add it to a handler, and the lines of your own loggers have them, too; the loggers of the App have it by
    themselves. Every record has every field then, an empty one outside of turns, so that a format may name
    them. What a record has already, such as from `extra`, stays as it is. What a turn starts as a task, or in
    a thread by `asyncio.to_thread`, belongs to the turn.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Give `record` the fields of the turn that is running; returns True."""
        attributes = record.__dict__
        turn = _turn.get()
        for name, value in (_NOTHING if turn is None else turn.fields).items():
            attributes.setdefault(name, value)
        if "trace_id" not in attributes or "span_id" not in attributes:
            from cadenza.api.telemetry import current_ids

            trace_id, span_id = current_ids()
            attributes.setdefault("trace_id", trace_id)
            attributes.setdefault("span_id", span_id)
        return True


class TurnFields:
    """The fields of one turn, put together when the first line of it is logged."""

    __slots__ = ("_activity", "_fields")

    def __init__(self, activity: Activity) -> None:
        self._activity: Activity | None = activity
        self._fields: Mapping[str, str] = _NOTHING

    @property
    def fields(self) -> Mapping[str, str]:
        activity = self._activity
        if activity is not None:
            self._fields = {name: _clean(value) for name, value in _fields_of(activity).items()}
            self._activity = None
        return self._fields


def enter(activity: Activity) -> Token[TurnFields | None]:
    """From here on, what is logged in this task, and in those that it starts, is about `activity`."""
    return _turn.set(TurnFields(activity))


def leave(said: Token[TurnFields | None]) -> None:
    """Take back what `enter` has said."""
    _turn.reset(said)


def with_fields(logger: logging.Logger) -> logging.Logger:
    """`logger`, which gives its records the fields from now on."""
    if not any(isinstance(known, LogFields) for known in logger.filters):
        logger.addFilter(LogFields())
    return logger


_turn: ContextVar[TurnFields | None] = ContextVar("cadenza.apps.turn", default=None)


def _fields_of(activity: Activity) -> dict[str, object]:
    conversation, tenant = activity.conversation, activity.tenant
    return {
        "activity_id": activity.id,
        "activity_type": activity.type,
        "invoke_name": getattr(activity, "name", None) if activity.type == "invoke" else None,
        "conversation_id": conversation.id,
        "channel_id": activity.channel_id,
        "tenant_id": (tenant and tenant.id) or conversation.tenant_id,
    }


def _clean(value: object) -> str:
    text = value[:MOST_CHARACTERS] if isinstance(value, str) else ""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else "?" for sign in text)
