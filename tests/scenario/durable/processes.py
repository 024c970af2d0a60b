"""Workers and bots as real processes, a provider that outlives them, and what must be so in the end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp
from cadenza.agents import AgentSession
from cadenza.durable import LogReader, RedisLog, SQLiteLog, StreamLog
from cadenza.durable.cursor import decode_cursor
from cadenza.events import AnswerText, Outcome, RunEnded, StreamEvent, ToolResult, to_dict
from cadenza.state import RedisState, SQLiteState, State
from cadenza.testing import User
from openai_wire import Call, OpenAIServer, Reply, Say

BOT = Path(__file__).with_name("bot.py")
START_SECONDS = 30.0
LEASE_SECONDS = 1.5  # as bot.py has it
GRACE_SECONDS = 2.0
"""What the issue allows beyond the lease."""
STEPS = 2
ROUNDS = int(os.environ.get("CADENZA_TEST_ROUNDS", "6"))
"""How many random moments each slow test tries: 7 s each."""
ANSWER_SECONDS = 5.0
"""How long an answer that begins anew takes, on a machine that has other things to do: half of it on one
that has not."""


def open_log(place: str) -> StreamLog:
    """The log that the processes at `place` have."""
    return RedisLog(place, prefix="runs") if "://" in place else SQLiteLog(f"{place}.runs")


def open_state(place: str) -> State:
    return RedisState(place, prefix="bot") if "://" in place else SQLiteState(f"{place}.state")


class Process:
    """One worker, or one bot."""

    def __init__(
        self,
        name: str,
        folder: Path,
        place: str,
        *,
        kind: Literal["worker", "run"] = "worker",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.url = ""
        self._kind = kind
        self._steps = folder / f"{name}.steps"
        self._output = folder / f"{name}.log"
        self._go = folder / f"{name}.go"
        self._environment = {
            **os.environ,
            "DURABLE_STATE": place,
            "DURABLE_STEPS": str(self._steps),
            "DURABLE_GO": str(self._go),
            "DANGEROUSLY_ALLOW_UNAUTHENTICATED_REQUESTS": "true",
            **(environment or {}),
        }
        self._process: asyncio.subprocess.Process | None = None

    @property
    def steps(self) -> list[str]:
        """What it wrote down, over all its lives."""
        return self._steps.read_text().splitlines() if self._steps.exists() else []

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def go(self) -> None:
        """Let it begin, if it waits for that."""
        self._go.touch()

    async def start(self, *, go: bool = True) -> None:
        """Start it, and wait until it works; or, without `go`, until nothing but `go()` is missing."""
        step = "ready" if go else "loaded"
        lives, written = self.steps.count(step), len(self.output)
        if go:
            self.go()
        else:
            self._go.unlink(missing_ok=True)
        arguments = [str(BOT)] if self._kind == "worker" else [str(BOT), "--port", "0"]
        with self._output.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "cadenza.cli", self._kind, *arguments),
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        await self._until(lambda: self.steps.count(step) > lives)
        if go and self._kind == "run":
            found = await self._until(
                lambda: re.search(r"Listening on \S+ port (\d+)", self.output[written:])
            )
            self.url = f"http://127.0.0.1:{found[1]}/api/messages"

    async def _until(self, condition: Callable[[], Any]) -> Any:
        assert self._process is not None
        end = time.monotonic() + START_SECONDS
        while not (found := condition()):
            assert self._process.returncode is None, self.output
            assert time.monotonic() < end, self.output
            await asyncio.sleep(0.02)
        return found

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> float:
        """SIGKILL; returns when that was, in `time.monotonic`."""
        self.signal(signal.SIGKILL)
        killed = time.monotonic()
        assert self._process is not None
        await self._process.wait()
        return killed

    async def stop(self) -> float:
        """SIGTERM; returns when it has ended, in `time.monotonic`."""
        self.signal(signal.SIGTERM)
        assert self._process is not None
        assert await self._process.wait() == 0, self.output
        return time.monotonic()

    async def close(self) -> None:
        """End it, whatever state it is in."""
        if self._process is not None and self._process.returncode is None:
            await self.kill()

    async def post(self, activity: dict[str, Any]) -> None:
        """Deliver an activity to this bot. Raises aiohttp.ClientError where it does not take it."""
        async with aiohttp.ClientSession() as session, session.post(self.url, json=activity) as response:
            response.raise_for_status()


def calls(processes: list[Process], run_id: str) -> list[str]:
    """The tool calls that were begun for a run, in all processes."""
    return [
        step.split()[-1]
        for process in processes
        for step in process.steps
        if step.startswith(f"begin {run_id} ")
    ]


def answer(words: int, separator: str = "") -> str:
    """What an agent of bot.py says in all."""
    parts = [*(f"Let me look, {step}. " for step in range(STEPS)), " ".join(map(str, range(words)))]
    return separator.join(parts)


def make_provider(server: OpenAIServer, words: int, answers: int) -> None:
    """Have the server say what bot.py's script says, for so many answers."""

    def say(body: Mapping[str, Any]) -> Reply:
        done = sum(item.get("type") == "function_call_output" for item in body["input"])
        if body.get("previous_response_id"):
            done = max(done, 1)
        if done < STEPS:
            return Reply(Say(f"Let me look, {done}. "), Call("look", {"step": done}), pace=0.02)
        return Reply(Say(*re.findall(r"\d+ ?", answer(words).rpartition(". ")[2])), pace=0.02)

    server.say(*[say] * answers)


@dataclass
class Follower:
    """A reader that is there all the time, and what it got, and when."""

    log: StreamLog
    run_id: str
    events: list[StreamEvent] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    def begin(self) -> Follower:
        self.task = asyncio.create_task(self._follow())
        return self

    async def _follow(self) -> None:
        async with LogReader(self.log, self.run_id, deadline=60) as reader:
            async for event in reader:
                self.events.append(event)
                self.times.append(time.monotonic())


async def taken_over(log: StreamLog, run_id: str, attempts: int) -> float:
    """When the run is over, or in the hands of a worker after those `attempts`; in `time.monotonic`."""
    while True:
        head = await log.head(run_id)
        if head.tombstone is not None or head.attempts > attempts:
            return time.monotonic()
        await asyncio.sleep(0.02)


async def read(log: StreamLog, run_id: str) -> list[StreamEvent]:
    """All that the log has of a run that is over; AssertionError for a duplicate or a hole."""
    head = await log.head(run_id)
    async with LogReader(log, run_id, follow=False) as reader:
        events = [event async for event in reader]
    seqs = [decode_cursor(str(event.continuation_token), run_id, head.incarnation) for event in events]
    assert seqs == list(range(1, head.last + 1))
    assert head.tombstone is not None
    ends = [event for event in events if isinstance(event, RunEnded)]
    assert ends == events[-1:]
    assert ends[0].outcome == head.tombstone.outcome
    return events


async def check_run(
    log: StreamLog,
    state: State,
    run_id: str,
    session_id: str,
    words: int,
    follower: Follower | None = None,
) -> Outcome:
    """The log of a run that is over, its text and its history are as they must be. Returns its outcome."""
    events = await read(log, run_id)
    if follower is not None:
        assert [to_dict(event) for event in follower.events] == [to_dict(event) for event in events]
    text = AnswerText()
    for event in events:
        text.apply(event)
    end = events[-1]
    assert isinstance(end, RunEnded)
    session = AgentSession(session_id, state=state)
    (record,) = [record for record in await session.runs() if record.run_id == run_id]
    assert record.outcome == end.outcome
    said = [message.text for message in record.messages if message.role == "assistant"]
    asked = [message.text for message in await session.messages() if message.role == "user"]
    assert asked == [str(words)]
    if end.outcome == Outcome.COMPLETED:
        assert text.text == answer(words)
        assert "".join(said) == answer(words)
        results = [event.id for event in events if isinstance(event, ToolResult)]
        assert len(results) == STEPS or (session_id.startswith("restart") and len(results) > STEPS)
    else:
        assert end.outcome == Outcome.LOST
        assert text.text.endswith("(fail)")
        assert answer(words).startswith(text.text.removesuffix("(fail)").removesuffix("\n\n"))
        assert answer(words).startswith("".join(said))
    return end.outcome


def shown(user: User) -> list[str]:
    """What of the bot stands on the user's screen."""
    return [message.text for message in user.screen.messages if not message.deleted]
