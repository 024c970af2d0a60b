"""Tasks that outlive the call that made them: whether they can be waited for, and who sees them fail."""

import asyncio
from typing import Any


def runs_here(task: asyncio.Task[Any] | None) -> bool:
    """Whether there is such a task, and it will be done: one of an event loop that is gone never will."""
    return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()


def look_at(future: asyncio.Future[Any]) -> None:
    """Whoever waits for it is told of its exception; if nobody does any more, it is nobody's, and asyncio
    need not complain of it. For `add_done_callback`, too."""
    if future.done() and not future.cancelled():
        future.exception()
