"""What users think of an answer, and the chips that they press."""

from microsoft_teams.api import (
    Attachment,
    CardTaskModuleTaskInfo,
    MessageActivity,
    MessageActivityInput,
    MessageFetchTaskInvokeActivity,
    MessageSubmitActionInvokeActivity,
    SuggestedActionSubmitInvokeActivity,
    TaskModuleContinueResponse,
    TaskModuleResponse,
)
from microsoft_teams.apps import ActivityContext, App

app = App()


@app.on_message
async def answer(ctx: ActivityContext[MessageActivity]):
    mode = "custom" if ctx.activity.text == "custom" else "default"
    await ctx.send(MessageActivityInput(text="42").add_ai_generated().add_feedback(mode))


@app.on_message_submit_feedback
async def feedback(ctx: ActivityContext[MessageSubmitActionInvokeActivity]):
    value = ctx.activity.value.action_value
    await ctx.send(f"{ctx.activity.value.action_name}: {value.reaction}, {value.feedback}")


@app.on_message_fetch_task
async def form(ctx: ActivityContext[MessageFetchTaskInvokeActivity]):
    reaction = ctx.activity.value.data.action_value.reaction
    card = {"type": "AdaptiveCard", "version": "1.5", "body": [{"type": "Input.Text", "id": "why"}]}
    attachment = Attachment(content_type="application/vnd.microsoft.card.adaptive", content=card)
    info = CardTaskModuleTaskInfo(title=f"Why {reaction}?", card=attachment)
    return TaskModuleResponse(task=TaskModuleContinueResponse(value=info))


@app.on_suggested_action_submit
async def chip(ctx: ActivityContext[SuggestedActionSubmitInvokeActivity]):
    await ctx.send(f"You pressed {ctx.activity.value['colour']}")
