"""Who takes part: users, bots, and the conversation itself."""

from __future__ import annotations

from typing import Any

from pydantic import AliasChoices, Field

from .base import WireModel


class Account(WireModel):
    """A user, a bot, or another addressee of a conversation. ``id`` is empty where the service sent none."""

    id: str = ""
    name: str | None = None
    aad_object_id: str | None = None
    type: str | None = None
    role: str | None = None
    email: str | None = None
    is_targeted: bool | None = None
    properties: dict[str, Any] | None = None


class TeamsChannelAccount(Account):
    """A member of a Teams conversation as the members endpoints describe it."""

    aad_object_id: str | None = Field(
        default=None,
        validation_alias=AliasChoices("aadObjectId", "objectId", "aad_object_id"),
        serialization_alias="aadObjectId",
    )
    user_role: str | None = None
    given_name: str | None = None
    surname: str | None = None
    user_principal_name: str | None = None
    tenant_id: str | None = None


class ConversationAccount(WireModel):
    """The conversation of an activity. ``conversation_type`` is personal, groupChat or channel in Teams.

    ``id`` is empty where the service sent none.
    """

    id: str = ""
    name: str | None = None
    conversation_type: str | None = None
    is_group: bool | None = None
    tenant_id: str | None = None
