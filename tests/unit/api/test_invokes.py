"""What Teams asks a bot for: every invoke is read into its class, loses nothing and never fails."""

import json
from typing import Any

import pytest
from cadenza.api import (
    Activity,
    AdaptiveCardInvokeActivity,
    AdaptiveCardInvokeValue,
    ConfigFetchInvokeActivity,
    ConfigSubmitInvokeActivity,
    ExecuteActionInvokeActivity,
    FileConsentInvokeActivity,
    HandoffActionInvokeActivity,
    HtmlWidgetCallToolInvokeActivity,
    InvokeActivity,
    MessageActivity,
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
    MessageSubmitActionInvokeActivity,
    MessagingExtensionAction,
    MessagingExtensionQuery,
    SearchInvokeActivity,
    SignInFailureInvokeActivity,
    SignInTokenExchangeInvokeActivity,
    SignInVerifyStateInvokeActivity,
    SuggestedActionSubmitInvokeActivity,
    TabFetchInvokeActivity,
    TabRequest,
    TabSubmit,
    TabSubmitInvokeActivity,
    TaskFetchInvokeActivity,
    TaskModuleRequest,
    TaskSubmitInvokeActivity,
    TokenExchangeInvokeRequest,
    parse_activity,
)
from cadenza.api.models.file import Action
from cadenza.api.models.inbound import UnknownInvoke
from cadenza.api.models.message_payload import ApplicationIdentityType, UserIdentityType
from payloads import INVOKES, invoke, lost

CLASSES: dict[str, type[InvokeActivity]] = {
    "task/fetch": TaskFetchInvokeActivity,
    "task/submit": TaskSubmitInvokeActivity,
    "message/fetchTask": MessageFetchTaskInvokeActivity,
    "message/submitAction": MessageSubmitActionInvokeActivity,
    "composeExtension/query": MessageExtensionQueryInvokeActivity,
    "composeExtension/selectItem": MessageExtensionSelectItemInvokeActivity,
    "composeExtension/queryLink": MessageExtensionQueryLinkInvokeActivity,
    "composeExtension/anonymousQueryLink": MessageExtensionAnonQueryLinkInvokeActivity,
    "composeExtension/querySettingUrl": MessageExtensionQuerySettingUrlInvokeActivity,
    "composeExtension/setting": MessageExtensionSettingInvokeActivity,
    "composeExtension/onCardButtonClicked": MessageExtensionCardButtonClickedInvokeActivity,
    "composeExtension/fetchTask": MessageExtensionFetchTaskInvokeActivity,
    "composeExtension/submitAction": MessageExtensionSubmitActionInvokeActivity,
    "adaptiveCard/action": AdaptiveCardInvokeActivity,
    "application/search": SearchInvokeActivity,
    "signin/tokenExchange": SignInTokenExchangeInvokeActivity,
    "signin/verifyState": SignInVerifyStateInvokeActivity,
    "signin/failure": SignInFailureInvokeActivity,
    "fileConsent/invoke": FileConsentInvokeActivity,
    "actionableMessage/executeAction": ExecuteActionInvokeActivity,
    "config/fetch": ConfigFetchInvokeActivity,
    "config/submit": ConfigSubmitInvokeActivity,
    "tab/fetch": TabFetchInvokeActivity,
    "tab/submit": TabSubmitInvokeActivity,
    "handoff/action": HandoffActionInvokeActivity,
    "suggestedActions/submit": SuggestedActionSubmitInvokeActivity,
    "htmlwidget/calltool": HtmlWidgetCallToolInvokeActivity,
}


def read(payload: dict[str, Any]) -> Activity:
    return parse_activity(json.dumps(payload).encode())


def value_of(name: str) -> Any:
    activity = read(INVOKES[name])
    assert isinstance(activity, InvokeActivity)
    return activity.value


def test_there_is_a_payload_of_every_invoke() -> None:
    assert {payload["name"] for payload in INVOKES.values()} == {*CLASSES, "future/thing"}


@pytest.mark.parametrize("name", INVOKES)
def test_an_invoke_is_read_into_its_class_and_loses_nothing(name: str) -> None:
    payload = INVOKES[name]
    activity = read(payload)
    assert type(activity) is CLASSES.get(payload["name"], UnknownInvoke)
    assert activity.type == "invoke"
    assert lost(payload, activity.to_wire()) == []


@pytest.mark.parametrize("name", INVOKES)
@pytest.mark.parametrize(
    "value", [None, "text", 5, True, [1], [{"a": 1}], {}, {"data": 3, "action": [], "x": {}}]
)
def test_a_value_of_another_form_is_kept_and_never_an_error(name: str, value: Any) -> None:
    payload = INVOKES[name] | {"value": value}
    activity = read(payload)
    assert type(activity) is CLASSES.get(payload["name"], UnknownInvoke)
    assert lost(payload, activity.to_wire()) == []


@pytest.mark.parametrize("name", INVOKES)
def test_an_invoke_without_a_value_has_an_empty_one(name: str) -> None:
    payload = {key: value for key, value in INVOKES[name].items() if key != "value"}
    activity = read(payload)
    assert isinstance(activity, InvokeActivity)
    assert type(activity.value) in (
        type(None),
        type(CLASSES[payload["name"]]().value if activity.value else None),
    )


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_can_be_made_without_arguments(name: str) -> None:
    assert CLASSES[name]().to_wire()["name"] == name


class TestDialogs:
    def test_a_fetch_says_where_it_comes_from(self) -> None:
        value = value_of("task/fetch")
        assert isinstance(value, TaskModuleRequest)
        assert value.data["dialog_id"] == "simple_form"
        assert value.context is not None
        assert value.context.theme == "dark"
        assert value.tab_context is not None
        assert value.tab_context.tab_entity_id == "home"

    def test_a_submit_has_the_inputs(self) -> None:
        assert value_of("task/submit").data == {"action": "save", "name": "Ada"}


class TestFeedback:
    def test_a_thumb_with_a_custom_form_says_which_thumb(self) -> None:
        data = value_of("message/fetchTask").data
        assert (data.action_name, data.action_value.reaction) == ("feedback", "like")

    def test_what_was_written_with_a_thumb_can_be_read(self) -> None:
        value = value_of("message/submitAction")
        assert value.action_name == "feedback"
        assert value.action_value.reaction == "dislike"
        assert value.action_value.feedback == '{"feedbackText":"too long"}'
        assert value.action_value.feedback_text == "too long"

    def test_the_inputs_of_a_custom_form_can_be_read(self) -> None:
        payload = {"actionName": "feedback", "actionValue": {"reaction": "like", "feedback": '{"stars":"5"}'}}
        value: Any = read(invoke("message/submitAction", payload))
        assert value.value.action_value.feedback_data == {"stars": "5"}
        assert value.value.action_value.feedback_text == ""

    @pytest.mark.parametrize("feedback", [None, "", "so so", "[1]", "[" * 100_000, 7, {"feedbackText": "x"}])
    def test_feedback_of_another_form_reads_as_none_and_is_kept(self, feedback: Any) -> None:
        payload = invoke(
            "message/submitAction",
            {"actionName": "feedback", "actionValue": {"reaction": "like", "feedback": feedback}},
        )
        activity = parse_activity(payload)
        assert isinstance(activity, MessageSubmitActionInvokeActivity)
        assert activity.value.action_value.reaction == "like"
        assert activity.value.action_value.feedback_data == {}
        assert activity.value.action_value.feedback_text == ""
        assert lost(payload, activity.to_wire()) == []

    def test_another_reaction_is_kept_as_it_came(self) -> None:
        payload = {"data": {"actionName": "feedback", "actionValue": {"reaction": "love"}}}
        value: Any = read(invoke("message/fetchTask", payload))
        assert value.value.data.action_value.reaction == "love"


class TestMessageExtensions:
    def test_a_query_has_its_parameters(self) -> None:
        value = value_of("composeExtension/query")
        assert isinstance(value, MessagingExtensionQuery)
        assert value.command_id == "searchQuery"
        assert value.parameters is not None
        assert (value.parameters[0].name, value.parameters[0].value) == ("searchQuery", "engine")
        assert value.parameter("searchQuery") == "engine"
        assert value.parameter("initialRun") is None
        assert value.parameter("initialRun", "false") == "false"
        assert value.query_options is not None
        assert (value.query_options.skip, value.query_options.count) == (0, 25)

    def test_a_query_without_parameters_has_none(self) -> None:
        assert MessagingExtensionQuery.received({}).parameter("searchQuery", "") == ""

    def test_settings_that_were_closed_say_so(self) -> None:
        assert value_of("composeExtension/setting").state == "CancelledByUser"

    def test_a_link_is_there(self) -> None:
        value = value_of("composeExtension/queryLink")
        assert (value.url, value.state) == ("https://contoso.example/items/1", "123456")

    def test_an_action_has_the_message_that_it_was_called_on(self) -> None:
        value = value_of("composeExtension/fetchTask")
        assert isinstance(value, MessagingExtensionAction)
        assert (value.command_id, value.command_context) == ("createTask", "message")
        message = value.message_payload
        assert message is not None
        assert message.id == "1728640934763"
        assert message.body is not None
        assert (message.body.content_type, message.body.text_content) == ("html", "the engine")
        assert message.from_ is not None
        assert message.from_.user is not None
        assert message.from_.user.display_name == "Ada Lovelace"
        assert message.from_.user.user_identity_type is UserIdentityType.AAD_USER
        assert message.attachments is not None
        assert message.attachments[0].name == "notes.docx"
        assert message.mentions is not None
        assert message.mentions[0].mentioned is not None
        assert message.mentions[0].mentioned.application is not None
        # Teams writes bot, the reference knows BOT: what is not known stays as it came.
        assert message.mentions[0].mentioned.application.application_identity_type == "bot"
        assert ApplicationIdentityType.BOT == "BOT"
        assert message.mentions[1].mentioned is not None
        assert message.mentions[1].mentioned.conversation is not None
        assert message.mentions[1].mentioned.conversation.conversation_identity_type == "channel"
        assert message.reactions is not None
        assert message.reactions[0].user is not None
        assert message.reactions[0].user.display_name == "Charles Babbage"

    def test_a_previewed_message_comes_back_as_a_message(self) -> None:
        value = value_of("composeExtension/submitAction")
        assert value.bot_message_preview_action == "send"
        assert value.data == {"title": "Engine", "due": None}
        first, second = value.bot_activity_preview
        assert isinstance(first, MessageActivity)
        assert first.attachments is not None
        assert first.attachments[0].content["type"] == "AdaptiveCard"
        assert second.text == "preview"

    def test_an_action_called_from_nowhere_known_has_no_context(self) -> None:
        activity: Any = read(invoke("composeExtension/fetchTask", {"commandId": "a"}))
        assert activity.value.command_context == ""
        assert activity.value.message_payload is None


class TestCardsAndTabs:
    def test_a_button_has_its_verb_and_data(self) -> None:
        value = value_of("adaptiveCard/action")
        assert isinstance(value, AdaptiveCardInvokeValue)
        assert (value.action.type, value.action.id, value.action.verb) == (
            "Action.Execute",
            "save-button",
            "save",
        )
        assert value.action.data == {"action": "save", "name": "Ada"}
        assert value.trigger == "manual"
        assert value.authentication is None

    def test_after_a_login_request_comes_a_token(self) -> None:
        value = value_of("adaptiveCard/action with token")
        assert isinstance(value.authentication, TokenExchangeInvokeRequest)
        assert (value.authentication.connection_name, value.authentication.token) == ("graph", "eyJ0")
        assert "eyJ0" not in repr(value)
        assert value.state == "123456"

    def test_a_button_without_data_and_a_card_that_refreshes_itself_are_no_errors(self) -> None:
        payload = invoke(
            "adaptiveCard/action",
            {"action": {"type": "Action.Execute", "verb": "refresh"}, "trigger": "automatic"},
        )
        activity = read(payload)
        assert isinstance(activity, AdaptiveCardInvokeActivity)
        assert activity.value.action.data == {}
        assert activity.value.trigger == "automatic"
        assert lost(payload, activity.to_wire()) == []

    @pytest.mark.parametrize("data", ["text", 5, ["a"], None])
    def test_data_that_is_no_object_shows_as_empty_and_is_kept(self, data: Any) -> None:
        payload = invoke(
            "adaptiveCard/action", {"action": {"type": "Action.Submit", "id": "a", "data": data}}
        )
        activity = read(payload)
        assert isinstance(activity, AdaptiveCardInvokeActivity)
        assert (activity.value.action.id, activity.value.action.data) == ("a", {})
        assert lost(payload, activity.to_wire()) == []

    def test_a_search_says_what_was_typed(self) -> None:
        value = value_of("application/search")
        assert (value.kind, value.query_text, value.dataset) == ("search", "eng", "engines")
        assert (value.query_options.skip, value.query_options.top) == (0, 15)

    def test_a_tab_says_which_it_is_and_what_was_submitted(self) -> None:
        fetched = value_of("tab/fetch")
        assert isinstance(fetched, TabRequest)
        assert fetched.tab_context is not None
        assert (fetched.tab_context.tab_entity_id, fetched.state) == ("home", "123456")
        submitted = value_of("tab/submit")
        assert isinstance(submitted, TabSubmit)
        assert submitted.data is not None
        assert submitted.data.type == "tab/submit"
        assert submitted.data.model_extra == {"answer": 42}


class TestTheRest:
    def test_a_token_of_single_sign_on_is_there_and_not_in_the_log(self) -> None:
        value = value_of("signin/tokenExchange")
        assert (value.id, value.connection_name, value.token) == ("req-1", "graph", "eyJ0")
        assert "eyJ0" not in repr(value)

    def test_a_magic_code_and_a_failure_can_be_read(self) -> None:
        assert value_of("signin/verifyState").state == "123456"
        assert value_of("signin/failure").code == "resourcematchfailed"

    def test_a_new_failure_code_is_kept(self) -> None:
        activity: Any = read(invoke("signin/failure", {"code": "moonphase", "message": "full"}))
        assert (activity.value.code, activity.value.message) == ("moonphase", "full")

    def test_an_accepted_upload_says_where_to(self) -> None:
        value = value_of("fileConsent/invoke accept")
        assert value.action is Action.ACCEPT
        assert value.context == {"file": "report-7"}
        assert value.upload_info.name == "report.txt"
        assert value.upload_info.file_type == "txt"
        assert "uploadSession" not in repr(value)

    def test_a_declined_upload_has_no_place(self) -> None:
        value = value_of("fileConsent/invoke decline")
        assert (value.action, value.upload_info) == ("decline", None)

    def test_a_connector_card_says_which_button(self) -> None:
        value = value_of("actionableMessage/executeAction")
        assert (value.action_id, json.loads(value.body)) == ("set-due", {"due": "2026-10-01"})

    def test_values_that_the_protocol_leaves_open_are_as_they_came(self) -> None:
        assert value_of("config/submit") == {"data": {"language": "de"}}
        assert value_of("suggestedActions/submit") == {"choice": "yes"}
        assert value_of("composeExtension/selectItem") == {"package": {"name": "engine", "version": "1.0.0"}}
        assert value_of("composeExtension/onCardButtonClicked") == {"item": 7, "type": "invoke"}

    def test_a_handoff_and_a_widget_say_what_they_want(self) -> None:
        assert value_of("handoff/action").continuation == "c-1"
        tool = value_of("htmlwidget/calltool")
        assert (tool.name, tool.arguments) == ("add", {"a": 1, "b": 2})
