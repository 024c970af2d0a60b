"""`RedisLog`: a stream log for any number of processes on any number of hosts.

Each step is one script, so that no crash comes between its parts, and is told the server's time, so that no
clock of a host matters. The keys of a run, and the list of what is due, lie in one hash slot of sixteen; the
index of a conversation lies in that of the conversation. It is therefore written in a step of its own, before
the run: an entry counts only while its run says that it is entered there.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cadenza.events import Outcome
from cadenza.state.payload import from_name, to_name
from cadenza.state.redis_link import SHARDS, RedisLink, Script

from . import redis_log_scripts as scripts
from .errors import RunNotFound, log_behind, log_closed, run_conflict, run_not_found, stale_writer
from .redis_tail import RedisTail
from .stream_log import (
    CancelMode,
    Claim,
    ConversationRun,
    Page,
    Retention,
    RunHead,
    StoredEntry,
    Tombstone,
    as_retention,
)

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.cluster import RedisCluster

__all__ = ["RedisLog"]

URL_VARIABLE = "REDIS_CONNECTION_STRING"
TTL_VARIABLE = "REDIS_STREAM_TTL_MINUTES"

CREATION_SECONDS = 1.0
"""How long readers of an index wait for a run that was entered there to be created. Ours, as are the next
four."""
LEAVE_SECONDS = 60.0
"""How long after it was entered a run that is none is taken out of the index: it may be created late."""
CREATION_PAUSE = 0.005
"""Seconds between two looks at such a run."""
OLD_ONES = 16
"""How many old entries of an index are looked at when a new one comes in, for runs that are forgotten."""
RUNS = 100
"""How many runs `tail_runs` gives at most."""

Argument = bytes | str | int

_CANCELS: dict[bytes, CancelMode | None] = {b"-": None, b"now": "now", b"after_turn": "after_turn"}


class RedisLog:
    """A `StreamLog` in Redis 6.2 or newer (or a server that speaks its language), alone or as a cluster.

    `url`: `redis://`, `rediss://`, `unix://`; for a cluster `redis+cluster://`, or `cluster=True`; None: the
    environment variable REDIS_CONNECTION_STRING. `client`: a client of `redis.asyncio`, in its place; it is
    not closed. `prefix` begins the name of each key, so that several bots can share a server; braces are not
    allowed in it. All processes of a bot must use the same; it may be that of its `RedisState`.

    `retention`: see there; all processes must use the same. Where it is None, events live for as long as the
    environment variable REDIS_STREAM_TTL_MINUTES says, else for ten minutes.

    `patience`: for how many seconds a call is repeated while the server does not answer, before it raises
    `StateUnavailableError`. A call that was repeated happens once.

    It takes up to two connections for its calls, and while anybody waits (`tail`, `tail_runs`) one more: in a
    cluster one for each of the sixteen shards that somebody waits for. What outlives the server is for the
    server to say: see `RedisState`. Raises `ValueError` where there is no prefix, or no server.
    """

    shared = True

    def __init__(
        self,
        url: str | None = None,
        *,
        prefix: str,
        retention: Retention | None = None,
        client: Redis | RedisCluster | None = None,
        cluster: bool = False,
        patience: float = 10.0,
    ) -> None:
        if url is not None and client is not None:
            raise ValueError("RedisLog needs either the URL of a server or a client, not both.")
        if url is None and client is None:
            url = os.environ.get(URL_VARIABLE, "").strip()
        if not url and client is None:
            raise ValueError(
                f"RedisLog was given no URL of a server, and the environment variable {URL_VARIABLE} is not "
                "set: give it one, such as redis://localhost:6379, or a client."
            )
        self.retention = as_retention(retention, _retention_of_environment)
        self._link = RedisLink(
            url or "", client, prefix=prefix, cluster=cluster, patience=patience, user="RedisLog"
        )
        self._tail = RedisTail(self._link)
        kept = self.retention
        compact = kept.compact_seconds
        self._kept: tuple[Argument, ...] = (
            b"%d" % _micro(kept.data_seconds),
            b"%d" % _micro(kept.head_seconds),
            b"" if compact is None else b"%d" % _micro(compact),
        )
        self._most: Argument = b"" if kept.max_events is None else b"%d" % kept.max_events

    @property
    def started(self) -> bool:
        """Whether somebody has started it, who is to close it."""
        return self._link.started

    async def start(self) -> None:
        """Connect. A server that cannot be reached is no error, but only logged: calls try on by themselves.
        Raises `StateError` where it is too old, refuses us, or is part of a cluster and nobody said so."""
        await self._link.start()
        self._tail.start()

    async def close(self) -> None:
        """Let nobody wait any longer, finish what was sent, and disconnect."""
        await self._tail.close()
        await self._link.close()

    # Runs

    async def create(
        self, run_id: str, meta: bytes, *, conversation_id: str | None = None
    ) -> tuple[RunHead, bool]:
        began = asyncio.get_running_loop().time()
        entered = b"" if conversation_id is None else await self._enter(run_id, conversation_id)
        state, *rest = await self._do(
            scripts.CREATE,
            run_id,
            bytes(meta),
            int(conversation_id is not None),
            b"" if conversation_id is None else to_name(conversation_id),
            entered,
            secrets.token_bytes(8),
            numbered=True,
        )
        if state != b"created" and conversation_id is not None:
            await self._leave(conversation_id, [entered])
        elif conversation_id is not None and asyncio.get_running_loop().time() > began + CREATION_SECONDS / 2:
            # Who reads the index may have gone on without it, or taken it out: it is entered again.
            newer = await self._enter(run_id, conversation_id)
            await self._do(scripts.RENUMBER, run_id, entered, newer, named=False)
            await self._leave(conversation_id, [entered])
        if state == b"conflict":
            raise run_conflict(run_id)
        return _head(run_id, rest[0]), state == b"created"

    async def head(self, run_id: str) -> RunHead:
        return (await self.read(run_id, 0, 0)).head

    async def meta(self, run_id: str) -> bytes:
        found: bytes | None = await self._do(scripts.META, run_id)
        if found is None:
            raise run_not_found(run_id)
        return found

    async def delete(self, run_id: str) -> None:
        conversation, number = await self._do(scripts.DELETE, run_id)
        if conversation is not None:
            await self._leave(from_name(conversation), [number])

    async def cancel(self, run_id: str, mode: CancelMode, entry: bytes, tombstone: Tombstone) -> RunHead:
        answer = await self._do(scripts.CANCEL, run_id, mode, bytes(entry), _pack(tombstone))
        return _head(run_id, self._checked(run_id, answer)[0])

    async def due(self, limit: int, postpone: float) -> list[str]:
        taken: list[tuple[float, bytes]] = []
        while len(taken) < limit:
            looks = await asyncio.gather(
                *(
                    self._link.run(scripts.LOOK, [self._link.tag(shard) + b":due"], [limit])
                    for shard in range(SHARDS)
                )
            )
            found = [
                (float(since), name)
                for look in looks
                for name, since in zip(look[::2], look[1::2], strict=True)
            ]
            asked = {name for _, name in taken}  # they are here again where `postpone` is 0
            found = [one for one in found if one[1] not in asked]
            if not found:
                break
            wanted = sorted(found)[: limit - len(taken)]
            shards: dict[bytes, list[tuple[float, bytes]]] = {}
            for since, name in wanted:
                shards.setdefault(self._link.tag_of(name), []).append((since, name))
            takes = [self._take(tag, some, postpone) for tag, some in shards.items()]
            for some in await asyncio.gather(*takes):
                taken += some
            if len(found) < limit and len(wanted) == len(found):
                break
        return [from_name(name) for _, name in sorted(taken)]

    async def _take(
        self, tag: bytes, found: Sequence[tuple[float, bytes]], postpone: float
    ) -> list[tuple[float, bytes]]:
        names = [name for _, name in found]
        answers = await self._link.run(
            scripts.DUE,
            [tag + b":due", *(tag + b":head:" + name for name in names)],
            [_micro(postpone), *names],
        )
        return [one for one, answer in zip(found, answers, strict=True) if answer == 1]

    # The writer

    async def claim(self, run_id: str, owner: str, seconds: float) -> Claim | None:
        answer = await self._do(scripts.CLAIM, run_id, to_name(owner), _micro(seconds), numbered=True)
        if answer[0] == b"held":
            return None
        view, meta, checkpoint = self._checked(run_id, answer)
        head = _head(run_id, view)
        await self._tell(head)
        return Claim(head, meta, checkpoint)

    async def renew(self, run_id: str, epoch: int, seconds: float) -> RunHead:
        answer = await self._do(scripts.RENEW, run_id, epoch, _micro(seconds))
        return await self._kept_on(run_id, epoch, answer)

    async def release(self, run_id: str, epoch: int) -> None:
        await self._do(scripts.RELEASE, run_id, epoch)

    async def append(
        self,
        run_id: str,
        epoch: int,
        after: int,
        data: bytes,
        count: int,
        *,
        seconds: float,
        checkpoint: bytes | None = None,
        tombstone: Tombstone | None = None,
    ) -> RunHead:
        answer = await self._do(
            scripts.APPEND,
            run_id,
            b"%d %d %d" % (epoch, after, count),
            bytes(data),
            _micro(seconds),
            self._most,
            b"" if tombstone is None else _pack(tombstone),
            *(() if checkpoint is None else (bytes(checkpoint),)),
        )
        if answer[0] == b"behind":
            raise log_behind(run_id, int(answer[1]), after)
        return await self._kept_on(run_id, epoch, answer)

    # Readers

    async def read(self, run_id: str, after: int, limit: int) -> Page:
        found = await self._do(scripts.READ, run_id, after, limit, named=False)
        if found is None:
            raise run_not_found(run_id)
        view, flat = found
        entries = [StoredEntry(int(last), data) for last, data in zip(flat[::2], flat[1::2], strict=True)]
        return Page(_head(run_id, view), entries)

    async def tail(self, run_id: str, after: int, limit: int, seconds: float) -> Page:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        name = to_name(run_id)
        tag = self._link.tag_of(name)
        key = tag + b":log:" + name
        news = (after, 0) if after else (0, 1)
        known = self._tail.watches(tag, key, news)
        while True:
            page = None
            if not known:
                try:
                    page = await self.read(run_id, after, limit)
                except RunNotFound:
                    if loop.time() >= until:
                        raise
                if page is not None and (
                    page.head.last > after or page.head.tombstone is not None or loop.time() >= until
                ):
                    return page
            # A run begins with the entry 0-1: that is what one waits for where there is none yet.
            there = known or page is not None
            known = False
            await self._tail.wait(tag, key, news if there else (0, 0), until - loop.time())

    async def compact(self, run_id: str, incarnation: int, entries: Sequence[StoredEntry]) -> None:
        flat = [part for entry in entries for part in (entry.last, bytes(entry.data))]
        await self._do(scripts.COMPACT, run_id, incarnation, *flat)

    # Conversations

    async def runs_of(
        self, conversation_id: str, *, after: int = 0, limit: int = 100, newest_first: bool = False
    ) -> list[ConversationRun]:
        found, _ = await self._runs(conversation_id, after, limit, newest_first)
        return found

    async def tail_runs(self, conversation_id: str, after: int, seconds: float) -> list[ConversationRun]:
        until = asyncio.get_running_loop().time() + seconds
        tag, key = self._index(conversation_id)
        while True:
            found, seen = await self._runs(conversation_id, after, RUNS)
            left = until - asyncio.get_running_loop().time()
            if found or left <= 0:
                return found
            await self._tail.wait(tag, key, (max(after, seen), 0), left)

    async def _runs(
        self, conversation_id: str, after: int, limit: int, newest_first: bool = False
    ) -> tuple[list[ConversationRun], int]:
        """The runs that count; and the greatest number that was seen in the index."""
        _, key = self._index(conversation_id)
        runs: list[ConversationRun] = []
        seen, last = after, "+" if newest_first else ""
        until = asyncio.get_running_loop().time() + CREATION_SECONDS
        while len(runs) < limit:
            asked = limit - len(runs)
            time, *flat = await self._link.run(scripts.LISTED, [key], [after, asked, last])
            pairs = list(zip(flat[::2], flat[1::2], strict=True))
            counting = await self._counting(pairs)
            young, old = (int(time) - _micro(age) for age in (CREATION_SECONDS, LEAVE_SECONDS))
            dead = []
            for number, name in pairs:
                if (number, name) in counting:
                    runs.append(ConversationRun(int(number), from_name(name)))
                elif int(number) <= young:
                    if int(number) <= old:
                        dead.append(number)
                elif not newest_first and asyncio.get_running_loop().time() < until:
                    # It is entered, and about to be created: who reads on after a later one would miss it.
                    await asyncio.sleep(CREATION_PAUSE)
                    break
                seen = max(seen, int(number))
                after, last = (after, f"({number.decode()}-0") if newest_first else (int(number), "")
            else:
                if len(pairs) < asked:
                    await self._leave(conversation_id, dead)
                    break
            await self._leave(conversation_id, dead)
        return runs, seen

    async def _counting(self, pairs: Sequence[tuple[bytes, bytes]]) -> set[tuple[bytes, bytes]]:
        """Those entries of an index whose runs say that they are entered there."""
        shards: dict[bytes, list[tuple[bytes, bytes]]] = {}
        for pair in pairs:
            shards.setdefault(self._link.tag_of(pair[1]), []).append(pair)
        answers = await asyncio.gather(
            *(
                self._link.run(scripts.NUMBERED, [tag + b":head:" + name for _, name in some], [])
                for tag, some in shards.items()
            )
        )
        return {
            pair
            for some, numbers in zip(shards.values(), answers, strict=True)
            for pair, number in zip(some, numbers, strict=True)
            if pair[0] == number
        }

    async def _enter(self, run_id: str, conversation_id: str) -> bytes:
        """Enter a run in the index, and drop some of those that are forgotten. Returns its number."""
        tag, key = self._index(conversation_id)
        number, old = await self._link.run(
            scripts.ENTER,
            [key, tag + b":numbers"],
            [*self._kept, to_name(run_id), OLD_ONES],
        )
        if old:
            pairs = list(zip(old[::2], old[1::2], strict=True))
            counting = await self._counting(pairs)
            await self._leave(conversation_id, [pair[0] for pair in pairs if pair not in counting])
        return bytes(number)

    async def _leave(self, conversation_id: str, numbers: Sequence[bytes]) -> None:
        if numbers:
            _, key = self._index(conversation_id)
            await self._link.run(scripts.LEAVE, [key], numbers)

    async def _tell(self, head: RunHead) -> None:
        """Let the index of a conversation live on, for a run that does."""
        if head.conversation_id is not None:
            _, key = self._index(head.conversation_id)
            await self._link.run(scripts.TOUCH, [key], self._kept)

    def _index(self, conversation_id: str) -> tuple[bytes, bytes]:
        name = to_name(conversation_id)
        tag = self._link.tag_of(name)
        return tag, tag + b":runs:" + name

    # What all of them do

    async def _do(
        self,
        script: Script,
        run_id: str,
        *arguments: Argument,
        named: bool = True,
        numbered: bool = False,
    ) -> Any:
        """Run a script on the keys of a run. `named`: it needs to know the name. `numbered`: it gives out a
        number."""
        name = to_name(run_id)
        tag = self._link.tag_of(name)
        keys = [tag + b":head:" + name, tag + b":log:" + name, tag + b":due"]
        if numbered:
            keys.append(tag + b":numbers")
        return await self._link.run(script, keys, [*self._kept, *([name] if named else []), *arguments])

    async def _kept_on(self, run_id: str, epoch: int, answer: bytes | Sequence[Any]) -> RunHead:
        """What a script answered to the writer: the head, or the error that is raised."""
        if isinstance(answer, bytes):
            return _head(run_id, answer)
        head = _head(run_id, self._checked(run_id, answer, epoch)[0])
        await self._tell(head)
        return head

    @staticmethod
    def _checked(run_id: str, answer: Sequence[Any], epoch: int = 0) -> Sequence[Any]:
        """What a script answered beyond the word that it went well; else raises the error."""
        state, *rest = answer
        if state == b"none":
            raise run_not_found(run_id)
        if state == b"stale":
            raise stale_writer(run_id, epoch, int(rest[0]))
        if state == b"over":
            raise log_closed(run_id, _unpack(rest[0]).outcome)
        return rest


def _retention_of_environment() -> Retention:
    """With the life of events that the environment gives."""
    text = os.environ.get(TTL_VARIABLE, "").strip()
    if not text:
        return Retention()
    try:
        seconds = float(text) * 60
        return Retention(data_seconds=seconds, head_seconds=max(seconds, Retention().head_seconds))
    except ValueError:
        raise ValueError(
            f"The environment variable {TTL_VARIABLE} is {text!r}: it must be a number of minutes, more than "
            "0 (and not more than some 30 years), or not be set (which means 10)."
        ) from None


def _micro(seconds: float) -> int:
    return max(0, round(seconds * 1_000_000))


def _head(run_id: str, view: bytes) -> RunHead:
    incarnation, epoch, attempts, lease, first, last, cancel, compacted, size, rest = view.split(b" ", 9)
    tombstone, conversation = rest[: int(size)], rest[int(size) :]
    return RunHead(
        run_id,
        int(incarnation),
        conversation_id=from_name(conversation[1:]) if conversation else None,
        epoch=int(epoch),
        attempts=int(attempts),
        lease_left=int(lease) / 1_000_000,
        first=int(first),
        last=int(last),
        cancel=_CANCELS[cancel],
        tombstone=_unpack(tombstone) if tombstone else None,
        compacted=compacted == b"1",
    )


def _pack(tombstone: Tombstone) -> bytes:
    return json.dumps([tombstone.outcome.value, tombstone.error, tombstone.message]).encode()


def _unpack(data: bytes) -> Tombstone:
    outcome, error, message = json.loads(data)
    return Tombstone(Outcome(outcome), error, message)
