"""A long answer as a background response: polled with status lines, or streamed and resumed after a break."""

import asyncio
import os
import re
from collections.abc import AsyncIterator

from cadenza.agents import (
    Agent,
    AgentResponse,
    AgentSession,
    AgentStream,
    ModelClient,
    ModelRequest,
    OpenAIResponsesClient,
    ScriptedClient,
    TokenError,
)
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App
from cadenza.events import StreamEvent, Text

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
    return ScriptedClient([report], loop=True, words=True, seconds=0.1)


BREAK = 40
"""After so many pieces of text the reader breaks off, as a bot does that is restarted."""

app = App()
agent = Agent(make_client(), "Write a report of three parts on what the user names.")


async def with_token(
    ctx: ActivityContext[MessageActivity], run: AgentStream, pieces: float = float("inf")
) -> AsyncIterator[StreamEvent]:
    """The events of `run`, until so many pieces of text came. The token of the newest one is kept."""
    async with run:
        async for event in run:
            ctx.state.conversation["token"] = event.continuation_token
            yield event
            pieces -= isinstance(event, Text)
            if not pieces:
                return


@app.on_message_pattern(re.compile("stream .+"))
async def stream(ctx: ActivityContext[MessageActivity]) -> None:
    """Stream it, and break off."""
    words = ctx.activity.strip_mentions_text().text  # in groups, "@bot" stands before them
    session = AgentSession(ctx.activity.conversation.id, state=app.state)
    run = agent.run(words, session=session, background=True, stream=True)
    await ctx.stream.pipe(with_token(ctx, run, BREAK))
    await ctx.send('(The connection broke. Say "go on".)')


@app.on_message_pattern("go on")
async def go_on(ctx: ActivityContext[MessageActivity]) -> None:
    """Go on with the event after the one that was seen last, in whatever process."""
    session = AgentSession(ctx.activity.conversation.id, state=app.state)
    token = ctx.state.conversation.get("token")
    if token is None:
        await ctx.send('There is nothing to go on with. Say "stream the weather", for instance.')
        return
    try:
        run = agent.run(continuation_token=token, session=session, stream=True)
        await ctx.stream.pipe(with_token(ctx, run))
    except TokenError as error:
        await ctx.send(f"That is too long ago: {error}")


@app.on_message
async def write(ctx: ActivityContext[MessageActivity]) -> None:
    """Begin, and look from time to time how it is doing. Stop ends it, at its provider too."""
    words = ctx.activity.strip_mentions_text().text
    session = AgentSession(ctx.activity.conversation.id, state=app.state)
    response = await agent.run(words, session=session, background=True)

    def show(response: AgentResponse) -> None:
        ctx.stream.update(f"The report is {response.status.replace('_', ' ')}...")

    token = response.continuation_token
    if token is not None:
        try:
            response = await agent.poll(token, session=session, on_status=show)
        except asyncio.CancelledError:
            if ctx.stream.canceled:  # and not a shutdown
                await agent.cancel(token, session=session)
            raise
    await ctx.stream.pipe(events_of(response))


async def events_of(response: AgentResponse) -> AsyncIterator[StreamEvent]:
    """What there is to show of a whole answer."""
    yield Text(response.text)
    for event in (*response.citations, *response.attachments):
        yield event


if __name__ == "__main__":
    asyncio.run(app.start())
