"""What every stream can do that can `emit`, `close` and `finish`."""

from __future__ import annotations

import asyncio
import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from cadenza import api as teams

from ..log_fields import with_fields
from .errors import StreamCancelledError, StreamDeliveryError, StreamError
from .events import AbortReason

if TYPE_CHECKING:
    from cadenza.api import ConversationReference, MessageActivityInput, SentActivity, TypingActivityInput

    from .answer import PipedAnswer

__all__ = ["PipedStream"]

logger = with_fields(logging.getLogger(__name__))


class PipedStream(ABC):
    """Takes a whole source, and is closed at the end of a block."""

    ref: ConversationReference

    @abstractmethod
    def emit(self, activity: str | MessageActivityInput | TypingActivityInput) -> None:
        """Add to the answer."""

    @abstractmethod
    def update(self, text: str) -> None:
        """Show an informative line."""

    @abstractmethod
    def clear_text(self) -> None:
        """Forget the text."""

    @abstractmethod
    async def close(self) -> SentActivity | None:
        """Finalize the message."""

    @abstractmethod
    async def finish(self, reason: AbortReason, *, deadline: float | None = None) -> SentActivity | None:
        """End the stream on behalf of an app."""

    @property
    @abstractmethod
    def canceled(self) -> bool:
        """Whether the user stopped this answer."""

    @abstractmethod
    def on_stop(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the user has stopped this answer."""

    def replace_text(self, text: str) -> None:
        """Show `text` in place of all the text emitted since the last close(). What came with that text
        (attachments, ...) stays."""
        self.clear_text()
        if text:
            self.emit(text)

    def _begun_text(self) -> str:
        """The text that was emitted since the last close(), as far as this can be known."""
        return ""

    async def pipe(
        self,
        source: object,
        *,
        adapter: str | None = None,
        separator: str = "\n\n",
        ai_label: bool = True,
    ) -> SentActivity | None:
        """Emit all that `source` yields, then close. Returns what close() returns.

        `source` is an async iterable of str and activities; or of events of `cadenza.events`, as
        `agent.run(..., stream=True)` gives them (answer.py says what each of them shows); or the stream of
        another framework that an adapter is installed for. Which one is seen from the stream's type, or said
        by `adapter`. `separator` stands between the text of one turn and that of the next. `ai_label`: a
        message made of events says that AI has made it.

        When the user presses Stop, `source` is cancelled (`await source.cancel()`; closed, if it has none),
        without waiting for what it would yield next; then None is returned, or in a turn, whose task is
        cancelled by the Stop, CancelledError raised. However else this ends, `source` is closed. What
        `source` raises is raised, and what was shown until then stays (also a text that was taken back, if
        nothing came in its place): a handler's stream is finalized by the App. Where all of the answer was
        there by then (only saving it failed, for instance), it is finalized first.

        Raises TypeError for a source that nobody knows, ValueError for an adapter that is not installed.
        """
        piping = _Piping(self, source, separator, ai_label)
        iterator = piping.open(adapter)
        ended: BaseException | None = None
        try:
            with _Stops(self):
                await piping.run(iterator)
        except BaseException as error:
            ended = error
        stopped = isinstance(ended, StreamCancelledError) or (
            isinstance(ended, asyncio.CancelledError) and self.canceled
        )
        try:
            try:
                await piping.leave(cancel=stopped)
            except Exception as error:
                if ended is None:
                    raise
                logger.warning("closing the source of a stream failed: %s", type(error).__name__)
            if isinstance(ended, StreamCancelledError) or ended is None:
                return await self.close()
            if piping.complete and isinstance(ended, Exception):
                await self._close_for(ended)
            raise ended
        finally:
            ended = None  # with its traceback it would keep this frame, and with it the turn, alive

    async def _close_for(self, error: Exception) -> None:
        try:
            await self.close()
        except StreamError as undelivered:
            error.add_note(f"Nor was the answer delivered: {undelivered}")

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


class _Piping:
    """One source on its way into one stream."""

    def __init__(self, stream: PipedStream, source: object, separator: str, ai_label: bool) -> None:
        self._stream = stream
        self._source = source
        self._separator = separator
        self._ai_label = ai_label
        self._closes: list[object] = []
        """What is to be closed, the last one first."""
        self._answer: PipedAnswer | None = None

    def open(self, adapter: str | None) -> AsyncIterator[Any]:
        """Look at the source: nothing of it is taken yet."""
        from . import foreign

        source = self._source
        adapt = None
        if inspect.iscoroutine(source):
            raise foreign.refuse(source)
        if adapter is not None:
            adapt = foreign.adapter_called(adapter)
        elif foreign.strange(source) or not isinstance(source, AsyncIterable):
            adapt = foreign.adapter_for(source)
        if adapt is not None:
            source = self._source = adapt(source)  # whose closing stops the stream that it is made of
        if not isinstance(source, AsyncIterable):
            raise foreign.refuse(source)
        iterator = aiter(source)
        self._closes += [source] if iterator is source else [source, iterator]
        return iterator

    async def run(self, iterator: AsyncIterator[Any]) -> None:
        """Show all of it. However that ends, what goes with the end of the message is given to it."""
        try:
            rest: AsyncIterator[Any] | None = iterator
            while rest is not None:
                rest = await self._show(rest)
        except BaseException:
            try:
                self._end(failed=True)
            except StreamError as sealed:
                logger.debug("nothing more was taken: %s", sealed)
            raise
        self._end(failed=False)

    def _end(self, *, failed: bool) -> None:
        if self._answer is not None:
            self._answer.end(failed=failed)

    async def _show(self, iterator: AsyncIterator[Any]) -> AsyncIterator[Any] | None:
        """Show what `iterator` yields. Where that turns out to be another framework's, returns what is left
        of it, as events."""
        from cadenza.events import StreamEvent

        stream = self._stream
        emit = stream.emit
        answer = self._answer
        show = None if answer is None else answer.show
        async for item in iterator:
            if isinstance(item, StreamEvent):
                if show is None:
                    show = self._begin().show
                show(item)
            elif isinstance(item, str):
                if self._answer is None:
                    emit(item)
                else:
                    self._answer.add(item)
            elif isinstance(item, teams.MessageActivityInput):
                if self._answer is not None and item.text:
                    self._answer.add(item.text)
                    item = item.model_copy(update={"text": ""})
                emit(item)
            elif isinstance(item, teams.TypingActivityInput):
                emit(item)
            else:
                from . import foreign

                adapt = foreign.adapter_for(self._source, iterator, item)
                if adapt is None:
                    raise foreign.refuse(self._source, item)
                rest = adapt(foreign.Rest(item, iterator))
                self._closes.append(rest)
                return rest
        return None

    def _begin(self) -> PipedAnswer:
        from .answer import PipedAnswer

        stream = self._stream
        self._answer = PipedAnswer(
            stream,
            before=stream._begun_text(),
            separator=self._separator,
            ai_label=self._ai_label,
            suggests=not stream.ref.conversation.is_group,
        )
        return self._answer

    @property
    def complete(self) -> bool:
        """Whether all of the answer has come, as the source itself says it."""
        if self._answer is not None and self._answer.complete:
            return True
        return getattr(self._source, "outcome", None) == "completed"

    async def leave(self, *, cancel: bool) -> None:
        """Cancel or close the source: all of it, whatever of that fails. The first error is raised."""
        first: BaseException | None = None
        calls: list[tuple[object, str]] = [(self._source, "cancel")] if cancel else []
        calls += [(thing, "aclose") for thing in reversed(self._closes)]
        self._closes.clear()
        try:
            for thing, name in calls:
                try:
                    await _call(thing, name)
                except BaseException as error:
                    first = first or error
            if first is not None:
                raise first
        finally:
            first = None  # with its traceback it would keep this frame alive


async def _call(thing: object, name: str) -> None:
    """Call that method, if there is one, and wait for what it does."""
    method = getattr(thing, name, None)
    if callable(method):
        result = method()
        if inspect.isawaitable(result):
            await result


class _Stops:
    """A block that ends with StreamCancelledError as soon as it is known that the user pressed Stop, even
    while it waits for a source that says nothing; but with CancelledError where its task was to end anyway.
    """

    def __init__(self, stream: PipedStream) -> None:
        self._task = asyncio.current_task()
        self._cancels = 0 if self._task is None else self._task.cancelling()
        self._pressed = False
        stream.on_stop(self._press)  # which the stream keeps, so that this must not keep the stream

    def __enter__(self) -> None:
        pass

    def _press(self) -> None:
        # Within the task itself, what it has called raises.
        if self._task is not None and not self._pressed and asyncio.current_task() is not self._task:
            self._pressed = True
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if task is None or not self._pressed:
            return
        others = task.uncancel() > self._cancels
        if kind is None or (kind is asyncio.CancelledError and not others):
            raise StreamCancelledError("The user stopped this answer.") from None
        if isinstance(error, Exception) and not isinstance(error, StreamCancelledError):
            raise StreamCancelledError("The user stopped this answer.") from error  # what a source made of it
