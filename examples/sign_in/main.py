"""Users sign in to Microsoft, silently where Teams can do that, and to GitHub beside it, by a button."""

import asyncio
import re
from typing import Any

from cadenza.api import MessageActivity, MessageActivityInput
from cadenza.apps import ActivityContext, App, SignInEvent, SignInFailureEvent, text

Message = ActivityContext[MessageActivity]
SERVICE = r"(?: (microsoft|github))?$"

app = App()

microsoft = app.add_oauth_flow(
    "graph",  # the name of the OAuth connection in Azure
    oauth_card_text="Sign in to Microsoft, so that I know what is in your calendar.",
    sign_in_button_text="Sign in to Microsoft",
)
github = app.add_oauth_flow(
    "github",
    oauth_card_text="Sign in to GitHub, so that I see your pull requests.",
    sign_in_button_text="Sign in to GitHub",
)
FLOWS = {"Microsoft": microsoft, "GitHub": github}


async def whisper(ctx: ActivityContext[Any], words: str) -> None:
    """What a bot knows by somebody's token is for them alone."""
    message = MessageActivityInput(text=words)
    if ctx.activity.conversation.conversation_type != "personal":
        message = message.with_recipient(ctx.activity.from_, is_targeted=True)
    await ctx.send(message)


def title(connection_name: str | None) -> str:
    return next(name for name, flow in FLOWS.items() if flow.connection_name == connection_name)


@app.on_message(text(re.compile("sign in" + SERVICE, re.IGNORECASE)))
async def sign_in(ctx: Message, said: re.Match[str]) -> None:
    name = "GitHub" if (said[1] or "").lower() == "github" else "Microsoft"
    token = await FLOWS[name].sign_in(ctx)  # None: they are asked to sign in, and the turn is over
    if token is not None:
        await whisper(ctx, f"You are signed in to {name}.")


@app.on_message(text("who am i", "who am i?", ignore_case=True))
async def who_am_i(ctx: Message) -> None:
    known = [name for name, flow in FLOWS.items() if await flow.is_signed_in(ctx)]
    await whisper(ctx, f"You are {ctx.activity.from_.name}, signed in to {' and '.join(known) or 'nothing'}.")


@app.on_message(text(re.compile("sign out" + SERVICE, re.IGNORECASE)))
async def sign_out(ctx: Message, said: re.Match[str]) -> None:
    names = [name for name in FLOWS if not said[1] or name.lower() == said[1].lower()]
    for name in names:
        await FLOWS[name].sign_out(ctx)
    await whisper(ctx, f"You are signed out of {' and '.join(names)}.")


@app.on_message
async def explain(ctx: Message) -> None:
    await ctx.send('Say "sign in", "sign in github", "who am i", or "sign out".')


@microsoft.on_signin
@github.on_signin
async def greet(event: SignInEvent) -> None:
    # event.token_response.token is what the service takes: "Authorization: Bearer ..."
    name = event.activity_ctx.activity.from_.name
    await whisper(
        event.activity_ctx, f"Welcome, {name}! You are signed in to {title(event.connection_name)}."
    )


@app.event("sign_in_failure")
async def explain_failure(event: SignInFailureEvent) -> None:
    # Teams does not say which card it was: with several there is no connection_name.
    where = f" to {title(event.connection_name)}" if event.connection_name else ""
    if event.code == "CancelledByUser":
        await whisper(event.activity_ctx, f"You closed the page to sign in{where}. The button stays.")
    else:  # Teams cannot do it silently: what is set up wrongly stands in the log
        await whisper(event.activity_ctx, f"Please use the button to sign in{where}.")


if __name__ == "__main__":
    asyncio.run(app.start())
