"""An agent that thinks aloud before its tools: that is shown as status, and the last turn as the answer."""

import asyncio
import json
import os
import re
from collections.abc import Sequence
from typing import Annotated

from cadenza.agents import Agent, ModelClient, ModelRequest, OpenAIResponsesClient, ScriptedClient, TurnFilter
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App
from cadenza.events import StreamEvent, ToolCall
from pydantic import Field

FREE = {"piano": ["Room 1101", "Room 1204"], "organ": ["Room 7"]}


async def find_rooms(instrument: Annotated[str, Field(description="piano or organ")]) -> list[str]:
    """The practice rooms that have this instrument."""
    await asyncio.sleep(1.5)
    return FREE.get(instrument, [])


async def book_room(room: str) -> str:
    """Book a practice room for this evening."""
    await asyncio.sleep(1.5)
    return f"{room} is booked from 18:00 to 20:00."


def script(request: ModelRequest) -> str | Sequence[str | StreamEvent]:
    """What the stand-in for a model says where there is none. It says something in each of three turns."""
    asked = next(message.text for message in reversed(request.messages) if message.role == "user")
    results = sum(message.role == "tool" for message in request.messages)
    if "room" not in asked:
        return "I am a script, not a model. Ask me for a room with a piano, or with an organ."
    if results == 0:
        instrument = "organ" if "organ" in asked else "piano"
        call = ToolCall("call_1", "find_rooms", json.dumps({"instrument": instrument}))
        return [f"First I look which rooms have the {instrument}.", call]
    if results == 1:
        room = "Room 7" if "organ" in asked else "Room 1101"
        call = ToolCall("call_2", "book_room", json.dumps({"room": room}))
        return [f"{room} is free, so I book that one.", call]
    return f"Done: {request.messages[-1].parts[0].content}"  # type: ignore[union-attr]


def make_client() -> ModelClient:
    if os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"):
        return OpenAIResponsesClient(os.environ.get("OPENAI_MODEL", "gpt-5-mini"))
    return ScriptedClient([script], loop=True, words=True, seconds=0.1)


INSTRUCTIONS = "You book practice rooms. Before each tool call, say in one sentence what you are about to do."
app = App()
agent = Agent(make_client(), INSTRUCTIONS, tools=[find_rooms, book_room])


@app.on_message_pattern(re.compile("all of it"))
async def answer_with_all_text(ctx: ActivityContext[MessageActivity]) -> None:
    words = ctx.activity.strip_mentions_text().text  # in groups, "@bot" stands before them
    await ctx.stream.pipe(agent.run(words, stream=True))


@app.on_message
async def answer(ctx: ActivityContext[MessageActivity]) -> None:
    # What is said before a tool becomes an informative update. With final_turn_only=True, the same as
    # TurnFilter("final"), it is not shown at all.
    words = ctx.activity.strip_mentions_text().text
    await ctx.stream.pipe(agent.run(words, stream=True, filter=TurnFilter("status")))


if __name__ == "__main__":
    asyncio.run(app.start())
