"""Two connections, each with a flow of its own."""

from microsoft_teams.api import MessageActivity
from microsoft_teams.apps import ActivityContext, App, SignInEvent

app = App(state=True)

graph = app.add_oauth_flow("graph")
github = app.add_oauth_flow("github", oauth_card_text="For your code.", sign_in_button_text="GitHub")


@app.on_message_pattern("code")
async def code(ctx: ActivityContext[MessageActivity]):
    if await github.sign_in(ctx):
        await ctx.send("Your code.")


@app.on_message_pattern("mail")
async def mail(ctx: ActivityContext[MessageActivity]):
    ctx.state.user["asked"] = ctx.activity.text
    if await app.get_oauth_flow("graph").sign_in(ctx):
        await ctx.send("Your mail.")


@app.on_message_pattern("who")
async def who(ctx: ActivityContext[MessageActivity]):
    for flow in (graph, github):
        signed_in, token = await flow.is_signed_in(ctx), await flow.get_token(ctx)
        await ctx.send(f"{flow.connection_name}: {signed_in}, {token is not None}")


@app.on_message_pattern("leave")
async def leave(ctx: ActivityContext[MessageActivity]):
    await github.sign_out(ctx)
    await ctx.send("Gone.")


@graph.on_signin
async def graph_signed_in(event: SignInEvent):
    ctx = event.activity_ctx
    await ctx.send(f"Hello, {ctx.activity.from_.name}: {ctx.state.user['asked']}")


@github.on_signin
async def github_signed_in(event: SignInEvent):
    await event.activity_ctx.send(f"Hello from {event.connection_name}.")
