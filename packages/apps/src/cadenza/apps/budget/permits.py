"""Who may send now: every rule of the budget, without I/O, clock or asyncio. Time is an argument, in seconds.

A ticket waits, then holds a permit, then has ended:

    ask       -> WAITING
    grants    -> HELD: its request is sent now          the caller is told, and sends
    answered  -> ENDED: it counts for a window longer   the request was answered, or given up
    leave     -> ENDED: it counts no more               nothing was sent

Tickets of one tenant stand in one line, by priority, with ageing; among equals the one of the stream that
was silent longest comes first. A conversation whose own windows are full stands aside and holds up nobody.
Whatever happens costs O(log n) for n tickets, spread over many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import Any

from .limits import TEAMS_RATES, RateLimits, Window
from .outbound import Outbound, Priority
from .windows import Recent, Slices, split

__all__ = ["Notice", "Permits", "State", "Ticket"]

LONGEST_EXACT = 60.0
"""Seconds: windows up to this are counted request by request, longer ones in slices."""


LONG_WAIT = 10.0
"""Seconds that a conversation waits for a window of its own without a notice."""
NOTICE_EVERY = 3600.0
"""Seconds between two notices of one window of a conversation, as long as it is remembered."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A conversation has had `kept.most` requests in `kept.seconds`; the next may go in `wait` seconds.
    `stated` is the service's window, of which `kept` leaves a margin free."""

    conversation: str
    kept: Window
    stated: Window
    wait: float


class State(Enum):
    """Where a ticket stands."""

    WAITING = "it waits in line"
    HELD = "its request may be sent, or is under way"
    ENDED = "it is over"


class Ticket:
    """One request that asked, from then on to its end."""

    __slots__ = ("_conversation", "_number", "asked_at", "outbound", "state", "wake")

    def __init__(self, outbound: Outbound, now: float, wake: Callable[[], object] | None) -> None:
        self.outbound = outbound
        self.asked_at = now
        self.state = State.WAITING
        self.wake = wake
        """For whoever drives this: to be called when the ticket is granted."""
        self._number = 0
        self._conversation: _Conversation

    @property
    def tenant(self) -> str:
        """Where it stands in line: that of its conversation, as long as the conversation is busy."""
        return self._conversation.tenant.id


class _Tenant:
    """One tenant: its window, and the line of the conversations that want something."""

    __slots__ = ("aside", "due", "id", "line", "lined", "other", "recent", "waiting", "windows")

    def __init__(self, id_: str, windows: tuple[Window, ...]) -> None:
        self.id = id_
        self.windows = windows
        self.recent = Recent()
        self.waiting = 0  # tickets
        self.line: list[tuple[float, int, _Conversation]] = []  # heap of those that could go
        self.lined = 0  # how many of its entries are valid
        self.aside: list[tuple[float, int, _Conversation]] = []  # heap of those whose own windows are full
        self.other = _Conversation(None, self)  # calls that send nothing to a conversation
        self.due = inf  # when to look at it again


class _Conversation:
    """One conversation: its windows, and its tickets, best first."""

    __slots__ = ("aside", "count", "id", "lined", "quiet", "recent", "tenant", "tickets")

    def __init__(self, id_: str | None, tenant: _Tenant) -> None:
        self.id = id_
        self.tenant = tenant
        self.recent = Recent()
        self.tickets: list[tuple[float, int, Ticket]] = []  # heap; entries of tickets that moved on are void
        self.count = 0  # tickets that wait
        self.lined: tuple[float, int] | None = None  # its entry in the tenant's line
        self.aside: float | None = None  # until when it stands aside; inf: until an answer
        self.quiet: dict[Window, float] = {}  # until when no further notice is given of a long wait for it

    def head(self) -> tuple[float, int, Ticket] | None:
        """The entry of its best ticket."""
        tickets = self.tickets
        while tickets and not _valid(tickets[0]):
            heappop(tickets)
        return tickets[0] if tickets else None


def _valid(entry: tuple[float, int, Ticket]) -> bool:
    ticket = entry[2]
    return ticket._number == entry[1] and ticket.state is State.WAITING


class Permits:
    """All tenants' permits. `shared`: a tenant has none before `set_cap` gives it some."""

    def __init__(self, limits: RateLimits = TEAMS_RATES, *, shared: bool = False) -> None:
        self.waiting = dict.fromkeys(Priority, 0)
        """Tickets that wait."""
        self.granted = dict.fromkeys(Priority, 0)
        self.waited = dict.fromkeys(Priority, 0.0)
        """Seconds that granted tickets have waited, all together."""
        self.longest = dict.fromkeys(Priority, 0.0)
        """Seconds that a granted ticket has waited at most."""
        self.notices: list[Notice] = []
        """Conversations that must wait long for their own windows; whoever drives this takes them out."""
        self._limits = limits
        self._windows, slow = split((w.less(limits.margin) for w in limits.conversation), LONGEST_EXACT)
        self._slices = tuple(map(Slices, slow))
        self._stated = {window.less(limits.margin): window for window in limits.conversation}
        self._exact = max((window.seconds for window in self._windows), default=0.0)
        self._most = max((window.most for window in self._windows), default=0)
        self._tenant_window = None if limits.tenant is None else limits.tenant.less(limits.margin)
        self._shared = shared and self._tenant_window is not None
        self._tenants: dict[str, _Tenant] = {}
        self._conversations: dict[str, _Conversation] = {}
        self._due: list[tuple[float, int, _Tenant]] = []
        self._numbers = count(1)
        self._sweep_at = 256

    # What is asked of it

    def ask(self, outbound: Outbound, now: float, wake: Callable[[], object] | None = None) -> Ticket:
        """Get in line. `grants` says when it is this ticket's turn, which may be at once."""
        ticket = Ticket(outbound, now, wake)
        ticket._conversation = self._find(outbound, now)
        self._file(ticket, now)
        return ticket

    def change(self, ticket: Ticket, outbound: Outbound, now: float) -> None:
        """Let a ticket that waits stand for another request of the same conversation, and wait anew."""
        if ticket.state is State.WAITING:
            self._count(ticket, -1)
            ticket.outbound, ticket.asked_at = outbound, now
            self._file(ticket, now)

    def leave(self, ticket: Ticket, now: float) -> None:
        """Nothing is sent: give up the place, or the permit. For a ticket that has ended, nothing happens."""
        state, ticket.state = ticket.state, State.ENDED
        conversation = ticket._conversation
        if state is State.WAITING:
            self._count(ticket, -1)
            if not conversation.count:
                conversation.aside = None  # nobody waits for its windows, and it may move to another tenant
            self._line_up(conversation)
        elif state is State.HELD:
            conversation.recent.flight -= 1
            conversation.tenant.recent.flight -= 1
            self._moved(conversation, now)

    def answered(self, ticket: Ticket, now: float) -> None:
        """The request of a ticket was answered, or given up. Nothing happens unless it holds a permit."""
        if ticket.state is not State.HELD:
            return
        ticket.state = State.ENDED
        conversation = ticket._conversation
        tenant = conversation.tenant
        conversation.recent.answered(now, self._most)
        tenant.recent.answered(now, self._tenant_window.most if self._tenant_window else 0)
        if conversation.id is not None:
            for slices in self._slices:
                slices.add(conversation.id, now)
        self._moved(conversation, now)

    def grants(self, now: float) -> list[Ticket]:
        """The tickets whose turn has come: they hold a permit now, and must be `answered` or `leave`."""
        granted: list[Ticket] = []
        while self._due and self._due[0][0] <= now:
            due, _, tenant = heappop(self._due)
            if due == tenant.due:
                tenant.due = inf
                self._serve(tenant, now, granted)
        return granted

    @property
    def next_at(self) -> float:
        """When to call `grants` again; inf: not before something else happens."""
        while self._due and self._due[0][0] != self._due[0][2].due:
            heappop(self._due)
        return self._due[0][0] if self._due else inf

    # Sharing with other processes

    def set_cap(self, tenant_id: str, cap: int, now: float) -> None:
        """Give a tenant that many permits here, of those that all processes share. What is held above it is
        not taken away, but not given out again."""
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            if cap <= 0:
                return
            tenant = self._tenant(tenant_id, now)
        assert self._tenant_window is not None, "a tenant without a limit needs no permits"
        tenant.windows = _capped(self._tenant_window, cap)
        self._schedule(tenant, now)

    def demand(self, tenant_id: str, now: float) -> tuple[int, int, int]:
        """Of one tenant: its cap, the permits that it holds (under way, or answered within the window), and
        the tickets that wait."""
        tenant, window = self._tenants.get(tenant_id), self._tenant_window
        if tenant is None or window is None:
            return 0, 0, 0
        return tenant.windows[0].most, tenant.recent.held(window, now), tenant.waiting

    def demands(self, now: float) -> dict[str, tuple[int, int, int]]:
        """The `demand` of each tenant that is not at rest."""
        found = {id_: self.demand(id_, now) for id_ in self._tenants}
        return {id_: demand for id_, demand in found.items() if any(demand)}

    def usage(self, conversation_id: str, now: float) -> dict[str, Any]:
        """What a conversation has used of its windows, as JSON: for the process that serves it next. Empty
        where there is nothing to tell."""
        found: dict[str, Any] = {}
        conversation = self._conversations.get(conversation_id)
        if conversation is not None and (recent := conversation.recent.ages(self._exact, now)):
            found["recent"] = recent
        if any(slow := [slices.ages(conversation_id, now) for slices in self._slices]):
            found["slow"] = slow
        return found

    def restore(self, conversation_id: str, tenant_id: str, usage: Mapping[str, Any], now: float) -> None:
        """Take over what `usage` gave, which may be what this process knows already. The ages in it count
        from `now`: the caller adds what has passed meanwhile."""
        if recent := usage.get("recent"):
            outbound = Outbound(conversation_id, tenant_id, Priority.PLAIN, now)
            conversation = self._find(outbound, now)
            conversation.recent.restore(recent, now)
            self._moved(conversation, now)
        for slices, ages in zip(self._slices, usage.get("slow", ()), strict=False):
            slices.restore(conversation_id, ages, now)

    # What is seen from outside

    def waiters(self) -> list[Ticket]:
        """The tickets that wait, in no order."""
        others = (tenant.other for tenant in self._tenants.values())
        of = (conversation.tickets for conversation in (*self._conversations.values(), *others))
        return [entry[2] for tickets in of for entry in tickets if _valid(entry)]

    def queues(self) -> dict[str, int]:
        """How many tickets wait, of each tenant that has any."""
        return {tenant.id: tenant.waiting for tenant in self._tenants.values() if tenant.waiting}

    @property
    def remembered(self) -> tuple[int, int, int]:
        """How many tenants, conversations and entries of long windows are in memory."""
        return len(self._tenants), len(self._conversations), sum(map(len, self._slices))

    # How it is done

    def _find(self, outbound: Outbound, now: float) -> _Conversation:
        tenant = self._tenant(outbound.tenant, now)
        if outbound.conversation is None:
            return tenant.other
        found = self._conversations.get(outbound.conversation)
        if found is None:
            found = self._conversations[outbound.conversation] = _Conversation(outbound.conversation, tenant)
        elif found.tenant is not tenant and not (found.count or found.recent.flight):
            # Its tenant has become known, or was forgotten meanwhile; while it is busy it stays where it is.
            # Nothing of it waits: it neither stands in line nor aside, and what heaps hold of it is void.
            found.tenant, found.aside = tenant, None
        return found

    def _tenant(self, id_: str, now: float) -> _Tenant:
        tenant = self._tenants.get(id_)
        if tenant is None:
            if len(self._tenants) + len(self._conversations) >= self._sweep_at:
                self._sweep(now)
            if self._tenant_window is None:
                windows: tuple[Window, ...] = ()
            else:
                windows = _capped(self._tenant_window, 0) if self._shared else (self._tenant_window,)
            tenant = self._tenants[id_] = _Tenant(id_, windows)
        elif len(self._tenants) + len(self._conversations) >= self._sweep_at:
            self._sweep(now, keep=tenant)
        return tenant

    def _sweep(self, now: float, keep: _Tenant | None = None) -> None:
        """Forget what does not matter any more. Amortized: when their number has doubled."""
        self._conversations = {
            id_: conversation
            for id_, conversation in self._conversations.items()
            if conversation.count or not conversation.recent.idle(self._exact, now)
        }
        seconds = self._tenant_window.seconds if self._tenant_window else 0.0
        self._tenants = {
            id_: tenant
            for id_, tenant in self._tenants.items()
            if tenant is keep
            or tenant.waiting
            or not tenant.recent.idle(seconds, now)
            or (self._shared and tenant.windows[0].most)
        }
        self._sweep_at = max(256, 2 * (len(self._conversations) + len(self._tenants)))

    def _count(self, ticket: Ticket, change: int) -> None:
        self.waiting[ticket.outbound.priority] += change
        ticket._conversation.count += change
        ticket._conversation.tenant.waiting += change

    def _file(self, ticket: Ticket, now: float) -> None:
        conversation, outbound = ticket._conversation, ticket.outbound
        ticket._number = next(self._numbers)
        self._count(ticket, 1)
        key = outbound.since + self._limits.ageing * outbound.priority
        heappush(conversation.tickets, (key, ticket._number, ticket))
        if len(conversation.tickets) > 2 * conversation.count + 16:
            conversation.tickets = list(filter(_valid, conversation.tickets))
            heapify(conversation.tickets)
        self._line_up(conversation)
        self._schedule(conversation.tenant, now)

    def _line_up(self, conversation: _Conversation) -> None:
        """Stand in the tenant's line with the best ticket, or not at all."""
        tenant, head = conversation.tenant, conversation.head()
        entry = None if head is None or conversation.aside is not None else head[:2]
        if entry == conversation.lined:
            return
        tenant.lined += (entry is not None) - (conversation.lined is not None)
        conversation.lined = entry
        if entry is not None:
            heappush(tenant.line, (*entry, conversation))
            if len(tenant.line) > 2 * tenant.lined + 64:
                tenant.line = [place for place in tenant.line if place[2].lined == place[:2]]
                heapify(tenant.line)

    def _schedule(self, tenant: _Tenant, at: float) -> None:
        """Look at the tenant again at the time `at`, or sooner."""
        if at < tenant.due:
            tenant.due = at
            heappush(self._due, (at, next(self._numbers), tenant))

    def _moved(self, conversation: _Conversation, now: float) -> None:
        """A request came to its end: what waits for that is looked at anew."""
        tenant = conversation.tenant
        if conversation.aside is not None:
            self._stand_aside(conversation, self._ready_at(conversation, now), now)
        if tenant.waiting:
            self._schedule(tenant, now)

    def _stand_aside(self, conversation: _Conversation, until: float, now: float) -> None:
        if until != conversation.aside:
            conversation.aside = until
            if until < inf:
                heappush(conversation.tenant.aside, (until, next(self._numbers), conversation))
                if until - now > LONG_WAIT:
                    self._notice(conversation, until, now)

    def _notice(self, conversation: _Conversation, until: float, now: float) -> None:
        """Tell which window it waits for, unless that was told within the hour."""
        recent, id_ = conversation.recent, conversation.id or ""
        full = [(recent.ready_at((window,)), window) for window in self._windows]
        full += [(slices.ready_at(id_, recent.flight, now), slices.window) for slices in self._slices]
        _, kept = max(full, key=lambda each: each[0])
        if now >= conversation.quiet.get(kept, -inf):
            conversation.quiet[kept] = now + NOTICE_EVERY
            self.notices.append(Notice(id_, kept, self._stated[kept], until - now))

    def _ready_at(self, conversation: _Conversation, now: float) -> float:
        """When the windows of the conversation itself have room."""
        if conversation.id is None:
            return -inf
        ready = conversation.recent.ready_at(self._windows)
        for slices in self._slices:
            ready = max(ready, slices.ready_at(conversation.id, conversation.recent.flight, now))
        return ready

    def _serve(self, tenant: _Tenant, now: float, granted: list[Ticket]) -> None:
        while tenant.aside and tenant.aside[0][0] <= now:
            until, _, conversation = heappop(tenant.aside)
            if conversation.aside == until and conversation.tenant is tenant:
                conversation.aside = None
                self._line_up(conversation)
        due = inf
        while tenant.line:
            key, number, conversation = tenant.line[0]
            if conversation.lined != (key, number):
                heappop(tenant.line)
                continue
            due = tenant.recent.ready_at(tenant.windows)
            if due > now:
                break
            heappop(tenant.line)
            conversation.lined = None
            tenant.lined -= 1
            until = self._ready_at(conversation, now)
            if until > now:
                self._stand_aside(conversation, until, now)
            else:
                granted.append(self._grant(conversation, now))
                self._line_up(conversation)
            due = inf
        aside = tenant.aside
        while aside and aside[0][2].aside != aside[0][0]:
            heappop(aside)
        due = min(due, aside[0][0] if aside else inf)
        if due < inf:
            self._schedule(tenant, due)

    def _grant(self, conversation: _Conversation, now: float) -> Ticket:
        head = conversation.head()
        assert head is not None, "a conversation stands in line with a ticket"
        ticket = head[2]
        heappop(conversation.tickets)
        self._count(ticket, -1)
        ticket.state = State.HELD
        conversation.recent.flight += 1
        conversation.tenant.recent.flight += 1
        priority, waited = ticket.outbound.priority, max(0.0, now - ticket.asked_at)
        self.granted[priority] += 1
        self.waited[priority] += waited
        self.longest[priority] = max(self.longest[priority], waited)
        return ticket


def _capped(window: Window, cap: int) -> tuple[Window, ...]:
    return (Window(min(window.most, max(0, cap)), window.seconds),)
