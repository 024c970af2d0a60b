"""What a worker does about a run that it has claimed, and what it leaves for the next."""

import functools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cadenza.agents import Agent, Checkpoint, ModelReply, ModelRequest, ScriptedClient
from cadenza.durable.recovery import NewerCheckpointError, RunCheckpoint, decide
from cadenza.durable.registry import Registration, RunContext
from cadenza.durable.stream_log import RunHead
from cadenza.events import Outcome, RunEnded, StopReason, StreamEvent, Text

ENDED = RunEnded(Outcome.COMPLETED, StopReason.END_TURN)


@pytest.mark.parametrize(
    ("head", "checkpoint", "recovery", "plan"),
    [
        ({}, {}, "fail", "fresh"),
        ({"attempts": 3}, {}, "fail", "fresh"),
        ({"attempts": 4}, {}, "restart", "lost"),
        ({"attempts": 4}, {"left": 1}, "restart", "fresh"),
        ({"last": 1}, {}, "fail", "lost"),
        ({"last": 1}, {}, "restart", "restart"),
        ({"last": 1}, {}, "provider", "restart"),
        ({"last": 1}, {"token": "t"}, "provider", "provider"),
        ({"last": 1}, {"token": "t"}, "restart", "restart"),
        ({"last": 1}, {}, "journal", "restart"),
        ({"last": 1}, {"progress": {}}, "journal", "journal"),
        ({"cancel": "now"}, {}, "restart", "cancelled"),
        ({"last": 5, "cancel": "after_turn"}, {"progress": {}}, "journal", "cancelled"),
        ({"last": 5, "cancel": "now"}, {"ended": ENDED}, "journal", "finish"),
        ({"last": 5, "attempts": 9}, {"ended": ENDED}, "fail", "finish"),
    ],
)
def test_what_is_done_about_a_run_follows_from_its_head_and_its_checkpoint(
    head: dict[str, Any], checkpoint: dict[str, Any], recovery: Any, plan: str
) -> None:
    found = RunHead("r", 1, **{"attempts": 2, **head})
    assert decide(found, RunCheckpoint(**checkpoint), recovery=recovery, max_attempts=3) == plan


def test_a_checkpoint_comes_back_as_it_was_left() -> None:
    full = RunCheckpoint("token", {"turn": 1}, ENDED, ({"role": "user", "parts": []},), 2, True, 3)
    back = RunCheckpoint.decode(full.encode())
    assert (back.token, back.turn, back.progress, back.ended) == ("token", 3, {"turn": 1}, ENDED)
    assert (back.left, back.fallback) == (2, True)
    assert tuple(back.messages) == full.messages
    assert RunCheckpoint.decode(None) == RunCheckpoint()
    assert RunCheckpoint.decode(RunCheckpoint().encode()) == RunCheckpoint()


@pytest.mark.parametrize("data", [b"7", b"{}", b'{"version": "x"}', b'{"version": 0}', b"not JSON"])
def test_what_is_no_checkpoint_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"checkpoint|Expecting") as raised:
        RunCheckpoint.decode(data)
    assert not isinstance(raised.value, NewerCheckpointError)


@pytest.mark.parametrize("progress", [{}, {"version": 99}])
def test_a_checkpoint_of_a_newer_version_is_kept_as_it_is(progress: dict[str, Any]) -> None:
    data = {"version": 1 if progress else 2, "left": 3, "progress": progress, "new": [1]}
    with pytest.raises(NewerCheckpointError) as raised:
        RunCheckpoint.decode(json.dumps(data).encode())
    assert json.loads(raised.value.left) == {**data, "left": 4}


async def _answer(ctx: RunContext) -> AsyncIterator[str]:
    yield "Hello"


async def _coroutine(ctx: RunContext) -> str:
    return "Hello"


class _Foreground:
    provider = "foreground"

    async def stream(self, request: ModelRequest) -> AsyncIterator[StreamEvent | Checkpoint | ModelReply]:
        yield Text("Hello")


_FOREGROUND = Agent(_Foreground(), background_fallback=True)  # its tools would be called twice after a death


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"name": ""}, ValueError, "not empty"),
        ({"source": "agent"}, TypeError, "an Agent, or a function"),
        ({"source": _coroutine}, TypeError, "never yields"),
        ({"source": print}, TypeError, r"not the built-in print\(\)"),
        ({"fallback": print}, TypeError, "The fallback of 'a'"),
        ({"fallback": _coroutine}, TypeError, "The fallback of 'a'"),
        ({"recovery": "retry"}, ValueError, "one of 'fail', 'restart', 'provider', 'journal'"),
        ({"source": _answer, "recovery": "journal"}, ValueError, "needs an Agent"),
        ({"source": _answer, "recovery": "provider"}, ValueError, "needs an Agent"),
        ({"source": _FOREGROUND, "recovery": "provider"}, ValueError, "'foreground' cannot: use"),
        ({"apology": 7}, TypeError, "not int"),
        ({"apology": _coroutine}, TypeError, "is not async"),
        ({"max_attempts": 0}, ValueError, "at least 1"),
    ],
)
def test_a_wrong_registration_says_what_is_wrong(
    given: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Registration(**{"name": "a", "source": Agent(ScriptedClient(["Hi"])), **given})


class _Answers:
    async def __call__(self, ctx: RunContext) -> AsyncIterator[str]:
        yield "Hello"

    async def answer(self, ctx: RunContext, greeting: str = "Hello") -> AsyncIterator[str]:
        yield greeting


@pytest.mark.parametrize(
    "source",
    [
        _answer,
        lambda ctx: _answer(ctx),
        _Answers(),
        _Answers().answer,
        functools.partial(_Answers().answer, greeting="Hi"),
    ],
)
def test_whatever_may_give_an_async_iterator_is_taken(source: Any) -> None:
    assert Registration("a", source, fallback=source).source is source
