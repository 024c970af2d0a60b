"""No order of delivery, re-delivery, crash, lease loss and recovery strands a message, or runs a turn twice
whose intent is recorded: large cases, in random orders.

`processes.py` is what is played, and says what is checked. A failure names its seed and shows its steps.
Small cases, in every order that there is, are in tests/machine/test_turns.py. To play one again:

    CADENZA_FUZZ_SEED=4711 CADENZA_FUZZ_COUNT=1 uv run pytest tests/fuzz/test_turns.py
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest
from fuzz.processes import SENDS, Budget, Message, Op, Step, World

SEED = int(os.environ.get("CADENZA_FUZZ_SEED", "0"))
COUNT = int(os.environ.get("CADENZA_FUZZ_COUNT", "3000"))

SCRIPTS: tuple[tuple[Op, ...], ...] = (
    SENDS,
    SENDS,
    (),
    ("intend",),
    ("intend", "send", "send", "send"),
    ("ask",),
    ("intend", "send", "ask", "send"),
    ("ask", "intend", "ask", "send"),
)
STRATEGIES = ("queue", "queue", "interrupt", "latest", "reject", "concurrent")


class Walk:
    """One random order, drawn from `seed`."""

    def __init__(self, seed: int) -> None:
        self.draw = draw = random.Random(seed)
        strategies = [draw.choice(STRATEGIES)] if draw.random() < 0.7 else STRATEGIES
        lanes = "abc"[: draw.randint(1, 3)]
        messages = [
            Message(
                str(n),
                draw.choice(lanes),
                draw.choice(strategies),  # type: ignore[arg-type]
                draw.choice(SCRIPTS),
                reply=draw.random() < 0.5,
            )
            for n in range(draw.randint(2, 8))
        ]
        self.world = World(
            messages, draw.randint(1, 3), (), Budget(), lease=9, request=4, hold=5, eager=False
        )
        self.faults = draw.choice((0.0, 0.05, 0.15, 0.3))
        self.crashes, self.closes = draw.choice((0, 1, 1, 2, 5)), draw.choice((0, 0, 1, 2))
        self.steps: list[Step] = []
        self.kinds: Counter[str] = Counter()

    def run(self) -> None:
        for _ in range(self.draw.choice((30, 60, 120))):
            self._do(self._step())
        self.world.recover(self._choose)
        self.world.check()

    def _do(self, step: Step) -> None:
        self.steps.append(step)
        self.kinds[step[0]] += 1
        if step[0] == "deliver":
            self.world.deliver(step[1], step[2], nonce=f"{len(self.steps)}")
        else:
            self.world.do(step)

    def _choose(self, steps: object) -> Step:
        assert isinstance(steps, list)
        step: Step = self.draw.choice(steps)
        self.steps.append(step)
        return step

    def _step(self) -> Step:
        draw, world = self.draw, self.world
        if draw.random() < self.faults and (fault := self._fault()) is not None:
            return fault
        chance = draw.random()
        n = draw.randrange(len(world.processes))
        process = world.processes[n]
        if chance < 0.12:
            return ("deliver", draw.randrange(len(world.messages)), n)
        if chance < 0.2:
            return ("tick", draw.choice((0, 0.5, 1, 2, draw.choice((4, 6, 10)))))
        if chance < 0.26 and process.claims.leases and not process.busy("renew"):
            return ("beat", n)
        if chance < 0.32 and not process.lanes.closing and not process.busy("take"):
            return ("reap", n)
        steps = list(world.progress())
        return draw.choice(steps) if steps else ("tick", 1)

    def _fault(self) -> Step | None:
        draw, world = self.draw, self.world
        n = draw.randrange(len(world.processes))
        process = world.processes[n]
        match draw.choice("cccrrrrrvvlltts"):
            case "c" if self.crashes:
                self.crashes -= 1
                return ("crash", n)
            case "s" if self.closes and not process.lanes.closing:
                self.closes -= 1
                return ("close", n)
            case "r" if process.calls:
                return ("repeat", n, draw.randrange(len(process.calls)))
            case "v" if world.requests:
                return ("vanish", draw.randrange(len(world.requests)))
            case "l" if world.network:
                return ("late", draw.randrange(len(world.network)))
            case "t":
                asks = [at for at, turn in enumerate(process.turns.values()) if turn.waits == "ask"]
                return ("timeout", n, draw.choice(asks)) if asks else None
        return None


def walk(first: int, count: int) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for seed in range(first, first + count):
        one = Walk(seed)
        try:
            one.run()
        except AssertionError as error:
            steps = "\n".join(map(str, one.steps))
            messages = "\n".join(map(str, one.world.messages))
            error.add_note(f"seed {seed}\n{messages}\n{steps}")
            raise
        kinds += one.kinds
    return kinds


def test_no_random_order_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = walk(SEED, COUNT)
    with capsys.disabled():
        print(
            f"\n{COUNT} orders from seed {SEED}, {kinds.total()} steps: {dict(kinds.most_common())}", end=""
        )


@pytest.mark.slow
def test_no_random_order_of_a_longer_run_breaks_a_promise() -> None:
    walk(30_000_000, 20 * COUNT)
