"""Reading what Teams sends: the other inbound activities, and ``parse_activity``, which refuses next to
nothing.

Teams backs off for hours from a bot that answers a new kind of payload with a 5xx (api-surface.md 3.3 P1), so
an unknown type, name, literal, entity or field never fails here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, Final, Literal, NoReturn, Self

from pydantic import ValidationError
from pydantic_core import from_json

from ..errors import InvalidActivityError
from .account import Account
from .activity import Activity, ActivityInput
from .base import WireModel
from .channel_data import ChannelData
from .message import MessageActivity, MessageFields, TypingActivity
from .message_payload import MessageReaction

MAX_DEPTH: Final = 200
"""How many objects and arrays may be nested in one activity, itself included; empty ones do not count."""

MessageEventType = Literal["editMessage", "undeleteMessage"] | str

ConversationEventType = (
    Literal[
        "channelCreated",
        "channelDeleted",
        "channelRenamed",
        "channelRestored",
        "channelShared",
        "channelUnshared",
        "channelMemberAdded",
        "channelMemberRemoved",
        "teamArchived",
        "teamDeleted",
        "teamHardDeleted",
        "teamRenamed",
        "teamRestored",
        "teamUnarchived",
        "teamMemberAdded",
        "teamMemberRemoved",
    ]
    | str
)


class MessageUpdateChannelData(ChannelData):
    """Channel data of a message that was edited or undeleted."""

    event_type: MessageEventType | None = None


class MessageUpdateActivity(MessageFields, Activity):
    """A message was edited or undeleted: see ``channel_data.event_type``. ``id`` is the message's own."""

    type: str = "messageUpdate"
    text: str = ""
    channel_data: MessageUpdateChannelData | None = None


class MessageDeleteChannelData(ChannelData):
    """Channel data of a message that was deleted."""

    event_type: Literal["softDeleteMessage"] | str | None = None


class MessageDeleteActivity(Activity):
    """A message was deleted."""

    type: str = "messageDelete"
    channel_data: MessageDeleteChannelData | None = None


class MessageReactionActivity(Activity):
    """Reactions were put on, or taken off, the message ``reply_to_id``."""

    type: str = "messageReaction"
    reactions_added: list[MessageReaction] | None = None
    reactions_removed: list[MessageReaction] | None = None


class MessageReactionActivityInput(ActivityInput):
    """Reactions to send as an activity. Deprecated in Teams: use ``ctx.api.conversations.add_reaction``."""

    type: str | None = "messageReaction"
    reactions_added: list[MessageReaction] | None = None
    reactions_removed: list[MessageReaction] | None = None

    def add_reaction(self, reaction: MessageReaction) -> Self:
        """Add a reaction, and no longer remove it."""
        self.reactions_added = [*(self.reactions_added or []), reaction]
        self.reactions_removed = _without(reaction, self.reactions_removed)
        return self

    def remove_reaction(self, reaction: MessageReaction) -> Self:
        """Remove a reaction, and no longer add it."""
        self.reactions_removed = [*(self.reactions_removed or []), reaction]
        self.reactions_added = _without(reaction, self.reactions_added)
        return self


def _without(reaction: MessageReaction, others: list[MessageReaction] | None) -> list[MessageReaction] | None:
    who = reaction.user and reaction.user.id
    kept = [one for one in others or [] if (one.type, one.user and one.user.id) != (reaction.type, who)]
    return kept or None


class ConversationChannelData(ChannelData):
    """Channel data of a conversation that changed: ``event_type`` says how."""

    event_type: ConversationEventType | None = None


class ConversationUpdateActivity(Activity):
    """Members came or went, or the conversation changed: see ``channel_data.event_type``."""

    type: str = "conversationUpdate"
    members_added: list[Account] | None = None
    members_removed: list[Account] | None = None
    topic_name: str | None = None
    history_disclosed: bool | None = None
    channel_data: ConversationChannelData | None = None


ConversationActivity = ConversationUpdateActivity


class InstallationUpdateActivity(Activity):
    """The app was added, removed or upgraded: ``action`` is add, remove, add-upgrade, remove-upgrade or
    newer."""

    type: str = "installationUpdate"
    action: str | None = None


class InstalledActivity(InstallationUpdateActivity):
    """The app was added."""

    action: str | None = "add"


class UninstalledActivity(InstallationUpdateActivity):
    """The app was removed."""

    action: str | None = "remove"


class InstalledUpgradeActivity(InstallationUpdateActivity):
    """The app was replaced by a newer version of it: ``action`` is upgrade, add-upgrade or remove-upgrade."""

    action: str | None = "upgrade"


InstallUpdateActivity = InstallationUpdateActivity


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


class UnknownInvoke(InvokeActivity):
    """An invoke with a name that Cadenza has no model for, or without a name."""


class CommandSendValue(WireModel):
    """What a command is to do."""

    command_id: str = ""
    data: Any = None


class CommandSendActivity(Activity):
    """A command called ``name``."""

    type: str = "command"
    name: str = ""
    value: CommandSendValue | None = None


class CommandResultValue(WireModel):
    """What came of the command ``command_id``."""

    command_id: str = ""
    data: Any = None
    error: Any = None


class CommandResultActivity(Activity):
    """What came of a command."""

    type: str = "commandResult"
    name: str = ""
    value: CommandResultValue | None = None


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


_MODELS: Final[dict[str, type[Activity]]] = {
    "message": MessageActivity,
    "typing": TypingActivity,
    "messageUpdate": MessageUpdateActivity,
    "messageDelete": MessageDeleteActivity,
    "messageReaction": MessageReactionActivity,
    "conversationUpdate": ConversationUpdateActivity,
    "installationUpdate": InstallationUpdateActivity,
    "event": EventActivity,
    "invoke": UnknownInvoke,
    "command": CommandSendActivity,
    "commandResult": CommandResultActivity,
    "endOfConversation": EndOfConversationActivity,
    "trace": TraceActivity,
    "handoff": HandoffActivity,
}
"""The class of each type; of those that another field tells apart, the class for all that are not known."""

_TOLD_APART_BY: Final = {"event": "name", "invoke": "name", "installationUpdate": "action"}

_KINDS: Final[dict[tuple[str, str], str]] = {
    ("installationUpdate", "add"): ".inbound:InstalledActivity",
    ("installationUpdate", "remove"): ".inbound:UninstalledActivity",
    ("installationUpdate", "upgrade"): ".inbound:InstalledUpgradeActivity",
    ("installationUpdate", "add-upgrade"): ".inbound:InstalledUpgradeActivity",
    ("installationUpdate", "remove-upgrade"): ".inbound:InstalledUpgradeActivity",
    ("event", "application/vnd.microsoft.readReceipt"): ".events:ReadReceiptEventActivity",
    ("event", "application/vnd.microsoft.meetingStart"): ".events:MeetingStartEventActivity",
    ("event", "application/vnd.microsoft.meetingEnd"): ".events:MeetingEndEventActivity",
    (
        "event",
        "application/vnd.microsoft.meetingParticipantJoin",
    ): ".events:MeetingParticipantJoinEventActivity",
    (
        "event",
        "application/vnd.microsoft.meetingParticipantLeave",
    ): ".events:MeetingParticipantLeaveEventActivity",
    ("event", "agentLifecycle"): ".agent_lifecycle:AgentLifecycleEventActivityBase",
    ("invoke", "task/fetch"): ".invokes:TaskFetchInvokeActivity",
    ("invoke", "task/submit"): ".invokes:TaskSubmitInvokeActivity",
    ("invoke", "message/fetchTask"): ".invokes:MessageFetchTaskInvokeActivity",
    ("invoke", "message/submitAction"): ".invokes:MessageSubmitActionInvokeActivity",
    ("invoke", "composeExtension/query"): ".invokes:MessageExtensionQueryInvokeActivity",
    ("invoke", "composeExtension/selectItem"): ".invokes:MessageExtensionSelectItemInvokeActivity",
    ("invoke", "composeExtension/queryLink"): ".invokes:MessageExtensionQueryLinkInvokeActivity",
    ("invoke", "composeExtension/anonymousQueryLink"): ".invokes:MessageExtensionAnonQueryLinkInvokeActivity",
    ("invoke", "composeExtension/querySettingUrl"): ".invokes:MessageExtensionQuerySettingUrlInvokeActivity",
    ("invoke", "composeExtension/setting"): ".invokes:MessageExtensionSettingInvokeActivity",
    ("invoke", "composeExtension/fetchTask"): ".invokes:MessageExtensionFetchTaskInvokeActivity",
    ("invoke", "composeExtension/submitAction"): ".invokes:MessageExtensionSubmitActionInvokeActivity",
    (
        "invoke",
        "composeExtension/onCardButtonClicked",
    ): ".invokes:MessageExtensionCardButtonClickedInvokeActivity",
    ("invoke", "adaptiveCard/action"): ".invokes:AdaptiveCardInvokeActivity",
    ("invoke", "application/search"): ".invokes:SearchInvokeActivity",
    ("invoke", "signin/tokenExchange"): ".invokes:SignInTokenExchangeInvokeActivity",
    ("invoke", "signin/verifyState"): ".invokes:SignInVerifyStateInvokeActivity",
    ("invoke", "signin/failure"): ".invokes:SignInFailureInvokeActivity",
    ("invoke", "fileConsent/invoke"): ".invokes:FileConsentInvokeActivity",
    ("invoke", "actionableMessage/executeAction"): ".invokes:ExecuteActionInvokeActivity",
    ("invoke", "config/fetch"): ".invokes:ConfigFetchInvokeActivity",
    ("invoke", "config/submit"): ".invokes:ConfigSubmitInvokeActivity",
    ("invoke", "tab/fetch"): ".invokes:TabFetchInvokeActivity",
    ("invoke", "tab/submit"): ".invokes:TabSubmitInvokeActivity",
    ("invoke", "handoff/action"): ".invokes:HandoffActionInvokeActivity",
    ("invoke", "suggestedActions/submit"): ".invokes:SuggestedActionSubmitInvokeActivity",
    ("invoke", "htmlwidget/calltool"): ".invokes:HtmlWidgetCallToolInvokeActivity",
}
"""Where the class of each kind is. It is imported with the first activity of that kind."""

_LIFE: Final = {
    name: f".agent_lifecycle:{name}Activity"
    for name in (
        "AgenticUserIdentityCreated",
        "AgenticUserIdentityUpdated",
        "AgenticUserManagerUpdated",
        "AgenticUserEnabled",
        "AgenticUserDisabled",
        "AgenticUserDeleted",
        "AgenticUserUndeleted",
        "AgenticUserWorkloadOnboardingUpdated",
    )
}
"""The events called agentLifecycle, by ``valueType``."""


def activity_model(data: Mapping[str, Any]) -> type[Activity]:
    """The class for an activity's JSON: by its type, and by its name, action or valueType."""
    kind = data.get("type")
    if not isinstance(kind, str):
        return UnknownActivity
    model = _MODELS.get(kind, UnknownActivity)
    mark = _TOLD_APART_BY.get(kind)
    if mark is None:
        return model
    which = data.get(mark)
    place = _KINDS.get((kind, which)) if isinstance(which, str) else None
    if which == "agentLifecycle" and isinstance(life := data.get("valueType"), str):
        place = _LIFE.get(life, place)
    return model if place is None else _model(place)


@cache
def _model(place: str) -> type[Activity]:
    module, name = place.split(":")
    model: type[Activity] = getattr(import_module(module, __package__), name)
    return model


def parse_activity(data: bytes | str | dict[str, Any]) -> Activity:
    """Read one activity from JSON text or from a JSON object; the dict is kept as ``raw``, not copied.

    The class follows ``type``, and for events, invokes and installations ``name``, ``valueType`` or
    ``action``; what is not known gives EventActivity, UnknownInvoke, InstallationUpdateActivity or
    UnknownActivity. A field whose value does not fit shows its default, a list the items that fit;
    ``to_wire()`` and ``raw`` have all that came.
    Raises :class:`~cadenza.api.InvalidActivityError` for text that is not JSON, for anything that is not an
    object, and for more than 200 levels of nesting; for nothing else.
    """
    parsed = _load(data) if isinstance(data, bytes | bytearray | str) else _not_too_deep(data)
    if not isinstance(parsed, dict):
        raise InvalidActivityError(f"an activity is a JSON object, not {_json_kind(parsed)}")
    try:
        activity = activity_model(parsed).received(parsed)
    except ValidationError:  # not known to happen; if it does, the raw JSON is worth more than a refusal
        activity = UnknownActivity.model_construct()
        activity.__pydantic_extra__ = dict(parsed)
    activity.__dict__["raw"] = parsed
    return activity


class ActivityTypeAdapter:
    """Reads activities as the reference's adapter of this name does: see :func:`parse_activity`."""

    @staticmethod
    def validate_python(data: dict[str, Any]) -> Activity:
        """The activity that a JSON object is."""
        return parse_activity(data)

    @staticmethod
    def validate_json(data: bytes | str) -> Activity:
        """The activity that JSON text is."""
        return parse_activity(data)


def _load(text: bytes | bytearray | str) -> Any:
    try:
        # It refuses more than MAX_DEPTH levels. Only keys are worth a cache: values hardly ever come twice.
        return from_json(text, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        pass  # the slower reader knows more encodings, lone surrogates and longer numbers, and says why not
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_int=_integer)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise InvalidActivityError(f"not JSON: {error}") from None
    return _not_too_deep(value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _integer(digits: str) -> int | float:
    # Python refuses to read integers of thousands of digits; JSON allows them.
    return int(digits) if len(digits) < 1000 else float(digits)


def _not_too_deep(value: Any) -> Any:
    """The value, if it has no more than ``MAX_DEPTH`` levels; empty ones at the bottom do not count, as
    `from_json` has it. Walks level by level: no recursion to run out of."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for node in level:
            children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
            deeper += [child for child in children if child and isinstance(child, dict | list)]
        if not deeper:
            return value
        level = deeper
    raise _too_deep()


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
