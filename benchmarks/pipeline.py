# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "agent-framework-core",
#     "cadenza-agents",
#     "cadenza-api",
#     "cadenza-apps",
#     "cadenza-events",
#     "cadenza-state",
#     "cadenza-testing",
# ]
#
# [tool.uv.sources]
# cadenza-agents = { path = "../packages/agents", editable = true }
# cadenza-api = { path = "../packages/api", editable = true }
# cadenza-apps = { path = "../packages/apps", editable = true }
# cadenza-events = { path = "../packages/events", editable = true }
# cadenza-state = { path = "../packages/state", editable = true }
# cadenza-testing = { path = "../packages/testing", editable = true }
# ///
"""What a token costs between a model's client and `emit`, beside agent-framework-core in the same run.

    uv run benchmarks/pipeline.py --out benchmarks/results     # two minutes, one quiet core

README.md says what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from time import process_time
from typing import Any

from cadenza.agents import (
    Agent,
    Checkpoint,
    Message,
    ModelReply,
    ModelRequest,
    ResponseStream,
    ScriptedClient,
    TextPart,
    ToolCallPart,
    TurnFilter,
)
from cadenza.apps.stream.piped import PipedStream
from cadenza.events import StopReason, StreamEvent, Text, ToolCall
from cadenza.testing import VirtualClock

TARGET = 20.0
"""Microseconds for a token at the median, with tools and the filter on."""
TOKEN = "token "
CALL = ToolCall("call-1", "add", '{"a": 1, "b": 2}')
RESPONSE = "resp_" + "0" * 48

Emit = Callable[[str], object]


# What is measured: from a number of tokens to a run that gives them to `emit`


def add(a: int, b: int) -> str:
    """Adds two numbers."""
    return str(a + b)


class PreparedClient:
    """Gives events that are there already: a tool call in the first turn, and tokens in the second."""

    provider = "prepared"

    def __init__(self, tokens: int, phase: str | None) -> None:
        self._tokens = tokens
        self._text = Text(TOKEN, phase=phase)

    async def stream(self, request: ModelRequest) -> AsyncIterator[StreamEvent | ModelReply]:
        """One turn."""
        if request.messages[-1].role == "user":
            yield CALL
            part = ToolCallPart(CALL.id, CALL.name, CALL.arguments)
            yield ModelReply(Message("assistant", (part,)), StopReason.TOOL_USE)
            return
        text = self._text
        for _ in range(self._tokens):
            yield text
        yield ModelReply(Message("assistant", (TextPart(TOKEN * self._tokens),)))


class PreparedBackground(PreparedClient):
    """The same from a provider that can be resumed after each token, as OpenAI's can."""

    resumes_by = "append"

    async def stream(self, request: ModelRequest) -> AsyncIterator[StreamEvent | Checkpoint | ModelReply]:  # type: ignore[override]
        """One turn."""
        place = 0
        async for given in super().stream(request):
            place += 1
            yield Checkpoint({"response": RESPONSE, "sequence": place})
            yield given

    async def start(self, request: ModelRequest) -> ModelReply:
        """Nobody asks for it here, nor for what follows."""
        raise NotImplementedError

    async def retrieve(self, state: Mapping[str, Any]) -> ModelReply:
        """See `start`."""
        raise NotImplementedError

    def resume(self, state: Mapping[str, Any], *, replay: bool = False) -> Any:
        """See `start`."""
        raise NotImplementedError

    async def cancel(self, state: Mapping[str, Any]) -> None:
        """See `start`."""
        raise NotImplementedError


def our_run(tokens: int, phase: str | None, **options: Any) -> Any:
    made = PreparedBackground if options.get("background") else PreparedClient
    agent = Agent(made(tokens, phase), tools=[add], token_secret="a secret of sixteen bytes")
    return agent.run("What is 1 + 2?", stream=True, **options)


async def emitted(stream: Any, emit: Emit) -> None:
    async for event in stream:
        if isinstance(event, Text):
            emit(event.text)


async def client_alone(tokens: int, emit: Emit) -> None:
    request = ModelRequest((Message("tool"),))
    await emitted(PreparedClient(tokens, None).stream(request), emit)


async def agent(tokens: int, emit: Emit) -> None:
    await emitted(our_run(tokens, None), emit)


async def agent_filter(tokens: int, emit: Emit) -> None:
    await emitted(our_run(tokens, "final_answer", final_turn_only=True), emit)


async def agent_filter_held(tokens: int, emit: Emit) -> None:
    hold = TurnFilter("final", max_held_chars=sys.maxsize)
    await emitted(our_run(tokens, None, filter=hold), emit)


async def agent_background(tokens: int, emit: Emit) -> None:
    await emitted(our_run(tokens, "final_answer", final_turn_only=True, background=True), emit)


async def agent_pipe(tokens: int, emit: Emit) -> None:
    await Counted(emit).pipe(our_run(tokens, "final_answer", final_turn_only=True), ai_label=False)


async def response_stream(tokens: int, emit: Emit) -> None:
    events = PreparedClient(tokens, None).stream(ModelRequest((Message("tool"),)))
    await emitted(ResponseStream(events, reducer=Counter(), keep_updates=False), emit)


async def response_stream_kept(tokens: int, emit: Emit) -> None:
    events = PreparedClient(tokens, None).stream(ModelRequest((Message("tool"),)))
    await emitted(ResponseStream(events, finalizer=len), emit)


class Counter:
    """The smallest reducer."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, update: object) -> None:
        self._count += 1

    def result(self) -> int:
        return self._count


class Counted(PipedStream):
    """A stream whose `emit` is the one that counts."""

    canceled = False

    def __init__(self, emit: Emit) -> None:
        from cadenza.api import Account, ConversationAccount, ConversationReference

        self._emit = emit
        self.ref = ConversationReference(
            service_url="https://example.com",
            bot=Account(id="28:bot"),
            conversation=ConversationAccount(id="a:1", conversation_type="personal"),
            channel_id="msteams",
        )

    def emit(self, activity: Any) -> None:
        self._emit(activity)

    def update(self, text: str) -> None: ...

    def clear_text(self) -> None: ...

    def on_stop(self, callback: Callable[[], object]) -> None: ...

    async def close(self) -> None: ...

    async def finish(self, reason: Any, *, deadline: float | None = None) -> None: ...


# The peer


async def peer_updates(tokens: int, call: bool) -> AsyncIterator[Any]:
    from agent_framework import ChatResponseUpdate, Content

    if call:
        content = Content.from_function_call(CALL.id, CALL.name, arguments=CALL.arguments)
        yield ChatResponseUpdate(contents=[content], role="assistant", finish_reason="tool_calls")
        return
    update = ChatResponseUpdate(contents=[Content.from_text(TOKEN)], role="assistant")
    for _ in range(tokens):
        yield update


def peer_client(tokens: int) -> Any:
    from agent_framework import (
        BaseChatClient,
        ChatResponse,
        FunctionInvocationLayer,
        ResponseStream as PeerStream,
    )

    class PreparedPeer(FunctionInvocationLayer, BaseChatClient):  # type: ignore[misc]
        def _inner_get_response(self, *, messages: Any, stream: bool, options: Any, **_: Any) -> Any:
            updates = peer_updates(tokens, call=messages[-1].role == "user")
            return PeerStream(updates, finalizer=ChatResponse.from_updates)

    return PreparedPeer()


async def peer_agent(tokens: int, emit: Emit) -> None:
    from agent_framework import Agent as PeerAgent

    async for update in PeerAgent(client=peer_client(tokens), tools=[add]).run("What is 1 + 2?", stream=True):
        if text := update.text:  # a property that is worked out anew each time
            emit(text)


async def peer_response_stream(tokens: int, emit: Emit) -> None:
    from agent_framework import ResponseStream as PeerStream

    async for update in PeerStream(peer_updates(tokens, call=False), finalizer=len):
        emit(update.text)


SUBJECTS: dict[str, tuple[str, Callable[[int, Emit], Awaitable[None]]]] = {
    "client": ("the client's generator alone: the floor", client_alone),
    "response-stream": ("`ResponseStream`, with a reducer, no update kept", response_stream),
    "response-stream-kept": ("`ResponseStream`, with a finalizer, all updates kept", response_stream_kept),
    "agent": ("`Agent` with tools", agent),
    "agent-filter": ("`Agent` with tools, final turn only, with the provider's phase", agent_filter),
    "agent-held": (
        "`Agent` with tools, final turn only, without a phase: all is held, then given",
        agent_filter_held,
    ),
    "agent-background": (
        "`Agent` with tools, final turn only, with phase, in the background: each event has a token",
        agent_background,
    ),
    "agent-pipe": ("`pipe` of an `Agent` with tools, final turn only, with phase", agent_pipe),
    "peer-response-stream": (
        "agent-framework: `ResponseStream`, with a finalizer, all updates kept",
        peer_response_stream,
    ),
    "peer-agent": ("agent-framework: `Agent` with tools, no filter", peer_agent),
}
TARGETED = ("agent-filter", "agent-held", "agent-background", "agent-pipe")
PEERS = {
    "response-stream": "peer-response-stream",
    "response-stream-kept": "peer-response-stream",
    "agent": "peer-agent",
    "agent-filter": "peer-agent",
    "agent-held": "peer-agent",
    "agent-background": "peer-agent",
    "agent-pipe": "peer-agent",
}


# How it is measured


class Count:
    """An `emit` that counts."""

    def __init__(self) -> None:
        self.characters = 0

    def __call__(self, text: str) -> None:
        self.characters += len(text)


def times(tokens: int, rounds: int) -> dict[str, list[float]]:
    """By subject, the microseconds of CPU that a token took in each round. In a round each subject has a
    turn, in an order that is drawn; two more rounds go before, to warm up."""
    found: dict[str, list[float]] = {name: [] for name in SUBJECTS}
    with asyncio.Runner() as runner:
        for round_ in range(rounds + 2):
            for name in random.sample(list(SUBJECTS), len(SUBJECTS)):
                emit = Count()
                gc.collect()
                began = process_time()
                runner.run(_run(name, tokens, emit))
                took = process_time() - began
                if emit.characters != tokens * len(TOKEN):
                    raise SystemExit(f"{name}: {emit.characters} characters came of {tokens} tokens")
                if round_ > 1:
                    found[name].append(1e6 * took / tokens)
            print(f"round {round_ - 1} of {rounds}", file=sys.stderr, flush=True)
    return found


async def _run(name: str, tokens: int, emit: Emit) -> None:
    await SUBJECTS[name][1](tokens, emit)


def memory(name: str, few: int, many: int) -> float:
    """How many bytes each of the updates between `few` and `many` left behind, while the run went on."""
    marks: list[int] = []
    count = 0

    def emit(text: str) -> None:
        nonlocal count
        count += 1
        if count in (few, many):
            gc.collect()
            marks.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    asyncio.run(_run(name, many + 1, emit))
    tracemalloc.stop()
    return (marks[1] - marks[0]) / (many - few)


REMEMBERED = (
    "response-stream",
    "response-stream-kept",
    "agent",
    "agent-filter",
    "agent-pipe",
    "peer-response-stream",
    "peer-agent",
)


def memories(few: int, many: int) -> dict[str, float]:
    """By subject, each in a process of its own."""
    found = {}
    for name in REMEMBERED:
        command = [sys.executable, __file__, "--memory", name, str(few), str(many)]
        said = subprocess.run(command, check=True, capture_output=True, text=True)
        found[name] = float(said.stdout)
    return found


DELAYS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "no filter": (None, {}),
    "final turn only, no phase": (None, {"final_turn_only": True}),
    "final turn only, phase final_answer": ("final_answer", {"final_turn_only": True}),
    "final turn only, lookahead of 40 characters": (
        None,
        {"filter": TurnFilter("final", lookahead_chars=40)},
    ),
}


async def delays() -> dict[str, float]:
    """In virtual time: the seconds from the first token of the answer to the first that is shown. The answer
    has 100 tokens, and one comes each twentieth of a second."""
    found = {}
    for name, (phase, options) in DELAYS.items():
        said: list[float] = []

        def answer(request: ModelRequest, phase: str | None = phase, said: list[float] = said) -> Any:
            said.append(asyncio.get_running_loop().time() + 1.0)
            token = Text(TOKEN, phase=phase)
            return [1.0, *(item for _ in range(100) for item in (token, 0.05))]

        turns: Sequence[Any] = [["Let me see.", CALL], answer]
        stream = Agent(ScriptedClient(turns), tools=[add]).run("hi", stream=True, **options)
        async with VirtualClock():
            found[name] = await _first(stream, said)
    return found


async def _first(stream: Any, said: list[float]) -> float:
    loop = asyncio.get_running_loop()
    async with stream:
        async for event in stream:
            if isinstance(event, Text) and event.text == TOKEN:
                return loop.time() - said[0]
    raise SystemExit("no token of the answer was shown")


# What came of it


def figures(found: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """By subject: the median, the quartiles, and the median of the ratios to the peer in the same round."""
    told: dict[str, dict[str, float]] = {}
    for name, each in found.items():
        low, middle, high = quantiles(each, n=4)
        told[name] = {"microseconds": middle, "low": low, "high": high}
        if name in PEERS:
            ratios = [ours / theirs for ours, theirs in zip(each, found[PEERS[name]], strict=True)]
            told[name]["ratio"] = median(ratios)
    return told


def report(told: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        f"Python {told['python']}, agent-framework-core {told['peer']}, {told['tokens']:,} tokens a run.",
        "",
        "| subject | CPU per token, µs | quartiles | agent-framework = 1 |",
        "|---|---:|---:|---:|",
    ]
    for name, one in told["times"].items():
        ratio = f"{one['ratio']:.2f}" if "ratio" in one else "-"
        spread = f"{one['low']:.2f} to {one['high']:.2f}"
        lines.append(f"| {SUBJECTS[name][0]} | {one['microseconds']:.2f} | {spread} | {ratio} |")
    lines.append("")
    for name in TARGETED:
        taken = told["times"][name]["microseconds"]
        met = "yes" if taken < TARGET else "NO"
        lines.append(f"{name}: {taken:.1f} µs a token (wanted: under {TARGET:.0f}: {met})")
    few, many = told["updates"]
    lines += [
        "",
        f"Bytes that each update left behind, from update {few:,} to {many:,}; its text has {len(TOKEN)}:",
        "",
        "| subject | bytes per update |",
        "|---|---:|",
        *(f"| {SUBJECTS[name][0]} | {taken:.1f} |" for name, taken in told["memory"].items()),
        "",
        "From the first token of the answer to the first that is shown (100 tokens, one each 0.05 s):",
        "",
        "| filter | seconds |",
        "|---|---:|",
        *(f"| {name} | {seconds:.2f} |" for name, seconds in told["delays"].items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tokens", type=int, default=5_000, help="of a run")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--updates", type=int, default=100_000, help="over which memory is watched")
    parser.add_argument("--out", type=Path, help="a folder for pipeline.json and pipeline.md")
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        name, few, many = options.memory
        print(memory(name, int(few), int(many)))
        return
    updates = (options.updates // 10, options.updates)
    told = {
        "python": sys.version.split()[0],
        "peer": version("agent-framework-core"),
        "tokens": options.tokens,
        "updates": updates,
        "times": figures(times(options.tokens, options.rounds)),
        "memory": memories(*updates),
        "delays": asyncio.run(delays()),
    }
    sys.stdout.write(report(told))
    if options.out is not None:
        (options.out / "pipeline.json").write_text(json.dumps(told, indent=2) + "\n")
        (options.out / "pipeline.md").write_text(report(told))


if __name__ == "__main__":
    main()
