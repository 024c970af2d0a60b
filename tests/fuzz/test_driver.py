"""Random handlers on real HttpStreams: tasks, gates, cancellation and faults together, in virtual time.

The machine is fuzzed by itself in test_schedules.py. Here two turns of one conversation share a gate, their
callers are cancelled, their closes overlap, and whatever is raised must be an error of ours. A failure names
its seed: CADENZA_FUZZ_SEED=4711 CADENZA_FUZZ_COUNT=1 uv run pytest tests/fuzz/test_driver.py
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
from typing import Any

import pytest
from cadenza.api import ApiClient, MessageActivityInput
from cadenza.apps.stream import AbortReason, HttpStream, StreamCancelledError, StreamDeliveryError, StreamGate
from cadenza.testing import Action, Exchange, Teams, User, VirtualClock, decide
from fuzz.simulation import FAULTS

SEED = int(os.environ.get("CADENZA_FUZZ_SEED", "0"))
COUNT = int(os.environ.get("CADENZA_FUZZ_COUNT", "250"))
CARD = {"type": "AdaptiveCard", "body": []}


class Turn:
    """One handler with a stream of its own, and what it emitted."""

    def __init__(self, draw: random.Random, stream: HttpStream, user: User, name: str) -> None:
        self.draw, self.stream, self.user, self.name = draw, stream, user, name
        self.expected: list[str] = []  # the texts of the answers that close() said were delivered
        self.text = ""
        self.stops = 0
        stream.on_stop(self._stopped)

    def _stopped(self) -> None:
        self.stops += 1

    async def run(self) -> None:
        draw = self.draw
        try:
            for number in range(draw.randint(3, 25)):
                await asyncio.sleep(draw.choice((0, 0, 0.05, 0.4, 1.2, draw.choice((10, 60, 117)))))
                await self._do(draw.choice("eeeeeeeeuuccqp"), number)
        finally:
            await self._close()

    async def _do(self, what: str, number: int) -> None:
        try:
            match what:
                case "e":
                    text = f"{self.name}{number} " * self.draw.choice((1, 1, 5))
                    self.stream.emit(text)
                    self.text += text
                case "u":
                    self.stream.update("Searching...")
                case "p":
                    self.stream.emit(MessageActivityInput(text="").add_card(CARD))
                case "c":
                    await self._close()
                case "q" if self.draw.random() < 0.2:
                    self.user.press_stop()
        except StreamCancelledError:
            await self._close()

    async def _close(self) -> None:
        text, self.text = self.text, ""
        stops = self.stops
        closes = [asyncio.ensure_future(self.stream.close()) for _ in range(self.draw.choice((1, 1, 3)))]
        if len(closes) == 3:
            closes.pop().cancel()
        try:
            results = await asyncio.gather(*closes)
        except StreamDeliveryError:
            return
        assert len({result.id if result else None for result in results}) == 1
        if results[0] is None:
            assert not text or self.stops > stops or self.stops, "close() returned None for a text"
        elif text:
            self.expected.append(text)


async def play(seed: int) -> None:
    draw = random.Random(seed)
    rate = draw.choice((0.0, 0.1, 0.3))
    asked: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: asked.append(context))

    def choose(exchange: Exchange) -> Action | None:
        if draw.random() >= rate:
            return None
        action = draw.choice(draw.choice(FAULTS))(draw)
        known = exchange.kind in ("put", "final")  # as in simulation.py: no fault may contradict the service
        return None if known and (action.delay or action.hold or action.effect or action.applied) else action

    async with VirtualClock(), Teams(faults=[decide(choose)]) as teams:
        user = teams.user()
        reference = teams.conversation_reference(user)
        api = ApiClient(teams.url, transport=teams.transport)
        gate = StreamGate()
        turns = [Turn(draw, HttpStream(api, reference, gate=gate), user, name) for name in "ab"]
        tasks = [asyncio.ensure_future(turn.run()) for turn in turns]
        if draw.random() < 0.2:
            await asyncio.sleep(draw.uniform(0, 5))
            tasks[0].cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result
        await asyncio.gather(
            *(turn.stream.finish(AbortReason.SHUTDOWN) for turn in turns), return_exceptions=True
        )
        await asyncio.sleep(400)
        shown = [message.text for message in user.screen.messages if not message.deleted]
        for turn in turns:
            for text in turn.expected:
                whole = text in shown or any(
                    "".join(shown[first:last]) == text
                    for first in range(len(shown))
                    for last in range(first + 1, len(shown) + 1)
                )
                alone = [t for t in shown if t.startswith(turn.name)]  # another turn's may lie between
                assert whole or text in "".join(alone), f"{text!r} is not on the screen: {shown}"
        teams.check()
        leftover = asyncio.all_tasks() - {asyncio.current_task()}
        assert not leftover, f"tasks outlive their turn: {leftover}"
    gc.collect()
    assert not asked, f"an exception went unobserved: {asked}"


def run(first: int, count: int) -> None:
    gc.freeze()  # what other tests have left is not looked through after each play
    try:
        for seed in range(first, first + count):
            try:
                asyncio.run(play(seed))
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise
    finally:
        gc.unfreeze()


def test_no_handler_loses_a_word() -> None:
    run(SEED, COUNT)


@pytest.mark.slow
def test_no_handler_of_a_longer_run_loses_a_word() -> None:
    run(20_000_000, 12 * COUNT)
