"""`ToolBatch`: the tool calls of one turn, all at once, and their events as they happen."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from cadenza.events import StreamEvent, ToolResult

from .message import ToolCallPart, ToolResultPart
from .repair import interrupted_result
from .tools import Tool, ToolContext, WrongArgumentsError, result_text

if TYPE_CHECKING:
    from .session import AgentSession

__all__ = ["ToolBatch", "ToolChannel"]

logger = logging.getLogger(__name__)

MOST_WAITING = 64
"""How many events of forwarded streams may wait for the reader before those streams wait, too. Ours."""

LEAVE_SECONDS = 5.0
"""How long a cancelled tool is waited for. Ours."""

_left: set[asyncio.Task[None]] = set()
"""Tools that go on though they were cancelled: asyncio holds its tasks weakly."""


class ToolChannel:
    """Takes the events of tools to whoever reads the run."""

    def __init__(self) -> None:
        self.waiting: deque[StreamEvent] = deque()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._news: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def full(self) -> bool:
        """Whether the reader does not keep up."""
        return len(self.waiting) >= MOST_WAITING

    def put(self, event: StreamEvent) -> None:
        """Give an event to the reader, from whatever thread; nothing where nobody reads any more."""
        if self._closed:
            return
        self.waiting.append(event)
        if threading.get_ident() == self._thread:
            self.tell()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.tell)

    def take(self) -> StreamEvent:
        """The oldest event that waits."""
        event = self.waiting.popleft()
        if self._room is not None and len(self.waiting) < MOST_WAITING:
            _set(self._room)
            self._room = None
        return event

    def tell(self) -> None:
        """There is something new."""
        if self._news is not None:
            _set(self._news)
            self._news = None

    async def news(self) -> None:
        """Wait for something new."""
        self._news = self._loop.create_future()
        await self._news

    async def room(self) -> None:
        """Wait until the reader has taken some of what waits."""
        while self.full and not self._closed:
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)

    def close(self) -> None:
        self._closed = True
        if self._room is not None:
            _set(self._room)
            self._room = None


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class ToolBatch:
    """Runs calls, each once and all at the same time; those of `sequential` tools one after the other.

    `events()` is iterated once and does the work. However it ends, no call goes on behind its back, and
    `results()` has a result for every call: where it was stopped, one that says so. `known` has results
    that are there already; those calls are not made.
    """

    def __init__(
        self,
        calls: Sequence[ToolCallPart],
        tools: Mapping[str, Tool],
        *,
        run_id: str,
        turn: int,
        session: AgentSession | None = None,
        seconds: float | None = None,
        chars: int | None = None,
        known: Mapping[str, ToolResultPart] | None = None,
    ) -> None:
        self.calls = tuple(calls)
        self.stopped = False
        """Whether a tool wants the run to end."""
        self._stopping = False
        self._broken: Exception | None = None
        """Why no more calls are to be made: a result could not be noted."""
        self._tools = tools
        self._run_id = run_id
        self._turn = turn
        self._session = session
        self._seconds = seconds
        self._chars = chars
        self._results: list[ToolResultPart | None] = [(known or {}).get(call.id) for call in self.calls]

    def results(self) -> tuple[ToolResultPart, ...]:
        """A result for each call, in the order of the calls."""
        return tuple(
            result or interrupted_result(call) for call, result in zip(self.calls, self._results, strict=True)
        )

    def finished(self) -> tuple[ToolResultPart, ...]:
        """The results of the calls that came to one."""
        return tuple(result for result in self._results if result is not None)

    async def events(self) -> AsyncGenerator[StreamEvent]:
        """Make the calls. What the tools emit is given while they run; the results in the order of the
        calls, each as soon as it is its turn."""
        channel = ToolChannel()
        in_turn = asyncio.Lock()
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[None]] = []
        for place, call in enumerate(self.calls):
            if self._results[place] is None:
                task = loop.create_task(
                    self._make(place, call, channel, in_turn), name=f"cadenza tool {call.name}"
                )
                task.add_done_callback(partial(self._left_by, place, channel))
                tasks.append(task)
        given = 0
        try:
            while True:
                if self._broken is not None:
                    raise self._broken
                if channel.waiting:
                    yield channel.take()
                elif given == len(self.calls):
                    return
                elif (result := self._results[given]) is not None:
                    given += 1
                    yield ToolResult(result.id, result.name, result.content, result.error)
                else:
                    await channel.news()
        finally:
            self._stopping = True
            channel.close()
            await _stop(tasks)

    async def _make(
        self, place: int, call: ToolCallPart, channel: ToolChannel, in_turn: asyncio.Lock
    ) -> None:
        """Make one call. Whatever it comes to is its result; but when the batch is stopped it has none."""
        tool = self._tools.get(call.name)
        try:
            async with in_turn if self._in_turn(call) else nullcontext():
                if self._broken is not None:
                    return
                try:
                    await self._begin(call)
                except Exception as failure:  # it must not be made where nobody could note that
                    self._broken = failure
                    return
                content, error = await self._call(tool, call, channel)
                result = ToolResultPart(call.id, call.name, self._cut(call, content), error)
                try:
                    await self._note(result)
                except Exception as failure:  # the call is done, and yet nobody could note it
                    self._broken = failure
                finally:
                    self._results[place] = result
        finally:
            channel.tell()

    def _in_turn(self, call: ToolCallPart) -> bool:
        """Whether the call waits for those of sequential tools before it."""
        tool = self._tools.get(call.name)
        return tool is not None and tool.sequential

    def _left_by(self, place: int, channel: ToolChannel, task: asyncio.Task[None]) -> None:
        """A task is over. One without a result would be waited for in vain: somebody cancelled it, maybe
        before it had begun."""
        if self._results[place] is None and not self._stopping and self._broken is None:
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            call = self.calls[place]
            content, _ = self._failed(call, error or RuntimeError("no result"))
            self._results[place] = ToolResultPart(call.id, call.name, content, error=True)
        channel.tell()

    async def _begin(self, call: ToolCallPart) -> None:
        """A call is about to be made. For a batch that notes what was begun: resumable_run.py. What it raises
        ends the batch, and the call is not made."""

    async def _note(self, result: ToolResultPart) -> None:
        """A call is done; nobody knows of it yet. For a batch that keeps its results safe: background_run.py,
        resumable_run.py. What it raises ends the batch."""

    async def _call(self, tool: Tool | None, call: ToolCallPart, channel: ToolChannel) -> tuple[str, bool]:
        if tool is None:
            known = ", ".join(sorted(self._tools)) or "none"
            return f"There is no tool {call.name!r}. There are: {known}", True
        context = ToolContext(
            run_id=self._run_id, call_id=call.id, turn=self._turn, session=self._session, channel=channel
        )
        # A task of its own: it can be left where it does not let itself be cancelled.
        work = asyncio.create_task(
            tool.call(call.arguments, context), name=f"the tool {call.name} ({call.id})"
        )
        done: set[asyncio.Task[object]] = set()
        try:
            done, _ = await asyncio.wait({work}, timeout=self._seconds)
            if not done:
                logger.warning("the tool %r (%s) took longer than %g s", call.name, call.id, self._seconds)
                await _stop([work])
        except asyncio.CancelledError:
            await _stop([work])
            if not work.done() or work.cancelled():
                raise
            # It had come to its end already: that is its result.
        finally:
            context.over = True
        if not done and (not work.done() or work.cancelled()):
            return f"{call.name} was stopped: it took longer than {self._seconds:g} s", True
        try:
            value = work.result()
        except WrongArgumentsError as error:
            logger.info("the model called the tool %r (%s) with wrong arguments", call.name, call.id)
            return str(error), True
        except (KeyboardInterrupt, SystemExit):
            raise  # asyncio passes them on to whoever runs the loop
        except BaseException as error:  # also where something that it waited for was cancelled, or itself
            return self._failed(call, error)
        if context.stopped:
            self.stopped = True
        try:
            return result_text(value), False
        except ValueError as error:
            logger.warning("the tool %r (%s) has a result that is no JSON: %s", call.name, call.id, error)
            return f"{call.name} was done, but its result cannot be shown: {error}", True

    def _cut(self, call: ToolCallPart, content: str) -> str:
        if self._chars is None or len(content) <= self._chars:
            return content
        logger.warning(
            "the result of the tool %r (%s) was cut: %d characters", call.name, call.id, len(content)
        )
        return f"{content[: self._chars]}\n(Cut here: these are {self._chars} of {len(content)} characters.)"

    @staticmethod
    def _failed(call: ToolCallPart, error: BaseException) -> tuple[str, bool]:
        logger.warning("the tool %r (%s) failed", call.name, call.id, exc_info=error)
        text = str(error)
        return f"{call.name} failed: {type(error).__name__}{': ' if text else ''}{text}", True


async def _stop(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel what is still going on, and wait for its end: within reason, and not when cancelled again."""
    going = [task for task in tasks if not task.done()]
    for task in going:
        task.cancel()
    try:
        if going:
            await asyncio.wait(going, timeout=LEAVE_SECONDS)
    finally:
        for task in tasks:
            if not task.done():
                logger.warning("%s was cancelled, and goes on", task.get_name())
                _left.add(task)
                task.add_done_callback(_left.discard)
            elif not task.cancelled():
                task.exception()
