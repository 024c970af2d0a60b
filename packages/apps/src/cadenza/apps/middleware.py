"""The chain that an activity goes through: middleware outside, filters, middleware inside, handlers.

A middleware is a handler that stands around the handlers, whenever it was registered:

    @app.use
    async def timed(ctx: ActivityContext[Activity]) -> None:
        started = time.perf_counter()
        await ctx.next()
        ctx.logger.info("took %.3f s", time.perf_counter() - started)

    registered by                 sees                                     stands around
    app.use(mw)                   every activity, even if nobody wants it  routes, filters, all that is inside
    app.use(mw, inside=True)      what some handler wants                  the handlers that were selected

Which handlers want the activity is asked when the outer middleware calls `next()`: what it changes about the
activity counts, and it sees the errors of filters. Within each of the two places the order is that of
registration, wherever in the program that was (api-surface.md 3.3 P7).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from .context import ActivityContext
    from .routing.handler_span import HandlerSpans

ActivityT_contra = TypeVar("ActivityT_contra", contravariant=True)


class Handler(Protocol[ActivityT_contra]):
    """What runs: a coroutine function, or a function that returns an awaitable or nothing."""

    def __call__(self, ctx: ActivityContext[ActivityT_contra], /) -> object: ...


class Selection(NamedTuple):
    """What runs for one activity, in that order; `claimed` says that one of the handlers was registered for
    this kind of activity, and not just for any. Empty if no handler wants the activity."""

    handlers: Sequence[Handler[Any]]
    claimed: bool


class Chain:
    """One run of an activity: through the middleware `outside`, and then through what `select` gives.

    Each handler gets a context whose `next()` is bound to its own place: it runs what comes after that
    handler, and called again it runs the very same once more (api-surface.md 3.3 P6). The result of a handler
    is what it returns, or, where that is None, the last result that its `next()` gave.
    """

    def __init__(self, outside: Sequence[Handler[Any]], select: Callable[[Any], Selection]) -> None:
        self._outside = outside
        self._select = select
        self.spans: HandlerSpans | None = None
        """Around each of the handlers that were selected, where somebody wants to know."""
        self.claimed = False
        """Whether a handler registered for this kind of activity was among those that were selected. One
        before it may have kept it from running: that was the bot's decision, too."""

    async def run(self, ctx: ActivityContext[Any]) -> object:
        return await self._run_from(0, None if self._outside else self._selected(ctx), ctx)

    def _selected(self, ctx: ActivityContext[Any]) -> Selection:
        selection = self._select(ctx.activity)
        self.claimed = self.claimed or selection.claimed
        if self.spans is not None and not selection.handlers:
            self.spans.unmatched()
        return selection

    async def _run_from(
        self, position: int, selection: Selection | None, ctx: ActivityContext[Any]
    ) -> object:
        """From a position among what was selected, or, where that is None, in the middleware outside."""
        handlers = self._outside if selection is None else selection.handlers
        if position == len(handlers):
            return None if selection is not None else await self._run_from(0, self._selected(ctx), ctx)
        inner: object = None

        async def rest() -> object:
            nonlocal inner
            result = await self._run_from(position + 1, selection, ctx)
            if result is not None:
                inner = result
            return result

        handler = handlers[position]
        if self.spans is None or selection is None:
            result = handler(ctx.at(rest))
            if inspect.isawaitable(result):
                result = await result
        else:
            with self.spans.call(handler):
                result = handler(ctx.at(rest))
                if inspect.isawaitable(result):
                    result = await result
        return inner if result is None else result
