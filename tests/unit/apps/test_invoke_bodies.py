"""What bots answer invokes with: every response has the form that the documentation gives (api-surface.md
1.7)."""

import json
from typing import Any

import pytest
from adaptive_cards.card import AdaptiveCard, TextBlock
from cadenza.api import (
    AdaptiveCardActionCardResponse,
    AdaptiveCardActionErrorResponse,
    AdaptiveCardActionIncorrectAuthCodeResponse,
    AdaptiveCardActionLoginResponse,
    AdaptiveCardActionMessageResponse,
    AdaptiveCardActionPreconditionFailedResponse,
    AdaptiveCardAttachment,
    Attachment,
    CacheInfo,
    CardAction,
    CardActionType,
    CardTaskModuleTaskInfo,
    ConfigAuth,
    ConfigInvokeResponse,
    ConfigResponse,
    ErrorResponse,
    HeroCard,
    HtmlWidgetCallToolResponse,
    HtmlWidgetPayload,
    HtmlWidgetPermissions,
    HtmlWidgetSecurityPolicy,
    HttpError,
    InnerHttpError,
    McpUiAudioContent,
    McpUiCallToolResult,
    McpUiImageContent,
    McpUiResourceContent,
    McpUiTextContent,
    McpUiUpdateModelContextParams,
    McpUiUpdateModelContextRequest,
    MessageActivityInput,
    MessagingExtensionActionInvokeResponse,
    MessagingExtensionActionResponse,
    MessagingExtensionAttachment,
    MessagingExtensionAttachmentLayout,
    MessagingExtensionInvokeResponse,
    MessagingExtensionResponse,
    MessagingExtensionResult,
    MessagingExtensionResultType,
    MessagingExtensionSuggestedAction,
    OAuthCard,
    SearchInvokeResponse,
    SearchInvokeResponseValue,
    SearchInvokeResult,
    SearchResponse,
    SuggestedActions,
    TabInvokeResponse,
    TabResponse,
    TabResponseCard,
    TabResponseCards,
    TabResponsePayload,
    TabSuggestedActions,
    TaskModuleCardResponse,
    TaskModuleContinueResponse,
    TaskModuleInvokeResponse,
    TaskModuleMessageResponse,
    TaskModuleResponse,
    ThumbnailCard,
    TokenExchangeInvokeResponse,
    UrlTaskModuleTaskInfo,
    card_attachment,
    parse_activity,
)
from cadenza.apps.routing.responses import InvokeResponse, invoke_response
from pydantic import ValidationError

CARD: dict[str, Any] = {"type": "AdaptiveCard", "version": "1.5", "body": [], "fallbackText": None}
CARD_JSON = {"contentType": "application/vnd.microsoft.card.adaptive", "content": CARD}
SIGN_IN = CardAction(type=CardActionType.OPEN_URL, title="Sign in", value="https://contoso.example/auth")
SIGN_IN_JSON = {"type": "openUrl", "title": "Sign in", "value": "https://contoso.example/auth"}


def body_of(result: object) -> Any:
    """The JSON that Teams gets, after the model and through the same door as every answer."""
    plain = invoke_response(result)
    wrapped = invoke_response(InvokeResponse(body=result))
    assert plain.status == wrapped.status == 200
    assert plain.body == wrapped.body
    return plain.body


DIALOGS: list[tuple[Any, Any]] = [
    (
        TaskModuleResponse(
            task=TaskModuleContinueResponse(
                value=CardTaskModuleTaskInfo(
                    title="Form",
                    height=400,
                    width="medium",
                    fallback_url="https://contoso.example/form",
                    completion_bot_id="b",
                    card=card_attachment(AdaptiveCardAttachment(content=CARD)),
                )
            ),
            cache_info=CacheInfo(cache_type="cache", cache_duration=60),
        ),
        {
            "task": {
                "type": "continue",
                "value": {
                    "title": "Form",
                    "height": 400,
                    "width": "medium",
                    "fallbackUrl": "https://contoso.example/form",
                    "completionBotId": "b",
                    "card": CARD_JSON,
                },
            },
            "cacheInfo": {"cacheType": "cache", "cacheDuration": 60},
        },
    ),
    (
        TaskModuleResponse(
            task=TaskModuleContinueResponse(
                value=UrlTaskModuleTaskInfo(url="https://contoso.example/page", width="large", height="small")
            )
        ),
        {
            "task": {
                "type": "continue",
                "value": {"url": "https://contoso.example/page", "width": "large", "height": "small"},
            }
        },
    ),
    (
        TaskModuleResponse(task=TaskModuleMessageResponse(value="Saved")),
        {"task": {"type": "message", "value": "Saved"}},
    ),
    (TaskModuleResponse(), {}),
    (TaskModuleCardResponse(type="message", value="x"), {"type": "message", "value": "x"}),
]

EXTENSIONS: list[tuple[Any, Any]] = [
    (
        MessagingExtensionResponse(
            compose_extension=MessagingExtensionResult(
                type=MessagingExtensionResultType.RESULT,
                attachment_layout=MessagingExtensionAttachmentLayout.LIST,
                attachments=[
                    MessagingExtensionAttachment(
                        content_type="application/vnd.microsoft.card.adaptive",
                        content=CARD,
                        preview=card_attachment(ThumbnailCard(title="Engine")),
                    )
                ],
            )
        ),
        {
            "composeExtension": {
                "type": "result",
                "attachmentLayout": "list",
                "attachments": [
                    {
                        **CARD_JSON,
                        "preview": {
                            "contentType": "application/vnd.microsoft.card.thumbnail",
                            "content": {"title": "Engine"},
                        },
                    }
                ],
            }
        },
    ),
    *[
        (
            MessagingExtensionResponse(
                compose_extension=MessagingExtensionResult(
                    type=kind, suggested_actions=MessagingExtensionSuggestedAction(actions=[SIGN_IN])
                )
            ),
            {"composeExtension": {"type": kind.value, "suggestedActions": {"actions": [SIGN_IN_JSON]}}},
        )
        for kind in (
            MessagingExtensionResultType.AUTH,
            MessagingExtensionResultType.CONFIG,
            MessagingExtensionResultType.SILENT_AUTH,
        )
    ],
    (
        MessagingExtensionResponse(
            compose_extension=MessagingExtensionResult(
                type=MessagingExtensionResultType.MESSAGE, text="Nothing found"
            ),
            cache_info=CacheInfo(cache_duration=5),
        ),
        {
            "composeExtension": {"type": "message", "text": "Nothing found"},
            "cacheInfo": {"cacheDuration": 5},
        },
    ),
    (
        MessagingExtensionActionResponse(
            compose_extension=MessagingExtensionResult(
                type=MessagingExtensionResultType.BOT_MESSAGE_PREVIEW,
                activity_preview=MessageActivityInput(text="Look").add_card(CARD),
            )
        ),
        {
            "composeExtension": {
                "type": "botMessagePreview",
                "activityPreview": {"type": "message", "text": "Look", "attachments": [CARD_JSON]},
            }
        },
    ),
    (
        MessagingExtensionActionResponse(task=TaskModuleMessageResponse(value="Done")),
        {"task": {"type": "message", "value": "Done"}},
    ),
    (MessagingExtensionActionResponse(), {}),
]

ACTIONS: list[tuple[Any, Any]] = [
    (
        AdaptiveCardActionCardResponse(value=CARD),
        {"statusCode": 200, "type": "application/vnd.microsoft.card.adaptive", "value": CARD},
    ),
    (
        AdaptiveCardActionMessageResponse(value="Saved"),
        {"statusCode": 200, "type": "application/vnd.microsoft.activity.message", "value": "Saved"},
    ),
    (
        AdaptiveCardActionErrorResponse(
            status_code=400,
            value=HttpError(
                code="BadRequest",
                message="No such verb",
                inner_http_error=InnerHttpError(status_code=404, body={"a": None}),
            ),
        ),
        {
            "statusCode": 400,
            "type": "application/vnd.microsoft.error",
            "value": {
                "code": "BadRequest",
                "message": "No such verb",
                "innerHttpError": {"statusCode": 404, "body": {"a": None}},
            },
        },
    ),
    (
        AdaptiveCardActionLoginResponse(
            value=OAuthCard(text="Sign in", connection_name="graph", buttons=[SIGN_IN])
        ),
        {
            "statusCode": 401,
            "type": "application/vnd.microsoft.activity.loginRequest",
            "value": {"text": "Sign in", "connectionName": "graph", "buttons": [SIGN_IN_JSON]},
        },
    ),
    (
        AdaptiveCardActionIncorrectAuthCodeResponse(value=None),
        {"statusCode": 401, "type": "application/vnd.microsoft.error.incorrectAuthCode", "value": None},
    ),
    (
        AdaptiveCardActionPreconditionFailedResponse(
            value=HttpError(code="412", message="Failed to exchange")
        ),
        {
            "statusCode": 412,
            "type": "application/vnd.microsoft.error.preconditionFailed",
            "value": {"code": "412", "message": "Failed to exchange"},
        },
    ),
]

OTHERS: list[tuple[Any, Any]] = [
    (
        SearchResponse(
            value=SearchInvokeResponseValue(results=[SearchInvokeResult(title="Engine", value="engine")])
        ),
        {
            "statusCode": 200,
            "type": "application/vnd.microsoft.search.searchResponse",
            "value": {"results": [{"title": "Engine", "value": "engine"}]},
        },
    ),
    (
        ConfigResponse(config=ConfigAuth(suggested_actions=SuggestedActions(to=["u"], actions=[SIGN_IN]))),
        {
            "responseType": "config",
            "config": {"type": "auth", "suggestedActions": {"to": ["u"], "actions": [SIGN_IN_JSON]}},
        },
    ),
    (
        ConfigResponse(
            config=TaskModuleContinueResponse(value=CardTaskModuleTaskInfo(card=card_attachment(CARD))),
            cache_info=CacheInfo(cache_type="no_cache"),
        ),
        {
            "responseType": "config",
            "config": {"type": "continue", "value": {"card": CARD_JSON}},
            "cacheInfo": {"cacheType": "no_cache"},
        },
    ),
    (
        ConfigResponse(config=TaskModuleMessageResponse(value="Saved")),
        {"responseType": "config", "config": {"type": "message", "value": "Saved"}},
    ),
    (
        TabResponse(
            tab=TabResponsePayload(
                type="continue", value=TabResponseCards(cards=[TabResponseCard(card=CARD)])
            )
        ),
        {"tab": {"type": "continue", "value": {"cards": [{"card": CARD}]}}},
    ),
    (
        TabResponse(
            tab=TabResponsePayload(type="auth", suggested_actions=TabSuggestedActions(actions=[SIGN_IN]))
        ),
        {"tab": {"type": "auth", "suggestedActions": {"actions": [SIGN_IN_JSON]}}},
    ),
    (
        TokenExchangeInvokeResponse(id="r", connection_name="graph", failure_detail="no consent"),
        {"id": "r", "connectionName": "graph", "failureDetail": "no consent"},
    ),
    (
        HtmlWidgetCallToolResponse(
            call_tool_result=McpUiCallToolResult(
                content=[
                    McpUiTextContent(text="3"),
                    McpUiImageContent(data="aGk=", mime_type="image/png"),
                    McpUiAudioContent(data="aGk=", mime_type="audio/wav"),
                    McpUiResourceContent(resource={"uri": "ui://a", "text": None}),
                ],
                structured_content={"sum": 3},
                is_error=False,
            )
        ),
        {
            "responseType": "htmlwidget/calltoolresult",
            "callToolResult": {
                "content": [
                    {"type": "text", "text": "3"},
                    {"type": "image", "data": "aGk=", "mimeType": "image/png"},
                    {"type": "audio", "data": "aGk=", "mimeType": "audio/wav"},
                    {"type": "resource", "resource": {"uri": "ui://a", "text": None}},
                ],
                "structuredContent": {"sum": 3},
                "isError": False,
            },
        },
    ),
    (ErrorResponse(error=HttpError(code="c", message="m")), {"error": {"code": "c", "message": "m"}}),
]


@pytest.mark.parametrize(("response", "body"), [*DIALOGS, *EXTENSIONS, *ACTIONS, *OTHERS])
def test_a_response_has_the_documented_form(response: Any, body: Any) -> None:
    assert body_of(response) == body


@pytest.mark.parametrize(("response", "body"), [*DIALOGS, *EXTENSIONS, *ACTIONS, *OTHERS])
def test_a_response_can_be_read_back(response: Any, body: Any) -> None:
    assert type(response).model_validate(body).to_wire() == body
    assert type(response).received(json.loads(json.dumps(body))).to_wire() == body


def test_the_names_of_responses_with_invoke_in_them_are_the_same_classes() -> None:
    assert TaskModuleInvokeResponse is TaskModuleResponse
    assert MessagingExtensionInvokeResponse is MessagingExtensionResponse
    assert MessagingExtensionActionInvokeResponse is MessagingExtensionActionResponse
    assert ConfigInvokeResponse is ConfigResponse
    assert TabInvokeResponse is TabResponse
    assert SearchInvokeResponse is SearchResponse


@pytest.mark.parametrize("size", ["huge", "600", 1.5, [], {}])
def test_a_dialog_of_an_impossible_size_is_refused_when_it_is_made(size: Any) -> None:
    with pytest.raises(ValidationError, match="width"):
        UrlTaskModuleTaskInfo(url="https://contoso.example", width=size)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (CardTaskModuleTaskInfo, {}),
        (UrlTaskModuleTaskInfo, {}),
        (TaskModuleMessageResponse, {}),
        (TaskModuleContinueResponse, {"type": "message"}),
        (AdaptiveCardActionCardResponse, {"value": "text"}),
        (AdaptiveCardActionMessageResponse, {"value": 5}),
        (AdaptiveCardActionErrorResponse, {"status_code": 404, "value": {"code": "c", "message": "m"}}),
        (AdaptiveCardActionLoginResponse, {"value": {"text": "no connection"}}),
        (SearchResponse, {"value": {"results": [{"title": "no value"}]}}),
        (ConfigResponse, {"config": {"type": "other"}}),
        (TabResponse, {}),
        (MessagingExtensionResult, {"type": "results"}),
        (MessagingExtensionResult, {"activity_preview": "text"}),
        (HttpError, {"code": "c"}),
        (HtmlWidgetPayload, {"name": "n", "html": ""}),
    ],
)
def test_a_response_that_teams_would_refuse_cannot_be_made(model: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model(**fields)


class TestCardsInResponses:
    def test_a_bare_card_becomes_an_attachment(self) -> None:
        card = AdaptiveCard.new().version("1.5").add_item(TextBlock(text="Form")).create()
        for bare in (card, CARD):
            info: Any = CardTaskModuleTaskInfo(card=bare)
            assert isinstance(info.card, Attachment)
            expected = card.to_dict() if bare is card else CARD
            assert body_of(info) == {"card": {"contentType": CARD_JSON["contentType"], "content": expected}}

    def test_a_preview_may_be_a_bare_classic_card(self) -> None:
        attachment = MessagingExtensionAttachment(**CARD_JSON, preview=HeroCard(title="a"))
        assert body_of(attachment)["preview"] == {
            "contentType": "application/vnd.microsoft.card.hero",
            "content": {"title": "a"},
        }

    def test_a_card_object_is_asked_for_its_dict(self) -> None:
        card = AdaptiveCard.new().version("1.5").add_item(TextBlock(text="Done")).create()
        assert body_of(AdaptiveCardActionCardResponse(value=card))["value"] == card.to_dict()
        assert body_of(TabResponseCard(card=card)) == {"card": card.to_dict()}

    def test_a_dict_is_written_whole_its_nulls_included(self) -> None:
        assert body_of(AdaptiveCardActionCardResponse(value=CARD))["value"]["fallbackText"] is None


def test_a_preview_may_be_an_activity_that_came_in() -> None:
    came = parse_activity({"type": "message", "text": "Look", "attachmentLayout": "list"})
    body = body_of(MessagingExtensionResult(activity_preview=came))
    assert body["activityPreview"].items() >= {"type": "message", "text": "Look"}.items()


def test_a_preview_that_is_a_dict_becomes_the_message_it_stands_for() -> None:
    result = MessagingExtensionResult.model_validate({"activityPreview": {"type": "message", "text": "Look"}})
    assert isinstance(result.activity_preview, MessageActivityInput)
    assert result.activity_preview.text == "Look"


class TestWidgets:
    def test_a_widget_has_the_documented_form(self) -> None:
        widget = HtmlWidgetPayload(
            name="sum",
            html="<p>3</p>",
            domain="contoso.example",
            security_policy=HtmlWidgetSecurityPolicy(
                connect_domains=["a"], resource_domains=["b"], frame_domains=[], base_uri_domains=["c"]
            ),
            tool_input={"a": None},
            tool_output=3,
            permissions=HtmlWidgetPermissions(camera={}, clipboard_write={}),
        )
        assert widget.to_wire() == {
            "type": "widget/mcp-ui",
            "name": "sum",
            "html": "<p>3</p>",
            "domain": "contoso.example",
            "securityPolicy": {
                "connectDomains": ["a"],
                "resourceDomains": ["b"],
                "frameDomains": [],
                "baseUriDomains": ["c"],
            },
            "toolInput": {"a": None},
            "toolOutput": 3,
            "permissions": {"camera": {}, "clipboardWrite": {}},
        }

    def test_what_a_widget_tells_the_model_can_be_read_though_a_part_of_it_is_new(self) -> None:
        came = {
            "method": "ui/update-model-context",
            "params": {
                "content": [{"type": "text", "text": "3"}, {"type": "hologram", "data": 1}],
                "structuredContent": {"sum": 3},
            },
        }
        request = McpUiUpdateModelContextRequest.received(came)
        assert isinstance(request.params, McpUiUpdateModelContextParams)
        assert request.params.content == [McpUiTextContent(text="3")]
        assert request.params.structured_content == {"sum": 3}
        assert request.to_wire() == came
