"""`State`: all that a backend keeps for an App, in one object that is started and closed with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .inbox import Inbox
from .lease import Leases
from .store import Store

if TYPE_CHECKING:
    from .shares import SharedPermits

__all__ = ["State"]


class State(Protocol):
    """What `App(state=...)` takes: `MemoryState`, `SQLiteState`, `RedisState`, or one of your own."""

    shared: bool
    """Whether several processes can use it at once."""

    @property
    def store(self) -> Store: ...

    @property
    def leases(self) -> Leases: ...

    @property
    def inbox(self) -> Inbox: ...

    @property
    def permits(self) -> SharedPermits | None:
        """The rate budget's share among processes; None where each has a budget of its own."""
        ...

    async def start(self) -> None:
        """Connect. Called once, before anything else; raises `StateError` if it cannot work at all, for
        instance with a server that is too old. That it cannot be reached for the moment is no error."""
        ...

    async def close(self) -> None:
        """Give back connections and files. May be called more than once."""
        ...
