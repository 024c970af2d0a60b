"""Actions of Adaptive Cards, by the action in their data, by verb, and all others."""

from microsoft_teams.api import (
    AdaptiveCardActionErrorResponse,
    AdaptiveCardActionMessageResponse,
    AdaptiveCardInvokeActivity,
    AdaptiveCardInvokeResponse,
    Attachment,
    HttpError,
    InnerHttpError,
    InvokeResponse,
    MessageActivity,
    MessageActivityInput,
)
from microsoft_teams.apps import ActivityContext, App

app = App()

CARD = {
    "type": "AdaptiveCard",
    "version": "1.5",
    "body": [{"type": "Input.Text", "id": "note"}],
    "actions": [
        {"type": "Action.Execute", "title": "Approve", "data": {"action": "approve"}},
        {"type": "Action.Execute", "title": "Reject", "data": {"action": "reject"}},
        {"type": "Action.Execute", "title": "Later", "verb": "later", "data": {}},
        {"type": "Action.Execute", "title": "Break", "verb": "break", "data": {}},
    ],
}


@app.on_message
async def ask(ctx: ActivityContext[MessageActivity]):
    card = Attachment(content_type="application/vnd.microsoft.card.adaptive", content=CARD)
    await ctx.send(MessageActivityInput().add_attachments(card))


@app.on_card_action_execute("approve")
async def approve(ctx: ActivityContext[AdaptiveCardInvokeActivity]) -> AdaptiveCardInvokeResponse:
    data = ctx.activity.value.action.data
    await ctx.send(f"Approved: {data.get('note')}")
    return AdaptiveCardActionMessageResponse(
        status_code=200, type="application/vnd.microsoft.activity.message", value="Thank you."
    )


async def reject(ctx: ActivityContext[AdaptiveCardInvokeActivity]):
    return InvokeResponse(body=AdaptiveCardActionMessageResponse(value="A pity."))


app.on_card_action_execute("reject")(reject)


@app.on_card_action
async def any_action(ctx: ActivityContext[AdaptiveCardInvokeActivity]) -> AdaptiveCardInvokeResponse:
    action = ctx.activity.value.action
    if action.verb == "later":
        return AdaptiveCardActionMessageResponse(value=f"Later then, {action.type}.")
    inner = InnerHttpError(status_code=501, body={"error": "no such verb"})
    error = HttpError(code="BadRequest", message=f"No verb {action.verb}", inner_http_error=inner)
    return AdaptiveCardActionErrorResponse(status_code=400, value=error)
