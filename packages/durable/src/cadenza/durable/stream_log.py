"""`StreamLog`: what a backend of durable streams keeps: for each run its head, and its events in order.

A run has one **head** (`RunHead`): who may write it, how far it is, whether somebody wants it to stop, and,
when it is over, its `Tombstone`. Its events are numbered 1, 2, 3... without a hole (`seq`); they are kept in
**entries** of one or more events each, whose bytes the backend does not look into (log_entries.py does).

The head is the truth about a run: whoever works on runs asks it, and no queue, what is to be done.

`LogWriter` and `LogReader` are what one works with; this is what one implements. The laws, which
`StreamLogContract` of cadenza.testing.contracts checks:

- Each method is one atomic step, for all processes that share the backend.
- A call whose answer was lost may be repeated: it happens once.
- A run has one writer: the one with the newest epoch. Epochs grow with every claim, also where a run was
  deleted or forgotten and is started again under the same id: a writer of the former is stale for the latter.
- A lease ends by `release`, or `seconds` after the claim, renewal or append that gave it, not earlier. Until
  another has claimed the run its writer can write all the same.
- Every change sets, in the same step, how long the data lives on: see `Retention`. Where nothing changes (a
  call that is repeated), nothing lives longer; nor by `due`, `compact` and reading.
- Times are the backend's, the same for all processes; but for how long a `tail` waits, which is the caller's.

Every method raises `StateUnavailableError` where the backend cannot be reached.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeAlias

from cadenza.events import Outcome

__all__ = [
    "PAGE_BYTES",
    "CancelMode",
    "Claim",
    "ConversationRun",
    "Page",
    "Retention",
    "RunHead",
    "StoredEntry",
    "StreamLog",
    "Tombstone",
    "as_retention",
]

CancelMode: TypeAlias = Literal["now", "after_turn"]

PAGE_BYTES = 1_000_000
"""A page has no further entry once it has so much. Ours: a slow line carries it well within the time that an
answer may take."""
MOST_SECONDS = 1e9
"""The longest that data can be told to live: some 30 years. Ours: every backend can count so far."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a run is kept, in seconds, and how much of it.

    The events live for `data_seconds` after the last change, or renewal by their writer, so that a tool that
    takes longer than that does not end them; a run that is over is not renewed any more.

    The head lives for `head_seconds` after the same, which must not be less, and with it the tombstone, the
    checkpoint, what the run was created with, and its place among the runs of its conversation. Meanwhile a
    reader is told that the events have expired, a second start of the same run is recognised, and a run whose
    worker is gone, or that never had one, can be worked on.
    """

    data_seconds: float = 600.0
    head_seconds: float = 86_400.0
    max_events: int | None = 100_000
    """Of one run. The oldest are dropped beyond it, and a reader that wants them gets a Gap. What goes are
    whole entries: those with none of the newest `max_events` events. None: all are kept."""
    compact_seconds: float | None = 60.0
    """How long after its end a run becomes `due`, for compaction. None: never."""

    def __post_init__(self) -> None:
        if not 0 < self.data_seconds <= self.head_seconds <= MOST_SECONDS:
            raise ValueError(
                f"{self}: data_seconds must be more than 0, head_seconds not less than data_seconds, and "
                f"neither more than {MOST_SECONDS:g}."
            )
        if self.compact_seconds is not None and not 0 <= self.compact_seconds <= MOST_SECONDS:
            raise ValueError(f"{self}: compact_seconds must be from 0 to {MOST_SECONDS:g}, or None (never).")
        if self.max_events is not None and self.max_events < 1:
            raise ValueError(f"{self}: max_events must be at least 1, or None.")


def as_retention(given: object, default: Callable[[], Retention] = Retention) -> Retention:
    """What the option `retention` of a log means."""
    if given is None:
        return default()
    if not isinstance(given, Retention):
        raise TypeError(
            f"retention= takes a Retention, as Retention(data_seconds=3600), not {type(given).__name__}."
        )
    return given


@dataclass(frozen=True, slots=True)
class Tombstone:
    """How a run ended. `error` in a word for programs, `message` for people."""

    outcome: Outcome
    error: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class RunHead:
    """What is known of a run, without its events."""

    run_id: str
    incarnation: int
    """When it was created, in microseconds since the epoch: what tells it from another of the same id."""
    conversation_id: str | None = None
    epoch: int = 0
    """The newest writer's. 0: nobody has claimed it yet."""
    attempts: int = 0
    """How often it was claimed."""
    lease_left: float = 0.0
    """Seconds until the writer's lease ends; negative: since it ended (since the creation, where nobody has
    claimed it)."""
    first: int = 1
    """The oldest event that is kept; `last + 1` where none is."""
    last: int = 0
    """The newest event."""
    cancel: CancelMode | None = None
    """Whether somebody wants it to stop. "now" goes before "after_turn", and neither is taken back."""
    tombstone: Tombstone | None = None
    """Set: it is over."""
    compacted: bool = False

    @property
    def expired(self) -> bool:
        """Whether there were events, and none of them is kept."""
        return self.last > 0 and self.first > self.last


class StoredEntry(NamedTuple):
    """One or more events, as log_entries.py writes them."""

    last: int
    """The number of the last of them."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """A moment's picture of a run: its head, and the entries asked for."""

    head: RunHead
    entries: Sequence[StoredEntry]


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write a run."""

    head: RunHead
    meta: bytes
    """What the run was created with."""
    checkpoint: bytes | None
    """What its last writer left for the next."""

    @property
    def epoch(self) -> int:
        return self.head.epoch


class ConversationRun(NamedTuple):
    """A run in the index of its conversation."""

    number: int
    """Grows from run to run within a conversation; not by one."""
    run_id: str


class StreamLog(Protocol):
    """See the head of this module."""

    shared: bool
    """Whether several processes can use it at once."""
    retention: Retention

    async def start(self) -> None:
        """Connect. Called before anything else; a second call does nothing. Raises `StateError` if it cannot
        work at all; that it cannot be reached for the moment is no error."""
        ...

    async def close(self) -> None:
        """Give back connections and files. May be called more than once."""
        ...

    # Runs

    async def create(
        self, run_id: str, meta: bytes, *, conversation_id: str | None = None
    ) -> tuple[RunHead, bool]:
        """Begin a run, which is then `due` until it is claimed; and enter it in the index of its
        conversation, with a number greater than all that are there. Returns its head and True; or, where it
        exists with the same meta and conversation, the head that it has and False. Raises RunConflict where
        it exists with others."""
        ...

    async def head(self, run_id: str) -> RunHead:
        """Raises RunNotFound."""
        ...

    async def meta(self, run_id: str) -> bytes:
        """What the run was created with. Raises RunNotFound."""
        ...

    async def delete(self, run_id: str) -> None:
        """Forget a run, all of it. One that does not exist is no error."""
        ...

    async def cancel(self, run_id: str, mode: CancelMode, entry: bytes, tombstone: Tombstone) -> RunHead:
        """Note that the run is to stop, for its writer to see. Where nobody has claimed it yet, it is over
        with this: `entry` (one event) is added, and `tombstone` set. Nothing happens where it is over. A
        note alone need not wake a `tail`. Raises RunNotFound."""
        ...

    async def due(self, limit: int, postpone: float) -> list[str]:
        """The ids of up to `limit` runs that somebody should look at, the longest due first: not over, and
        unclaimed, or their lease has ended; or over for `compact_seconds`, and neither compacted nor expired.
        The same run is given again only `postpone` seconds later, to whomever asks; one that was claimed,
        renewed or released meanwhile when that lease ends; one that ended, `compact_seconds` later."""
        ...

    # The writer

    async def claim(self, run_id: str, owner: str, seconds: float) -> Claim | None:
        """Become the writer, with a new epoch; None while the lease of another owner is alive. `owner` names
        one attempt: the same again, while no other has claimed it, is a call that is repeated; it gets the
        same epoch, and the lease for `seconds` from now. Raises LogClosed where the run is over,
        RunNotFound."""
        ...

    async def renew(self, run_id: str, epoch: int, seconds: float) -> RunHead:
        """Keep the lease for `seconds` from now, also one that has ended, while no other has claimed the run.
        Raises StaleWriter, LogClosed, RunNotFound."""
        ...

    async def release(self, run_id: str, epoch: int) -> None:
        """End the lease now, so that the run is due. Does nothing for a stale writer, a lease that has ended,
        or a run that is over or unknown."""
        ...

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
        """Add an entry of `count` events, which get the numbers after `after`; renew the lease; replace the
        checkpoint, unless it is None; and, with `tombstone`, end the run (which drops the checkpoint). With
        a count of 0 there is no entry.

        The newest batch again (same epoch, `after` and `count`) changes nothing and is no error, not even
        where it has ended the run. (One with a count of 0 that ends nothing is no batch in this sense: it
        may come with another checkpoint, and does what it does once more.)

        Raises, in this order: RunNotFound; StaleWriter for an older epoch, also where the run is over;
        LogClosed; LogBehind where `after` is not the run's last event. `renew` raises in the same order.
        """
        ...

    # Readers

    async def read(self, run_id: str, after: int, limit: int) -> Page:
        """Up to `limit` entries with events after number `after`, the oldest first: the first of them may
        begin before. They are fewer, but one at least, where they have `PAGE_BYTES` bytes together: the entry
        that reaches that is the last. Never waits. Raises RunNotFound."""
        ...

    async def tail(self, run_id: str, after: int, limit: int, seconds: float) -> Page:
        """The same; but where `after` is not before the run's last event, and the run is not over or does not
        exist, waits for either to change, for up to `seconds`. Any number of these may wait at once, on one
        connection. Raises RunNotFound where the run does not exist by then."""
        ...

    async def compact(self, run_id: str, incarnation: int, entries: Sequence[StoredEntry]) -> None:
        """Replace the entries of a run that is over, all of them, and mark it as compacted. Nothing happens
        where it is not that incarnation, is not over, has expired, or is compacted already."""
        ...

    async def runs_of(
        self, conversation_id: str, *, after: int = 0, limit: int = 100, newest_first: bool = False
    ) -> list[ConversationRun]:
        """Runs of a conversation whose number is greater than `after`, in the order of their creation, or
        the newest first. Those that are forgotten are left out, at the latest `head_seconds` later."""
        ...

    async def tail_runs(self, conversation_id: str, after: int, seconds: float) -> list[ConversationRun]:
        """As `runs_of`, in the order of their creation; waits up to `seconds` where there is none."""
        ...
