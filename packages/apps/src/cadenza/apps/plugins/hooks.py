"""What the hooks of a plugin are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from cadenza.api import Activity, ConversationReference, SentActivity

    from ..routing.responses import InvokeResponse

__all__ = [
    "PluginActivityEvent",
    "PluginActivityResponseEvent",
    "PluginActivitySentEvent",
    "PluginErrorEvent",
    "PluginStartEvent",
]


class PluginStartEvent(NamedTuple):
    """The App listens: activities come in, and turns may run already. What another process has left behind is
    taken over when every on_start has returned, or goes on beside the App."""

    port: int | None
    """The port that it listens on; None where a server of the caller's does."""


class PluginErrorEvent(NamedTuple):
    """Something raised `error`: a handler, a listener, or a plugin that said so itself."""

    error: Exception
    activity: Activity | None = None
    """The activity of the turn that it happened in, if any."""


class PluginActivityEvent(NamedTuple):
    """An activity came in, and its turn begins. The token that it came with is nobody's but the App's."""

    activity: Activity
    conversation_ref: ConversationReference


class PluginActivitySentEvent(NamedTuple):
    """Something was sent: `activity.activity_params`, which its receiver knows by `activity.id`. A chunk of a
    stream comes as a typing activity with the text so far, its end as the message."""

    activity: SentActivity
    conversation_ref: ConversationReference


class PluginActivityResponseEvent(NamedTuple):
    """The turn of `activity` is over. Only of an invoke does anybody see the response."""

    activity: Activity
    conversation_ref: ConversationReference
    response: InvokeResponse[Any] | None
