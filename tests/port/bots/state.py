"""What a bot remembers of a conversation and of a user."""

from microsoft_teams.api import MessageActivity
from microsoft_teams.apps import ActivityContext, App

app = App(state=True)


@app.on_message
async def count(ctx: ActivityContext[MessageActivity]):
    conversation, user = ctx.state.conversation, ctx.state.user
    conversation["count"] = conversation.get("count", 0) + 1
    user["words"] = [*user.get("words", []), ctx.activity.text]
    if ctx.activity.text == "forget":
        await ctx.state.delete()
        await ctx.send("Forgotten")
        return
    await ctx.send(f"{conversation['count']}: {' '.join(user['words'])}")
