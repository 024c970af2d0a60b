"""`WriteBuffer`: what a writer has not sent yet, and when the next batch of it goes.

The first event after a pause goes at once; what comes within `linger_seconds` of a batch waits for the next.
Text that only adds to the text before it is one event with it, for as long as it waits, and so is reasoning:
a slow backend makes larger events, not more of them. Nothing is dropped.

Pure: it is told the time, in seconds of any clock that does not go back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from cadenza.events import Reasoning, StreamEvent, Text

from .log_entries import continues, encode_element, join_elements
from .stream_log import Tombstone

__all__ = ["Batch", "WriteBuffer"]

MOST_PENDING = 1_000_000
"""Characters that wait, before `full`. Ours: a long answer fits ten times."""
HASTE = 64_000
"""Characters that wait for no more time. Ours: what goes well in one request."""
OVERHEAD = 64
"""What an event counts beside its characters."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes to the log in one append. The same again, if its answer was lost."""

    data: bytes
    """The entry; empty where there are no events."""
    count: int
    """Of events."""
    checkpoint: bytes | None
    tombstone: Tombstone | None
    ticket: int
    """`WriteBuffer.ticket`, as it was then."""


class WriteBuffer:
    """See the head of this module."""

    def __init__(self, *, linger_seconds: float = 0.05, max_pending: int = MOST_PENDING) -> None:
        self.ticket = 0
        """How many things were put in, ever. What had this number is stored once the batch with it is."""
        self._linger = linger_seconds
        self._most = max_pending
        self._elements: list[str] = []
        self._first: Text | Reasoning | None = None
        """The newest event, where others may add to its text; and the parts of that:"""
        self._parts: list[str] = []
        self._size = 0
        self._checkpoint: bytes | None = None
        self._tombstone: Tombstone | None = None
        self._hasty = False
        self._sent = -inf

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not (self._size or self._hasty)

    @property
    def hasty(self) -> bool:
        """Whether what waits should wait no longer."""
        return self._hasty or self._size >= min(HASTE, self._most)

    @property
    def full(self) -> bool:
        """Whether more waits than should. What is added all the same is kept, too."""
        return self._size >= self._most

    def add(self, event: StreamEvent, checkpoint: bytes | None = None) -> None:
        """Put in an event, and a checkpoint that goes with its batch, when that is due. Raises TypeError or
        ValueError for an event that JSON cannot hold, and adds nothing."""
        if isinstance(event, Text | Reasoning) and not event.extra:
            if self._first is None or not continues(self._first, event):
                self._close_run()
                self._first = event
                self._size += OVERHEAD
            self._parts.append(event.text)
            self._size += len(event.text)
        else:
            element = encode_element(event)
            self._close_run()
            self._elements.append(element)
            self._size += len(element) + OVERHEAD
        if checkpoint is not None:
            self._checkpoint = checkpoint
        self.ticket += 1

    def set_checkpoint(self, data: bytes) -> None:
        """Let the next batch carry this checkpoint. It is the newest that counts."""
        self._checkpoint = data
        self._hasty = True
        self.ticket += 1

    def end(self, tombstone: Tombstone) -> None:
        """Let the next batch, which has all that waits, end the run."""
        self._tombstone = tombstone
        self._hasty = True
        self.ticket += 1

    def hurry(self) -> None:
        """Let what waits go now."""
        self._hasty = self._hasty or self._size > 0

    def due(self, now: float) -> float | None:
        """Seconds until the next batch may go; None: nothing waits."""
        if self.empty:
            return None
        if self.hasty:
            return 0.0
        return max(0.0, self._sent + self._linger - now)

    def take(self, now: float) -> Batch:
        """All that waits. It is the caller's then, until it is stored."""
        self._close_run()
        elements = self._elements
        batch = Batch(
            join_elements(elements) if elements else b"",
            len(elements),
            self._checkpoint,
            self._tombstone,
            self.ticket,
        )
        self._elements, self._size = [], 0
        self._checkpoint = self._tombstone = None
        self._hasty = False
        self._sent = now
        return batch

    def _close_run(self) -> None:
        if self._first is not None:
            self._elements.append(encode_element(replace(self._first, text="".join(self._parts))))
            self._first, self._parts = None, []
