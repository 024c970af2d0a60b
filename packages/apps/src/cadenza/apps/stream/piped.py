"""What every stream can do that can `emit`, `close` and `finish`."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..log_fields import with_fields
from .errors import StreamCancelledError, StreamDeliveryError
from .events import AbortReason

if TYPE_CHECKING:
    from cadenza.api import MessageActivityInput, SentActivity, TypingActivityInput

__all__ = ["PipedStream"]

logger = with_fields(logging.getLogger(__name__))


class PipedStream(ABC):
    """Takes a whole source, and is closed at the end of a block."""

    @abstractmethod
    def emit(self, activity: str | MessageActivityInput | TypingActivityInput) -> None:
        """Add to the answer."""

    @abstractmethod
    async def close(self) -> SentActivity | None:
        """Finalize the message."""

    @abstractmethod
    async def finish(self, reason: AbortReason, *, deadline: float | None = None) -> SentActivity | None:
        """End the stream on behalf of an app."""

    async def pipe(
        self, source: AsyncIterable[str | MessageActivityInput | TypingActivityInput]
    ) -> SentActivity | None:
        """Emit all that `source` yields, then close. When the user presses Stop, or emitting fails, the
        source is closed too. Returns what close() returns."""
        iterator = aiter(source)
        try:
            async for item in iterator:
                self.emit(item)
        except StreamCancelledError:
            return await self.close()
        finally:
            aclose = getattr(iterator, "aclose", None)
            if aclose is not None:
                await aclose()
        return await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.close()
        else:
            try:
                await self.finish(AbortReason.ERROR)
            except StreamDeliveryError as undelivered:
                logger.error("%s", undelivered)  # the error that ended the block goes first
