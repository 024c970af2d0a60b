"""A long answer as a background response: polled with status lines, or streamed and resumed after a break."""

import asyncio
import os
import re

from cadenza.agents import (
    Agent,
    AgentResponse,
    AgentSession,
    ModelClient,
    ModelRequest,
    OpenAIResponsesClient,
    ScriptedClient,
    TokenError,
)
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App
from cadenza.events import Text

REPORT = """I am a script, and this is my report on {topic}. Its first part was written while you waited, \
and nobody was connected to whoever wrote it.

Its second part is here to be broken off: the reader may leave in the midst of a sentence, and come back \
with the token of the last event that it has seen.

Its third part says what has come of it: no word is lost, and none is here twice."""


def report(request: ModelRequest) -> list[str | float]:
    """What the stand-in for a model says: at first nothing, for a long time."""
    topic = request.messages[-1].text.removeprefix("stream").strip() or "nothing"
    return [8.0, REPORT.format(topic=topic)]


def make_client() -> ModelClient:
    if os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"):
        return OpenAIResponsesClient(os.environ.get("OPENAI_MODEL", "gpt-5-mini"))
    return ScriptedClient([report], loop=True, words=True, seconds=0.05)


BREAK = 40
"""After so many pieces of text the reader breaks off, as a bot does that is restarted."""

app = App()
agent = Agent(make_client(), "Write a report of three parts on what the user names.")


@app.on_message_pattern(re.compile("stream .+"))
async def stream(ctx: ActivityContext[MessageActivity]) -> None:
    """Stream it, and break off."""
    session = AgentSession(ctx.activity.conversation.id, state=app.state)
    pieces = 0
    async with agent.run(ctx.activity.text, session=session, background=True, stream=True) as events:
        async for event in events:
            ctx.state.conversation["token"] = event.continuation_token
            if isinstance(event, Text):
                ctx.stream.emit(event.text)
                pieces += 1
            if pieces == BREAK:
                break
    await ctx.stream.close()
    await ctx.send('(The connection broke. Say "go on".)')


@app.on_message_pattern("go on")
async def go_on(ctx: ActivityContext[MessageActivity]) -> None:
    """Go on with the event after the one that was seen last, in whatever process."""
    session = AgentSession(ctx.activity.conversation.id, state=app.state)
    token = ctx.state.conversation.pop("token", None)
    if token is None:
        await ctx.send('There is nothing to go on with. Say "stream the weather", for instance.')
        return
    try:
        await ctx.stream.pipe(agent.run(continuation_token=token, session=session, stream=True))
    except TokenError as error:
        await ctx.send(f"That is too long ago: {error}")


@app.on_message
async def write(ctx: ActivityContext[MessageActivity]) -> None:
    """Begin, and look from time to time how it is doing."""
    session = AgentSession(ctx.activity.conversation.id, state=app.state)
    begun = await agent.run(ctx.activity.text, session=session, background=True)

    def show(response: AgentResponse) -> None:
        ctx.stream.update(f"The report is {response.status.replace('_', ' ')}...")

    if begun.continuation_token is not None:
        begun = await agent.poll(begun.continuation_token, session=session, on_status=show)
    ctx.stream.emit(begun.text)


if __name__ == "__main__":
    asyncio.run(app.start())
