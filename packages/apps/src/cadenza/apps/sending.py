"""From what a program hands over (a text, an activity, a card) to one request to the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from cadenza import api as teams

if TYPE_CHECKING:
    from cadenza.api import (
        Account,
        Activity,
        ActivityInput,
        AnimationCard,
        ApiClient,
        Attachment,
        AudioCard,
        CardAttachmentData,
        CardLike,
        ConversationAccount,
        ConversationReference,
        HeroCard,
        OAuthCard,
        SentActivity,
        SignInCard,
        ThumbnailCard,
        VideoCard,
    )

    from .plugins.channel import ChannelOutlet

ClassicCard: TypeAlias = (
    "HeroCard | ThumbnailCard | AnimationCard | AudioCard | VideoCard | SignInCard | OAuthCard"
)

Sendable: TypeAlias = (
    "str | ActivityInput | CardLike | Mapping[str, Any] | ClassicCard | CardAttachmentData | Attachment"
)
"""A text, an activity, a card object, an Adaptive Card as a dict (`{"type": "AdaptiveCard", ...}`), a classic
card (`HeroCard(...)`), or an attachment."""


def as_activity(value: Sendable) -> ActivityInput:
    """The activity that `value` stands for; an activity is returned as it is. Raises TypeError for anything
    that cannot be sent."""
    if isinstance(value, teams.ActivityInput):
        return value
    if isinstance(value, str):
        return teams.MessageActivityInput(text=value)
    if isinstance(value, teams.CardLike):
        return teams.MessageActivityInput().add_card(value)
    if isinstance(value, Mapping) and value.get("type") == "AdaptiveCard":
        return teams.MessageActivityInput().add_card(value)
    if _is_classic_card(value):
        return teams.MessageActivityInput().add_card(value)
    what = type(value).__name__
    if isinstance(value, Mapping):
        what = (
            f"a dict whose type is {value.get('type')!r}. For an activity, MessageActivityInput(**fields); "
            "to send JSON as it is, ctx.api.conversations.create_activity(conversation_id, fields)"
        )
    raise TypeError(
        "Can send a str, an activity such as MessageActivityInput, or a card (an object with to_dict(), a "
        f"dict whose type is AdaptiveCard, a classic card such as HeroCard), not {what}."
    )


def _is_classic_card(value: object) -> TypeGuard[ClassicCard | CardAttachmentData | Attachment]:
    """Whether it is a model that tells its content type, such as a HeroCard, or has one."""
    if isinstance(value, teams.Attachment | teams.CardAttachmentData):
        return True
    return isinstance(value, teams.WireModel) and isinstance(getattr(value, "CONTENT_TYPE", None), str)


def is_personal(conversation: ConversationAccount) -> bool:
    """Whether a conversation is known to be a one-to-one chat.

    The name of its type decides: channels may come without `isGroup` (api-surface.md 3.3, P18). Where nothing
    is known, as of an id alone, the answer is no: then the service decides.
    """
    if conversation.conversation_type:
        return conversation.conversation_type.lower() == "personal"
    return conversation.is_group is False


def is_targeted(activity: Activity | ActivityInput) -> bool:
    """Whether its recipient alone sees it."""
    return activity.recipient is not None and activity.recipient.is_targeted is True


def asked_in_private(inbound: Activity) -> bool:
    """Whether nobody but the bot has seen this message of a chat with others, so that nobody but its sender
    should see the answer (api-surface.md 1.10)."""
    return (
        isinstance(inbound, teams.MessageActivity)
        and is_targeted(inbound)
        and not is_personal(inbound.conversation)
    )


def asker(inbound: Activity) -> Account:
    """The sender of `inbound`, as the recipient of a message that nobody else sees."""
    return inbound.from_.model_copy(update={"is_targeted": True})


def answered_in_private(
    inbound: Activity, ref: ConversationReference, outbound: ActivityInput
) -> ActivityInput:
    """`outbound`, or a copy of it that only the sender of `inbound` sees.

    A message that was targeted at the bot is answered so: in the same conversation, by a message that is new
    (without an id) and names no recipient (api-surface.md 1.10).
    """
    if not (
        isinstance(outbound, teams.MessageActivityInput)
        and not outbound.id
        and outbound.recipient is None
        and ref.conversation.id == inbound.conversation.id
        and asked_in_private(inbound)
    ):
        return outbound
    # Its builders put new values into the copy, and change none that it shares with the caller's.
    private = outbound.model_copy(update={"recipient": asker(inbound)})
    return private.add_targeted_message_info(inbound.id) if inbound.id else private


def would_betray(inbound: Activity, ref: ConversationReference, outbound: ActivityInput) -> bool:
    """Whether `outbound` is a typing indicator that would show the others of a chat that somebody asked the
    bot in private."""
    return (
        isinstance(outbound, teams.TypingActivityInput)
        and ref.conversation.id == inbound.conversation.id
        and asked_in_private(inbound)
    )


async def send_activity(
    api: ApiClient | ChannelOutlet, ref: ConversationReference, value: Sendable
) -> SentActivity:
    """Send one activity to the conversation of `ref`; one that has an id replaces the message of that id, and
    one whose recipient is targeted is seen by that person only (teams-protocol.md 7, "Targeted"). To a
    plugin's channel goes a copy, which is the plugin's.

    The caller's object stays as it is. Raises ValueError for a targeted message that no service would take,
    before anything is sent, and what `ApiClient` raises.
    """
    activity = as_activity(value)
    targeted = is_targeted(activity)
    if targeted:
        _check_targeted(activity, ref)
    filled: dict[str, Any] = {"conversation": ref.conversation}
    if ref.bot != teams.Account():
        filled["from_"] = ref.bot
    outbound = activity.model_copy(update=filled)
    if not isinstance(api, teams.ApiClient):
        return await api.send(outbound.model_copy(deep=True), ref)
    elsewhere = ref.service_url and ref.service_url.rstrip("/") != api.service_url
    conversations = (api.at(ref.service_url) if elsewhere else api).conversations
    if outbound.id:
        update = conversations.update_targeted_activity if targeted else conversations.update_activity
        return await update(ref.conversation.id, outbound.id, outbound)
    create = conversations.create_targeted_activity if targeted else conversations.create_activity
    return await create(ref.conversation.id, outbound)


def _check_targeted(activity: ActivityInput, ref: ConversationReference) -> None:
    if is_personal(ref.conversation):
        raise ValueError(
            f"A targeted message cannot be sent to the one-to-one chat {ref.conversation.id!r}: nobody else "
            "is there who could see it. Send it without is_targeted. Nothing was sent."
        )
    if not activity.id and (activity.recipient is None or not activity.recipient.id):
        raise ValueError(
            "A targeted message needs a recipient with an id: with_recipient(account, is_targeted=True). "
            "Nothing was sent."
        )
