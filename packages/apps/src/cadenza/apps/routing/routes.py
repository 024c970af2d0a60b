"""The table of routes: a row for each decorator of an App, with the activities that it selects.

    on_name: On[what it is given, what it may return] = On(type, kind of that type, when=predicate)

The kind is the name of an event, invoke or command, `channelData.eventType` of an update, and the action of
installationUpdate (`router.KINDS`). Selection is by these words alone, never by the class of the model: an
activity whose fields do not fit still goes where it belongs. decorators.py tells how a row is used.

Sources: api-surface.md 1.6 and its Appendix B; the kinds of conversationUpdate:
https://learn.microsoft.com/microsoftteams/platform/bots/how-to/conversations/subscribe-to-conversation-events
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, overload

from ..middleware import Handler
from .decorators import On, OnKeyed, OnPattern, Row
from .parameters import filled, within as _within
from .router import Router

if TYPE_CHECKING:
    # Only here: the models of these activities load when the first such activity comes.
    from cadenza.api import (
        Activity,
        AdaptiveCardInvokeActivity,
        AdaptiveCardInvokeResponse,
        AgenticUserDeletedActivity,
        AgenticUserDisabledActivity,
        AgenticUserEnabledActivity,
        AgenticUserIdentityCreatedActivity,
        AgenticUserIdentityUpdatedActivity,
        AgenticUserManagerUpdatedActivity,
        AgenticUserUndeletedActivity,
        AgenticUserWorkloadOnboardingUpdatedActivity,
        AgentLifecycleEventActivityBase,
        CardLike,
        CommandResultActivity,
        CommandSendActivity,
        ConfigFetchInvokeActivity,
        ConfigResponse,
        ConfigSubmitInvokeActivity,
        ConversationUpdateActivity,
        EventActivity,
        ExecuteActionInvokeActivity,
        FileConsentInvokeActivity,
        HandoffActionInvokeActivity,
        HtmlWidgetCallToolInvokeActivity,
        HtmlWidgetCallToolResponse,
        InstallationUpdateActivity,
        InstalledActivity,
        InstalledUpgradeActivity,
        InvokeActivity,
        MeetingEndEventActivity,
        MeetingParticipantJoinEventActivity,
        MeetingParticipantLeaveEventActivity,
        MeetingStartEventActivity,
        MessageActivity,
        MessageDeleteActivity,
        MessageExtensionAnonQueryLinkInvokeActivity,
        MessageExtensionCardButtonClickedInvokeActivity,
        MessageExtensionFetchTaskInvokeActivity,
        MessageExtensionQueryInvokeActivity,
        MessageExtensionQueryLinkInvokeActivity,
        MessageExtensionQuerySettingUrlInvokeActivity,
        MessageExtensionSelectItemInvokeActivity,
        MessageExtensionSettingInvokeActivity,
        MessageExtensionSubmitActionInvokeActivity,
        MessageFetchTaskInvokeActivity,
        MessageReactionActivity,
        MessageSubmitActionInvokeActivity,
        MessageUpdateActivity,
        MessagingExtensionActionResponse,
        MessagingExtensionResponse,
        ReadReceiptEventActivity,
        SearchInvokeActivity,
        SearchResponse,
        SignInFailureInvokeActivity,
        SignInTokenExchangeInvokeActivity,
        SignInVerifyStateInvokeActivity,
        SuggestedActionSubmitInvokeActivity,
        TabFetchInvokeActivity,
        TabResponse,
        TabSubmitInvokeActivity,
        TaskFetchInvokeActivity,
        TaskModuleResponse,
        TaskSubmitInvokeActivity,
        TokenExchangeInvokeResponse,
        TypingActivity,
        UninstalledActivity,
    )

    from ..context import ActivityContext
    from .decorators import Answer

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


def _dialog_id(activity: Any) -> object:
    return _within(activity.value, "data", "dialog_id")


def _dialog_action(activity: Any) -> object:
    return _within(activity.value, "data", "action")


def _card_action(activity: Any) -> object:
    """`data.action`, as the reference has it, else the verb, which cards of others have."""
    action = _within(activity.value, "action", "data", "action")
    return _within(activity.value, "action", "verb") if action is None else action


_OF_COMMAND = "with a command id: `value.commandId` is that"


def _command_id(activity: Any) -> object:
    id = _within(activity.value, "command_id")
    return _within(activity.value, "commandId") if id is None else id


def _executes(activity: Any) -> bool:
    return bool(_within(activity.value, "action", "type") == "Action.Execute")


def _is_feedback(activity: Any) -> bool:
    value = activity.value
    return "feedback" in (_within(value, "actionName"), _within(value, "action_name"))


def _lifecycle(value_type: str) -> On[Any, object]:
    def says(activity: Any) -> bool:
        return value_type in (_within(activity, "value_type"), _within(activity, "valueType"))

    return On("event", "agentLifecycle", when=says, when_shown=f"`valueType` is `{value_type}`")


class Routes:
    """The decorators of an App."""

    router: Router

    # Messages ------------------------------------------------------------------------------------------
    on_message: On[MessageActivity, object] = On("message")
    on_message_pattern: OnPattern[MessageActivity, object] = OnPattern(
        "message", when_shown="the text is the given str, or begins with a match of the given regex"
    )
    on_message_update: On[MessageUpdateActivity, object] = On("messageUpdate")
    on_edit_message: On[MessageUpdateActivity, object] = On("messageUpdate", "editMessage")
    on_undelete_message: On[MessageUpdateActivity, object] = On("messageUpdate", "undeleteMessage")
    on_message_delete: On[MessageDeleteActivity, object] = On("messageDelete")
    on_soft_delete_message: On[MessageDeleteActivity, object] = On("messageDelete", "softDeleteMessage")
    on_message_reaction: On[MessageReactionActivity, object] = On("messageReaction")
    on_typing: On[TypingActivity, object] = On("typing")

    # Commands ------------------------------------------------------------------------------------------
    on_command: On[CommandSendActivity, object] = On("command")
    on_command_result: On[CommandResultActivity, object] = On("commandResult")

    # Conversations, channels, teams ---------------------------------------------------------------------
    on_conversation_update: On[ConversationUpdateActivity, object] = On("conversationUpdate")
    on_members_added: On[ConversationUpdateActivity, object] = On(
        "conversationUpdate",
        when=lambda activity: activity.members_added,
        when_shown="`membersAdded` has some",
    )
    on_members_removed: On[ConversationUpdateActivity, object] = On(
        "conversationUpdate",
        when=lambda activity: activity.members_removed,
        when_shown="`membersRemoved` has some",
    )
    on_channel_created: On[ConversationUpdateActivity, object] = On("conversationUpdate", "channelCreated")
    on_channel_deleted: On[ConversationUpdateActivity, object] = On("conversationUpdate", "channelDeleted")
    on_channel_renamed: On[ConversationUpdateActivity, object] = On("conversationUpdate", "channelRenamed")
    on_channel_restored: On[ConversationUpdateActivity, object] = On("conversationUpdate", "channelRestored")
    on_channel_shared: On[ConversationUpdateActivity, object] = On("conversationUpdate", "channelShared")
    on_channel_unshared: On[ConversationUpdateActivity, object] = On("conversationUpdate", "channelUnshared")
    on_channel_member_added: On[ConversationUpdateActivity, object] = On(
        "conversationUpdate", "channelMemberAdded"
    )
    on_channel_member_removed: On[ConversationUpdateActivity, object] = On(
        "conversationUpdate", "channelMemberRemoved"
    )
    on_team_archived: On[ConversationUpdateActivity, object] = On("conversationUpdate", "teamArchived")
    on_team_deleted: On[ConversationUpdateActivity, object] = On("conversationUpdate", "teamDeleted")
    on_team_hard_deleted: On[ConversationUpdateActivity, object] = On("conversationUpdate", "teamHardDeleted")
    on_team_renamed: On[ConversationUpdateActivity, object] = On("conversationUpdate", "teamRenamed")
    on_team_restored: On[ConversationUpdateActivity, object] = On("conversationUpdate", "teamRestored")
    on_team_unarchived: On[ConversationUpdateActivity, object] = On("conversationUpdate", "teamUnarchived")

    # The app in Teams -----------------------------------------------------------------------------------
    on_installation_update: On[InstallationUpdateActivity, object] = On("installationUpdate")
    on_install_add: On[InstalledActivity, object] = On("installationUpdate", "add")
    on_install_remove: On[UninstalledActivity, object] = On("installationUpdate", "remove")
    on_install_upgrade: On[InstalledUpgradeActivity, object] = On(
        "installationUpdate", "upgrade", "add-upgrade"
    )

    # Events ---------------------------------------------------------------------------------------------
    on_event: On[EventActivity, object] = On("event")
    on_read_receipt: On[ReadReceiptEventActivity, object] = On(
        "event", "application/vnd.microsoft.readReceipt"
    )
    on_meeting_start: On[MeetingStartEventActivity, object] = On(
        "event", "application/vnd.microsoft.meetingStart"
    )
    on_meeting_end: On[MeetingEndEventActivity, object] = On("event", "application/vnd.microsoft.meetingEnd")
    on_meeting_participant_join: On[MeetingParticipantJoinEventActivity, object] = On(
        "event", "application/vnd.microsoft.meetingParticipantJoin"
    )
    on_meeting_participant_leave: On[MeetingParticipantLeaveEventActivity, object] = On(
        "event", "application/vnd.microsoft.meetingParticipantLeave"
    )

    # The lives of agents (Agent 365): the event `agentLifecycle`, told apart by its valueType -------------
    on_agent_lifecycle: On[AgentLifecycleEventActivityBase, object] = On("event", "agentLifecycle")
    on_agentic_user_identity_created: On[AgenticUserIdentityCreatedActivity, object] = _lifecycle(
        "AgenticUserIdentityCreated"
    )
    on_agentic_user_identity_updated: On[AgenticUserIdentityUpdatedActivity, object] = _lifecycle(
        "AgenticUserIdentityUpdated"
    )
    on_agentic_user_manager_updated: On[AgenticUserManagerUpdatedActivity, object] = _lifecycle(
        "AgenticUserManagerUpdated"
    )
    on_agentic_user_enabled: On[AgenticUserEnabledActivity, object] = _lifecycle("AgenticUserEnabled")
    on_agentic_user_disabled: On[AgenticUserDisabledActivity, object] = _lifecycle("AgenticUserDisabled")
    on_agentic_user_deleted: On[AgenticUserDeletedActivity, object] = _lifecycle("AgenticUserDeleted")
    on_agentic_user_undeleted: On[AgenticUserUndeletedActivity, object] = _lifecycle("AgenticUserUndeleted")
    on_agentic_user_workload_onboarding_updated: On[AgenticUserWorkloadOnboardingUpdatedActivity, object] = (
        _lifecycle("AgenticUserWorkloadOnboardingUpdated")
    )

    # Invokes: dialogs -----------------------------------------------------------------------------------
    on_invoke: On[InvokeActivity, object] = On("invoke")
    on_dialog_open: OnKeyed[TaskFetchInvokeActivity, TaskModuleResponse | Answer] = OnKeyed(
        "invoke",
        "task/fetch",
        key=_dialog_id,
        word="id",
        when_shown="with an id: `value.data.dialog_id` is that",
    )
    on_dialog_submit: OnKeyed[TaskSubmitInvokeActivity, TaskModuleResponse | Answer] = OnKeyed(
        "invoke",
        "task/submit",
        key=_dialog_action,
        word="action",
        when_shown="with an action: `value.data.action` is that",
    )
    on_config_open: On[ConfigFetchInvokeActivity, ConfigResponse | Answer] = On("invoke", "config/fetch")
    on_config_submit: On[ConfigSubmitInvokeActivity, ConfigResponse | Answer] = On("invoke", "config/submit")
    on_tab_open: On[TabFetchInvokeActivity, TabResponse | Answer] = On("invoke", "tab/fetch")
    on_tab_submit: On[TabSubmitInvokeActivity, TabResponse | Answer] = On("invoke", "tab/submit")

    # Invokes: cards -------------------------------------------------------------------------------------
    on_card_action: On[AdaptiveCardInvokeActivity, AdaptiveCardInvokeResponse | CardLike | Answer] = On(
        "invoke", "adaptiveCard/action"
    )
    on_card_action_execute: OnKeyed[
        AdaptiveCardInvokeActivity, AdaptiveCardInvokeResponse | CardLike | Answer
    ] = OnKeyed(
        "invoke",
        "adaptiveCard/action",
        key=_card_action,
        word="action",
        when=_executes,
        when_shown="`value.action.type` is `Action.Execute`; with an action: `value.action.data.action` "
        "(without one, `value.action.verb`) is that",
    )
    on_card_search: On[SearchInvokeActivity, SearchResponse | Answer] = On("invoke", "application/search")
    on_file_consent: On[FileConsentInvokeActivity, Answer] = On("invoke", "fileConsent/invoke")
    on_message_execute: On[ExecuteActionInvokeActivity, Answer] = On(
        "invoke", "actionableMessage/executeAction"
    )
    on_suggested_action_submit: On[SuggestedActionSubmitInvokeActivity, Answer] = On(
        "invoke", "suggestedActions/submit"
    )
    on_widget_call_tool: On[HtmlWidgetCallToolInvokeActivity, HtmlWidgetCallToolResponse | Answer] = On(
        "invoke", "htmlwidget/calltool"
    )

    # Invokes: feedback ----------------------------------------------------------------------------------
    on_message_fetch_task: On[MessageFetchTaskInvokeActivity, TaskModuleResponse | Answer] = On(
        "invoke", "message/fetchTask"
    )
    on_message_submit: On[MessageSubmitActionInvokeActivity, Answer] = On("invoke", "message/submitAction")
    on_message_submit_feedback: On[MessageSubmitActionInvokeActivity, Answer] = On(
        "invoke", "message/submitAction", when=_is_feedback, when_shown="`value.actionName` is `feedback`"
    )

    # Invokes: message extensions ------------------------------------------------------------------------
    on_message_ext_query: OnKeyed[
        MessageExtensionQueryInvokeActivity, MessagingExtensionResponse | Answer
    ] = OnKeyed(
        "invoke", "composeExtension/query", key=_command_id, word="command id", when_shown=_OF_COMMAND
    )
    on_message_ext_select_item: On[
        MessageExtensionSelectItemInvokeActivity, MessagingExtensionResponse | Answer
    ] = On("invoke", "composeExtension/selectItem")
    on_message_ext_query_link: On[
        MessageExtensionQueryLinkInvokeActivity, MessagingExtensionResponse | Answer
    ] = On("invoke", "composeExtension/queryLink")
    on_message_ext_anon_query_link: On[
        MessageExtensionAnonQueryLinkInvokeActivity, MessagingExtensionResponse | Answer
    ] = On("invoke", "composeExtension/anonymousQueryLink")
    on_message_ext_query_settings_url: OnKeyed[
        MessageExtensionQuerySettingUrlInvokeActivity, MessagingExtensionResponse | Answer
    ] = OnKeyed(
        "invoke",
        "composeExtension/querySettingUrl",
        key=_command_id,
        word="command id",
        when_shown=_OF_COMMAND,
    )
    on_message_ext_setting: OnKeyed[
        MessageExtensionSettingInvokeActivity, MessagingExtensionResponse | Answer
    ] = OnKeyed(
        "invoke", "composeExtension/setting", key=_command_id, word="command id", when_shown=_OF_COMMAND
    )
    on_message_ext_open: OnKeyed[
        MessageExtensionFetchTaskInvokeActivity, MessagingExtensionActionResponse | Answer
    ] = OnKeyed(
        "invoke", "composeExtension/fetchTask", key=_command_id, word="command id", when_shown=_OF_COMMAND
    )
    on_message_ext_submit: OnKeyed[
        MessageExtensionSubmitActionInvokeActivity, MessagingExtensionActionResponse | Answer
    ] = OnKeyed(
        "invoke", "composeExtension/submitAction", key=_command_id, word="command id", when_shown=_OF_COMMAND
    )
    on_message_ext_card_button_clicked: On[MessageExtensionCardButtonClickedInvokeActivity, Answer] = On(
        "invoke", "composeExtension/onCardButtonClicked"
    )

    # Invokes: sign-in and hand-over -----------------------------------------------------------------------
    on_signin_token_exchange: On[SignInTokenExchangeInvokeActivity, TokenExchangeInvokeResponse | Answer] = (
        On("invoke", "signin/tokenExchange")
    )
    on_signin_verify_state: On[SignInVerifyStateInvokeActivity, Answer] = On("invoke", "signin/verifyState")
    on_signin_failure: On[SignInFailureInvokeActivity, Answer] = On("invoke", "signin/failure")
    on_handoff_action: On[HandoffActionInvokeActivity, Answer] = On("invoke", "handoff/action")

    # Everything -----------------------------------------------------------------------------------------
    on_activity: On[Activity, object] = On(None)

    # What stands around handlers --------------------------------------------------------------------------

    @overload
    def use(
        self,
        middleware: Callable[Concatenate[ActivityContext[Activity], P], object],
        *,
        inside: bool = False,
    ) -> Callable[Concatenate[ActivityContext[Activity], P], Any]: ...

    @overload
    def use(
        self, middleware: None = None, *, inside: bool = False
    ) -> Callable[
        [Callable[Concatenate[ActivityContext[Activity], P], ResultT]],
        Callable[Concatenate[ActivityContext[Activity], P], ResultT],
    ]: ...

    def use(self, middleware: Any = None, *, inside: bool = False) -> Any:
        """Let `middleware` stand around the handlers, which run when it calls `await ctx.next()`, and not if
        it does not.

        It sees every activity, before any filter is asked, and even if nobody wants the activity; with
        `inside=True` only what some handler wants, and after the filters. In both places the order is that of
        registration, no matter when the handlers were registered. It may ask for parameters, as handlers may.
        """

        def register(middleware: Handler[Any]) -> Handler[Any]:
            self.router.use(filled(middleware, "use", app=self), inside=inside)
            return middleware

        return register if middleware is None else register(middleware)


def rows() -> list[Row[Any, Any]]:
    """The table, for those who want to look at it."""
    return [row for row in vars(Routes).values() if isinstance(row, Row)]
