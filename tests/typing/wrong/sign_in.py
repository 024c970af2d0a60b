"""Uses of signing in that every type checker has to refuse, each at the line that says so."""

from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App, SignInEvent, SignInFailureEvent

app = App()
flow = app.add_oauth_flow("github")


@flow.on_signin  # error
async def failure(event: SignInFailureEvent) -> None: ...


@flow.on_signin
async def welcome(event: SignInEvent) -> None:
    print(event.activity_ctx.activity.from_.nmae)  # error
    token: str = await flow.get_token(event.activity_ctx)  # error
    print(token)


@app.on_message
async def answer(ctx: ActivityContext[MessageActivity]) -> None:
    await ctx.sign_in("github")  # error
