"""Dialogs (task modules): what is asked for, and what may be answered (api-surface.md 1.7)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from .attachment import Attachment, as_attachment
from .base import WireModel
from .cache_info import CacheInfo
from .tab import TabEntityContext

__all__ = [
    "BaseTaskModuleTaskInfo",
    "CardTaskModuleTaskInfo",
    "TaskModuleCardResponse",
    "TaskModuleContinueResponse",
    "TaskModuleInvokeResponse",
    "TaskModuleMessageResponse",
    "TaskModuleRequest",
    "TaskModuleRequestContext",
    "TaskModuleResponse",
    "TaskModuleResponseBase",
    "TaskModuleTaskInfo",
    "UrlTaskModuleTaskInfo",
]

Size = int | Literal["small", "medium", "large"]
"""A width or height: pixels, or a name."""


class TaskModuleRequestContext(WireModel):
    """Where the user is: ``theme`` is default, dark or contrast."""

    theme: str | None = None


class TaskModuleRequest(WireModel):
    """The value of ``task/fetch`` and ``task/submit``. ``data`` is the button's data, or the dialog's
    inputs."""

    data: Any = None
    context: TaskModuleRequestContext | None = None
    tab_context: TabEntityContext | None = None


class BaseTaskModuleTaskInfo(WireModel):
    """A dialog's frame. ``completion_bot_id`` is the app id of the bot that gets what the dialog submits, by
    default this one."""

    title: str | None = None
    height: Size | None = None
    width: Size | None = None
    fallback_url: str | None = None
    completion_bot_id: str | None = None


class CardTaskModuleTaskInfo(BaseTaskModuleTaskInfo):
    """A dialog that shows an Adaptive Card. A bare card is put into an attachment."""

    card: Annotated[Attachment, BeforeValidator(as_attachment)]


class UrlTaskModuleTaskInfo(BaseTaskModuleTaskInfo):
    """A dialog that shows a web page of one of the manifest's ``validDomains``."""

    url: str


TaskModuleTaskInfo = CardTaskModuleTaskInfo | UrlTaskModuleTaskInfo
"""A dialog."""


class TaskModuleResponseBase(WireModel):
    """What comes next."""

    type: Literal["continue", "message"] | None = None


class TaskModuleContinueResponse(TaskModuleResponseBase):
    """Show a dialog, the first or the next."""

    type: Literal["continue"] = "continue"
    value: TaskModuleTaskInfo | None = None


class TaskModuleMessageResponse(TaskModuleResponseBase):
    """Close the dialog and show a text."""

    type: Literal["message"] = "message"
    value: str


class TaskModuleCardResponse(TaskModuleResponseBase):
    """An answer to an action of a card inside a tab."""

    value: str | None = None


class TaskModuleResponse(WireModel):
    """The answer to ``task/fetch``, ``task/submit`` and ``message/fetchTask``. Without ``task``, the dialog
    closes."""

    task: TaskModuleContinueResponse | TaskModuleMessageResponse | None = None
    cache_info: CacheInfo | None = None


TaskModuleInvokeResponse = TaskModuleResponse
"""Another name of :class:`TaskModuleResponse`."""
