"""The worker: a travel planner, whose plan outlives the process that makes it."""

import asyncio
import json
import os
from collections.abc import Sequence

from cadenza.agents import Agent, ModelClient, ModelRequest, OpenAIChatClient, ScriptedClient
from cadenza.durable import Runner
from cadenza.events import StreamEvent, ToolCall
from storage import make_broker, make_log

SECONDS = float(os.environ.get("PLANNER_SECONDS", "20"))
"""About how long a plan takes."""

PLAN = """I am a script, and this is your plan for {topic}.

Day 1: Take the train at 7:10, and walk along the river until the museums open.

Day 2: Hire a bicycle. The castle is an hour away, and the way back goes downhill.

Day 3: Stay in bed until nine. Nobody has to see everything."""


async def find_trains(to: str) -> list[str]:
    """When trains leave for a city."""
    await asyncio.sleep(SECONDS / 5)
    return ["7:10", "9:10"]


def script(request: ModelRequest) -> str | Sequence[str | StreamEvent]:
    """What the stand-in for a model says: it looks for trains, and then writes."""
    if request.messages[-1].role == "user":
        return [ToolCall("call_1", "find_trains", json.dumps({"to": request.messages[-1].text}))]
    topic = next(message.text for message in request.messages if message.role == "user")
    return PLAN.format(topic=topic)


def make_client() -> ModelClient:
    if os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"):
        return OpenAIChatClient(os.environ.get("OPENAI_MODEL", "gpt-5-mini"))
    return ScriptedClient([script], loop=True, words=True, seconds=SECONDS * 0.8 / len(PLAN.split()))


planner = Agent(
    make_client(), "Plan a trip of three days to the city that is named.", name="planner", tools=[find_trains]
)
# A worker that dies is replaced after two seconds by another, which does not look for trains again.
runner = Runner(
    make_log(),
    [planner],
    broker=make_broker(),
    recovery="journal",
    lease_seconds=2,
    reap_seconds=0.2,
)
