"""The message that a message extension's action was called on, in the form of Microsoft Graph
(api-surface.md 1.8)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from .attachment import Attachment
from .base import WireModel

__all__ = [
    "ApplicationIdentityType",
    "Message",
    "MessageApp",
    "MessageBody",
    "MessageConversation",
    "MessageFrom",
    "MessageMention",
    "MessageReaction",
    "MessageUser",
    "UserIdentityType",
]

MessageReactionType = (
    Literal["like", "heart", "1f440_eyes", "2705_whiteheavycheckmark", "launch", "1f4cc_pushpin"] | str
)


class UserIdentityType(StrEnum):
    """Kinds of users."""

    AAD_USER = "aadUser"
    ON_PREMISE_AAD_USER = "onPremiseAadUser"
    ANONYMOUS_GUEST = "anonymousGuest"
    FEDERATED_USER = "federatedUser"


class ApplicationIdentityType(StrEnum):
    """Kinds of applications."""

    AAD_APPLICATION = "aadApplication"
    BOT = "BOT"
    TENANT_BOT = "tenantBot"
    OFFICE_365_CONNECTOR = "office365Connector"
    WEBHOOK = "webhook"


class MessageUser(WireModel):
    """A user."""

    user_identity_type: Annotated[UserIdentityType | str | None, Field(union_mode="left_to_right")] = None
    id: str = ""
    display_name: str | None = None


class MessageApp(WireModel):
    """An application, such as a bot."""

    application_identity_type: Annotated[
        ApplicationIdentityType | str | None, Field(union_mode="left_to_right")
    ] = None
    id: str = ""
    display_name: str | None = None


class MessageConversation(WireModel):
    """A team or a channel."""

    conversation_identity_type: Literal["team", "channel"] | str | None = None
    id: str = ""
    display_name: str | None = None


class MessageFrom(WireModel):
    """One of a user, an application and a conversation."""

    user: MessageUser | None = None
    application: MessageApp | None = None
    conversation: MessageConversation | None = None


class MessageBody(WireModel):
    """The text: ``content`` as it is shown, ``text_content`` without markup."""

    content_type: Literal["html", "text"] | str | None = None
    content: str | None = None
    text_content: str | None = None


class MessageMention(WireModel):
    """An @mention: ``id`` is that of the ``<at id="0">`` in the text."""

    id: int = 0
    mention_text: str | None = None
    mentioned: MessageFrom | None = None


class MessageReaction(WireModel):
    """One reaction, such as like or heart."""

    type: MessageReactionType = ""
    created_date_time: str | None = None
    user: MessageUser | None = None


class Message(WireModel):
    """A message. Times are ISO 8601 texts, as they came."""

    id: str = ""
    reply_to_id: str | None = None
    message_type: Literal["message"] | str | None = "message"
    created_date_time: str | None = None
    last_modified_date_time: str | None = None
    deleted: bool | None = None
    subject: str | None = None
    summary: str | None = None
    importance: Literal["low", "normal", "high"] | str | None = None
    locale: str | None = None
    link_to_message: str | None = None
    from_: MessageFrom | None = None
    body: MessageBody | None = None
    attachment_layout: str | None = None
    attachments: list[Attachment] | None = None
    mentions: list[MessageMention] | None = None
    reactions: list[MessageReaction] | None = None
