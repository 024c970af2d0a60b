"""What `ctx.stream` is, for those who bring their own streamer, such as a plugin with its own channel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from cadenza.api import MessageActivityInput, SentActivity, TypingActivityInput

__all__ = ["StreamerProtocol"]


@runtime_checkable
class StreamerProtocol(Protocol):
    """Something that shows an answer while it is being made, one message after the other.

    An implementation keeps these laws; `cadenza.testing.contracts.StreamerContract` has them as tests:

    1. `emit`, `update` and `clear_text` return at once, from whatever thread they are called; what is
       emitted is on the user's screen soon, without anybody calling `close`.
    2. A message is finalized once, however often and from however many tasks `close` is called: all calls
       get the same result, until something is emitted again. Cancelling a caller cancels its waiting alone.
    3. `close` returned a SentActivity: the user has the text emitted since the last `clear_text`, in order
       and whole, and all that came with it (attachments, entities, suggested actions, channelData). None:
       there was nothing to show (no text but white space, and nothing attached), or the user pressed Stop.
       What did not reach the user is never kept quiet: `close` raises (StreamDeliveryError).
    4. What is emitted after `close` was called begins a new message, with another id, even while the old one
       is still being finalized; the old one stays as it is.
    5. Once it is known that the user pressed Stop, nothing more is sent: `emit`, `update` and `clear_text`
       raise StreamCancelledError until `close` was called, which returns None. After that a new message can
       begin. A Stop that comes when the message is finalized stops nothing.
    """

    @property
    def canceled(self) -> bool:
        """Whether the user stopped this answer, until the next `close`."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the newest message is finalized. False where none was begun, while `close` finalizes it,
        and again from the first emit after it."""
        ...

    @property
    def count(self) -> int:
        """How many texts were emitted and wait to be sent: 0 when all are on the user's screen. One that is
        on its way there may count, or not."""
        ...

    @property
    def sequence(self) -> int:
        """How many stream activities (informative lines, chunks) of the current message were accepted: 0
        before the first."""
        ...

    def on_chunk(self, handler: Callable[[SentActivity], Awaitable[None]]) -> None:
        """Call `handler` after each accepted chunk, with the id of the message and all of its text that is on
        the screen (`activity_params.text`). Several handlers may be given; the exceptions of one are logged,
        and harm neither the answer nor the other handlers."""
        ...

    def on_close(self, handler: Callable[[SentActivity], Awaitable[None]]) -> None:
        """Call `handler` once for each message that was finalized, with what `close` returns; `close` waits
        for it, within reason. Not called where `close` returns None. Exceptions as with `on_chunk`."""
        ...

    def emit(self, activity: MessageActivityInput | TypingActivityInput | str) -> None:
        """Add to the answer: text, or a message with text, cards and so on, which is not changed, and may be
        changed by the caller afterwards. The text of a TypingActivityInput is an informative line. Raises
        TypeError for anything else, and what was emitted before is not touched by that."""
        ...

    def update(self, text: str) -> None:
        """Show an informative line until the first text; the newest counts. After the first text nothing is
        shown. Where no text follows, `close` takes it off the screen. Raises TypeError for what is no str."""
        ...

    def clear_text(self) -> None:
        """Forget the text emitted since the last `close`, for instance to end with a card alone. What came
        with it (attachments, ...) stays. What the user sees already is replaced by the time of `close`."""
        ...

    async def close(self) -> SentActivity | None:
        """Finalize the message. Returns what was sent: the whole message in `activity_params`, its id, and in
        `parts` the ids of all messages it was split into, if it was too long for one."""
        ...
