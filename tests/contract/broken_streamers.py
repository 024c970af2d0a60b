"""Streamers with one defect each, derived from `HttpStream`, to be run by test_streamers.py alone: most of
what is collected here is meant to fail, so its name is none that pytest looks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from threading import get_ident
from typing import Any, ClassVar

import pytest
from cadenza.api import ApiClient, ConversationReference, SentActivity
from cadenza.api.clients.transport import Request, Response, Transport
from cadenza.apps.stream import HttpStream, StreamCancelledError, StreamDeliveryError
from cadenza.testing.contracts import StreamerContract

from .teams_screen import TeamsScreen, screen_of


class FinalizesTwice(HttpStream):
    """A close() where all is closed sends the message again."""

    _text = ""

    def emit(self, activity: Any) -> None:
        if self.closed:
            self._text = ""
        super().emit(activity)
        self._text += activity if isinstance(activity, str) else getattr(activity, "text", None) or ""

    async def close(self) -> SentActivity | None:
        if self.closed and self._text.strip():
            super().emit(self._text)
        return await super().close()


class Slow:
    """A transport whose requests take half a second, and that tells whether one is under way."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.busy = 0

    async def send(self, request: Request) -> Response:
        self.busy += 1
        try:
            await asyncio.sleep(0.5)
            return await self._inner.send(request)
        finally:
            self.busy -= 1

    async def close(self) -> None:
        await self._inner.close()


class LosesWhatComesMeanwhile(HttpStream):
    """What is emitted while a request is under way is forgotten: the answer to it clears the text."""

    def __init__(self, api: ApiClient, ref: ConversationReference, **options: Any) -> None:
        self._slow = Slow(api.transport)
        super().__init__(api.through(self._slow), ref, **options)

    def emit(self, activity: Any) -> None:
        # From other threads nothing is lost: whether a request is under way then is a matter of luck.
        if not self._slow.busy or not isinstance(activity, str) or get_ident() != self._thread:
            super().emit(activity)


class GoesOnAfterStop(HttpStream):
    """Nobody is told of the Stop, and close() sends the rest all the same."""

    def __init__(self, api: ApiClient, ref: ConversationReference, **options: Any) -> None:
        super().__init__(api, ref, **options)
        self._rest: list[Any] = []

    @property
    def canceled(self) -> bool:
        return False

    def emit(self, activity: Any) -> None:
        try:
            super().emit(activity)
        except StreamCancelledError:
            self._rest.append(activity)

    async def close(self) -> SentActivity | None:
        sent = await super().close()
        if not self._rest:
            return sent
        for activity in self._rest:
            super().emit(activity)
        self._rest.clear()
        return await super().close()


class CountsNothing(HttpStream):
    """`count` is always 0."""

    @property
    def count(self) -> int:
        return 0


class ClosedTooSoon(HttpStream):
    """`closed` is true as soon as close() was called."""

    _closing = False

    @property
    def closed(self) -> bool:
        return self._closing or super().closed

    async def close(self) -> SentActivity | None:
        self._closing = self.sequence > 0
        try:
            return await super().close()
        finally:
            self._closing = False


class DeafToThreads(HttpStream):
    """What another thread wants cleared stays."""

    def clear_text(self) -> None:
        if get_ident() == self._thread:
            super().clear_text()


class KeepsFailuresQuiet(HttpStream):
    """What did not reach the user is nobody's business."""

    async def close(self) -> SentActivity | None:
        with suppress(StreamDeliveryError):
            return await super().close()
        return None


class WaitsForNobody(HttpStream):
    """close() returns before the handlers of on_close are done."""

    def on_close(self, handler: Callable[[SentActivity], Awaitable[None]]) -> None:
        async def begin(sent: SentActivity) -> None:
            self._begun = asyncio.ensure_future(handler(sent))
            self._begun.add_done_callback(lambda done: done.exception())

        super().on_close(begin)


class Broken(StreamerContract):
    kind: ClassVar[type[HttpStream]]

    @pytest.fixture
    async def backend(self) -> AsyncIterator[TeamsScreen]:
        async for screen in screen_of(self.kind):
            yield screen


class TestFinalizesTwice(Broken):
    kind = FinalizesTwice


class TestLosesWhatComesMeanwhile(Broken):
    kind = LosesWhatComesMeanwhile


class TestGoesOnAfterStop(Broken):
    kind = GoesOnAfterStop


class TestCountsNothing(Broken):
    kind = CountsNothing


class TestClosedTooSoon(Broken):
    kind = ClosedTooSoon


class TestDeafToThreads(Broken):
    kind = DeafToThreads


class TestKeepsFailuresQuiet(Broken):
    kind = KeepsFailuresQuiet


class TestWaitsForNobody(Broken):
    kind = WaitsForNobody
