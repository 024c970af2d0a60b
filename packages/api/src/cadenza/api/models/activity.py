"""What inbound and outbound activities have in common."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Self

from pydantic import Field

from .account import Account, ConversationAccount
from .base import WireModel
from .channel_data import (
    ChannelData,
    ChannelInfo,
    MeetingReference,
    NotificationInfo,
    TeamInfo,
    TenantInfo,
)
from .conversation import ConversationReference
from .entity import AnyEntity, Entity, StreamInfoEntity, entity_model


class _ActivityFields(WireModel):
    """Fields and views of every activity, in either direction."""

    timestamp: datetime | None = None
    local_timestamp: datetime | None = None
    local_timezone: str | None = None
    service_url: str | None = None
    locale: str | None = None
    reply_to_id: str | None = None
    relates_to: ConversationReference | None = None
    entities: list[AnyEntity] | None = None
    channel_data: ChannelData | None = None

    @property
    def channel(self) -> ChannelInfo | None:
        """The channel of a team that the activity is in."""
        return self.channel_data.channel if self.channel_data else None

    @property
    def team(self) -> TeamInfo | None:
        """The team that the activity is in."""
        return self.channel_data.team if self.channel_data else None

    @property
    def meeting(self) -> MeetingReference | None:
        """The meeting that the activity belongs to."""
        return self.channel_data.meeting if self.channel_data else None

    @property
    def notification(self) -> NotificationInfo | None:
        """How the recipient is alerted."""
        return self.channel_data.notification if self.channel_data else None

    @property
    def tenant(self) -> TenantInfo | None:
        """The tenant that the activity comes from."""
        return self.channel_data.tenant if self.channel_data else None

    def is_streaming(self) -> bool:
        """Whether the activity is part of a streamed message."""
        return self._stream_info() is not None

    def _stream_info(self) -> StreamInfoEntity | None:
        return next((e for e in self.entities or [] if isinstance(e, StreamInfoEntity)), None)


class Activity(_ActivityFields):
    """Something that happened, as Teams tells the bot.

    Strings that the protocol requires (``type``, ``id``, the ids of accounts) are empty where the service
    sent none or something else; optional ones are None. ``raw`` has what really came; ``to_wire()`` has it
    too, but for nulls, and adds the defaults that never came: ``"channelId": "msteams"``,
    ``"conversation": {"id": ""}`` and the like.
    """

    type: str = ""
    id: str = ""
    channel_id: str = "msteams"
    from_: Account = Field(default_factory=Account)
    conversation: ConversationAccount = Field(default_factory=ConversationAccount)
    recipient: Account = Field(default_factory=Account)

    @cached_property
    def raw(self) -> dict[str, Any]:
        """The JSON object as it was received; empty for an activity that was made in a program."""
        return {}  # parse_activity() sets it; a private attribute of pydantic's costs more than all fields


class ActivityInput(_ActivityFields):
    """Something that the bot sends. Every field is optional; each builder changes this object and returns it.

    Nothing that a builder is given is changed, nor is the activity itself by sending it.
    """

    type: str | None = None
    id: str | None = None
    channel_id: str | None = None
    from_: Account | None = None
    conversation: ConversationAccount | None = None
    recipient: Account | None = None

    def with_id(self, value: str) -> Self:
        """Set the id: a message that has one replaces the message with that id."""
        self.id = value
        return self

    def with_reply_to_id(self, value: str) -> Self:
        """Set the id of the activity that this one answers."""
        self.reply_to_id = value
        return self

    def with_channel_id(self, value: str) -> Self:
        """Set the channel, such as msteams."""
        self.channel_id = value
        return self

    def with_from(self, value: Account) -> Self:
        """Set the sender."""
        self.from_ = value
        return self

    def with_conversation(self, value: ConversationAccount) -> Self:
        """Set the conversation."""
        self.conversation = value
        return self

    def with_relates_to(self, value: ConversationReference) -> Self:
        """Set the conversation that the activity refers to."""
        self.relates_to = value
        return self

    def with_recipient(self, value: Account, is_targeted: bool | None = None) -> Self:
        """Set the recipient. ``is_targeted=True`` makes the message visible to that person only, False to
        all; None leaves it as the account says. Raises TypeError for what is no account."""
        if not isinstance(value, Account):
            raise TypeError(
                "with_recipient takes an Account, such as ctx.activity.from_ or Account(id=...), "
                f"not {value!r}."
            )
        self.recipient = (
            value if is_targeted is None else value.model_copy(update={"is_targeted": is_targeted})
        )
        return self

    def with_service_url(self, value: str) -> Self:
        """Set the service URL."""
        self.service_url = value
        return self

    def with_timestamp(self, value: datetime) -> Self:
        """Set the time of sending."""
        self.timestamp = value
        return self

    def with_local_timestamp(self, value: datetime) -> Self:
        """Set the sender's local time."""
        self.local_timestamp = value
        return self

    def with_locale(self, value: str) -> Self:
        """Set the language, such as en-US."""
        self.locale = value
        return self

    def with_channel_data(self, value: ChannelData | Mapping[str, Any]) -> Self:
        """Merge into the channel data: keys given here win, keys that are absent or None erase nothing."""
        self.channel_data = (self.channel_data or ChannelData()).merged(value)
        return self

    def add_entity(self, value: Entity | Mapping[str, Any]) -> Self:
        """Add an entity; a dict becomes the model for its type."""
        entity = value if isinstance(value, Entity) else entity_model(value).model_validate(dict(value))
        # A new list: the old one may be another activity's too.
        self.entities = [*(self.entities or []), entity]
        return self

    def add_entities(self, *values: Entity | Mapping[str, Any]) -> Self:
        """Add entities."""
        for value in values:
            self.add_entity(value)
        return self

    def _with_stream_info(self, info: StreamInfoEntity) -> Self:
        # An activity has one streaminfo: receivers ignore all of several (teams-protocol.md 1.2).
        self.entities = [e for e in self.entities or [] if not isinstance(e, StreamInfoEntity)] + [info]
        # The Teams SDKs mirror it in channelData; the two must agree.
        self.channel_data = (self.channel_data or ChannelData()).model_copy(
            update={
                "stream_id": info.stream_id,
                "stream_type": info.stream_type,
                "stream_sequence": info.stream_sequence,
            }
        )
        return self

    def _stream_id(self) -> str | None:
        info = self._stream_info()
        mirrored = self.channel_data.stream_id if self.channel_data else None
        return self.id or (info.stream_id if info else None) or mirrored


ActivityBase = Activity
ActivityInputBase = ActivityInput
