"""What a worker does about a run that it has claimed, and what it leaves for the next."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from cadenza.agents import Agent, ScriptedClient
from cadenza.durable.execution import RunContext
from cadenza.durable.recovery import RunCheckpoint, decide
from cadenza.durable.registry import Registration
from cadenza.durable.stream_log import RunHead
from cadenza.events import Outcome, RunEnded, StopReason

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
    full = RunCheckpoint("token", {"turn": 1}, ENDED, ({"role": "user", "parts": []},), 2)
    back = RunCheckpoint.decode(full.encode())
    assert (back.token, back.progress, back.ended, back.left) == ("token", {"turn": 1}, ENDED, 2)
    assert tuple(back.messages) == full.messages
    assert RunCheckpoint.decode(None) == RunCheckpoint()
    assert RunCheckpoint.decode(RunCheckpoint().encode()) == RunCheckpoint()


def test_a_checkpoint_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="no checkpoint"):
        RunCheckpoint.decode(b'{"version": 2}')


async def _answer(ctx: RunContext) -> AsyncIterator[str]:
    yield "Hello"


async def _coroutine(ctx: RunContext) -> str:
    return "Hello"


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"name": ""}, ValueError, "not empty"),
        ({"source": "agent"}, TypeError, "an Agent, or a function"),
        ({"source": _coroutine}, TypeError, "never yields"),
        ({"fallback": _coroutine}, TypeError, "The fallback of 'a'"),
        ({"recovery": "retry"}, ValueError, "one of 'fail', 'restart', 'provider', 'journal'"),
        ({"source": _answer, "recovery": "journal"}, ValueError, "needs an Agent"),
        ({"source": _answer, "recovery": "provider"}, ValueError, "needs an Agent"),
        ({"apology": 7}, TypeError, "a str, not int"),
        ({"max_attempts": 0}, ValueError, "at least 1"),
    ],
)
def test_a_wrong_registration_says_what_is_wrong(
    given: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Registration(**{"name": "a", "source": Agent(ScriptedClient(["Hi"])), **given})
