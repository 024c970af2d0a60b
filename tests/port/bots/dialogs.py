"""Dialogs: opened by id, submitted by action, answered with and without InvokeResponse."""

from microsoft_teams.api import (
    Attachment,
    CardTaskModuleTaskInfo,
    InvokeResponse,
    MessageActivity,
    MessageActivityInput,
    TaskFetchInvokeActivity,
    TaskModuleContinueResponse,
    TaskModuleMessageResponse,
    TaskModuleResponse,
    TaskSubmitInvokeActivity,
    UrlTaskModuleTaskInfo,
)
from microsoft_teams.apps import ActivityContext, App

app = App()

FORM = {
    "type": "AdaptiveCard",
    "version": "1.5",
    "body": [{"type": "Input.Text", "id": "name", "label": "Your name"}],
    "actions": [{"type": "Action.Submit", "title": "Send", "data": {"action": "save_form"}}],
}


def launcher(id: str, title: str) -> dict:
    data = {"msteams": {"type": "task/fetch"}, "dialog_id": id}
    return {"type": "Action.Submit", "title": title, "data": data}


MENU = {
    "type": "AdaptiveCard",
    "version": "1.5",
    "actions": [
        launcher("form", "A form"),
        launcher("page", "A page"),
        launcher("steps", "Steps"),
        launcher("other", "Other"),
    ],
}


def card(content: dict) -> Attachment:
    return Attachment(content_type="application/vnd.microsoft.card.adaptive", content=content)


@app.on_message
async def menu(ctx: ActivityContext[MessageActivity]):
    await ctx.send(MessageActivityInput(text="Choose").add_attachments(card(MENU)))


@app.on_dialog_open("form")
async def form(ctx: ActivityContext[TaskFetchInvokeActivity]):
    info = CardTaskModuleTaskInfo(title="A form", height="small", width=400, card=card(FORM))
    return InvokeResponse(
        body=TaskModuleResponse(task=TaskModuleContinueResponse(value=info)),
    )


@app.on_dialog_open("page")
async def page(ctx: ActivityContext[TaskFetchInvokeActivity]):
    info = UrlTaskModuleTaskInfo(title="A page", url="https://example.com/form", width="large", height=600)
    return TaskModuleResponse(task=TaskModuleContinueResponse(value=info))


async def steps(ctx: ActivityContext[TaskFetchInvokeActivity]) -> InvokeResponse[TaskModuleResponse]:
    content = {**FORM, "actions": [{"type": "Action.Submit", "title": "Next", "data": {"action": "step"}}]}
    info = CardTaskModuleTaskInfo(title="Step 1", card=card(content))
    return InvokeResponse(status=200, body=TaskModuleResponse(task=TaskModuleContinueResponse(value=info)))


app.on_dialog_open("steps", steps)


@app.on_dialog_open
async def other(ctx: ActivityContext[TaskFetchInvokeActivity]):
    return TaskModuleResponse(task=TaskModuleMessageResponse(value="There is no such dialog."))


@app.on_dialog_submit("save_form")
async def save(ctx: ActivityContext[TaskSubmitInvokeActivity]):
    data = ctx.activity.value.data
    await ctx.send(f"Hello {data['name']}")
    return TaskModuleResponse(task=TaskModuleMessageResponse(value="Saved."))


@app.on_dialog_submit("step")
async def step(ctx: ActivityContext[TaskSubmitInvokeActivity]):
    data = ctx.activity.value.data if ctx.activity.value else {}
    info = CardTaskModuleTaskInfo(title=f"Step 2 for {data.get('name')}", card=card(FORM))
    return InvokeResponse(body=TaskModuleResponse(task=TaskModuleContinueResponse(value=info)))


@app.on_dialog_submit()
async def any_submit(ctx: ActivityContext[TaskSubmitInvokeActivity]):
    return None
