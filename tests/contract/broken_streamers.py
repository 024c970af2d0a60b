"""Streamers with one defect each, derived from `HttpStream`, to be run by test_streamers.py alone: most of
what is collected here is meant to fail, so its name is none that pytest looks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest
from cadenza.api import ApiClient, ConversationReference, SentActivity
from cadenza.api.clients.transport import Request, Response, Transport
from cadenza.apps.stream import HttpStream, StreamCancelledError
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
        if not self._slow.busy or not isinstance(activity, str):
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
