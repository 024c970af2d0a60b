"""Answers that survive restarts, and readers that resume from any point.

A run of an agent is written to a `StreamLog` (`MemoryLog`, `SQLiteLog`, `RedisLog`), by whichever worker has
it, and read from there by any number of readers. `Runner` starts runs and works on them; `Deliveries` shows
them in Teams, and goes on with the same message after a restart; `events_app` serves them to web clients.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conversation import follow_conversation
    from .deliveries import Deliveries
    from .errors import (
        DeliveryError,
        DurableError,
        InvalidCursor,
        LogBehind,
        LogClosed,
        LogError,
        LogExpired,
        ProducerLost,
        ReadError,
        RunConflict,
        RunNotFound,
        StaleWriter,
    )
    from .events_app import events_app
    from .log_reader import LogReader
    from .log_writer import LogWriter
    from .memory_log import MemoryLog
    from .redis_log import RedisLog
    from .registry import Recovery, RunContext
    from .run_handle import RunHandle, RunStatus
    from .runner import Runner
    from .sqlite_log import SQLiteLog
    from .stream_log import (
        PAGE_BYTES,
        CancelMode,
        Claim,
        ConversationRun,
        Page,
        Retention,
        RunHead,
        StoredEntry,
        StreamLog,
        Tombstone,
    )

_HOMES = {
    "conversation": ["follow_conversation"],
    "deliveries": ["Deliveries"],
    "errors": [
        "DeliveryError",
        "DurableError",
        "InvalidCursor",
        "LogBehind",
        "LogClosed",
        "LogError",
        "LogExpired",
        "ProducerLost",
        "ReadError",
        "RunConflict",
        "RunNotFound",
        "StaleWriter",
    ],
    "events_app": ["events_app"],
    "log_reader": ["LogReader"],
    "log_writer": ["LogWriter"],
    "memory_log": ["MemoryLog"],
    "redis_log": ["RedisLog"],
    "registry": ["Recovery", "RunContext"],
    "run_handle": ["RunHandle", "RunStatus"],
    "runner": ["Runner"],
    "sqlite_log": ["SQLiteLog"],
    "stream_log": [
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
    ],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "PAGE_BYTES",
    "CancelMode",
    "Claim",
    "ConversationRun",
    "Deliveries",
    "DeliveryError",
    "DurableError",
    "InvalidCursor",
    "LogBehind",
    "LogClosed",
    "LogError",
    "LogExpired",
    "LogReader",
    "LogWriter",
    "MemoryLog",
    "Page",
    "ProducerLost",
    "ReadError",
    "Recovery",
    "RedisLog",
    "Retention",
    "RunConflict",
    "RunContext",
    "RunHandle",
    "RunHead",
    "RunNotFound",
    "RunStatus",
    "Runner",
    "SQLiteLog",
    "StaleWriter",
    "StoredEntry",
    "StreamLog",
    "Tombstone",
    "events_app",
    "follow_conversation",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
