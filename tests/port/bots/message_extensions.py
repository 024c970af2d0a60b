"""Message extensions: search, link unfurling, actions, settings."""

from microsoft_teams.api import (
    Attachment,
    CardAction,
    CardActionType,
    CardTaskModuleTaskInfo,
    InvokeResponse,
    MessageExtensionAnonQueryLinkInvokeActivity,
    MessageExtensionCardButtonClickedInvokeActivity,
    MessageExtensionFetchTaskInvokeActivity,
    MessageExtensionQueryInvokeActivity,
    MessageExtensionQueryLinkInvokeActivity,
    MessageExtensionQuerySettingUrlInvokeActivity,
    MessageExtensionSelectItemInvokeActivity,
    MessageExtensionSettingInvokeActivity,
    MessageExtensionSubmitActionInvokeActivity,
    MessagingExtensionActionResponse,
    MessagingExtensionAttachment,
    MessagingExtensionAttachmentLayout,
    MessagingExtensionResponse,
    MessagingExtensionResult,
    MessagingExtensionResultType,
    MessagingExtensionSuggestedAction,
    TaskModuleContinueResponse,
    ThumbnailCard,
    ThumbnailCardAttachment,
    card_attachment,
)
from microsoft_teams.apps import ActivityContext, App

app = App()


def item(title: str, text: str = "") -> MessagingExtensionAttachment:
    card = {"type": "AdaptiveCard", "version": "1.5", "body": [{"type": "TextBlock", "text": title}]}
    preview = card_attachment(
        ThumbnailCardAttachment(content=ThumbnailCard(title=title, text=text, images=[]))
    )
    return MessagingExtensionAttachment(
        content_type="application/vnd.microsoft.card.adaptive",
        content=card,
        preview=Attachment(content_type=preview.content_type, content=preview.content),
    )


def results(*items: MessagingExtensionAttachment) -> MessagingExtensionResponse:
    return MessagingExtensionResponse(
        compose_extension=MessagingExtensionResult(
            type=MessagingExtensionResultType.RESULT,
            attachment_layout=MessagingExtensionAttachmentLayout.LIST,
            attachments=list(items),
        )
    )


@app.on_message_ext_query
async def search(ctx: ActivityContext[MessageExtensionQueryInvokeActivity]):
    query = ctx.activity.value
    word = ""
    if query.parameters:
        word = query.parameters[0].value or ""
    count = query.query_options.count if query.query_options else None
    if query.command_id == "searchThings":
        return InvokeResponse[MessagingExtensionResponse](
            body=results(item(f"{word} 1", f"of {count}"), item(f"{word} 2"))
        )
    return InvokeResponse[MessagingExtensionResponse](status=400)


@app.on_message_ext_select_item
async def select(ctx: ActivityContext[MessageExtensionSelectItemInvokeActivity]):
    return results(item(f"You chose {ctx.activity.value['id']}"))


@app.on_message_ext_query_link
async def link(ctx: ActivityContext[MessageExtensionQueryLinkInvokeActivity]):
    return results(item("Preview", ctx.activity.value.url or "no address"))


@app.on_message_ext_anon_query_link
async def anonymous_link(ctx: ActivityContext[MessageExtensionAnonQueryLinkInvokeActivity]):
    return MessagingExtensionResponse(
        compose_extension=MessagingExtensionResult(
            type=MessagingExtensionResultType.AUTH,
            suggested_actions=MessagingExtensionSuggestedAction(
                actions=[
                    CardAction(type=CardActionType.OPEN_URL, title="Sign in", value=ctx.activity.value.url)
                ]
            ),
        )
    )


@app.on_message_ext_open
async def open_form(ctx: ActivityContext[MessageExtensionFetchTaskInvokeActivity]):
    text = "nothing"
    if ctx.activity.value.message_payload and ctx.activity.value.message_payload.body:
        text = ctx.activity.value.message_payload.body.content or ""
    card = {"type": "AdaptiveCard", "version": "1.5", "body": [{"type": "TextBlock", "text": text}]}
    info = CardTaskModuleTaskInfo(
        title=f"{ctx.activity.value.command_id} in {ctx.activity.value.command_context}",
        height="small",
        width="small",
        card=Attachment(content_type="application/vnd.microsoft.card.adaptive", content=card),
    )
    return MessagingExtensionActionResponse(task=TaskModuleContinueResponse(value=info))


@app.on_message_ext_submit
async def submit(ctx: ActivityContext[MessageExtensionSubmitActionInvokeActivity]):
    value = ctx.activity.value
    if value.command_id == "say":
        return InvokeResponse(
            body=MessagingExtensionActionResponse(
                compose_extension=MessagingExtensionResult(
                    type=MessagingExtensionResultType.MESSAGE, text="There is nothing to say."
                )
            )
        )
    data = value.data or {}
    extension = results(item(data.get("title", "untitled"))).compose_extension
    return MessagingExtensionActionResponse(compose_extension=extension)


@app.on_message_ext_query_settings_url
async def settings_url(ctx: ActivityContext[MessageExtensionQuerySettingUrlInvokeActivity]):
    action = CardAction(type=CardActionType.OPEN_URL, title="Settings", value="https://example.com/settings")
    return MessagingExtensionResponse(
        compose_extension=MessagingExtensionResult(
            type=MessagingExtensionResultType.CONFIG,
            suggested_actions=MessagingExtensionSuggestedAction(actions=[action]),
        )
    )


@app.on_message_ext_setting
async def setting(ctx: ActivityContext[MessageExtensionSettingInvokeActivity]):
    state = getattr(ctx.activity.value, "state", None)
    if state == "CancelledByUser":
        return MessagingExtensionResponse(
            compose_extension=MessagingExtensionResult(
                type=MessagingExtensionResultType.RESULT, attachments=[]
            )
        )
    await ctx.storage.async_set("setting", state)
    return None


@app.on_message_ext_card_button_clicked
async def clicked(ctx: ActivityContext[MessageExtensionCardButtonClickedInvokeActivity]):
    await ctx.send(f"Clicked {ctx.activity.value['button']}, set to {ctx.storage.get('setting')}")
