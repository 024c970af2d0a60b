"""Where the worker and its clients meet: a file, or a Redis server where one is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cadenza.durable import RedisLog, SQLiteLog, StreamLog

if TYPE_CHECKING:
    from taskiq import AsyncBroker

REDIS = os.environ.get("REDIS_CONNECTION_STRING")
FILES = Path(os.environ.get("PLANNER_FILES", "."))
"""The directory of the file."""


def make_log() -> StreamLog:
    """What all of them read and write."""
    if REDIS:
        return RedisLog(REDIS, prefix="planner")
    return SQLiteLog(FILES / "planner-runs.db")


def make_broker() -> AsyncBroker | None:
    """What tells a worker at once that there is a run. Without it, workers look into the log."""
    if not REDIS:
        return None
    from taskiq_redis import RedisStreamBroker

    return RedisStreamBroker(REDIS, queue_name="planner-jobs")
