"""A bot that several processes run at once, and that writes down what it does: a line per step, at once.

CADENZA_TEST_REDIS   the URL of the state
CADENZA_TEST_LOG     where to write
"""

import asyncio
import itertools
import os
from pathlib import Path
from typing import Any

from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App
from cadenza.state import RedisState

app = App(
    state=RedisState(os.environ["CADENZA_TEST_REDIS"], prefix="workers"),
    lease_seconds=16,
    request_seconds=4,
    shutdown_seconds=2,
)

_log = Path(os.environ["CADENZA_TEST_LOG"]).open("a", buffering=1)  # noqa: SIM115 - for the process's life


def note(step: str, text: str) -> None:
    _log.write(f"{step} {text}\n")


@app.on_message
async def answer(ctx: ActivityContext[MessageActivity]) -> None:
    """The text says how: `quick`; or slow, with the answer after (`late`), before (`early`), or after
    something else was sent (`typing`); or in a `stream` that does not end."""
    kind, _, text = ctx.activity.text.partition(" ")
    note("begin", text)
    match kind:
        case "late":
            await asyncio.sleep(60 if text.endswith("/long") else 20)
            await ctx.send(f"answer {text}")
        case "typing":
            await ctx.typing()
            await asyncio.sleep(20)
            await ctx.send(f"answer {text}")
        case "early":
            await ctx.send(f"answer {text}")
            await asyncio.sleep(20)
        case "steady":
            for number in range(50):
                ctx.stream.emit(f"{number} ")
                await asyncio.sleep(0.2)
        case "stream":
            for number in itertools.count():
                ctx.stream.emit(f"{number} ")
                await asyncio.sleep(0.2)
        case _:
            await asyncio.sleep(0.02)
            await ctx.send(f"answer {text}")
    note("end", text)


@app.on_turn_lost
async def lost(ctx: ActivityContext[Any]) -> None:
    note("lost", ctx.activity.text.partition(" ")[2])
