"""The guard between a turn and the network, on a real inbox with a clock of its own."""

import logging
from typing import Any

import pytest
from cadenza.api import Request
from cadenza.apps.turns.claims import Claims
from cadenza.apps.turns.guard import Guard, TurnLostError
from cadenza.apps.turns.lanes import Work
from cadenza.state import MemoryInbox, Place

POST = Request("POST", "https://smba.trafficmanager.net/v3/conversations/c/activities", {}, b"{}")


class Scene:
    """A turn that holds its lane, asked for at the time 0."""

    def __init__(self) -> None:
        self.now = 0.0
        self.inbox = MemoryInbox(clock=lambda: self.now)
        self.claims = Claims(45.0, 30.0)
        self.lost: list[Work] = []
        self.guard = Guard(
            self.inbox, self.claims, self.lost.append, now=lambda: self.now, logger=logging.getLogger("test")
        )

    async def begin(self) -> Any:
        place = await self.inbox.accept("key", "lane", {}, owner="P", seconds=45.0)
        assert isinstance(place, Place)
        assert place.lease is not None
        self.claims.held(place.lease, 0.0)
        work = Work(place.entry, place.lease)
        self.guard.begin(work)
        return work


async def test_a_request_in_time_records_the_intent_first() -> None:
    scene = Scene()
    work = await scene.begin()
    scene.now = 14.9
    await scene.guard.before(POST)
    (entry,) = await scene.inbox.entries(work.lease, 1)
    assert entry.intent is not None
    assert scene.lost == []


async def test_a_request_that_comes_too_late_is_refused_and_the_turn_told_to_be_lost_once() -> None:
    """Else the turn would be settled, since its lease is not over yet: nobody would answer."""
    scene = Scene()
    work = await scene.begin()
    scene.now = 15.0
    for _ in range(2):
        with pytest.raises(TurnLostError):
            await scene.guard.before(POST)
    assert scene.lost == [work]
    (entry,) = await scene.inbox.entries(work.lease, 1)
    assert entry.intent is None
