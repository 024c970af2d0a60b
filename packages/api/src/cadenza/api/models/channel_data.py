"""``channelData``: what Teams adds to an activity beyond the common protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import AliasChoices, Field, ValidationInfo, field_validator

from .base import WireModel


class ChannelInfo(WireModel):
    """A channel of a team; ``type`` is standard, private, shared, or newer."""

    id: str = ""
    name: str | None = None
    type: str | None = None


class TeamInfo(WireModel):
    """A team."""

    id: str = ""
    name: str | None = None
    team_type: str | None = None
    member_count: int | None = None
    channel_count: int | None = None
    aad_group_id: str | None = None


class TenantInfo(WireModel):
    """A tenant."""

    id: str = ""


class AppInfo(WireModel):
    """The Teams app that the activity is about."""

    id: str | None = None
    version: str | None = None


class NotificationInfo(WireModel):
    """How the recipient is alerted."""

    alert: bool | None = None
    alert_in_meeting: bool | None = None
    external_resource_url: str | None = None


class MeetingReference(WireModel):
    """The meeting that an activity belongs to."""

    id: str = ""


class ChannelDataSettings(WireModel):
    """Settings that the user chose when installing, such as the channel for the bot's messages."""

    selected_channel: ChannelInfo | None = None


class FeedbackLoop(WireModel):
    """Thumbs up and down under a message: ``default`` opens Teams' form, ``custom`` asks the bot for one."""

    type: Literal["default", "custom"] | str = "default"


class ChannelData(WireModel):
    """Teams' own part of an activity.

    The older spelling ``feedbackLoopEnabled: true`` is read as ``feedback_loop`` of type default; the two are
    never sent together (teams-protocol.md 1.5).
    """

    channel: ChannelInfo | None = None
    app: AppInfo | None = None
    event_type: str | None = None
    team: TeamInfo | None = None
    notification: NotificationInfo | None = None
    tenant: TenantInfo | None = None
    meeting: MeetingReference | None = None
    settings: ChannelDataSettings | None = None
    feedback_loop: FeedbackLoop | None = None
    stream_id: str | None = None
    stream_type: Literal["informative", "streaming", "final"] | str | None = None
    stream_sequence: int | None = None

    feedback_loop_spelled_out: bool | None = Field(
        default=None,
        validation_alias=AliasChoices("feedbackLoopEnabled", "feedback_loop_enabled"),
        exclude=True,
        repr=False,
    )
    """The older spelling, as it was read. It is never written: use :attr:`feedback_loop`."""

    @field_validator("feedback_loop_spelled_out")
    @classmethod
    def _spell_it_anew(cls, enabled: bool | None, info: ValidationInfo) -> None:
        # Only called where the older spelling is used: a validator of the whole model would cost every
        # message. `info.data` is what the fields above were read into.
        if enabled and info.data.get("feedback_loop") is None:
            info.data["feedback_loop"] = FeedbackLoop()

    @property
    def feedback_loop_enabled(self) -> bool:
        """Whether the message asks for feedback."""
        return self.feedback_loop is not None

    @feedback_loop_enabled.setter
    def feedback_loop_enabled(self, enabled: bool) -> None:
        self.feedback_loop = (self.feedback_loop or FeedbackLoop()) if enabled else None

    def merged(self, other: ChannelData | Mapping[str, Any]) -> Self:
        """A copy in which each key that ``other`` sets to something replaces ours; a None in it erases
        nothing.

        Neither of the two is changed.
        """
        newer = other if isinstance(other, ChannelData) else ChannelData.model_validate(other)
        return self.model_copy(update={name: value for name, value in newer if value is not None})
