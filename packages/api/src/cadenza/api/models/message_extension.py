"""Message extensions: searches, link unfurling, settings and actions (api-surface.md 1.7)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer, PlainValidator

from .activity import Activity, ActivityInput
from .attachment import Attachment, CardAction, as_attachment
from .base import WireModel
from .cache_info import CacheInfo
from .message import MessageActivity, MessageActivityInput
from .message_payload import Message
from .task_module import TaskModuleContinueResponse, TaskModuleMessageResponse, TaskModuleRequest

__all__ = [
    "MessagingExtensionAction",
    "MessagingExtensionActionInvokeResponse",
    "MessagingExtensionActionResponse",
    "MessagingExtensionAttachment",
    "MessagingExtensionAttachmentLayout",
    "MessagingExtensionInvokeResponse",
    "MessagingExtensionParameter",
    "MessagingExtensionQuery",
    "MessagingExtensionQueryOptions",
    "MessagingExtensionResponse",
    "MessagingExtensionResult",
    "MessagingExtensionResultType",
    "MessagingExtensionSuggestedAction",
]


class MessagingExtensionResultType(StrEnum):
    """What is answered."""

    RESULT = "result"
    AUTH = "auth"
    CONFIG = "config"
    MESSAGE = "message"
    BOT_MESSAGE_PREVIEW = "botMessagePreview"
    SILENT_AUTH = "silentAuth"


class MessagingExtensionAttachmentLayout(StrEnum):
    """How results are shown."""

    LIST = "list"
    GRID = "grid"


class MessagingExtensionParameter(WireModel):
    """One parameter of a command and what the user typed; ``initialRun`` for a search that nobody typed."""

    name: str | None = None
    value: Any = None


class MessagingExtensionQueryOptions(WireModel):
    """Which of the results are wanted."""

    skip: int | None = None
    count: int | None = None


class MessagingExtensionQuery(WireModel):
    """The value of ``composeExtension/query``, ``querySettingUrl`` and ``setting``.

    ``state`` is the code of a sign-in, or what the settings page returned: ``CancelledByUser`` if it was
    closed.
    """

    command_id: str | None = None
    parameters: list[MessagingExtensionParameter] | None = None
    query_options: MessagingExtensionQueryOptions | None = None
    state: str | None = None

    def parameter(self, name: str, default: Any = None) -> Any:
        """The value of the parameter ``name``, or ``default`` if it is not there."""
        found = (parameter for parameter in self.parameters or [] if parameter.name == name)
        return next((parameter.value for parameter in found), default)


class MessagingExtensionAction(TaskModuleRequest):
    """The value of ``composeExtension/fetchTask`` and ``submitAction``.

    ``command_context`` says where the command was called; it is empty where Teams did not say.
    After a ``botMessagePreview``, ``bot_activity_preview`` is what was shown (of the ``type`` message/card)
    and ``bot_message_preview_action`` what the user chose. ``message_payload`` is the message that the
    command was called on.
    """

    command_id: str | None = None
    command_context: Literal["message", "compose", "commandbox"] | str = ""
    bot_message_preview_action: Literal["edit", "send"] | str | None = None
    bot_activity_preview: list[MessageActivity] | None = None
    message_payload: Message | None = None


class MessagingExtensionAttachment(Attachment):
    """A result: the card that is inserted, and ``preview``, a hero or thumbnail card for the list."""

    preview: Annotated[Attachment | None, BeforeValidator(as_attachment)] = None


class MessagingExtensionSuggestedAction(WireModel):
    """The buttons of a sign-in or of the settings."""

    actions: list[CardAction] | None = None


def _preview(value: Any) -> Any:
    if isinstance(value, Activity | ActivityInput):
        return value
    if isinstance(value, dict):
        return MessageActivityInput.received(value)
    raise ValueError(f"an activity is needed, such as MessageActivityInput, not {type(value).__name__}")


class MessagingExtensionResult(WireModel):
    """Results, a text, a sign-in, or a preview of the message that the bot would send (``activity_preview``:
    what the bot would send, such as a ``MessageActivityInput``)."""

    attachment_layout: MessagingExtensionAttachmentLayout | None = None
    type: MessagingExtensionResultType | None = None
    attachments: list[MessagingExtensionAttachment] | None = None
    suggested_actions: MessagingExtensionSuggestedAction | None = None
    text: str | None = None
    activity_preview: (
        Annotated[
            Activity | ActivityInput,
            PlainValidator(_preview),
            PlainSerializer(lambda activity: activity, return_type=Any),
        ]
        | None
    ) = None


class MessagingExtensionResponse(WireModel):
    """The answer to the searches and to link unfurling."""

    compose_extension: MessagingExtensionResult | None = None
    cache_info: CacheInfo | None = None


class MessagingExtensionActionResponse(WireModel):
    """The answer to ``composeExtension/fetchTask`` and ``submitAction``: a dialog, or results."""

    task: TaskModuleContinueResponse | TaskModuleMessageResponse | None = None
    compose_extension: MessagingExtensionResult | None = None
    cache_info: CacheInfo | None = None


MessagingExtensionInvokeResponse = MessagingExtensionResponse
"""Another name of :class:`MessagingExtensionResponse`."""

MessagingExtensionActionInvokeResponse = MessagingExtensionActionResponse
"""Another name of :class:`MessagingExtensionActionResponse`."""
