"""Random schedules of a bot, with faults of every kind: the invariants of design.md section 4.

Each schedule is drawn from a seed, which a failure names. To play one again, with its transcript:

    CADENZA_FUZZ_SEED=4711 CADENZA_FUZZ_COUNT=1 uv run pytest tests/fuzz/test_schedules.py

The invariants, and where they are judged:
1, 2, 3  one request in flight, interval, sequence, prefix, one closing request: the emulator's violations;
4        every word and part is on the screen, or close() said what is missing: the oracle of simulation.py;
5        close() ends in bounded time, and so does the schedule;
6        no bubble on the screen that is neither part of an answer nor counted as an orphan;
7        stream requests grow with time, not with tokens.
"""

from __future__ import annotations

import os
import statistics
from collections import Counter

import pytest
from cadenza.apps.stream.classify import FailureKind
from cadenza.apps.stream.cycle import Channel, Step
from fuzz.simulation import Schedule

SEED = int(os.environ.get("CADENZA_FUZZ_SEED", "0"))
COUNT = int(os.environ.get("CADENZA_FUZZ_COUNT", "20000"))
LEAST = 100  # times that each cell must be hit, in a full run


def play(first: int, count: int) -> tuple[Counter[tuple[str, ...]], list[int]]:
    cells: Counter[tuple[str, ...]] = Counter()
    events = []
    for seed in range(first, first + count):
        schedule = Schedule(seed)
        try:
            schedule.run()
        except Exception as error:
            error.add_note(f"seed {seed}\n{schedule.service.format_transcript()}")
            raise
        if schedule.problems:
            problems = "\n".join(schedule.problems)
            pytest.fail(f"seed {seed}: {problems}\n{schedule.service.format_transcript()}")
        events.append(schedule.events)
        for (phase, channel, step, kind), hits in schedule.cells.items():
            cells["step", step, kind] += hits
            cells["state", f"{phase} {channel}", kind] += hits
    return cells, events


def histogram(cells: Counter[tuple[str, ...]], what: str, rows: list[str]) -> str:
    kinds = [kind.name for kind in FailureKind]
    head = " " * 16 + "".join(f"{kind[:10]:>11}" for kind in kinds)
    body = (f"{row:16}" + "".join(f"{cells[what, row, kind]:11d}" for kind in kinds) for row in rows)
    return "\n".join((head, *body))


def test_no_schedule_breaks_an_invariant(capsys: pytest.CaptureFixture[str]) -> None:
    cells, events = play(SEED, COUNT)
    steps = [step.name for step in Step]
    states = [f"{phase} {channel.name}" for phase in ("OPEN", "CLOSING") for channel in Channel]
    with capsys.disabled():
        print(f"\n{COUNT} schedules from seed {SEED}, median {statistics.median(events):.0f} events")
        print("failures by kind of request:\n" + histogram(cells, "step", steps))
        print("failures by phase and channel:\n" + histogram(cells, "state", states))
    if COUNT < 20_000:
        return
    assert statistics.median(events) >= 30
    rows = [("step", step) for step in steps] + [("state", state) for state in states]
    rare = {
        (*row, kind.name): hits
        for row in rows
        for kind in FailureKind
        if (hits := cells[*row, kind.name]) < LEAST
    }
    assert not rare, f"too rare to prove anything: {rare}"


@pytest.mark.slow
def test_no_schedule_of_a_longer_run_breaks_an_invariant() -> None:
    play(10_000_000, 3 * COUNT)
