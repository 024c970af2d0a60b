"""No order of delivery, re-delivery, crash, lease loss and recovery strands a message, or runs a turn twice
whose intent is recorded: small cases, in every order that there is.

`tests/fuzz/processes.py` is what is played, and says what is checked. A failure shows its steps. Larger
cases, in random orders, are in tests/fuzz/test_turns.py.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import pytest
from fuzz.processes import Budget, Message, Step, World


@dataclass(frozen=True)
class Case:
    """Messages, to which process each is delivered (and when twice, delivered again), and what may happen."""

    messages: tuple[Message, ...]
    deliveries: tuple[tuple[int, int], ...]
    budget: Budget
    processes: int = 2
    prompt: bool = True
    hold: float = 1

    def world(self) -> World:
        return World(
            self.messages,
            self.processes,
            self.deliveries,
            replace(self.budget),
            lease=2,
            request=1,
            hold=self.hold,
            prompt=self.prompt,
        )


ONE = (Message("1"),)
TWO = (Message("1"), Message("2"))
THREE = (*TWO, Message("3"))
APART = ((0, 0), (1, 1))
LATEST = tuple(replace(message, strategy="latest") for message in THREE)
INTERRUPT = tuple(replace(message, strategy="interrupt") for message in TWO)
REJECT = tuple(replace(message, strategy="reject") for message in TWO)
ASK = (Message("1", script=("ask", "intend", "send")), Message("2", reply=True))
ASK_TWICE = (Message("1", script=("ask", "ask")), Message("2", reply=True))

CASES = {
    "three messages, the first one twice": Case(THREE, ((0, 0), (1, 1), (2, 0), (0, 1)), Budget()),
    "a crash": Case(TWO, APART, Budget(crashes=1, ticks=2, reaps=1)),
    "a crash and a second delivery": Case(ONE, ((0, 0), (0, 1)), Budget(crashes=1, ticks=2, reaps=2)),
    "a lease that runs out": Case(TWO, APART, Budget(ticks=2, reaps=1)),
    "a heartbeat in time or too late": Case(ONE, ((0, 0),), Budget(ticks=3, beats=1, reaps=1)),
    "an answer that is lost": Case(ONE, ((0, 0), (0, 1)), Budget(repeats=1, ticks=2, reaps=1)),
    "answers lost in one process": Case(TWO, ((0, 0), (1, 0)), Budget(repeats=2), 1),
    "an accept that outlasts its lease": Case(
        ONE, ((0, 0),), Budget(repeats=1, reaps=1, ticks=3), 1, prompt=False, hold=9
    ),
    "an answer that comes after its lease was given up": Case(TWO, ((0, 0), (1, 0)), Budget(ticks=2), 1),
    "calls under way for long": Case(ONE, ((0, 0),), Budget(crashes=1, ticks=2, reaps=1), prompt=False),
    "interrupt": Case(INTERRUPT, APART, Budget(beats=1, crashes=1)),
    "interrupt while a loss is reported": Case(
        (*ONE, INTERRUPT[1]), ((0, 0), (1, 0)), Budget(crashes=1, ticks=2, reaps=1), 1
    ),
    "latest": Case(LATEST, ((0, 0), (1, 0), (2, 1)), Budget(crashes=1)),
    "latest, and a shutdown": Case(LATEST, ((0, 0), (1, 0), (2, 0)), Budget(closes=1), 1),
    "a shutdown": Case(TWO, APART, Budget(closes=1, reaps=1)),
    "reject": Case(REJECT, (*APART, (0, 1)), Budget(crashes=1, repeats=1)),
    "an ask": Case(ASK, APART, Budget(timeouts=1, beats=1, crashes=1)),
    "two asks": Case(ASK_TWICE, APART, Budget(timeouts=1, beats=1)),
    "two asks in one process": Case(ASK_TWICE, ((0, 0), (1, 0)), Budget(timeouts=1, repeats=1), 1),
}

LARGE = {
    "a crash, and a second delivery": Case(TWO, (*APART, (0, 1)), Budget(crashes=1, ticks=2, reaps=1)),
    "a lease that runs out, with heartbeats": Case(TWO, APART, Budget(ticks=2, reaps=1, beats=1)),
}


def explore(case: Case) -> tuple[int, int]:
    """Every order, by depth: how many states there are, and how many ends."""
    stack, seen, ends = [case.world()], set[int](), 0
    while stack:
        world = stack.pop()
        step: Step | str = ""
        try:
            steps = world.steps()
            for step in steps:
                after = world.after(step)
                if (key := after.key()) not in seen:
                    seen.add(key)
                    stack.append(after)
            if not steps:
                ends += 1
                step = "and then nothing fails any more"
                world.recover()
                world.check()
        except AssertionError as error:
            steps_taken = "\n".join(map(str, [*world.history(), step]))
            error.add_note(f"after these steps:\n{steps_taken}")
            raise
    return len(seen), ends


@pytest.mark.parametrize("name", CASES)
def test_no_order_of_a_small_case_breaks_a_promise(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    states, ends = explore(CASES[name])
    with capsys.disabled():
        print(f"\n{name}: {states} states, {ends} ends, {time.monotonic() - began:.1f} s", end="")
    assert states > 100


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_no_order_of_a_larger_case_breaks_a_promise(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    states, ends = explore(LARGE[name])
    with capsys.disabled():
        print(f"\n{name}: {states} states, {ends} ends, {time.monotonic() - began:.1f} s", end="")
