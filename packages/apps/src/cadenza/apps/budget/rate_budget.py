"""`RateBudget`: drives the permits on the event loop. The rules are in permits.py.

There is one timer for all that wait. To be used in the thread of one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import Any

from cadenza.api import ConnectError, Request
from cadenza.state.shares import SharedPermits

from ..log_fields import with_fields
from .limits import TEAMS_RATES, RateLimits
from .metrics import Metrics
from .outbound import Outbound, Priority
from .permits import Notice, Permits, State, Ticket
from .sharing import Sharing
from .statistics import BudgetStatistics

__all__ = ["Place", "RateBudget"]

logger = with_fields(logging.getLogger(__name__))


class RateBudget:
    """Lets requests out no faster than the service takes them, the important ones first.

        async with budget.permit(Outbound(conversation_id, tenant_id, Priority.PLAIN, budget.now())):
            ...  # send, and read the answer

    `shared`: the store in which several processes share each tenant's permits; None: this process is alone.
    `known`: of how many conversations the tenant is remembered. Loop and clock are those of the event loop
    in which it is used first.
    """

    def __init__(
        self, limits: RateLimits = TEAMS_RATES, *, shared: SharedPermits | None = None, known: int = 50_000
    ) -> None:
        per_tenant = limits.per_tenant
        self._permits = Permits(limits, shared=shared is not None)
        self._sharing: Sharing | None = None
        if shared is not None and per_tenant is not None:
            self._sharing = Sharing(shared, self._permits, per_tenant, self._turn)
        self._known = known
        self._tenants: dict[str, str] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._closed = False
        self._metrics = Metrics(self._permits)

    def now(self) -> float:
        """Seconds of the event loop's clock."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.time()

    # Who is whose

    def learn(self, conversation_id: str, tenant_id: str | None) -> None:
        """Remember the tenant of a conversation, for requests that name the conversation alone."""
        if tenant_id:
            conversation_id = thread(conversation_id)
            self._tenants.pop(conversation_id, None)
            self._tenants[conversation_id] = tenant_id
            if len(self._tenants) > self._known:
                del self._tenants[next(iter(self._tenants))]

    def tenant_of(self, conversation_id: str | None) -> str:
        """The tenant that was learned of. All those of which nothing is known count as one, named ""."""
        return self._tenants.get(thread(conversation_id), "") if conversation_id else ""

    # Permits

    @asynccontextmanager
    async def permit(self, outbound: Outbound, request: Request | None = None) -> AsyncIterator[None]:
        """Wait until `outbound` may be sent; the end of the block is its answer, or that it was given up.

        Cancelled while it waits, it leaves its place to others. Raises what `acquire` raises.
        """
        ticket = await self.acquire(outbound, request)
        try:
            yield
        finally:
            self.answered(ticket)

    async def acquire(self, outbound: Outbound, request: Request | None = None) -> Ticket:
        """Wait until `outbound` may be sent. Then `answered` must follow, or `leave` if nothing was sent.

        Raises ConnectError, with `request`, if the budget is closed before that.
        """
        if self._closed:
            raise _stopped(request)
        ticket = self.ask(outbound)
        if ticket.state is State.WAITING:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            ticket.wake = partial(_resolve, waiter)
            try:
                await waiter
                if ticket.state is State.WAITING:
                    raise _stopped(request)
            except BaseException:
                self.leave(ticket)
                raise
        return ticket

    def ask(self, outbound: Outbound, wake: Callable[[], object] | None = None) -> Ticket:
        """Get in line without waiting. `wake` is called when the ticket holds a permit, perhaps at once, or
        when the budget is closed (`closed`). It is kept alive until then, or until the ticket has ended."""
        ticket = self._permits.ask(outbound, self.now(), wake)
        self._turn()
        if self._sharing is not None and ticket.state is State.WAITING:
            self._sharing.look(ticket.tenant)
        return ticket

    def change(self, ticket: Ticket, outbound: Outbound) -> None:
        """Let a ticket that waits stand for another request of the same conversation."""
        self._permits.change(ticket, outbound, self.now())
        self._turn()

    def answered(self, ticket: Ticket) -> None:
        """The request of `ticket` was answered, or given up."""
        ticket.wake = None
        self._permits.answered(ticket, self.now())
        self._turn()

    def leave(self, ticket: Ticket) -> None:
        """Nothing was sent, and will not be: give up the place, or the permit."""
        ticket.wake = None  # the ticket itself may lie in a heap for a while
        self._permits.leave(ticket, self.now())
        self._turn()

    def place(self, conversation_id: str, tenant_id: str | None = None) -> Place:
        """The place of one stream. `tenant_id` is learned; without it the tenant is what was learned of."""
        self.learn(conversation_id, tenant_id)
        return Place(self, conversation_id, tenant_id)

    # A conversation's move to another process

    def usage(self, conversation_id: str) -> dict[str, Any]:
        """What the conversation has used, as JSON, for the process that serves it next; {} if nothing."""
        found = self._permits.usage(thread(conversation_id), self.now())
        return {**found, "at": time.time()} if found else {}

    def restore(self, conversation_id: str, usage: Mapping[str, Any]) -> None:
        """Take over what `usage()` gave, in this process or another one. Harmless if it is known already."""
        if not usage:
            return
        passed = max(0.0, time.time() - usage["at"])
        aged = {
            "recent": [age + passed for age in usage.get("recent", ())],
            "slow": [[[age + passed, count] for age, count in of] for of in usage.get("slow", ())],
        }
        id_ = thread(conversation_id)
        self._permits.restore(id_, self.tenant_of(id_), aged, self.now())

    # Life

    def statistics(self) -> BudgetStatistics:
        """The queue and the waits so far, as a frozen snapshot."""
        permits = self._permits
        return BudgetStatistics(
            waiting=dict(permits.waiting),
            granted=dict(permits.granted),
            waited=dict(permits.waited),
            longest=dict(permits.longest),
            queues=permits.queues(),
            caps=self._sharing.caps() if self._sharing else {},
            conversations=permits.remembered[1],
        )

    @property
    def closed(self) -> bool:
        """Whether `close` was called: no ticket is granted any more."""
        return self._closed

    async def close(self) -> None:
        """Give what is shared back; so close it last. Nothing waits any more: `acquire` raises ConnectError,
        in those that wait now too, and streams go at once, for what they hold would be lost."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, inf
        for ticket in self._permits.waiters():
            if ticket.wake is not None:
                ticket.wake()
        if self._sharing is not None:
            await self._sharing.close()

    def _turn(self) -> None:
        """Grant what may be granted, and set the timer for what comes next."""
        if self._closed:
            return
        permits, now = self._permits, self.now()
        assert self._loop is not None
        for ticket in permits.grants(now):
            self._metrics.waited(ticket.outbound.priority, now - ticket.asked_at)
            wake, ticket.wake = ticket.wake, None
            if wake is not None:
                wake()
        while permits.notices:
            _tell(permits.notices.pop())
        at = permits.next_at
        if at != self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._loop.call_at(at, self._ring) if at < inf else None

    def _ring(self) -> None:
        self._timer, self._timer_at = None, inf
        self._turn()


class Place:
    """One stream in the line: it asks before it decides what to send, so that a chunk that waits grows.

    Times are those of the stream's own clock.
    """

    __slots__ = ("_budget", "_conversation", "_tenant", "_ticket", "_wake")

    def __init__(self, budget: RateBudget, conversation_id: str, tenant_id: str | None) -> None:
        self._budget = budget
        self._conversation = thread(conversation_id)
        self._tenant = tenant_id
        self._ticket: Ticket | None = None
        self._wake: weakref.WeakMethod[Callable[[], object]] | None = None

    def on_turn(self, wake: Callable[[], object]) -> None:
        """Call the method `wake` when it is this stream's turn. Its object is kept alive while it waits in
        line, and only then."""
        self._wake = weakref.WeakMethod(wake)

    def admit(self, priority: Priority, since: float, now: float) -> bool:
        """Whether the stream may send now. False: it stands in line, and is woken when it may."""
        budget, ticket = self._budget, self._ticket
        if budget.closed:
            self.leave()
            return True
        if ticket is None:
            wake = None if self._wake is None else self._wake()
            ticket = self._ticket = budget.ask(self._outbound(priority, since, now), wake)
        elif ticket.state is State.WAITING and ticket.outbound.priority is not priority:
            budget.change(ticket, self._outbound(priority, since, now))
        return ticket.state is State.HELD

    def leave(self) -> None:
        """The stream has nothing to send for now."""
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            self._budget.leave(ticket)

    def answered(self) -> None:
        """The request was answered, or given up."""
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            self._budget.answered(ticket)

    def _outbound(self, priority: Priority, since: float, now: float) -> Outbound:
        tenant = self._tenant or self._budget.tenant_of(self._conversation)
        return Outbound(self._conversation, tenant, priority, self._budget.now() - max(0.0, now - since))


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _stopped(request: Request | None) -> ConnectError:
    return ConnectError("the App has been stopped; nothing was sent", request or Request("", ""))


def _tell(notice: Notice) -> None:
    kept, stated, seconds = notice.kept, notice.stated, notice.wait
    logger.warning(
        "Conversation %s has had %s requests within %s, which is all that the rate budget lets out (of the "
        "%s that the service takes); the next may go in %s.",
        notice.conversation,
        f"{kept.most:,}",
        _duration(kept.seconds),
        f"{stated.most:,}",
        _duration(seconds),
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def thread(conversation_id: str) -> str:
    """The conversation without the message that a reply in a channel names: the limits are the channel's."""
    return conversation_id.partition(";messageid=")[0]
