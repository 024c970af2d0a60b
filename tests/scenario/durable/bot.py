"""What each process of these tests runs: `cadenza worker` its `runner`, `cadenza run` its `app`.

    DURABLE_STATE    a URL of Redis, or a path that the files of SQLite begin with
    DURABLE_STEPS    where it writes down what it does: a line per step, at once
    DURABLE_OPENAI   the base URL of a provider, for the agent "provider"
    DURABLE_WORKS    "no": the runner of this bot makes no runs itself
    DURABLE_GO       a file that must be there before the runner begins, so that a process can be at hand

Each agent answers a number: it says two things, with a tool call behind each, and counts that far.
"""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path

import taskiq  # noqa: F401 - which takes a second, and not when the runner begins
from cadenza.agents import Agent, ModelRequest, OpenAIResponsesClient, ScriptedClient, ToolContext
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App
from cadenza.durable import Deliveries, Recovery, RedisLog, Runner, SQLiteLog, StreamLog
from cadenza.events import StreamEvent, ToolCall
from cadenza.state import RedisState, SQLiteState, State

PLACE = os.environ["DURABLE_STATE"]
LEASE_SECONDS = 1.5
LOOK_SECONDS = 0.25
WORD_SECONDS = 0.025
TOOL_SECONDS = 0.2
STEPS = 2

_steps = Path(os.environ["DURABLE_STEPS"]).open("a", buffering=1)  # noqa: SIM115 - for the process's life


def note(text: str) -> None:
    _steps.write(f"{text}\n")


def open_log(place: str) -> StreamLog:
    return RedisLog(place, prefix="runs") if "://" in place else SQLiteLog(f"{place}.runs")


def open_state(place: str) -> State:
    return RedisState(place, prefix="bot") if "://" in place else SQLiteState(f"{place}.state")


def before(step: int) -> str:
    """What is said before a tool is called."""
    return f"Let me look, {step}. "


def count(words: int) -> str:
    """What is said at the end."""
    return " ".join(map(str, range(words)))


async def look(step: int, context: ToolContext) -> str:
    """Look."""
    note(f"begin {context.run_id} {step}")
    context.status(f"Looking, {step}...")
    await asyncio.sleep(TOOL_SECONDS)
    note(f"end {context.run_id} {step}")
    return f"seen {step}"


def script(request: ModelRequest) -> Sequence[str | StreamEvent]:
    asked = max(n for n, message in enumerate(request.messages) if message.role == "user")
    done = sum(message.role == "tool" for message in request.messages[asked:])
    if done < STEPS:
        return [before(done), ToolCall(f"call_{asked}_{done}", "look", json.dumps({"step": done}))]
    return [count(int(request.messages[asked].text))]


def make_agent(name: Recovery) -> Agent:
    client = ScriptedClient([script], loop=True, words=True, seconds=WORD_SECONDS)
    return Agent(client, name=name, tools=[look])


class NotedRunner(Runner):
    async def start_up(self) -> None:
        if go := os.environ.get("DURABLE_GO"):
            note("loaded")
            while not os.path.exists(go):  # noqa: ASYNC110, ASYNC240 - another process says so
                await asyncio.sleep(0.01)
        await super().start_up()
        note("ready")


log, state = open_log(PLACE), open_state(PLACE)
runner = NotedRunner(
    log, state=state, lease_seconds=LEASE_SECONDS, reap_seconds=LOOK_SECONDS, shutdown_seconds=2
)
AGENTS: tuple[Recovery, ...] = ("fail", "restart", "journal")
if os.environ.get("DURABLE_WORKS") != "no":
    for recovery in AGENTS:
        runner.add(make_agent(recovery), recovery=recovery, apology=f"({recovery})", max_attempts=100)
    if base_url := os.environ.get("DURABLE_OPENAI"):
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        provider = OpenAIResponsesClient(
            "gpt-5-mini",
            client=AsyncOpenAI(
                api_key="sk-of-the-tests",
                base_url=base_url,
                # To read the certificates of this machine takes long.
                http_client=DefaultAsyncHttpxClient(verify=False),
            ),
        )
        runner.add(
            Agent(provider, name="provider", tools=[look]),
            recovery="provider",
            apology="(provider)",
            max_attempts=100,
        )

deliveries = Deliveries(runner, lease_seconds=LEASE_SECONDS, look_seconds=LOOK_SECONDS, apology="(lost)")
app = App(
    state=state,
    plugins=[deliveries],
    lease_seconds=LEASE_SECONDS,
    request_seconds=1,
    shutdown_seconds=2,
)


@app.on_message
async def answer(ctx: ActivityContext[MessageActivity]) -> None:
    """The text says which agent, and how far to count."""
    name, _, words = ctx.activity.text.partition(" ")
    run_id = f"{ctx.activity.conversation.id}/{ctx.activity.id}"
    run = await runner.start(name, words, session=ctx.activity.conversation.id, run_id=run_id)
    await deliveries.deliver(run, ctx.conversation_ref)
    note(f"delivered {run_id}")
