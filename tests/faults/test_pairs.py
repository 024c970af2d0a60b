"""Every fault in every place, together with every other one: what is promised holds.

By default a seeded sample of the pairs is played, whose seed a failure names; all of them are played with
`-m slow`. To play a sample again, or another one:
CADENZA_FAULTS_SEED=4711 CADENZA_FAULTS_COUNT=500 uv run pytest tests/faults/test_pairs.py
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from itertools import combinations_with_replacement, product

import pytest
from faults.catalogue import ACTIONS, DOUBTFUL
from faults.promises import broken
from faults.scene import Place, Scene, Sight, Strike, play

SEED = int(os.environ.get("CADENZA_FAULTS_SEED", "0"))
PARTS = 10  # of the whole, so that none takes minutes
COUNT = int(os.environ.get("CADENZA_FAULTS_COUNT", "2000"))


def all_pairs() -> list[Scene]:
    """Text alone: start, chunk, final. With informative lines before it: what involves a line."""
    scenes: list[Scene] = []
    ways: tuple[tuple[bool, tuple[Place, ...]], ...] = (
        (False, ("start", "chunk", "final")),
        (True, ("start", "informative", "chunk", "final")),
    )
    for lines, places in ways:
        for first, second in combinations_with_replacement(places, 2):
            if lines and first not in ("start", "informative"):
                continue
            scenes += [
                Scene((Strike(first, a), Strike(second, b)), lines, card=bool(number % 2))
                for number, (a, b) in enumerate(product(ACTIONS, repeat=2))
                if (first, second) != ("final", "final") or not lies(a, b)
            ]
    return scenes


def lies(first: str, second: str) -> bool:
    """Whether a second final is told of a first one that arrived, though it did not.

    After a final without an answer "already completed" is all that can tell that it arrived.
    """
    return (
        second == "403 completed"
        and first in DOUBTFUL
        and (not ACTIONS[first].applied or ACTIONS[first].delay > 10)
    )


def check(scenes: Sequence[Scene]) -> list[Sight]:
    sights = play(scenes)
    failures = [
        f"{sight.scene}: {problem}\n    {sight.requests} {sight.screen} {sight.handler} {sight.seconds} s"
        for sight in sights
        for problem in broken(sight)
    ]
    shown = "\n".join(failures[:20])
    assert not failures, (
        f"{len(failures)} promises of {len(scenes)} scenes were broken (seed {SEED})\n{shown}"
    )
    return sights


def test_two_faults_of_a_random_sample_break_no_promise() -> None:
    print(f"seed {SEED}")
    pairs = all_pairs()
    sights = check(random.Random(SEED).sample(pairs, min(COUNT, len(pairs))))
    assert sum(len(sight.struck) == 2 for sight in sights) > len(sights) / 3, "hardly any second fault struck"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_no_two_faults_break_a_promise(part: int) -> None:
    check(all_pairs()[part::PARTS])
