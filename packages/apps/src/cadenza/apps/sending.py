"""From what a program hands over (a text, an activity, a card) to one request to the service."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from cadenza.api import (
    Account,
    ActivityInput,
    ApiClient,
    CardLike,
    ConversationReference,
    MessageActivityInput,
    SentActivity,
)

Sendable: TypeAlias = str | ActivityInput | CardLike | Mapping[str, Any]
"""A text, an activity, a card object, or an Adaptive Card as a dict (`{"type": "AdaptiveCard", ...}`)."""


def as_activity(value: Sendable) -> ActivityInput:
    """The activity that `value` stands for; an activity is returned as it is. Raises TypeError for anything
    that cannot be sent."""
    if isinstance(value, ActivityInput):
        return value
    if isinstance(value, str):
        return MessageActivityInput(text=value)
    if isinstance(value, CardLike):
        return MessageActivityInput().add_card(value)
    if isinstance(value, Mapping) and value.get("type") == "AdaptiveCard":
        return MessageActivityInput().add_card(value)
    raise TypeError(
        "Can send a str, an activity such as MessageActivityInput, or a card (an object with to_dict(), or a "
        f"dict whose type is AdaptiveCard), not {type(value).__name__}."
    )


async def send_activity(api: ApiClient, ref: ConversationReference, value: Sendable) -> SentActivity:
    """Send one activity to the conversation of `ref`; one that has an id replaces the message of that id.

    The caller's object stays as it is. Raises what `ApiClient` raises.
    """
    activity = as_activity(value)
    filled: dict[str, Any] = {"conversation": ref.conversation}
    if ref.bot != Account():
        filled["from_"] = ref.bot
    outbound = activity.model_copy(update=filled)
    elsewhere = ref.service_url and ref.service_url.rstrip("/") != api.service_url
    conversations = (api.at(ref.service_url) if elsewhere else api).conversations
    if outbound.id:
        return await conversations.update_activity(ref.conversation.id, outbound.id, outbound)
    return await conversations.create_activity(ref.conversation.id, outbound)
