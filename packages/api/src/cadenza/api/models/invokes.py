"""Invokes: requests of Teams that want their answer in the HTTP response (api-surface.md 1.7).

``parse_activity`` picks the class by ``name``; a name without a class gives a plain ``InvokeActivity``.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field

from .adaptive_card import AdaptiveCardInvokeValue
from .app_based_link_query import AppBasedLinkQuery
from .base import WireModel
from .file import FileConsentCardResponse
from .html_widget import CallToolRequest
from .inbound import InvokeActivity
from .message_extension import MessagingExtensionAction, MessagingExtensionQuery
from .o365 import O365ConnectorCardActionQuery
from .search import SearchInvokeValue
from .sign_in import SignInExchangeToken, SignInFailure, SignInStateVerifyQuery
from .tab import TabRequest, TabSubmit
from .task_module import TaskModuleRequest

__all__ = [
    "AdaptiveCardInvokeActivity",
    "ConfigFetchInvokeActivity",
    "ConfigInvokeActivity",
    "ConfigSubmitInvokeActivity",
    "ExecuteActionInvokeActivity",
    "FileConsentInvokeActivity",
    "HandoffActionInvokeActivity",
    "HandoffActionValue",
    "HtmlWidgetCallToolInvokeActivity",
    "MessageExtensionAnonQueryLinkInvokeActivity",
    "MessageExtensionCardButtonClickedInvokeActivity",
    "MessageExtensionFetchTaskInvokeActivity",
    "MessageExtensionInvokeActivity",
    "MessageExtensionQueryInvokeActivity",
    "MessageExtensionQueryLinkInvokeActivity",
    "MessageExtensionQuerySettingUrlInvokeActivity",
    "MessageExtensionSelectItemInvokeActivity",
    "MessageExtensionSettingInvokeActivity",
    "MessageExtensionSubmitActionInvokeActivity",
    "MessageFetchTaskActionValue",
    "MessageFetchTaskData",
    "MessageFetchTaskInvokeActivity",
    "MessageFetchTaskInvokeValue",
    "MessageInvokeActivity",
    "MessageSubmitActionInvokeActivity",
    "MessageSubmitActionInvokeValue",
    "MessageSubmitActionValue",
    "SearchInvokeActivity",
    "SignInFailureInvokeActivity",
    "SignInInvokeActivity",
    "SignInTokenExchangeInvokeActivity",
    "SignInVerifyStateInvokeActivity",
    "SuggestedActionSubmitInvokeActivity",
    "TabFetchInvokeActivity",
    "TabInvokeActivity",
    "TabSubmitInvokeActivity",
    "TaskFetchInvokeActivity",
    "TaskInvokeActivity",
    "TaskSubmitInvokeActivity",
]


class AdaptiveCardInvokeActivity(InvokeActivity):
    """A button of an Adaptive Card was pressed, or the card refreshes itself."""

    name: Literal["adaptiveCard/action"] = "adaptiveCard/action"
    value: AdaptiveCardInvokeValue = Field(default_factory=AdaptiveCardInvokeValue)


class ConfigFetchInvokeActivity(InvokeActivity):
    """The user opens the bot's settings."""

    name: Literal["config/fetch"] = "config/fetch"
    value: Any = None


class ConfigSubmitInvokeActivity(InvokeActivity):
    """The user saves the bot's settings."""

    name: Literal["config/submit"] = "config/submit"
    value: Any = None


ConfigInvokeActivity = ConfigFetchInvokeActivity | ConfigSubmitInvokeActivity
"""Any invoke about settings."""


class ExecuteActionInvokeActivity(InvokeActivity):
    """A button of a connector card was pressed."""

    name: Literal["actionableMessage/executeAction"] = "actionableMessage/executeAction"
    value: O365ConnectorCardActionQuery = Field(default_factory=O365ConnectorCardActionQuery)


class FileConsentInvokeActivity(InvokeActivity):
    """The user accepted or declined an upload."""

    name: Literal["fileConsent/invoke"] = "fileConsent/invoke"
    value: FileConsentCardResponse = Field(default_factory=FileConsentCardResponse)


class HandoffActionValue(WireModel):
    """``continuation`` leads back to the conversation that is handed over."""

    continuation: str = ""


class HandoffActionInvokeActivity(InvokeActivity):
    """A conversation is handed over to the bot, such as by Copilot."""

    name: Literal["handoff/action"] = "handoff/action"
    value: HandoffActionValue = Field(default_factory=HandoffActionValue)


class HtmlWidgetCallToolInvokeActivity(InvokeActivity):
    """An HTML widget calls a tool. Experimental in Teams."""

    name: Literal["htmlwidget/calltool"] = "htmlwidget/calltool"
    value: CallToolRequest = Field(default_factory=CallToolRequest)


class MessageExtensionQueryInvokeActivity(InvokeActivity):
    """The user searches in a message extension."""

    name: Literal["composeExtension/query"] = "composeExtension/query"
    value: MessagingExtensionQuery = Field(default_factory=MessagingExtensionQuery)


class MessageExtensionSelectItemInvokeActivity(InvokeActivity):
    """The user picked a result; ``value`` is that of its ``tap`` action."""

    name: Literal["composeExtension/selectItem"] = "composeExtension/selectItem"
    value: Any = None


class MessageExtensionQueryLinkInvokeActivity(InvokeActivity):
    """The user pasted a link."""

    name: Literal["composeExtension/queryLink"] = "composeExtension/queryLink"
    value: AppBasedLinkQuery = Field(default_factory=AppBasedLinkQuery)


class MessageExtensionAnonQueryLinkInvokeActivity(InvokeActivity):
    """A user who does not have the app pasted a link."""

    name: Literal["composeExtension/anonymousQueryLink"] = "composeExtension/anonymousQueryLink"
    value: AppBasedLinkQuery = Field(default_factory=AppBasedLinkQuery)


class MessageExtensionQuerySettingUrlInvokeActivity(InvokeActivity):
    """The user opens the message extension's settings."""

    name: Literal["composeExtension/querySettingUrl"] = "composeExtension/querySettingUrl"
    value: MessagingExtensionQuery = Field(default_factory=MessagingExtensionQuery)


class MessageExtensionSettingInvokeActivity(InvokeActivity):
    """The user saved the message extension's settings, or closed them."""

    name: Literal["composeExtension/setting"] = "composeExtension/setting"
    value: MessagingExtensionQuery = Field(default_factory=MessagingExtensionQuery)


class MessageExtensionFetchTaskInvokeActivity(InvokeActivity):
    """The user calls an action of a message extension."""

    name: Literal["composeExtension/fetchTask"] = "composeExtension/fetchTask"
    value: MessagingExtensionAction = Field(default_factory=MessagingExtensionAction)


class MessageExtensionSubmitActionInvokeActivity(InvokeActivity):
    """The user submits the dialog of an action, or answers a preview."""

    name: Literal["composeExtension/submitAction"] = "composeExtension/submitAction"
    value: MessagingExtensionAction = Field(default_factory=MessagingExtensionAction)


class MessageExtensionCardButtonClickedInvokeActivity(InvokeActivity):
    """A button of a card that a message extension inserted was pressed."""

    name: Literal["composeExtension/onCardButtonClicked"] = "composeExtension/onCardButtonClicked"
    value: Any = None


MessageExtensionInvokeActivity = (
    MessageExtensionAnonQueryLinkInvokeActivity
    | MessageExtensionCardButtonClickedInvokeActivity
    | MessageExtensionFetchTaskInvokeActivity
    | MessageExtensionQueryInvokeActivity
    | MessageExtensionQueryLinkInvokeActivity
    | MessageExtensionQuerySettingUrlInvokeActivity
    | MessageExtensionSelectItemInvokeActivity
    | MessageExtensionSettingInvokeActivity
    | MessageExtensionSubmitActionInvokeActivity
)
"""Any invoke of a message extension."""


class MessageSubmitActionValue(WireModel):
    """A thumb and what was written with it. ``feedback`` is JSON text: see ``feedback_data``."""

    reaction: Literal["like", "dislike"] | str = ""
    feedback: str = ""

    @property
    def feedback_data(self) -> dict[str, Any]:
        """The object in ``feedback``: ``feedbackText`` of the default form, or the inputs of a custom one.
        Empty if it holds none."""
        try:
            data = json.loads(self.feedback)
        except (ValueError, RecursionError):
            return {}
        return data if isinstance(data, dict) else {}

    @property
    def feedback_text(self) -> str:
        """What the user wrote into the default form; empty if nothing."""
        text = self.feedback_data.get("feedbackText")
        return text if isinstance(text, str) else ""


class MessageSubmitActionInvokeValue(WireModel):
    """The value of ``message/submitAction``."""

    action_name: Literal["feedback"] | str = ""
    action_value: MessageSubmitActionValue = Field(default_factory=MessageSubmitActionValue)


class MessageSubmitActionInvokeActivity(InvokeActivity):
    """The user gave feedback on the message ``reply_to_id``."""

    name: Literal["message/submitAction"] = "message/submitAction"
    value: MessageSubmitActionInvokeValue = Field(default_factory=MessageSubmitActionInvokeValue)


class MessageFetchTaskActionValue(WireModel):
    """Which thumb was pressed."""

    reaction: Literal["like", "dislike"] | str = ""


class MessageFetchTaskData(WireModel):
    """What was pressed."""

    action_name: Literal["feedback"] | str = ""
    action_value: MessageFetchTaskActionValue = Field(default_factory=MessageFetchTaskActionValue)


class MessageFetchTaskInvokeValue(WireModel):
    """The value of ``message/fetchTask``."""

    data: MessageFetchTaskData = Field(default_factory=MessageFetchTaskData)


class MessageFetchTaskInvokeActivity(InvokeActivity):
    """The user pressed a thumb of a message whose feedback form is custom: answer with the form."""

    name: Literal["message/fetchTask"] = "message/fetchTask"
    value: MessageFetchTaskInvokeValue = Field(default_factory=MessageFetchTaskInvokeValue)


MessageInvokeActivity = MessageFetchTaskInvokeActivity | MessageSubmitActionInvokeActivity
"""Any invoke about a message."""


class SearchInvokeActivity(InvokeActivity):
    """The user types into a choice set of an Adaptive Card whose choices the bot supplies."""

    name: Literal["application/search"] = "application/search"
    value: SearchInvokeValue = Field(default_factory=SearchInvokeValue)


class SignInTokenExchangeInvokeActivity(InvokeActivity):
    """Teams brings a token of single sign-on."""

    name: Literal["signin/tokenExchange"] = "signin/tokenExchange"
    value: SignInExchangeToken = Field(default_factory=SignInExchangeToken)


class SignInVerifyStateInvokeActivity(InvokeActivity):
    """A sign-in in a pop-up has ended."""

    name: Literal["signin/verifyState"] = "signin/verifyState"
    value: SignInStateVerifyQuery = Field(default_factory=SignInStateVerifyQuery)


class SignInFailureInvokeActivity(InvokeActivity):
    """Teams could not sign the user in silently."""

    name: Literal["signin/failure"] = "signin/failure"
    value: SignInFailure = Field(default_factory=SignInFailure)


SignInInvokeActivity = (
    SignInTokenExchangeInvokeActivity | SignInVerifyStateInvokeActivity | SignInFailureInvokeActivity
)
"""Any invoke of a sign-in."""


class SuggestedActionSubmitInvokeActivity(InvokeActivity):
    """A suggested action of the type ``Action.Submit`` was pressed. Experimental in Teams."""

    name: Literal["suggestedActions/submit"] = "suggestedActions/submit"
    value: Any = None


class TabFetchInvokeActivity(InvokeActivity):
    """The user opens a tab made of cards."""

    name: Literal["tab/fetch"] = "tab/fetch"
    value: TabRequest = Field(default_factory=TabRequest)


class TabSubmitInvokeActivity(InvokeActivity):
    """A card of a tab was submitted."""

    name: Literal["tab/submit"] = "tab/submit"
    value: TabSubmit = Field(default_factory=TabSubmit)


TabInvokeActivity = TabFetchInvokeActivity | TabSubmitInvokeActivity
"""Any invoke of a tab made of cards."""


class TaskFetchInvokeActivity(InvokeActivity):
    """The user opens a dialog."""

    name: Literal["task/fetch"] = "task/fetch"
    value: TaskModuleRequest = Field(default_factory=TaskModuleRequest)


class TaskSubmitInvokeActivity(InvokeActivity):
    """The user submits a dialog."""

    name: Literal["task/submit"] = "task/submit"
    value: TaskModuleRequest = Field(default_factory=TaskModuleRequest)


TaskInvokeActivity = TaskFetchInvokeActivity | TaskSubmitInvokeActivity
"""Any invoke of a dialog."""
