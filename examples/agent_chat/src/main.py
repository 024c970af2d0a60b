"""An agent in a chat: it remembers what was said, looks things up, and stops when its user says Stop."""

import asyncio
import json
import os
from collections.abc import Sequence
from datetime import date
from typing import Annotated

from cadenza.agents import (
    Agent,
    AgentSession,
    ModelClient,
    ModelRequest,
    OpenAIChatClient,
    ScriptedClient,
    ToolContext,
)
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App
from cadenza.events import Citation, StreamEvent, Suggestions, ToolCall
from pydantic import Field

HANDBOOK = {
    "holidays": "Everybody has 30 days of holidays a year. Those that are left in March are lost.",
    "remote work": "Work from wherever you like, on up to three days a week. Tell your team.",
}


async def search_handbook(
    topic: Annotated[str, Field(description="One of: " + ", ".join(HANDBOOK))], context: ToolContext
) -> str:
    """Look up what the handbook of our company says."""
    context.status("Opening the handbook...")
    await asyncio.sleep(1.5)
    text = HANDBOOK.get(topic.lower())
    if text is None:
        return f"The handbook has no such page. It has: {', '.join(HANDBOOK)}"
    url = f"https://handbook.example/{topic.lower().replace(' ', '-')}"
    context.emit(Citation(f"Handbook: {topic}", url, text))
    context.emit(Suggestions(tuple(f"What about {other}?" for other in HANDBOOK if other != topic)))
    return text


def today() -> str:
    """The date of today."""
    return date.today().isoformat()


def script(request: ModelRequest) -> str | Sequence[str | StreamEvent]:
    """What the stand-in for a model says where there is none: it looks for words, and understands nothing."""
    asked = [message.text for message in request.messages if message.role == "user"]
    last = request.messages[-1]
    if last.role == "tool":
        return f"{last.parts[0].content} (I am a script, and read this out.)"  # type: ignore[union-attr]
    for topic in HANDBOOK:
        if topic in asked[-1]:
            call = ToolCall(f"call_{len(request.messages)}", "search_handbook", json.dumps({"topic": topic}))
            return [call]
    if "date" in asked[-1]:
        return [ToolCall(f"call_{len(request.messages)}", "today")]
    if "first" in asked[-1]:
        return f'The first thing that you said was: "{asked[0]}"'
    return "I am a script, not a model. Ask me about holidays, remote work, the date, or what you said first."


def make_client() -> ModelClient:
    if os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"):
        return OpenAIChatClient(os.environ.get("OPENAI_MODEL", "gpt-5-mini"))
    return ScriptedClient([script], loop=True, words=True, seconds=0.15)


INSTRUCTIONS = "You help our colleagues. Be brief. Look into the handbook before you speak of our rules."
app = App()
agent = Agent(make_client(), INSTRUCTIONS, tools=[search_handbook, today])


@app.on_message
async def answer(ctx: ActivityContext[MessageActivity]) -> None:
    words = ctx.activity.strip_mentions_text().text  # in groups, "@bot" stands before them
    session = AgentSession(ctx.activity.conversation.id, state=app.state)
    await ctx.stream.pipe(agent.run(words, session=session, stream=True))


if __name__ == "__main__":
    asyncio.run(app.start())
