"""Who takes part: users, bots, and the conversation itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import ValidationInfo, field_validator

from .agentic_identity import AgenticIdentity
from .base import WireModel

AccountType = Literal["person", "tag", "channel", "team", "bot"]
ConversationType = Literal["personal", "groupChat", "channel"] | str
ChannelID = Literal["msteams", "webchat"] | str

CallerType = Literal["azure", "gov", "bot"]


class CallerIds(StrEnum):
    """Who calls the bot (api-surface.md 1.8)."""

    AZURE = "azure"
    GOV = "gov"
    BOT = "bot"


class Account(WireModel):
    """A user, a bot, or another addressee of a conversation. ``id`` is empty where the service sent none."""

    id: str = ""
    name: str | None = None
    aad_object_id: str | None = None
    type: AccountType | str | None = None
    role: Literal["agenticUser"] | str | None = None
    user_role: str | None = None
    email: str | None = None
    is_targeted: bool | None = None
    properties: dict[str, Any] | None = None
    tenant_id: str | None = None
    callback_uri: str | None = None
    agentic_user_id: str | None = None
    agentic_app_id: str | None = None
    agentic_app_blueprint_id: str | None = None

    @property
    def agentic_identity(self) -> AgenticIdentity | None:
        """The identity of an agentic account; None for an account without a blueprint."""
        if not self.agentic_app_blueprint_id:
            return None
        return AgenticIdentity(
            agentic_app_blueprint_id=self.agentic_app_blueprint_id,
            agentic_app_id=self.agentic_app_id,
            agentic_user_id=self.agentic_user_id,
            tenant_id=self.tenant_id,
        )


class TeamsChannelAccount(Account):
    """A member of a Teams conversation as the members endpoints describe it."""

    object_id: str | None = None
    """Another name for ``aad_object_id``, by which some endpoints write it."""
    given_name: str | None = None
    surname: str | None = None
    user_principal_name: str | None = None

    @field_validator("object_id")
    @classmethod
    def _by_its_other_name(cls, object_id: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("aad_object_id") is None:  # `info.data`: what the fields above were read into
            info.data["aad_object_id"] = object_id
        return object_id


class ConversationAccount(WireModel):
    """The conversation of an activity. ``conversation_type`` is personal, groupChat or channel in Teams.

    ``id`` is empty where the service sent none.
    """

    id: str = ""
    name: str | None = None
    conversation_type: ConversationType | None = None
    is_group: bool | None = None
    tenant_id: str | None = None
