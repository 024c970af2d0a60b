"""The same random calls on an inbox and on the one in memory, whose answers must be the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from cadenza.state import Busy, Duplicate, Inbox, InboxEntry, Lease, MemoryInbox, Place

from .contract import Advance, Twins, outcome_of

__all__ = ["compare"]

LANES = ("one", "two", "three")
STEPS = 250
TICK = 0.001
"""Units that pass with each call, so that no two things happen at the same time."""

WEIGHTS = {
    "accept": 8, "settle": 6, "take": 3, "pass": 3, "intend": 2, "again": 2, "entries": 1, "lookup": 1,
    "release": 1, "renew": 1, "settle again": 1, "statistics": 1,
}  # fmt: skip


class _Story:
    """What was done so far, for the report of a difference."""

    def __init__(self, seed: int) -> None:
        self._lines = [f"seed {seed}"]
        self._numbers = {"token": Twins(), "number": Twins()}

    def tell(self, line: str) -> None:
        self._lines.append(line)

    def check(self, one: Any, other: Any) -> None:
        """Both answers are the same, but for the numbers in them, which are one for one."""
        if not self._same(one, other):
            raise AssertionError(
                "\n".join([*self._lines, f"answer in memory: {one!r}", f"of the backend:   {other!r}"])
            )

    def _same(self, one: Any, other: Any) -> bool:
        if type(one) is not type(other):
            return False
        if isinstance(one, list):
            return len(one) == len(other) and all(map(self._same, one, other))
        if not is_dataclass(one):
            return bool(one == other)
        for field in fields(one):
            mine, yours = getattr(one, field.name), getattr(other, field.name)
            twins = self._numbers.get(field.name)
            if not (self._same(mine, yours) if twins is None else twins.match(mine, yours)):
                return False
        return True


async def compare(
    inboxes: Sequence[Inbox], advance: Advance | None, *, seed: int, unit: float, claim_seconds: float
) -> None:
    """Play `STEPS` random calls. Raises AssertionError, with all that was done, at the first difference."""
    dice = random.Random(seed)
    now = 0.0
    memory = MemoryInbox(claim_seconds=claim_seconds, clock=lambda: now)
    story = _Story(seed)
    # One duration for all leases: then the order in which they run out is that in which they were given.
    # Where time cannot be moved, the memory's stands still: no lease runs out meanwhile.
    seconds = 4.5 * unit if advance is not None else 600.0
    leases: list[tuple[Lease, Lease]] = []
    accepted: list[dict[str, Any]] = []
    settled: list[tuple[Lease, Lease, str, dict[str, Any]]] = []
    tokens = dict.fromkeys(LANES, 0)
    numbers = dict.fromkeys(LANES, 0)

    def note_down(one: Any, other: Any) -> None:
        story.check(one, other)
        for mine, yours in zip(_places(one), _places(other), strict=True):
            if mine.lease is not None and yours.lease is not None:
                leases.append((mine.lease, yours.lease))
                assert yours.lease.token >= tokens[yours.lease.name], "a token did not grow"
                tokens[yours.lease.name] = yours.lease.token

    for step in range(STEPS):
        inbox = dice.choice(list(inboxes))
        [what] = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
        key = f"{dice.choice(LANES)}/{dice.randrange(12)}"
        lane = key.partition("/")[0]
        mine, yours = dice.choice(leases[-5:]) if leases else (None, None)
        if what == "accept" or (what == "again" and accepted):
            if what == "accept":
                call: dict[str, Any] = {
                    "key": key,
                    "lane": lane,
                    "payload": {"step": step},
                    "owner": dice.choice(["me", "you"]),
                    "seconds": seconds,
                    "wait": dice.random() < 0.8,
                    "nonce": dice.choice(["", f"nonce {step}"]),
                }
                accepted.append(call)
            else:
                call = dice.choice(accepted[-8:])
            story.tell(f"{what} {call}")
            answer = await inbox.accept(**call)
            note_down(await memory.accept(**call), answer)
            if isinstance(answer, Place) and what == "accept":
                assert answer.entry.number > numbers[call["lane"]], "a number did not grow"
                numbers[call["lane"]] = answer.entry.number
        elif what == "take":
            # One at a time, and so with renewals: of those that begin at once, none comes first.
            owner = dice.choice(["me", "you"])
            story.tell(f"take {owner}")
            limit = 1 if advance is not None else len(LANES)
            taken = await memory.take(owner, seconds, limit), await inbox.take(owner, seconds, limit)
            if advance is None:  # in memory all have waited equally long: take all, in no order
                for places in taken:
                    places.sort(key=lambda place: place.entry.lane)
            note_down(*taken)
        elif what == "lookup":
            story.tell(f"lookup {key}")
            story.check(await memory.lookup(key, lane), await inbox.lookup(key, lane))
        elif what == "statistics":
            story.tell(what)
            story.check(await memory.statistics(), await inbox.statistics())
        elif what == "pass":
            if advance is not None:
                units = dice.choice([1, 1, 2, 5])
                story.tell(f"{units} units pass")
                now += units * unit
                await advance(units * unit)
        elif what == "settle again" and settled:
            mine, yours, key, more = dice.choice(settled[-4:])
            story.tell(f"settle again {mine} {key} {more}")
            story.check(
                await outcome_of(memory.settle(mine, key, **more)),
                await outcome_of(inbox.settle(yours, key, **more)),
            )
        elif mine is not None and yours is not None:
            held = await outcome_of(memory.entries(mine, 9))
            if isinstance(held, list) and dice.random() < 0.8:
                key = held[0].key if dice.random() < 0.8 else dice.choice(held).key
            else:
                key = f"{mine.name}/{dice.randrange(12)}"
            story.tell(f"{what} {mine} {key}")
            if what == "settle":
                more = {
                    "note": dice.choice([None, None, b"note %d" % step]),
                    "release": dice.random() < 0.2,
                    "forget": dice.random() < 0.3,
                    "response": dice.choice([None, b"%d" % step]),
                }
                story.tell(f"  with {more}")
                settled.append((mine, yours, key, more))
                story.check(
                    await outcome_of(memory.settle(mine, key, **more)),
                    await outcome_of(inbox.settle(yours, key, **more)),
                )
            elif what == "intend":
                intent = b"intent %d" % step
                story.check(
                    await outcome_of(memory.intend(mine, key, intent)),
                    await outcome_of(inbox.intend(yours, key, intent)),
                )
            elif what == "renew":
                story.check(await memory.renew([mine]), await inbox.renew([yours]))
            elif what == "release":
                await memory.release(mine)
                await inbox.release(yours)
            elif what == "entries":
                limit = dice.randrange(4)
                story.check(
                    await outcome_of(memory.entries(mine, limit)),
                    await outcome_of(inbox.entries(yours, limit)),
                )
        if advance is not None:
            now += TICK * unit
            await advance(TICK * unit)


def _places(answer: list[Place] | Place | Duplicate | Busy | InboxEntry | None) -> list[Place]:
    if isinstance(answer, list):
        return answer
    return [answer] if isinstance(answer, Place) else []
