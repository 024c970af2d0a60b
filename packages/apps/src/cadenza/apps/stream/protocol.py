"""What `ctx.stream` is, for those who bring their own streamer, such as a plugin with its own channel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from cadenza.api import MessageActivityInput, SentActivity, TypingActivityInput

__all__ = ["StreamerProtocol"]


@runtime_checkable
class StreamerProtocol(Protocol):
    """Something that shows an answer while it is being made.

    An implementation keeps these laws: `emit` and `update` never wait; `close` finalizes once, however
    often and from however many tasks it is called, and each call gets the same result; an `emit` after
    `close` begins a new message; after the user's Stop, `emit`, `update` and `clear_text` raise
    StreamCancelledError until `close` was called; no text is lost without an exception from `close`.
    """

    @property
    def canceled(self) -> bool:
        """Whether the user stopped this answer."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the newest message is finalized."""
        ...

    @property
    def count(self) -> int:
        """How many texts were emitted and are not yet on the user's screen."""
        ...

    @property
    def sequence(self) -> int:
        """How many stream activities of the current message were accepted."""
        ...

    def on_chunk(self, handler: Callable[[SentActivity], Awaitable[None]]) -> None:
        """Call `handler` after each accepted chunk."""
        ...

    def on_close(self, handler: Callable[[SentActivity], Awaitable[None]]) -> None:
        """Call `handler` each time a message was finalized."""
        ...

    def emit(self, activity: MessageActivityInput | TypingActivityInput | str) -> None:
        """Add to the answer. Raises TypeError for anything else."""
        ...

    def update(self, text: str) -> None:
        """Show an informative line until the first text."""
        ...

    def clear_text(self) -> None:
        """Forget the text so far, for instance to end with a card alone."""
        ...

    async def close(self) -> SentActivity | None:
        """Finalize the message. None where there was nothing to show, or the user pressed Stop."""
        ...
