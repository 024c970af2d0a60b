"""Whether a bot can be sent to: what `GET /health` and `GET /ready` answer.

    GET /health   200 while the process answers at all, also while it starts and stops: who sees anything else
                  may kill it
    GET /ready    200 while the App takes activities; else 503: who sees that sends them elsewhere

    status of /ready   why
    ok
    starting           `initialize()` is not done
    stopping           `stop()` was called
    unavailable        one of the checks: `state`, which has not answered in time; `credentials`, without
                       which every activity would be refused

Both answer with JSON, `{"status": ...}`; /ready adds `checks`, a word for each, and never an address or the
text of an error: anybody may ask. The log says more, once per change.

The state is asked for a value that is not there, at most once a second and once at a time, however many ask.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context
from math import inf
from typing import TYPE_CHECKING, Literal

from cadenza.state import StateError

from ..routing.responses import to_json
from ..tasks import look_at
from .adapter import HttpRequest, HttpResponse
from .endpoint import method_not_allowed

if TYPE_CHECKING:
    from cadenza.state import Item, State

__all__ = ["HealthEndpoint", "Readiness", "ReadyEndpoint", "Stage"]

Stage = Literal["ok", "starting", "stopping"]
"""Where an App is in its life: "ok" from the end of `initialize()` to the call of `stop()`."""

FRESH_SECONDS = 1.0
"""How long the answer of the state counts. Ours."""

ANSWER_SECONDS = 0.8
"""How long the state may take. Kubernetes waits 1 s for the answer to a probe, if not told otherwise."""

KEY = "cadenza:ready"
"""The name of a value that nobody writes."""

_NEVER_STORED = {"Cache-Control": "no-store"}


class HealthEndpoint:
    """What says whether the process is alive."""

    def __init__(self, stage: Callable[[], Stage]) -> None:
        self._stage = stage

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return method_not_allowed(request, "GET, HEAD")
        return HttpResponse(200, to_json({"status": self._stage()}), _NEVER_STORED)


class ReadyEndpoint:
    """What says whether activities should be sent here."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return method_not_allowed(request, "GET, HEAD")
        checks = await self._readiness.checks()
        stage = checks["app"]
        failed = any(word != "ok" for word in checks.values())
        status = stage if stage != "ok" else "unavailable" if failed else "ok"
        body = to_json({"status": status, "checks": checks})
        return HttpResponse(503 if failed else 200, body, _NEVER_STORED)


class Readiness:
    """What an App needs to take activities, looked at no more often than it makes sense."""

    def __init__(
        self,
        state: State,
        *,
        stage: Callable[[], Stage],
        admits: Callable[[], bool],
        logger: logging.Logger,
    ) -> None:
        """`admits`: whether there is anybody at all whom the App would let in."""
        self._state = state
        self._stage = stage
        self._admits = admits
        self._logger = logger
        self._answers = True
        self._fresh_until = -inf
        self._look: asyncio.Task[None] | None = None
        self._question: asyncio.Task[Item | None] | None = None

    async def checks(self) -> dict[str, str]:
        """By the name of what was looked at: "ok", or what is wrong. Takes `ANSWER_SECONDS` at most, and
        raises nothing. Before the App is initialized, and while it stops, only that is told."""
        stage = self._stage()
        if stage != "ok":
            return {"app": stage}
        await self._refresh()
        return {
            "app": self._stage(),
            "state": "ok" if self._answers else "unavailable",
            "credentials": "ok" if self._admits() else "missing",
        }

    async def close(self) -> None:
        """Ask the state nothing more."""
        tasks = [task for task in (self._look, self._question) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _refresh(self) -> None:
        loop = asyncio.get_running_loop()
        if self._look is None or self._look.done():
            if loop.time() < self._fresh_until:
                return
            # In a context of its own: it belongs to none of those who ask.
            self._look = loop.create_task(self._ask(), context=Context())
        await asyncio.wait({self._look})

    async def _ask(self) -> None:
        reason: object = None
        if self._question is None or self._question.done():
            self._question = asyncio.create_task(self._get())
            self._question.add_done_callback(look_at)
        await asyncio.wait({self._question}, timeout=ANSWER_SECONDS)
        if not self._question.done():
            # One that does not let itself be cancelled is waited for again the next time: no second one.
            self._question.cancel()
            reason = f"it has not answered within {ANSWER_SECONDS:g} s"
        elif self._question.cancelled():
            reason = "its answer was cancelled"
        elif (error := self._question.exception()) is not None:
            # What others raise may hold an address with a password.
            reason = error if isinstance(error, StateError) else type(error).__name__
        self._fresh_until = asyncio.get_running_loop().time() + FRESH_SECONDS
        if self._answers is not (reason is None):
            self._answers = reason is None
            if self._answers:
                self._logger.info("GET /ready answers 200 again: the state can be reached.")
            else:
                self._logger.warning("GET /ready answers 503: the state cannot be used (%s).", reason)

    async def _get(self) -> Item | None:
        # In a task: somebody's store may raise before there is anything to await.
        return await self._state.store.get(KEY)
