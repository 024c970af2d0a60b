"""State in Redis: for any number of processes on any number of hosts.

Each step is one script, so that no crash comes between its parts, and is told the server's time, so that no
clock of a host matters. The keys of a lane, and those of a value or a lease, lie in one hash slot of sixteen.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import redis_scripts as scripts
from .errors import ConflictError, LeaseLostError, StateUnavailableError
from .inbox import Busy, Duplicate, InboxEntry, InboxStatistics, Place
from .lease import Lease
from .memory import CLAIM_SECONDS
from .payload import from_name, pack, to_name, unpack
from .redis_link import SHARDS, RedisLink
from .redis_shares import RedisShares
from .store import Item

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.cluster import RedisCluster

    from .shares import SharedPermits

__all__ = ["RedisInbox", "RedisLeases", "RedisState", "RedisStore"]

PAGE = 200
"""Keys that `keys` asks for at a time."""


class RedisStore:
    """A `Store` in Redis: a key each, and per shard an index of their names."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def get(self, key: str) -> Item | None:
        return (await self.get_many([key])).get(key)

    async def get_many(self, keys: Iterable[str]) -> dict[str, Item]:
        shards: dict[bytes, list[str]] = {}
        for key in dict.fromkeys(keys):
            shards.setdefault(self._link.tag_of(to_name(key)), []).append(key)
        answers = await asyncio.gather(
            *(
                self._link.run(scripts.GET, [tag + b":value:" + to_name(key) for key in found], [])
                for tag, found in shards.items()
            )
        )
        return {
            key: Item(answer[1], answer[0])
            for found, items in zip(shards.values(), answers, strict=True)
            for key, answer in zip(found, items, strict=True)
            if answer is not None
        }

    async def put(
        self, key: str, value: bytes, *, expected: int | None = None, seconds: float | None = None
    ) -> int:
        name, tag = self._place(key)
        version, maybe_done = await self._link.run_noting(
            scripts.PUT,
            [tag + b":meta", tag + b":value:" + name, tag + b":names", tag + b":ends"],
            [
                name,
                value,
                "" if expected is None else expected,
                "" if seconds is None else _micro(seconds),
                "-" if expected is None else secrets.token_urlsafe(8),
            ],
        )
        if not version:
            raise self._conflict(key, expected, maybe_done)
        return int(version)

    async def delete(self, key: str, *, expected: int | None = None) -> None:
        name, tag = self._place(key)
        done, maybe_done = await self._link.run_noting(
            scripts.DELETE,
            [tag + b":value:" + name, tag + b":names", tag + b":ends"],
            [name, "" if expected is None else expected],
        )
        if not done:
            raise self._conflict(key, expected, maybe_done)

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        first = to_name(prefix)
        # The bytes of UTF-8 stay below 255, so that the last one can be counted up.
        end = b"(" + first[:-1] + bytes([first[-1] + 1]) if first else b"+"
        pages = [self._page(shard, b"[" + first if first else b"-", end) for shard in range(SHARDS)]
        for shard, (last, full, names) in enumerate(await asyncio.gather(*pages)):
            while True:
                for name in names:
                    yield from_name(name)
                if not full:
                    break
                last, full, names = await self._page(shard, b"(" + last, end)

    async def _page(self, shard: int, start: bytes, end: bytes) -> tuple[bytes, bool, list[bytes]]:
        tag = self._link.tag(shard)
        last, count, names = await self._link.run(
            scripts.NAMES, [tag + b":names", tag + b":ends"], [start, end, PAGE]
        )
        return last, count == PAGE, names

    def _place(self, key: str) -> tuple[bytes, bytes]:
        if not key:
            raise ValueError("The key of a value must not be empty.")
        name = to_name(key)
        return name, self._link.tag_of(name)

    @staticmethod
    def _conflict(key: str, expected: int | None, maybe_done: bool) -> Exception:
        assert expected is not None
        if maybe_done:  # what is there now may have come after ours
            return StateUnavailableError(
                f"The connection to Redis broke while {key!r} was changed, and it has changed since: whether "
                "our change was made is unknown. Read it again, and decide anew."
            )
        return ConflictError(key, expected)


class RedisLeases:
    """`Leases` in Redis: a key each, which is gone when the lease is over."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def acquire(self, name: str, owner: str, seconds: float) -> Lease | None:
        tag = self._link.tag_of(to_name(name))
        token = await self._link.run(
            scripts.ACQUIRE, [tag + b":meta", self._key(name)], [to_name(owner), _micro(seconds)]
        )
        return Lease(name, owner, int(token), seconds) if token else None

    async def renew(self, lease: Lease) -> bool:
        kept = await self._link.run(
            scripts.KEEP, [self._key(lease.name)], [lease.token, _micro(lease.seconds)]
        )
        return bool(kept)

    async def release(self, lease: Lease) -> None:
        await self._link.run(scripts.YIELD, [self._key(lease.name)], [lease.token])

    def _key(self, name: str) -> bytes:
        return self._link.tag_of(to_name(name)) + b":lease:" + to_name(name)


class RedisInbox:
    """An `Inbox` in Redis. What it holds never expires; what is settled does, after `claim_seconds`."""

    durable = True

    def __init__(self, link: RedisLink, *, claim_seconds: float = CLAIM_SECONDS) -> None:
        self._link = link
        self._claim = _micro(claim_seconds)

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
        tag, name, id = self._names(lane, key)
        kind, *rest = await self._link.run(
            scripts.ACCEPT,
            [
                tag + b":meta",
                tag + b":idle",
                tag + b":lane:" + name,
                tag + b":queue:" + name,
                tag + b":claim:" + id,
                tag + b":note:" + name,
            ],
            [
                id,
                name,
                _micro(seconds),
                int(wait),
                to_name(nonce) or secrets.token_bytes(8),
                pack(payload),
                self._claim,
            ],
        )
        if kind == b"busy":
            return Busy()
        if kind == b"duplicate":
            return _duplicate(rest)
        number, token, *more = rest
        if not int(token):
            return Place(InboxEntry(key, lane, int(number), payload), None)
        note, behind, intent = more
        entry = InboxEntry(key, lane, int(number), payload, intent, behind=behind)
        return Place(entry, Lease(lane, owner, int(token), seconds), note)

    async def intend(self, lease: Lease, key: str, intent: bytes) -> None:
        tag, name, id = self._names(lease.name, key)
        if not await self._link.run(scripts.INTEND, [tag + b":lane:" + name], [id, lease.token, intent]):
            raise LeaseLostError(lease.name, lease.token)

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
        tag, name, id = self._names(lease.name, key)
        kind, *rest = await self._link.run(
            scripts.SETTLE,
            [
                tag + b":meta",
                tag + b":idle",
                tag + b":lane:" + name,
                tag + b":queue:" + name,
                tag + b":claim:" + id,
                tag + b":note:" + name,
            ],
            [
                id,
                name,
                lease.token,
                _micro(lease.seconds),
                self._claim,
                int(response is not None),
                response or b"",
                int(note is not None),
                note or b"",
                int(release),
                int(forget),
            ],
        )
        if kind == b"lost":
            raise LeaseLostError(lease.name, lease.token)
        return _entry(lease.name, rest) if kind == b"next" else None

    async def renew(self, leases: Iterable[Lease]) -> dict[str, int]:
        shards: dict[bytes, list[Lease]] = {}
        for lease in leases:
            shards.setdefault(self._link.tag_of(to_name(lease.name)), []).append(lease)
        answers = await asyncio.gather(*(self._renew(tag, some) for tag, some in shards.items()))
        return {
            lease.name: behind
            for some, answer in zip(shards.values(), answers, strict=True)
            for lease, behind in zip(some, answer, strict=True)
            if behind >= 0
        }

    async def release(self, lease: Lease) -> None:
        tag, name, _ = self._names(lease.name)
        await self._link.run(scripts.RELEASE, [tag + b":idle", tag + b":lane:" + name], [name, lease.token])

    async def take(self, owner: str, seconds: float, limit: int) -> list[Place]:
        # One look at all shards, at most times the only one; then those lanes that are idle longest.
        looks = [
            self._link.run(scripts.FREE, [self._link.tag(shard) + b":idle"], [limit])
            for shard in range(SHARDS)
        ]
        found: list[tuple[float, bytes]] = []
        for free in await asyncio.gather(*looks):
            found += [(float(since), name) for name, since in zip(free[::2], free[1::2], strict=True)]
        order = {name: at for at, (_, name) in enumerate(sorted(found)[:limit])}
        shards: dict[bytes, list[bytes]] = {}
        for name in order:
            shards.setdefault(self._link.tag_of(name), []).append(name)
        takes = [self._take(tag, names, owner, seconds) for tag, names in shards.items()]
        places = [place for some in await asyncio.gather(*takes) for place in some]
        return sorted(places, key=lambda place: order[to_name(place.entry.lane)])

    async def entries(self, lease: Lease, limit: int) -> list[InboxEntry]:
        tag, name, _ = self._names(lease.name)
        found = await self._link.run(
            scripts.ENTRIES, [tag + b":lane:" + name, tag + b":queue:" + name], [lease.token, limit]
        )
        if found == 0:
            raise LeaseLostError(lease.name, lease.token)
        return [_entry(lease.name, parts, at) for at, parts in enumerate(found)]

    async def lookup(self, key: str, lane: str) -> Duplicate | None:
        tag, name, id = self._names(lane, key)
        kind, *rest = await self._link.run(
            scripts.LOOKUP, [tag + b":lane:" + name, tag + b":claim:" + id], [id]
        )
        return _duplicate(rest) if kind == b"duplicate" else None

    async def statistics(self) -> InboxStatistics:
        tags = [self._link.tag(shard) for shard in range(SHARDS)]
        counts = await asyncio.gather(
            *(self._link.run(scripts.COUNT, [tag + b":meta", tag + b":idle"], []) for tag in tags)
        )
        return InboxStatistics(sum(held for held, _ in counts), sum(lanes for _, lanes in counts))

    async def _renew(self, tag: bytes, leases: Sequence[Lease]) -> list[int]:
        keys = [tag + b":idle"]
        arguments: list[bytes | int] = []
        for lease in leases:
            name = to_name(lease.name)
            keys += [tag + b":lane:" + name, tag + b":queue:" + name]
            arguments += [name, lease.token, _micro(lease.seconds)]
        answer: list[int] = await self._link.run(scripts.RENEW, keys, arguments)
        return answer

    async def _take(self, tag: bytes, names: Sequence[bytes], owner: str, seconds: float) -> list[Place]:
        keys = [tag + b":meta", tag + b":idle"]
        for name in names:
            keys += [tag + b":lane:" + name, tag + b":queue:" + name, tag + b":note:" + name]
        nonce = secrets.token_bytes(8)
        found = await self._link.run(scripts.TAKE, keys, [_micro(seconds), nonce, *names])
        places = []
        for name, taken in zip(names, found, strict=True):
            if taken is not None:  # else another was faster
                token, note, *parts = taken
                lane = from_name(name)
                places.append(Place(_entry(lane, parts), Lease(lane, owner, int(token), seconds), note))
        return places

    def _names(self, lane: str, key: str = "") -> tuple[bytes, bytes, bytes]:
        name = to_name(lane)
        return self._link.tag_of(name), name, to_name(key)


class RedisState:
    """A `State` in Redis 6.2 or newer (or a server that speaks its language), alone or as a cluster.

    `url`: `redis://`, `rediss://`, `unix://`; for a cluster `redis+cluster://`, or `cluster=True`. `prefix`
    begins the name of each key, so that several bots can share a server; braces are not allowed in it. All
    processes of a bot must use the same. `claim_seconds`: how long a key stays claimed once it is settled.
    `patience`: for how many seconds a call is repeated while the server does not answer, before it raises
    `StateUnavailableError`. `client`: a client of `redis.asyncio`, in place of `url`; it is not closed.

    What it holds outlives every process of the bot. What outlives the server is for the server to say: give
    it an append-only file (`appendonly yes`; with `appendfsync everysec` a power cut costs the last second)
    and `maxmemory-policy noeviction`. `start` warns where it sees otherwise. While the memory is full,
    nothing new is taken (`StateFullError`), and what is there can be settled.

    A call that was repeated happens once. There is one case in which that cannot be told: where the
    connection broke during a `put` or `delete` with `expected`, and the value has changed since,
    `StateUnavailableError` is raised.
    """

    shared = True

    def __init__(
        self,
        url: str = "",
        *,
        prefix: str,
        client: Redis | RedisCluster | None = None,
        cluster: bool = False,
        claim_seconds: float = CLAIM_SECONDS,
        patience: float = 10.0,
    ) -> None:
        if bool(url) == (client is not None):
            raise ValueError("RedisState needs either the URL of a server or a client.")
        self._link = RedisLink(url, client, prefix=prefix, cluster=cluster, patience=patience)
        self.store = RedisStore(self._link)
        self.leases = RedisLeases(self._link)
        self.inbox = RedisInbox(self._link, claim_seconds=claim_seconds)
        self.permits: SharedPermits | None = RedisShares(self._link)

    @property
    def started(self) -> bool:
        """Whether somebody has started it, who is to close it."""
        return self._link.started

    async def start(self) -> None:
        """Connect. A server that cannot be reached is no error, but only logged: calls try on by themselves.
        Raises `StateError` where it is too old, refuses us, or is part of a cluster and nobody said so."""
        await self._link.start()

    async def close(self) -> None:
        """Finish what was sent, and disconnect."""
        await self._link.close()


def _micro(seconds: float) -> int:
    return max(0, round(seconds * 1_000_000))


def _duplicate(parts: Sequence[Any]) -> Duplicate:
    settled, *response = parts
    return Duplicate(bool(settled), response[0] if response else None)


def _entry(lane: str, parts: Sequence[Any], at: int = 0) -> InboxEntry:
    key, packed, intent, taken, behind = parts
    number, _, size, rest = packed.split(b" ", 3)
    return InboxEntry(
        key=from_name(key),
        lane=lane,
        number=int(number),
        payload=unpack(rest[int(size) :]),
        intent=intent,
        taken=taken,
        behind=behind - at,
    )
