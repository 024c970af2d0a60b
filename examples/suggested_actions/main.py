"""Chips above the compose box that save the user the typing, and thumbs below an answer."""

import asyncio

from cadenza.api import (
    CardAction,
    CardTaskModuleTaskInfo,
    MessageActivity,
    MessageActivityInput,
    MessageFetchTaskInvokeActivity,
    MessageSubmitActionInvokeActivity,
    SuggestedActions,
    SuggestedActionSubmitInvokeActivity,
    TaskModuleContinueResponse,
    TaskModuleResponse,
)
from cadenza.apps import ActivityContext, App, text

app = App()


@app.on_message(text("joke"))
async def joke(ctx: ActivityContext[MessageActivity]) -> None:
    joke = "A bot walks into a bar. Nobody notices: it had been there all the time."
    await ctx.send(MessageActivityInput(text=joke).add_feedback())  # the thumbs open the form of Teams


@app.on_message(text("fact"))
async def fact(ctx: ActivityContext[MessageActivity]) -> None:
    fact = "Of the chips of a message, Teams shows the first three."
    await ctx.send(MessageActivityInput(text=fact).add_feedback("custom"))  # they open the form below


@app.on_message
async def offer(ctx: ActivityContext[MessageActivity]) -> None:
    chips = [
        CardAction(type="imBack", title="A joke", value="joke"),  # as if the user had written "joke"
        CardAction(type="imBack", title="A fact", value="fact"),
        CardAction(
            type="Action.Submit", title="Surprise me", value={"wish": "anything"}
        ),  # only the bot sees
    ]
    await ctx.send(
        MessageActivityInput(text="What would you like?").with_suggested_actions(
            SuggestedActions(to=[ctx.activity.from_.id], actions=chips)
        )
    )


@app.on_suggested_action_submit
async def surprise(ctx: ActivityContext[SuggestedActionSubmitInvokeActivity]) -> None:
    await ctx.send(f"You wished for {ctx.activity.value['wish']}: here is a teapot.")


@app.on_message_fetch_task
async def feedback_form(ctx: ActivityContext[MessageFetchTaskInvokeActivity]) -> TaskModuleResponse:
    liked = ctx.activity.value.data.action_value.reaction == "like"
    question = "What was good?" if liked else "What was wrong?"
    form = {
        "type": "AdaptiveCard",
        "version": "1.5",
        "body": [{"type": "Input.Text", "id": "reason", "label": question, "isMultiline": True}],
        "actions": [{"type": "Action.Submit", "title": "Send"}],
    }
    info = CardTaskModuleTaskInfo(title="Your opinion", height="small", card=form)
    return TaskModuleResponse(task=TaskModuleContinueResponse(value=info))


@app.on_message_submit_feedback
async def take_feedback(ctx: ActivityContext[MessageSubmitActionInvokeActivity]) -> None:
    given = ctx.activity.value.action_value
    words = given.feedback_text or given.feedback_data.get("reason", "")
    ctx.logger.info("%s about the message %s", given.reaction, ctx.activity.reply_to_id)
    await ctx.send(f"Thank you for the {given.reaction}! You said: {words or 'nothing'}")


if __name__ == "__main__":
    asyncio.run(app.start())
