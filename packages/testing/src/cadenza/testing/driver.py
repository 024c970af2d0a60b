"""Carries plans out with asyncio: what the in-process transport and the HTTP server have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from cadenza.testing.exchange import Exchange, Plan, Reply, ServiceRequest
from cadenza.testing.files import Files
from cadenza.testing.service import Service
from cadenza.testing.token_service import TokenService

if TYPE_CHECKING:
    from cadenza.api import Request
    from cadenza.testing.identity import IdentityProvider

__all__ = ["Driver"]


class Driver:
    """Drives a service on the running loop; `now` gives the time, by default that of the loop.

    What is about a file goes to `files`, what is about users' tokens to `token_service`, and what is about
    the tokens of apps to `identity`; none is part of the transcript. `url` is where all are reached.
    """

    def __init__(
        self, service: Service, now: Callable[[], float] | None = None, url: Callable[[], str] = str
    ) -> None:
        self.service = service
        self.files = Files(lambda: self.url, self._report)
        self.token_service = TokenService(lambda: self.url, self._report, self.now)
        service.connection_of = self.token_service.connection_of
        self._url = url
        self._identity: IdentityProvider | None = None
        self._now = now
        self._at_work: set[asyncio.Task[Reply | None]] = set()
        self._failures: list[BaseException] = []
        self._closing: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """Where the service is reached, without a slash at the end."""
        return self._url().rstrip("/")

    @property
    def identity(self) -> IdentityProvider:
        """Who signs the tokens; made when it is first needed."""
        if self._identity is None:
            from cadenza.testing.identity import IdentityProvider

            self._identity = IdentityProvider(service_url=self._url)
        return self._identity

    def now(self) -> float:
        """The time in seconds."""
        return asyncio.get_running_loop().time() if self._now is None else self._now()

    async def identify(self, request: Request) -> Reply | None:
        """Take a request to the identity platform. None: nobody is there."""
        identity = self.identity
        if identity.down:
            identity.fetched.append(request.url)
            return None
        if identity.delay > 0:
            await asyncio.sleep(identity.delay)
        return identity.answer(request)

    async def exchange(self, request: ServiceRequest) -> Reply | None:
        """Take a request through the service. None: break the connection.

        A cancelled caller is a client that gave up: the service is told so, and still does what it would have
        done with the request. Where a fault lets the client wait for ever this returns only when the driver
        is closed.
        """
        if self.service.find_problem is not None and _needs_token(request.path):
            refusal = self.service.refuse_stranger(request, self.now())
            if refusal is not None:
                return refusal
        if Files.concerns(request.path):
            return self.files.answer(request)
        if TokenService.concerns(request.path):
            if self.token_service.delay > 0:
                await asyncio.sleep(self.token_service.delay)
            return self.token_service.answer(request, self.now())
        service = self.service
        plan = service.receive(request, self.now())
        if plan.immediate:
            return service.finish(plan, self._apply(plan), self.now())
        if self._closing is None:
            self._closing = asyncio.Event()
        closing = self._closing
        work = asyncio.create_task(self._carry_out(plan))
        self._at_work.add(work)
        work.add_done_callback(self._at_work.discard)
        try:
            await asyncio.wait({work})  # which leaves the work alone if this is cancelled
            if plan.end == "never":
                await closing.wait()
        except asyncio.CancelledError:
            service.abandon(plan, self.now())
            work.add_done_callback(self._note_failure)
            raise
        if work.cancelled():  # the driver was closed
            service.abandon(plan, self.now())
            return None
        return work.result()

    async def close(self) -> None:
        """End what is under way, unanswered requests included. Raises what failed behind a client's back."""
        if self._closing is not None:
            self._closing.set()
            self._closing = None
        at_work = list(self._at_work)
        for work in at_work:
            work.cancel()
        await asyncio.gather(*at_work, return_exceptions=True)
        failures, self._failures = self._failures, []
        if failures:
            raise failures[0]

    async def _carry_out(self, plan: Plan) -> Reply | None:
        if plan.delay > 0:
            await asyncio.sleep(plan.delay)
        reply = self._apply(plan)
        if plan.held:
            released = asyncio.Event()
            plan.on_release = released.set
            await released.wait()
        elif plan.hold > 0 and not plan.released:
            await asyncio.sleep(plan.hold)
        return self.service.finish(plan, reply, self.now())

    def _apply(self, plan: Plan) -> Reply | None:
        return self.service.apply(plan, self.now()) if plan.apply else None

    def _report(self, rule: str, source: str, detail: str, request: ServiceRequest, reply: Reply) -> None:
        exchange = Exchange(0, self.now(), request.method, request.path, status=reply.status, end="answer")
        self.service.report(rule, source, f"{request.method} {request.path}: {detail}", exchange)

    def _note_failure(self, work: asyncio.Task[Reply | None]) -> None:
        if not work.cancelled() and (failure := work.exception()) is not None:
            self._failures.append(failure)


def _needs_token(path: str) -> bool:
    """Whether a request that does not go to `service` needs a token of the bot's."""
    return path.removeprefix("/").startswith(("v3/attachments/", "api/usertoken/", "api/botsignin/"))
