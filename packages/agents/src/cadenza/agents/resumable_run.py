"""`ResumableRun`: a foreground run that tells how far it has come, and can be gone on with from there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from cadenza.events import StreamEvent

from .message import ToolCallPart, ToolResultPart
from .repair import interrupted_result
from .run import Run
from .run_progress import RunProgress
from .tool_batch import ToolBatch

__all__ = ["ResumableRun"]


class _ToldBatch(ToolBatch):
    """Calls whose beginning and results are told: each before anybody else learns of it."""

    run: ResumableRun

    async def events(self) -> AsyncGenerator[StreamEvent]:
        done = {result.id for result in self.finished()}
        if begins := [call for call in self._at_once() if call.id not in done]:
            await self.run.tell_begun(begins)
        async with aclosing(super().events()) as events:
            async for event in events:
                yield event

    def _at_once(self) -> list[ToolCallPart]:
        """The calls that wait for no other: all but those of sequential tools."""
        return [call for call in self.calls if not self._in_turn(call)]

    async def _begin(self, call: ToolCallPart) -> None:
        if self._in_turn(call):
            await self.run.tell_begun([call])

    async def _note(self, result: ToolResultPart) -> None:
        await self.run.tell_done(result)


class ResumableRun(Run):
    """A run that tells `on_progress` how far it has come.

    `progress`: from where it goes on. What is told there is not done again: the turns, and the calls that
    were begun. One of those without a result gets one that says so.
    """

    batch_type = _ToldBatch

    def __init__(
        self,
        *args: Any,
        progress: RunProgress | None = None,
        on_progress: Callable[[RunProgress], Awaitable[None]] | None = None,
        **run: Any,
    ) -> None:
        super().__init__(*args, **run)
        self._on_progress = on_progress
        self._telling = asyncio.Lock()
        """What is told later says more: the calls of a turn may end at the same time."""
        self._resumed = progress is not None
        self._begun: dict[str, None] = {}
        self._done: dict[str, ToolResultPart] = {}
        self._stopped = False
        self._made_before = 0
        """How many calls were made before the newest turn's."""
        self._answered = False
        """Whether it was left when the model had said its last."""
        if progress is not None:
            self._take(progress)

    def _take(self, progress: RunProgress) -> None:
        """Begin from what was told."""
        self.turn = progress.turn
        self.produced = list(progress.messages)
        self.calls = self.produced[-1].tool_calls
        self._answered = not self.calls
        self.status = progress.status
        self.stop_reason, self.raw_reason = progress.stop_reason, progress.raw_reason
        self.usage = progress.usage
        self._made = self._made_before = progress.made
        self._failing_turns = progress.failing_turns
        self._stopped = progress.stopped
        self._begun = dict.fromkeys(progress.begun)
        self._done = dict(progress.results)
        for call in self.calls:
            if call.id in self._done:
                self.known[call.id] = self._done[call.id]
            elif call.id in self._begun:
                # Its process is gone. To make it a second time is worse than to say so.
                self.known[call.id] = interrupted_result(call)
        for said in self.produced:
            for call in said.tool_calls:
                self._ids.of(call.id, 0)

    def text(self, given: str) -> str:
        # Whoever goes on gets the rest alone: the response has all of it.
        return self._said() if self._resumed else given

    async def _ask(self) -> AsyncGenerator[StreamEvent]:
        if self._answered:
            return
        async with aclosing(super()._ask()) as events:
            async for event in events:
                yield event
        self._begun, self._done = {}, {}
        self._made_before = self._made
        if not self.calls or self._refusal() is not None:
            await self._tell()
        # Else it is told when the first of the calls begin: once is enough.

    def _prepared(self) -> ToolBatch:
        self._made += len(self.known)
        batch = super()._prepared()
        assert isinstance(batch, _ToldBatch)
        batch.run, batch.stopped = self, self._stopped
        return batch

    async def tell_begun(self, calls: list[ToolCallPart]) -> None:
        """These calls are about to begin."""
        self._begun.update(dict.fromkeys(call.id for call in calls))
        await self._tell()

    async def tell_done(self, result: ToolResultPart) -> None:
        """A call has come to its result."""
        self._done[result.id] = result
        await self._tell()

    async def _tell(self) -> None:
        if self._on_progress is None:
            return
        async with self._telling:
            await self._on_progress(self._progress())

    def _progress(self) -> RunProgress:
        return RunProgress(
            self.id,
            self.turn,
            tuple(self.produced),
            tuple(self._begun),
            dict(self._done),
            self._batch is not None and self._batch.stopped,
            self._made_before,
            self._failing_turns,
            self.status,
            self.stop_reason,
            self.raw_reason,
            self.usage,
        )
