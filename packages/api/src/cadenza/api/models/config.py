"""The settings of a bot in a chat or a team: answers to ``config/fetch`` and ``config/submit``."""

from __future__ import annotations

from typing import Literal

from .attachment import SuggestedActions
from .base import WireModel
from .cache_info import CacheInfo
from .task_module import TaskModuleContinueResponse, TaskModuleMessageResponse

__all__ = ["ConfigAuth", "ConfigInvokeResponse", "ConfigResponse"]


class ConfigAuth(WireModel):
    """The user must sign in first, by one of the buttons."""

    suggested_actions: SuggestedActions | None = None
    type: Literal["auth"] = "auth"


class ConfigResponse(WireModel):
    """A dialog with the settings, a text, or a sign-in."""

    cache_info: CacheInfo | None = None
    config: ConfigAuth | TaskModuleContinueResponse | TaskModuleMessageResponse
    response_type: Literal["config"] = "config"


ConfigInvokeResponse = ConfigResponse
"""Another name of :class:`ConfigResponse`."""
