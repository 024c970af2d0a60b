"""Uses of signing in that every type checker has to accept."""

from typing import Any

from cadenza.api import Activity, MessageActivity
from cadenza.apps import (
    ActivityContext,
    App,
    ErrorEvent,
    OAuthFlow,
    SignInEvent,
    SignInFailureEvent,
    SignInOptions,
)

app = App(default_connection_name="graph")
flow: OAuthFlow = app.add_oauth_flow("github", oauth_card_text="Sign in.", sign_in_button_text="Go")


@app.on_message
async def answer(ctx: ActivityContext[MessageActivity]) -> None:
    token: str | None = await flow.sign_in(ctx)
    token = await ctx.sign_in(SignInOptions(connection_name="graph"))
    token = token or await ctx.get_user_token("graph") or ctx.user_token
    signed_in: bool = ctx.is_signed_in and await flow.is_signed_in(ctx)
    statuses = [status.connection_name for status in await ctx.get_connection_status() if signed_in]
    await ctx.sign_out(statuses[0])


@flow.on_signin
async def welcome(event: SignInEvent) -> None:
    ctx: ActivityContext[Activity] = event.activity_ctx
    name: str = event.connection_name
    await ctx.send(f"{ctx.activity.from_.name}, you are signed in to {name.title()}.")
    print(len(event.token_response.token))


@flow.on_signin_failure
def sorry(event: SignInFailureEvent) -> str:
    return f"{event.activity_ctx.activity.conversation.id} {(event.connection_name or 'all').title()}"


@app.event
def signed_in(event: SignInEvent) -> None: ...


@app.event("sign_in_failure")
async def failed(event: SignInFailureEvent) -> None: ...


@app.event
def error(event: ErrorEvent) -> None:
    context: ActivityContext[Any] | None = event.context
    print(context)
