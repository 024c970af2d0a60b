"""Install, uninstall, edits, deletions, receipts; and the events of the App."""

from microsoft_teams.api import (
    InstalledActivity,
    InvokeActivity,
    MessageActivity,
    MessageDeleteActivity,
    MessageUpdateActivity,
    ReadReceiptEventActivity,
    UninstalledActivity,
)
from microsoft_teams.apps import (
    ActivityContext,
    ActivityEvent,
    ActivityResponseEvent,
    ActivitySentEvent,
    App,
    ErrorEvent,
)

app = App()
log = []


@app.on_install_add
async def installed(ctx: ActivityContext[InstalledActivity]):
    await ctx.send(f"Thank you for {ctx.activity.action}")


@app.on_install_remove
async def removed(ctx: ActivityContext[UninstalledActivity]):
    log.append("removed")


@app.on_edit_message
async def edited(ctx: ActivityContext[MessageUpdateActivity]):
    await ctx.send(f"You changed it to '{ctx.activity.text}' ({ctx.activity.channel_data.event_type})")


@app.on_undelete_message
async def undeleted(ctx: ActivityContext[MessageUpdateActivity]):
    await ctx.send("It is back")


@app.on_soft_delete_message
async def deleted(ctx: ActivityContext[MessageDeleteActivity]):
    await ctx.send("It is gone")


@app.on_read_receipt
async def read(ctx: ActivityContext[ReadReceiptEventActivity]):
    log.append(f"read {ctx.activity.name}")


@app.on_message
async def message(ctx: ActivityContext[MessageActivity]):
    if ctx.activity.text == "fail":
        raise ValueError("as you wish")
    await ctx.send(f"{len(log)}: " + "; ".join(log))


@app.on_invoke
async def invoke(ctx: ActivityContext[InvokeActivity]):
    log.append(f"invoke {ctx.activity.name}")
    return {"status": 200, "body": {"made": True}}


@app.on_activity
async def everything(ctx: ActivityContext):
    log.append(f"activity {ctx.activity.type}")
    await ctx.next()


@app.event
async def on_activity(event: ActivityEvent):
    log.append(f"event {event.body.type}")


@app.event("activity_sent")
async def on_sent(event: ActivitySentEvent):
    sent = event.activity
    log.append(f"sent '{sent.activity_params.text}' in {event.conversation_ref.channel_id}: {bool(sent.id)}")


@app.event("activity_response")
async def on_response(event: ActivityResponseEvent):
    log.append(f"response {event.response.status} to {event.conversation_ref.activity_id}")


@app.event
async def on_error(event: ErrorEvent):
    log.append(f"error {event.error}, about {event.activity.type if event.activity else None}")
