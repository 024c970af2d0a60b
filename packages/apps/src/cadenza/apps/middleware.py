"""The chain that an activity goes through: middleware first, then the handlers, each in its order.

A middleware is a handler that sees every activity and stands around all handlers, whenever it was registered:

    @app.use
    async def timed(ctx: ActivityContext[Activity]) -> None:
        started = time.perf_counter()
        await ctx.next()
        ctx.logger.info("took %.3f s", time.perf_counter() - started)
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from .context import ActivityContext

ActivityT_contra = TypeVar("ActivityT_contra", contravariant=True)


class Handler(Protocol[ActivityT_contra]):
    """What is registered: a coroutine function, or a function that returns an awaitable or nothing."""

    def __call__(self, ctx: ActivityContext[ActivityT_contra], /) -> object: ...


class Chain:
    """One run of an activity through its handlers.

    Each handler gets a context whose `next()` is bound to its own place: it runs what comes after that
    handler, and called again it runs the very same once more. The result of a handler is what it returns, or,
    where that is None, the last result that its `next()` gave.
    """

    def __init__(self, handlers: Sequence[Handler[Any]]) -> None:
        self._handlers = handlers
        self.fell_through = False
        """Whether some `next()` was called behind the last handler: nobody there wanted the activity."""

    async def run(self, ctx: ActivityContext[Any]) -> object:
        return await self._run_from(0, ctx)

    async def _run_from(self, position: int, ctx: ActivityContext[Any]) -> object:
        if position == len(self._handlers):
            self.fell_through = True
            return None
        inner: object = None

        async def rest() -> object:
            nonlocal inner
            result = await self._run_from(position + 1, ctx)
            if result is not None:
                inner = result
            return result

        result = self._handlers[position](ctx.at(rest))
        if inspect.isawaitable(result):
            result = await result
        return inner if result is None else result
