"""`ctx.typing()`: "the bot is typing", once or for as long as a block of code runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType

REPEAT_SECONDS = 4.0
"""How long to wait before the indicator is sent again: clients show it for a few seconds only. Ours."""


class TypingIndicator:
    """`await ctx.typing()` shows the indicator once; `async with ctx.typing(): ...` keeps it until the block
    ends.

    An indicator is an ornament: that it cannot be sent is logged and never raised.
    """

    def __init__(self, send: Callable[[], Awaitable[object]], logger: logging.Logger) -> None:
        self._send = send
        self._logger = logger
        self._task: asyncio.Task[None] | None = None

    def __await__(self) -> Generator[object, None, None]:
        return self._show().__await__()

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._repeat())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            # gather, not await: a cancellation of the caller must not be taken for that of the task.
            await asyncio.gather(self._task, return_exceptions=True)

    async def _repeat(self) -> None:
        while True:
            await self._show()
            await asyncio.sleep(REPEAT_SECONDS)

    async def _show(self) -> None:
        try:
            await self._send()
        except Exception as error:
            self._logger.debug("A typing indicator was not sent: %r", error)
