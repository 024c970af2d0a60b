"""`AgentSession`: a conversation with an agent, one run at a time, kept in a `Store`.

How it is kept: one item for each run, which that run alone writes, and an index of the runs in the order in
which they began. So a save is an upsert under a key of its own: to save twice is to save once, and a save
that comes late stands in its right place.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal
from urllib.parse import quote

from cadenza.events import Outcome
from cadenza.state import ConflictError, Leases, MemoryState, State, Store

from .errors import SessionError, SessionLost
from .history import HistoryPolicy, RunRecord, conversation, decode_record, encode_record
from .message import Message
from .session_lease import SessionLease

__all__ = ["AgentSession", "SessionRun"]

logger = logging.getLogger(__name__)

MOST_TRIES = 8
"""How often a write is tried before others' writes are taken for endless. Ours."""

VERSION = 1
"""Of the JSON of an index."""


class AgentSession:
    """A conversation. Two objects with one id on one state are the same session.

    `state`: where it is kept; or `store` and `leases`, both. Without any it is in this object's memory.
    `busy`: what a run does while another is going on: wait for up to `wait_seconds`, or raise SessionBusy at
    once. `lease_seconds`: for how long a killed process keeps the session from others. `abandoned_seconds`:
    a stream that nobody pulled for that long loses the session. `max_runs`: how many runs it remembers, that
    which is going on included; the oldest are deleted, and no model is told of them any more. None: all, and
    each run takes longer than the one before it, since all of them are read.

    Without a state, a session that a handler makes for each message forgets everything: give it `app.state`.
    """

    def __init__(
        self,
        session_id: str | None = None,
        *,
        state: State | None = None,
        store: Store | None = None,
        leases: Leases | None = None,
        policy: HistoryPolicy | None = None,
        busy: Literal["wait", "reject"] = "wait",
        wait_seconds: float = 60.0,
        lease_seconds: float = 30.0,
        abandoned_seconds: float = 300.0,
        max_runs: int | None = 200,
    ) -> None:
        if session_id is not None and not isinstance(session_id, str):
            raise TypeError(f"AgentSession takes its id as a str, not {type(session_id).__name__}.")
        if state is not None and not (hasattr(state, "store") and hasattr(state, "leases")):
            raise TypeError(
                f"AgentSession(state=...) takes a state, as app.state or SQLiteState('bot.db') is, not "
                f"{type(state).__name__}."
            )
        if session_id == "":
            raise ValueError("AgentSession(session_id=''): the id of a session must not be empty.")
        if busy not in ("wait", "reject"):
            raise ValueError(f"AgentSession(busy={busy!r}): it is 'wait' or 'reject'.")
        if max_runs is not None and max_runs < 1:
            raise ValueError(f"AgentSession(max_runs={max_runs}): it must remember at least one run.")
        if not 0 < lease_seconds < math.inf:
            raise ValueError(f"AgentSession(lease_seconds={lease_seconds}): it must be more than 0.")
        if not wait_seconds >= 0:
            raise ValueError(f"AgentSession(wait_seconds={wait_seconds}): it must not be less than 0.")
        if not abandoned_seconds > 0:
            raise ValueError(f"AgentSession(abandoned_seconds={abandoned_seconds}): it must be more than 0.")
        if (store is None) != (leases is None) or (state is not None and store is not None):
            raise ValueError("AgentSession takes a state, or a store and leases together, or none of them.")
        if store is None or leases is None:
            state = MemoryState() if state is None else state
            store, leases = state.store, state.leases
        self.id = uuid.uuid4().hex if session_id is None else session_id
        self.policy = HistoryPolicy() if policy is None else policy
        self._store = store
        self._leases = leases
        self._wait_seconds = wait_seconds if busy == "wait" else 0.0
        self._lease_seconds = lease_seconds
        self._abandoned_seconds = abandoned_seconds
        self._max_runs = max_runs
        self._read: dict[str, tuple[int, RunRecord]] = {}
        """By key: the version of what was read of it, and the run that this is."""
        name = quote(self.id, safe="", errors="surrogatepass")
        self._index_key = f"agents/sessions/{name}"
        self._run_prefix = f"agents/runs/{name}/"

    def __repr__(self) -> str:
        return f"<AgentSession {self.id!r}>"

    async def messages(self) -> list[Message]:
        """What the next run's model is told of the runs until now: repaired, as `repair` says."""
        return conversation(await self.runs(), self.policy)

    async def runs(self) -> list[RunRecord]:
        """The runs, in the order in which they began."""
        ids, _ = await self._index()
        return await self._records(ids)

    async def run(self, run_id: str) -> RunRecord | None:
        """One run; None if the session has none of that id."""
        ids, _ = await self._index()
        item = await self._store.get(self._key(run_id)) if run_id in ids else None
        return None if item is None else self._decode(self._key(run_id), item.value)

    async def clear(self) -> None:
        """Forget all runs. One that is going on goes on, and leaves nothing."""
        await self._store.delete(self._index_key)
        written = [key async for key in self._store.keys(self._run_prefix)]
        ids, _ = await self._index()  # of runs that began meanwhile
        kept = set(map(self._key, ids))
        for key in written:
            if key not in kept:
                await self._store.delete(key)

    async def begin(self, run_id: str, input: Sequence[Message]) -> SessionRun:
        """Begin a run, for an Agent: take the session, and note what is asked before anything is done about
        it. To begin a run under an id that the session has already replaces that run.

        Raises SessionBusy while another run is going on, and `StateUnavailableError` of cadenza.state.
        """
        record = RunRecord(run_id, input=tuple(input), started=time.time())
        encode_record(record)  # what cannot be stored is said before anything is done
        lease = await self._take()
        try:
            record = replace(record, writer=lease.owner)
            # This process may stand still at any point: another may have the session then, and this very run.
            lost = SessionLost(
                f"The run {run_id!r} has lost the session {self.id!r} to another run before it had begun."
            )
            found = await self._store.get(self._key(run_id))
            if asyncio.get_running_loop().time() >= lease.until:
                raise lost
            before = await self._enter(run_id)
            records = await self._records(before)
            try:
                await self._put(record, expected=0 if found is None else found.version)
            except ConflictError:
                raise lost from None
            run = SessionRun(self, record, records, lease, run_id)
        except BaseException:
            await lease.give_back()
            raise
        run._keep()
        return run

    async def reopen(self, run_id: str) -> SessionRun:
        """Go on with a run that waits in the background: take the session, and be the one who writes that
        run from now on. Its `record` says how far it has come, its `history` what was before it.

        Raises SessionError where the session has no such run, and else as `begin` does.
        """
        lease = await self._take()
        try:
            record = await self._change(run_id, lambda found: replace(found, writer=lease.owner))
            ids, _ = await self._index()
            if record is None or run_id not in ids:
                raise SessionError(
                    f"The session {self.id!r} has no run {run_id!r}: it was cleared, or never was."
                )
            records = await self._records(ids[: ids.index(run_id)])
            run = SessionRun(self, record, records, lease, ids[-1])
        except BaseException:
            await lease.give_back()
            raise
        run._keep()
        return run

    async def ask_to_cancel(self, run_id: str) -> RunRecord | None:
        """Note that a background run is to stop: whoever goes on with it calls no more tools and begins no
        turn (`SessionRun.cancelling`). Neither takes the session nor waits for it. Returns the run as it is
        noted then, None where the session has none of that id. One that is over stays as it is."""
        return await self._change(
            run_id, lambda found: replace(found, cancelling=True) if found.outcome is None else found
        )

    async def _change(self, run_id: str, change: Callable[[RunRecord], RunRecord]) -> RunRecord | None:
        """Change what is noted of a run that others may write meanwhile. None where there is no such run."""
        key = self._key(run_id)
        for _ in range(MOST_TRIES):
            ids, _ = await self._index()
            item = await self._store.get(key) if run_id in ids else None
            if item is None:
                return None
            found = self._decode(key, item.value)
            changed = change(found)
            if changed == found:
                return found
            try:
                await self._store.put(key, encode_record(changed), expected=item.version)
            except ConflictError:
                continue
            return changed
        raise SessionError(f"The run {run_id!r} was written by others {MOST_TRIES} times meanwhile.")

    async def _take(self) -> SessionLease:
        lease = SessionLease(self._leases, self._index_key, seconds=self._lease_seconds)
        await lease.take(self._wait_seconds)
        return lease

    def _key(self, run_id: str) -> str:
        return self._run_prefix + quote(run_id, safe="", errors="surrogatepass")

    async def _index(self) -> tuple[list[str], int]:
        """The ids of the runs, and the version of the item that has them."""
        item = await self._store.get(self._index_key)
        if item is None:
            return [], 0
        try:
            document = json.loads(item.value)
            if document["version"] != VERSION:
                raise ValueError(f"it is of version {document['version']!r}, not {VERSION}")
            ids = document["runs"]
            if not isinstance(ids, list) or not all(isinstance(run_id, str) for run_id in ids):
                raise ValueError("its runs are no list of ids")
            return ids, item.version
        except (ValueError, KeyError, TypeError) as error:
            raise SessionError(
                f"What is stored under {self._index_key!r} is no session: {error}. clear() forgets it."
            ) from error

    async def _enter(self, run_id: str) -> list[str]:
        """Write the run into the index, as the newest. Returns the ids of those before it."""
        for _ in range(MOST_TRIES):
            ids, version = await self._index()
            before = [known for known in ids if known != run_id]
            kept = before if self._max_runs is None else before[max(0, len(before) + 1 - self._max_runs) :]
            document = {"version": VERSION, "runs": [*kept, run_id]}
            try:
                await self._store.put(self._index_key, json.dumps(document).encode(), expected=version)
            except ConflictError:
                continue
            for known in before[: len(before) - len(kept)]:
                await self._store.delete(self._key(known))
            return kept
        raise SessionError(
            f"The session {self.id!r} was changed by others {MOST_TRIES} times while this run was to begin."
        )

    async def _records(self, ids: Sequence[str]) -> list[RunRecord]:
        """Those of these runs that there are: of one that died while it began there may be only the id."""
        keys = list(map(self._key, ids))
        items = await self._store.get_many(keys) if keys else {}
        before, read = self._read, {}
        for key in keys:
            if (item := items.get(key)) is not None:
                version, record = before.get(key, (0, None))
                if record is None or version != item.version:
                    record = self._decode(key, item.value)
                read[key] = item.version, record
        self._read = read
        return [record for _, record in read.values()]

    @staticmethod
    def _decode(key: str, value: bytes) -> RunRecord:
        try:
            return decode_record(value)
        except (ValueError, TypeError) as error:
            raise SessionError(
                f"What is stored under {key!r} is no run: {error} clear() forgets it, and all of its session."
            ) from error

    async def _put(self, record: RunRecord, expected: int | None = None) -> bool:
        """Write a run that may have no item yet; whether it is there. A `clear` at the same time has taken
        it out of the index, but found no item to delete."""
        key = self._key(record.run_id)
        version = await self._store.put(key, encode_record(record), expected=expected)
        if record.run_id in (await self._index())[0]:
            return True
        with suppress(ConflictError):
            await self._store.delete(key, expected=version)
        return False

    async def _write(self, record: RunRecord) -> RunRecord | None:
        """Write a run that was begun. Returns it with what others have noted of it; None where it was not
        written, since the session was cleared meanwhile, or another has reopened the run."""
        key = self._key(record.run_id)
        for _ in range(MOST_TRIES):
            item = await self._store.get(key)
            if item is None and record.run_id not in (await self._index())[0]:
                return None
            if item is not None:
                found = self._decode(key, item.value)
                if found.writer != record.writer:
                    return None
                record = replace(record, cancelling=found.cancelling)
            try:
                if item is None:
                    return record if await self._put(record, expected=0) else None
                await self._store.put(key, encode_record(record), expected=item.version)
            except ConflictError:
                continue
            return record
        raise SessionError(f"The run {record.run_id!r} was written by others {MOST_TRIES} times meanwhile.")


class SessionRun:
    """A run that has its session. For each pull of its stream:

        if not run.check():     # the pull begins
            await run.regain()
        ...
        run.touch()             # it has its answer

    While a pull is going on, and for `abandoned_seconds` after the last one, the session is kept from other
    runs; no longer than this object lives, or that which it is told to `watch`.
    """

    def __init__(
        self,
        session: AgentSession,
        record: RunRecord,
        before: Sequence[RunRecord],
        lease: SessionLease,
        newest: str,
    ) -> None:
        self.session = session
        self.run_id = record.run_id
        self.record = record
        """As it was when the run began, or was reopened."""
        self.cancelling = record.cancelling
        """Whether somebody wants the run to stop, as far as was seen when it was last saved."""
        self._before = before
        self._lease = lease
        self._newest = newest
        """The id of the session's newest run when this one took the session."""
        self._loop = asyncio.get_running_loop()
        self._pulling = False
        self._pulls = 0
        self._lost = False
        self._over = False
        self._owner: weakref.ref[Any] | None = None

    def __repr__(self) -> str:
        return f"<SessionRun {self.run_id!r} of {self.session!r}>"

    @cached_property
    def history(self) -> tuple[Message, ...]:
        """What was said before this run, repaired."""
        return tuple(conversation(self._before, self.session.policy))

    @cached_property
    def request(self) -> tuple[Message, ...]:
        """What was said before, and what is asked now: what the model is told. Both are repaired together,
        so that results which the caller brings now find their calls."""
        return tuple(conversation(self._before, self.session.policy, self.record.input))

    def check(self) -> bool:
        """A pull begins. False: the lease ran out, perhaps unnoticed; call `regain` before going on. Raises
        SessionLost where another run is known to have the session."""
        if self._lost:
            raise self._lost_error()
        self._pulling = True
        return self._over or self._loop.time() < self._lease.until

    def touch(self) -> None:
        """A pull has its answer: its reader has the word."""
        self._pulling = False
        self._pulls += 1

    async def regain(self) -> None:
        """Take the session again, after its lease ran out. Raises SessionLost where another run has it, or
        has begun meanwhile; then this run must do no more, but what it has can still be saved."""
        if self._lost:
            raise self._lost_error()
        await self._lease.give_back()
        try:
            await self._lease.take(0.0)
        except SessionError:
            self._lost = True
            raise self._lost_error() from None
        try:
            ids, _ = await self.session._index()
            item = await self.session._store.get(self.session._key(self.run_id))
            mine = item is not None and self.session._decode("", item.value).writer == self.record.writer
            if not mine or not ids or ids[-1] != self._newest:
                self._lost = True
                raise self._lost_error()
        except BaseException:
            await self._lease.give_back()
            raise
        self._keep()

    def watch(self, owner: object) -> None:
        """Give the session back when `owner` is gone, as the stream that was dropped by its reader is."""
        self._owner = weakref.ref(owner, _looker(self._lease, self._loop))

    async def save(
        self, outcome: Outcome, messages: Sequence[Message], *, background: Mapping[str, Any] | None = None
    ) -> None:
        """Save how the run ended, and what was said in it as far as the session's policy keeps that. May be
        called again, also after the session was lost. Does not give the session back: see `release`.

        Nothing is written where the session was cleared meanwhile, or another has reopened this run.
        """
        input, kept = self.session.policy.kept(outcome, self.record.input, messages)
        await self._write(
            replace(self.record, outcome=outcome, input=input, messages=kept, background=background)
        )

    async def checkpoint(
        self, messages: Sequence[Message], *, background: Mapping[str, Any] | None = None
    ) -> bool:
        """Save how far the run has come, which is not over: all of `messages`. With `background` it waits to
        be reopened, from there. False: it was not saved, since another has reopened the run, or the session
        was cleared."""
        return await self._write(
            replace(self.record, messages=tuple(messages), background=background, outcome=None)
        )

    async def release(self) -> None:
        """Give the session back, so that the next run goes on. Safe to call again."""
        self._over = True
        await self._lease.give_back()

    def _keep(self) -> None:
        myself = weakref.ref(self, _looker(self._lease, self._loop))
        pulls, last, seconds = -1, self._loop.time(), self.session._abandoned_seconds

        def alive() -> bool:
            nonlocal pulls, last
            run = myself()
            if run is None or run._over or (run._owner is not None and run._owner() is None):
                return False
            now = run._loop.time()
            if run._pulling or run._pulls != pulls:
                pulls, last = run._pulls, now
            return now - last < seconds

        self._lease.keep(alive)

    async def _write(self, record: RunRecord) -> bool:
        written = await self.session._write(record)
        if written is not None:
            self.cancelling = written.cancelling
            return True
        logger.warning(
            "The run %r of the session %r was not saved: the session was cleared meanwhile, or another has "
            "reopened the run.",
            self.run_id,
            self.session.id,
        )
        return False

    def _lost_error(self) -> SessionLost:
        return SessionLost(
            f"The run {self.run_id!r} has lost the session {self.session.id!r} to another run: it was not "
            f"pulled for {self.session._abandoned_seconds:g} s, or could not renew its lease."
        )


def _looker(lease: SessionLease, loop: asyncio.AbstractEventLoop) -> Callable[[object], None]:
    def look(_: object) -> None:
        if not loop.is_closed():  # may be called in any thread, wherever garbage is collected
            loop.call_soon_threadsafe(lease.look)

    return look
