"""Tasks that are kept between calls, which may come from one event loop after another."""

import asyncio
from typing import Any


def runs_here(task: asyncio.Task[Any] | None) -> bool:
    """Whether there is such a task, and it will be done: one of an event loop that is gone never will."""
    return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()
