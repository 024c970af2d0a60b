"""State in this process's memory: gone with it, shared with nobody, and bounded.

This is also the plainest statement of the contracts: each method is a few lines on dictionaries, and is
atomic because it never awaits.
"""

import logging
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from math import inf
from typing import Any

from .errors import ConflictError, LeaseLostError, StateFullError
from .inbox import Busy, Duplicate, InboxEntry, InboxStatistics, Place
from .lease import Lease
from .store import Item

__all__ = ["MemoryInbox", "MemoryLeases", "MemoryState", "MemoryStore"]

logger = logging.getLogger(__name__)

CLAIM_SECONDS = 3600.0
"""How long a key stays claimed after its entry was settled. Teams repeats within minutes. Ours."""

FEW = 1000
"""Leases that are no reason to clear up."""

Clock = Callable[[], float]
"""Seconds of a clock that does not run backwards."""


class MemoryStore:
    """A `Store` of at most `most` items. Beyond, the one used longest ago is forgotten; the log says so."""

    def __init__(self, *, most: int = 100_000, clock: Clock = time.monotonic) -> None:
        if most < 1:
            raise ValueError(f"MemoryStore(most={most}): it must hold at least one item.")
        self._most = most
        self._clock = clock
        self._items: OrderedDict[str, tuple[Item, float]] = OrderedDict()
        self._versions = count(1)
        self._warned = False

    async def get(self, key: str) -> Item | None:
        return self._get(key)

    async def get_many(self, keys: Iterable[str]) -> dict[str, Item]:
        found = ((key, self._get(key)) for key in keys)
        return {key: item for key, item in found if item is not None}

    async def put(
        self, key: str, value: bytes, *, expected: int | None = None, seconds: float | None = None
    ) -> int:
        self._check(key, expected)
        version = next(self._versions)
        self._items[key] = (Item(value, version), inf if seconds is None else self._clock() + seconds)
        self._items.move_to_end(key)
        if len(self._items) > self._most:
            self._items.popitem(last=False)
            if not self._warned:
                self._warned = True
                logger.warning(
                    "The memory store is full with %d items: from now on those used longest ago are "
                    "forgotten. Use SQLiteState or RedisState to keep them.",
                    self._most,
                )
        return version

    async def delete(self, key: str, *, expected: int | None = None) -> None:
        self._check(key, expected)
        self._items.pop(key, None)

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        for key in list(self._items):
            if key.startswith(prefix) and self._get(key) is not None:
                yield key

    def _get(self, key: str) -> Item | None:
        found = self._items.get(key)
        if found is None:
            return None
        item, until = found
        if until <= self._clock():
            del self._items[key]
            return None
        self._items.move_to_end(key)
        return item

    def _check(self, key: str, expected: int | None) -> None:
        if not key:
            raise ValueError("The key of a value must not be empty.")
        if expected is None:
            return
        item = self._get(key)
        if expected != (0 if item is None else item.version):
            raise ConflictError(key, expected)


class MemoryLeases:
    """`Leases` among the tasks of this process."""

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, tuple[Lease, float]] = {}
        self._tokens = count(1)
        self._crowd = FEW

    async def acquire(self, name: str, owner: str, seconds: float) -> Lease | None:
        now = self._clock()
        held, until = self._held.get(name, (None, -inf))
        if held is not None and until > now and held.owner != owner:
            return None
        again = held is not None and until > now
        token = held.token if held is not None and again else next(self._tokens)
        lease = Lease(name, owner, token, seconds)
        self._held[name] = (lease, now + seconds)
        if len(self._held) > self._crowd:  # forget those that ran out, each time it has doubled
            self._held = {name: kept for name, kept in self._held.items() if kept[1] > now}
            self._crowd = max(FEW, 2 * len(self._held))
        return lease

    async def renew(self, lease: Lease) -> bool:
        if not self._holds(lease):
            return False
        self._held[lease.name] = (lease, self._clock() + lease.seconds)
        return True

    async def release(self, lease: Lease) -> None:
        if self._holds(lease):
            del self._held[lease.name]

    def _holds(self, lease: Lease) -> bool:
        held, until = self._held.get(lease.name, (None, -inf))
        return held is not None and held.token == lease.token and until > self._clock()


@dataclass(slots=True)
class _Lane:
    """The entries of one lane, oldest first, and who works on them."""

    entries: dict[str, InboxEntry] = field(default_factory=dict)
    token: int = 0
    """0: the lane was released."""
    until: float = -inf
    """When the lease runs out, or when it was released."""


@dataclass(slots=True)
class _Claim:
    lane: str | None
    """Where its entry is; None once that is settled."""
    nonce: str
    token: int = 0
    """Of the lease that `accept` gave with it (0: none), and then of the one it was settled under."""
    response: bytes | None = None


class MemoryInbox:
    """An `Inbox` that holds at most `most` entries, and as many keys beyond that were settled lately."""

    durable = False

    def __init__(
        self, *, most: int = 100_000, claim_seconds: float = CLAIM_SECONDS, clock: Clock = time.monotonic
    ) -> None:
        if most < 1:
            raise ValueError(f"MemoryInbox(most={most}): it must hold at least one entry.")
        self._most = most
        self._claim_seconds = claim_seconds
        self._clock = clock
        self._lanes: dict[str, _Lane] = {}
        self._claims: dict[str, _Claim] = {}
        self._settled: deque[tuple[float, str]] = deque()
        self._forgotten: OrderedDict[str, tuple[int, bytes | None, float]] = OrderedDict()
        """By key, if nothing newer was settled: the token and the response of that, and until when."""
        self._notes: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._held = 0
        self._numbers = count(1)
        self._tokens = count(1)

    async def accept(
        self,
        key: str,
        lane: str,
        payload: Mapping[str, Any],
        *,
        owner: str,
        seconds: float,
        wait: bool = True,
        nonce: str = "",
    ) -> Place | Duplicate | Busy:
        now = self._clock()
        self._forget(now)
        claim = self._claims.get(key)
        if claim is not None:
            if not nonce or claim.nonce != nonce:
                return Duplicate(claim.lane is None, claim.response)
            return self._repeat(key, claim, owner, seconds, now)
        if self._held >= self._most:
            raise StateFullError(f"The inbox holds {self._held} entries already, as many as it may.")
        place = self._lanes.get(lane)
        if place is not None and not wait:
            self._claims[key] = _Claim(None, nonce)
            self._settled.append((now + self._claim_seconds, key))
            self._forgotten.pop(key, None)
            return Busy()
        claim = self._claims[key] = _Claim(lane, nonce)
        self._held += 1
        entry = InboxEntry(key, lane, next(self._numbers), payload)
        if place is not None:
            place.entries[key] = entry
            return Place(entry, None)
        place = self._lanes[lane] = _Lane()
        place.entries[key] = entry
        lease = self._hold(lane, place, owner, seconds, now)
        claim.token = lease.token
        return Place(entry, lease, self._note(lane, now))

    async def intend(self, lease: Lease, key: str, intent: bytes) -> None:
        lane = self._held_by(lease)
        if key in lane.entries:
            lane.entries[key] = replace(lane.entries[key], intent=intent)

    async def settle(
        self,
        lease: Lease,
        key: str,
        *,
        response: bytes | None = None,
        note: bytes | None = None,
        release: bool = False,
        forget: bool = False,
    ) -> InboxEntry | None:
        now = self._clock()
        self._forget(now)
        if lease.token in self._settlers(key):
            lane = self._lanes.get(lease.name)  # said before: only what follows from it is told again
            if lane is None or lane.token != lease.token:
                return None
        lane = self._held_by(lease)
        if lane.entries.pop(key, None) is not None:
            self._held -= 1
            self._forgotten.pop(key, None)
            if forget:
                del self._claims[key]
                self._forgotten[key] = (lease.token, response, now + self._claim_seconds)
            else:
                self._claims[key] = _Claim(None, "", lease.token, response)
                self._settled.append((now + self._claim_seconds, key))
            if note is not None:
                self._notes[lease.name] = (note, now + self._claim_seconds)
                self._notes.move_to_end(lease.name)
        if not lane.entries:
            del self._lanes[lease.name]
            return None
        if release or forget:
            lane.until, lane.token = now, 0
            return None
        lane.until = now + lease.seconds
        return self._first(lane)

    async def renew(self, leases: Iterable[Lease]) -> dict[str, int]:
        now, held = self._clock(), {}
        for lease in leases:
            lane = self._lanes.get(lease.name)
            if lane is not None and lane.token == lease.token and lane.until > now:
                lane.until = now + lease.seconds
                held[lease.name] = len(lane.entries) - 1
        return held

    async def release(self, lease: Lease) -> None:
        lane, now = self._lanes.get(lease.name), self._clock()
        if lane is not None and lane.token == lease.token and lane.until > now:
            lane.until, lane.token = now, 0

    async def take(self, owner: str, seconds: float, limit: int) -> list[Place]:
        now = self._clock()
        free = sorted((lane.until, name) for name, lane in self._lanes.items() if lane.until <= now)
        places = []
        for _, name in free[:limit]:
            lane = self._lanes[name]
            if lane.token:
                key, first = next(iter(lane.entries.items()))
                lane.entries[key] = replace(first, taken=first.taken + 1)
            lease = self._hold(name, lane, owner, seconds, now)
            places.append(Place(self._first(lane), lease, self._note(name, now)))
        return places

    async def entries(self, lease: Lease, limit: int) -> list[InboxEntry]:
        found = list(self._held_by(lease).entries.values())
        return [replace(entry, behind=len(found) - 1 - at) for at, entry in enumerate(found[:limit])]

    async def lookup(self, key: str, lane: str) -> Duplicate | None:
        self._forget(self._clock())
        claim = self._claims.get(key)
        if claim is not None:
            return Duplicate(claim.lane is None, claim.response)
        forgotten = self._forgotten.get(key)
        return None if forgotten is None else Duplicate(True, forgotten[1])

    async def statistics(self) -> InboxStatistics:
        return InboxStatistics(self._held, len(self._lanes))

    def _repeat(self, key: str, claim: _Claim, owner: str, seconds: float, now: float) -> Place | Busy:
        """The answer to an `accept` that is asked again, because its answer did not come."""
        if claim.lane is None:
            return Busy()
        lane = self._lanes[claim.lane]
        entry = lane.entries[key]
        if lane.token != claim.token or lane.until <= now:  # never given to this call, or lost since
            return Place(InboxEntry(key, entry.lane, entry.number, entry.payload), None)
        lane.until = now + seconds
        first = replace(entry, behind=len(lane.entries) - 1)
        return Place(first, Lease(claim.lane, owner, lane.token, seconds), self._note(claim.lane, now))

    def _hold(self, name: str, lane: _Lane, owner: str, seconds: float, now: float) -> Lease:
        lane.token, lane.until = next(self._tokens), now + seconds
        return Lease(name, owner, lane.token, seconds)

    def _held_by(self, lease: Lease) -> _Lane:
        lane = self._lanes.get(lease.name)
        if lane is None or lane.token != lease.token or lane.until <= self._clock():
            raise LeaseLostError(lease.name, lease.token)
        return lane

    def _settlers(self, key: str) -> list[int]:
        """The tokens of the leases under which it was settled."""
        claim, forgotten = self._claims.get(key), self._forgotten.get(key)
        tokens = [] if forgotten is None else [forgotten[0]]
        if claim is not None and claim.lane is None:
            tokens.append(claim.token)
        return tokens

    @staticmethod
    def _first(lane: _Lane) -> InboxEntry:
        return replace(next(iter(lane.entries.values())), behind=len(lane.entries) - 1)

    def _note(self, lane: str, now: float) -> bytes | None:
        note, until = self._notes.get(lane, (None, -inf))
        return note if until > now else None

    def _forget(self, now: float) -> None:
        """Forget what was settled long ago, or too many settlements ago."""
        settled = self._settled
        while settled and (settled[0][0] <= now or len(settled) > self._most):
            del self._claims[settled.popleft()[1]]
        while self._forgotten:
            key, (_, _, until) = next(iter(self._forgotten.items()))
            if until > now and len(self._forgotten) <= self._most:
                break
            del self._forgotten[key]
        while self._notes:
            lane, (_, until) = next(iter(self._notes.items()))
            if until > now and len(self._notes) <= self._most:
                break
            del self._notes[lane]


class MemoryState:
    """A `State` in this process's memory, which is what an App has by default.

    `most`: how many items, and how many entries, it holds. `claim_seconds`: how long a key stays claimed once
    it is settled.
    """

    shared = False
    permits = None

    def __init__(
        self, *, most: int = 100_000, claim_seconds: float = CLAIM_SECONDS, clock: Clock = time.monotonic
    ) -> None:
        self.store = MemoryStore(most=most, clock=clock)
        self.leases = MemoryLeases(clock=clock)
        self.inbox = MemoryInbox(most=most, claim_seconds=claim_seconds, clock=clock)

    async def start(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""
