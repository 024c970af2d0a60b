"""A user who signs in to the App's own connection, and out."""

from microsoft_teams.api import MessageActivity, SignInFailureInvokeActivity
from microsoft_teams.apps import ActivityContext, App, SignInEvent

app = App(default_connection_name="graph")


@app.on_message_pattern("token")
async def token(ctx: ActivityContext[MessageActivity]):
    if not ctx.is_signed_in:
        await ctx.sign_in()
        return
    await ctx.send(f"{ctx.connection_name}: {ctx.user_token == await ctx.get_user_token()}")


@app.on_message_pattern("again")
async def again(ctx: ActivityContext[MessageActivity]):
    if await ctx.sign_in():
        await ctx.send("You were signed in.")


@app.on_message_pattern("status")
async def status(ctx: ActivityContext[MessageActivity]):
    for one in await ctx.get_connection_status():
        await ctx.send(f"{one.connection_name}: {one.has_token}")


@app.on_message_pattern("out")
async def out(ctx: ActivityContext[MessageActivity]):
    if ctx.is_signed_in:
        await ctx.sign_out()
        await ctx.send("You are signed out.")
    else:
        await ctx.send("You were not signed in.")


@app.on_signin_failure
async def failed(ctx: ActivityContext[SignInFailureInvokeActivity]):
    await ctx.send(f"It failed: {ctx.activity.value.code}")


@app.event("sign_in")
async def signed_in(event: SignInEvent):
    await event.activity_ctx.send(f"Signed in: {bool(event.token_response.token)}")
