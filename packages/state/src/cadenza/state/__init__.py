"""Where a bot keeps what it must remember: values, leases, and the inbox of what is not yet handled.

`Store`, `Leases` and `Inbox` are the contracts, with their laws; `State` is one backend of them all:
`MemoryState` (this process), `SQLiteState` (one host, and across its restarts), `RedisState` (many hosts).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .bundle import State
from .errors import ConflictError, LeaseLostError, StateError, StateFullError, StateUnavailableError
from .inbox import Busy, Duplicate, Inbox, InboxEntry, InboxStatistics, Place
from .lease import Lease, Leases
from .memory import MemoryInbox, MemoryLeases, MemoryState, MemoryStore
from .shares import Demand, SharedPermits
from .storage import LocalStorage, Storage
from .store import Item, Store

if TYPE_CHECKING:
    from .redis import RedisState
    from .sqlite import SQLiteState

__all__ = [
    "Busy",
    "ConflictError",
    "Demand",
    "Duplicate",
    "Inbox",
    "InboxEntry",
    "InboxStatistics",
    "Item",
    "Lease",
    "LeaseLostError",
    "Leases",
    "LocalStorage",
    "MemoryInbox",
    "MemoryLeases",
    "MemoryState",
    "MemoryStore",
    "Place",
    "RedisState",
    "SQLiteState",
    "SharedPermits",
    "State",
    "StateError",
    "StateFullError",
    "StateUnavailableError",
    "Storage",
    "Store",
]


_HOMES = {"RedisState": "redis", "SQLiteState": "sqlite"}
"""What is imported only when it is used."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
