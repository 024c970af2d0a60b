"""One gate per conversation: its streams take turns there, across handlers."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakValueDictionary

from .pacing import Pace

__all__ = ["StreamGate", "StreamGates"]


class StreamGate:
    """Owns the interval and the single open stream of one conversation (the rules are in pacing.py).

    Streams that share a gate wait for each other: while one is open the others collect their text. Plain
    sends pass beside it.
    """

    def __init__(self) -> None:
        self.pace = Pace()
        self._waiting: set[Callable[[], None]] = set()
        self._seen = 0

    def join(self, wake: Callable[[], None]) -> None:
        """`wake` is called whenever it may have become this stream's turn, until `leave`."""
        self._waiting.add(wake)

    def leave(self, wake: Callable[[], None]) -> None:
        self._waiting.discard(wake)

    def moved(self, by: Callable[[], None]) -> None:
        """If the stream `by` was answered, ended or left, the others look whether it is their turn."""
        if self._seen == self.pace.moves:
            return
        self._seen = self.pace.moves
        for wake in [wake for wake in self._waiting if wake != by]:
            wake()

    def idle(self, now: float) -> bool:
        """Whether nobody uses it and nothing is remembered that would matter later."""
        return not self._waiting and self.pace.idle(now)


class StreamGates:
    """The gates of an app, by conversation id. Those that are idle and that no stream holds are dropped now
    and then, so that their number follows the number of conversations that are active."""

    def __init__(self) -> None:
        self._gates: WeakValueDictionary[str, StreamGate] = WeakValueDictionary()
        self._kept: dict[str, StreamGate] = {}
        self._sweep_at = 64

    def gate(self, conversation_id: str, now: float) -> StreamGate:
        """The gate of a conversation. `now`: seconds of the streams' clock."""
        if len(self._kept) >= self._sweep_at:
            self._kept = {key: gate for key, gate in self._kept.items() if not gate.idle(now)}
            self._sweep_at = max(64, 2 * len(self._kept))
        gate = self._gates.get(conversation_id) or StreamGate()
        self._gates[conversation_id] = self._kept[conversation_id] = gate
        return gate

    def known(self, conversation_id: str) -> StreamGate | None:
        """The gate of a conversation that was written to lately; None if there is none."""
        return self._gates.get(conversation_id)

    def __len__(self) -> int:
        return len(self._gates)
