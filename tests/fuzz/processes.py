"""Processes that work on one inbox, as a model: any of their steps may come next, or never.

Real are `Lanes`, `Claims` and `MemoryInbox`. Played are the clock, the network and the driver (what
turns/runner.py does with the actions of the lanes). A call of the inbox is three steps: it is asked; it
reaches the inbox; its answer reaches the process. Between any two, time passes, leases run out, other
processes act, and the asking process may die, or ask the same again.

What is checked at every step is in `Facts`, what at the end in `World.check`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count
from typing import Any, Literal, TypeAlias

from cadenza.apps.turns.claims import Claim, Claims, Strategy, claim_of
from cadenza.apps.turns.lanes import (
    SKIPPING,
    Abort,
    Action,
    Ended,
    Event,
    Followed,
    Give,
    Gone,
    Lanes,
    Look,
    Looked,
    Lose,
    Placed,
    Run,
    Settle,
    Work,
)
from cadenza.state import InboxEntry, Lease, LeaseLostError, MemoryInbox, Place

__all__ = ["SENDS", "Budget", "Message", "Step", "World"]

Op = Literal["intend", "send", "ask"]

SENDS: tuple[Op, ...] = ("intend", "send")
"""What most turns do: record the intent, then one request."""

LOST = b"lost"
"""The intent by which a holder says that it reports the turn as lost."""

Step: TypeAlias = tuple[Any, ...]
"""A name, and what it is about: a process, and which of its calls."""


class BrokenError(AssertionError):
    """A promise was not kept."""


@dataclass(frozen=True, slots=True)
class Message:
    """An activity that Teams delivers, how it goes with others, and what its turn does."""

    id: str
    lane: str = "a"
    strategy: Strategy = "queue"
    script: tuple[Op, ...] = SENDS
    reply: bool = False
    """Whether it is what an ask waits for."""

    @property
    def payload(self) -> dict[str, Any]:
        return {"message": self}

    @property
    def claim(self) -> Claim:
        activity = {"type": "message", "id": self.id, "conversation": {"id": self.lane}, "channelId": "test"}
        return claim_of(activity, self.strategy)


def strategy_of(entry: InboxEntry) -> Strategy:
    message: Message = entry.payload["message"]
    return message.strategy


def is_reply(entry: InboxEntry) -> bool:
    message: Message = entry.payload["message"]
    return message.reply


@dataclass(frozen=True, slots=True)
class Call:
    """What a process asked of the inbox."""

    what: Literal["accept", "intend", "settle", "give", "release", "look", "renew", "take"]
    owner: str
    asked: float
    first: float
    """When it was asked for the first time."""
    work: Work | None = None
    about: Any = None
    """accept: the number of the message; intend: the bytes; settle: the action; give: the entry; renew: the
    leases."""
    nonce: str = ""
    reached: bool = False
    answer: Any = None
    """None also stands for an answer that is None; a lost lease is the error."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that runs (or `lose`: the report that one is lost)."""

    work: Work
    script: tuple[Op, ...]
    at: int = 0
    waits: Literal["", "intend", "request", "ask"] = ""
    abort: Literal["", "newer", "shutdown", "lost"] = ""
    giving: int = 0
    intended: bool = False
    lose: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """On its way to Teams. It arrives by `deadline`, or not at all."""

    lane: str
    key: str
    token: int
    owner: str
    deadline: float


@dataclass(slots=True)
class Budget:
    """How often what may come at any time does come."""

    ticks: int = 0
    beats: int = 0
    reaps: int = 0
    crashes: int = 0
    repeats: int = 0
    closes: int = 0
    timeouts: int = 0
    requests_lost: bool = False


@dataclass(slots=True)
class Facts:
    """What really happened, which no process knows in full."""

    order: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Lane: its keys, as they were accepted."""
    messages: dict[str, Message] = field(default_factory=dict)
    settled: dict[str, str] = field(default_factory=dict)
    """Key: how; "done", "skipped", "given" or "rejected"."""
    intents: dict[str, bytes] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    """Lane: the fencing token of the newest holder that began anything."""
    ended: frozenset[str] = frozenset()
    reported: frozenset[str] = frozenset()
    given: dict[str, int] = field(default_factory=dict)
    """Key: under which token it was given to a turn that asked."""
    acked: frozenset[int] = frozenset()
    delivered: frozenset[int] = frozenset()

    def copy(self) -> Facts:
        new = replace(self)
        for name in ("order", "messages", "settled", "intents", "newest", "given"):
            setattr(new, name, dict(getattr(self, name)))
        return new

    def key(self) -> Any:
        maps = (self.order, self.settled, self.intents, self.newest, self.given)
        return (*(tuple(sorted(each.items())) for each in maps), *self._sets())

    def _sets(self) -> tuple[frozenset[Any], ...]:
        return self.ended, self.reported, self.acked, self.delivered


class Clock:
    """The time of the inbox."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Process:
    """One process: its lanes and leases, the turns that it runs, and what it has asked of the inbox."""

    __slots__ = ("calls", "claims", "lanes", "memo", "name", "turns")

    def __init__(self, name: str, lease: float, request: float) -> None:
        self.name = name
        self.lanes = Lanes(strategy_of)
        self.claims = Claims(lease, request)
        self.turns: dict[Work, Turn] = {}
        self.calls: list[Call] = []
        self.memo: Any = None

    def copy(self) -> Process:
        new: Process = object.__new__(Process)
        new.name, new.memo = self.name, None
        new.lanes, new.claims = clone(self.lanes), clone(self.claims)
        new.turns, new.calls = dict(self.turns), list(self.calls)
        return new

    def key(self) -> Any:
        if self.memo is None:
            turns = frozenset(map(frozen, self.turns.values()))
            calls = frozenset(map(frozen, self.calls))
            self.memo = hash((self.name, frozen(self.lanes), frozen(self.claims), turns, calls))
        return self.memo

    def busy(self, what: str) -> bool:
        return any(call.what == what for call in self.calls)


class World:
    """The inbox, the processes, Teams, and what is under way between them. `do` makes one step.

    `lease` and `request` are the seconds of a lease, and of a request to Teams. `hold`: how long an accept
    may take, repetitions included; an answer after that is too late, and Teams delivers again. `eager`: a
    turn that waits for nothing goes on at once. `prompt`: an accept and a take reach the inbox at once.
    """

    def __init__(
        self,
        messages: Sequence[Message],
        processes: int,
        deliveries: Sequence[tuple[int, int]],
        budget: Budget,
        *,
        lease: float = 3,
        request: float = 1,
        hold: float = 2,
        eager: bool = True,
        prompt: bool = False,
    ) -> None:
        self.messages = tuple(messages)
        self.deliveries = tuple(deliveries)
        self.budget = budget
        self.lease, self.request, self.hold = lease, request, hold
        self.eager, self.prompt = eager, prompt
        self.now = 0.0
        self.inbox = MemoryInbox(clock=Clock())
        self.processes = [Process(f"{chr(80 + n)}0", lease, request) for n in range(processes)]
        self.network: list[Call] = []
        """Asked by processes that died since; may still reach the inbox, and is answered to nobody."""
        self.requests: list[Request] = []
        self.facts = Facts()
        self._inbox_memo: Any = None
        self._own: set[int] | None = None
        """The parts that are not shared with another world any more, and may be changed; None: all."""
        self.trace: tuple[Any, ...] = ()

    # Many worlds that share what is the same in them

    def fork(self) -> World:
        new: World = object.__new__(World)
        new.__dict__.update(self.__dict__)
        new.processes, new.network = list(self.processes), list(self.network)
        new.requests = list(self.requests)
        new._own = set()
        return new

    def _process(self, n: int) -> Process:
        if self._own is not None and n not in self._own:
            self._own.add(n)
            self.processes[n] = self.processes[n].copy()
        self.processes[n].memo = None
        return self.processes[n]

    def _facts(self) -> Facts:
        if self._own is not None and -1 not in self._own:
            self._own.add(-1)
            self.facts = self.facts.copy()
        return self.facts

    def _spend(self, what: str) -> None:
        if self._own is not None and -2 not in self._own:
            self._own.add(-2)
            self.budget = replace(self.budget)
        setattr(self.budget, what, max(0, getattr(self.budget, what) - 1))

    def _backend(self) -> MemoryInbox:
        if self._own is not None and -3 not in self._own:
            self._own.add(-3)
            self.inbox = clone(self.inbox)
        self._inbox_memo = None
        self.inbox._clock.now = self.now  # type: ignore[attr-defined]
        return self.inbox

    def key(self) -> int:
        if self._inbox_memo is None:
            self._inbox_memo = hash(frozen(self.inbox))
        return hash(
            (
                self.now,
                self._inbox_memo,
                tuple(process.key() for process in self.processes),
                frozenset(map(frozen, self.network)),
                frozenset(self.requests),
                self.facts.key(),
                frozen(self.budget),
            )
        )

    # What may come next

    def steps(self) -> list[Step]:
        """All that may be the next step, faults included as far as the budget goes."""
        budget, steps = self.budget, list(self.progress())
        steps += [("deliver", n) for n in range(len(self.deliveries)) if n not in self.facts.delivered]
        for n, process in enumerate(self.processes):
            if budget.repeats:
                steps += [("repeat", n, at) for at in range(len(process.calls))]
            if budget.beats and process.claims.leases and not process.busy("renew"):
                steps.append(("beat", n))
            if budget.reaps and not process.lanes.closing and not process.busy("take") and self._free():
                steps.append(("reap", n))
            if budget.crashes and (process.calls or process.turns or process.claims.leases):
                steps.append(("crash", n))
            if budget.closes and not process.lanes.closing:
                steps.append(("close", n))
            if budget.timeouts:
                steps += [
                    ("timeout", n, at) for at, t in enumerate(process.turns.values()) if t.waits == "ask"
                ]
        steps += [("late", at) for at in range(len(self.network))]
        if budget.requests_lost:
            steps += [("vanish", at) for at in range(len(self.requests))]
        if budget.ticks and (self.facts.messages or any(process.calls for process in self.processes)):
            steps.append(("tick", 1))
        return steps

    def _free(self) -> bool:
        """Whether a take may find anything, now or later."""
        if not self.prompt:
            return len(self.facts.messages) > len(self.facts.settled)
        return bool(now(clone(self._backend()).take("?", self.lease, 1)))

    def progress(self) -> Iterator[Step]:
        """What comes sooner or later where nothing fails, and time stands still."""
        for n, process in enumerate(self.processes):
            for at, call in enumerate(process.calls):
                yield ("answer" if call.reached else "reach", n, at)
            if not self.eager:
                for at, turn in enumerate(process.turns.values()):
                    if runnable(turn):
                        yield ("go", n, at)
            if process.claims.due() <= self.now:
                yield ("notice", n)
        for at in range(len(self.requests)):
            yield ("arrive", at)

    def do(self, step: Step) -> None:
        """Make one step. Raises `BrokenError` where a promise is broken by it."""
        what, *where = step
        getattr(self, f"_do_{what}")(*where)

    def after(self, step: Step) -> World:
        new = self.fork()
        new.trace = (self.trace, step)
        new.do(step)
        return new

    def history(self) -> list[Step]:
        steps, trace = [], self.trace
        while trace:
            trace, step = trace
            steps.append(step)
        return steps[::-1]

    # Time, Teams and faults

    def _do_tick(self, seconds: float) -> None:
        self._spend("ticks")
        self.now += seconds
        for request in [request for request in self.requests if request.deadline < self.now]:
            self.requests.remove(request)
            self._answered(request)  # its time-out has passed

    def _do_deliver(self, n: int) -> None:
        self._facts().delivered |= {n}
        self.deliver(*self.deliveries[n], nonce=f"{n}")

    def deliver(self, message: int, n: int, nonce: str) -> None:
        """Teams sends the activity to a process."""
        process = self._process(n)
        if process.lanes.closing:
            return  # 503
        self._ask(process, "accept", about=message, nonce=nonce)
        if self.prompt:
            self._do_reach(n, -1)

    def _do_repeat(self, n: int, at: int) -> None:
        """The answer does not come, whether or not the call has reached the inbox: it is asked again."""
        self._spend("repeats")
        process = self._process(n)
        call = process.calls[at]
        if call.what == "accept" and self.now > call.first + self.hold:
            del process.calls[at]  # 503
            return
        process.calls[at] = replace(call, asked=self.now, reached=False, answer=None)

    def _do_crash(self, n: int) -> None:
        """The process dies, and is started again, under another name."""
        self._spend("crashes")
        process = self._process(n)
        self.network += [call for call in process.calls if not call.reached]
        name = f"{process.name[0]}{int(process.name[1:]) + 1}"
        self.processes[n] = Process(name, self.lease, self.request)

    def _do_late(self, at: int) -> None:
        call = self.network.pop(at)
        self._reach(call)

    def _do_arrive(self, at: int) -> None:
        request = self.requests.pop(at)
        newest = self.facts.newest[request.lane]
        if request.token < newest:
            raise BrokenError(
                f"a request of {request.key} by holder {request.token} arrived after {newest} began"
            )
        self._answered(request)

    def _do_vanish(self, at: int) -> None:
        self._answered(self.requests.pop(at))

    def _answered(self, request: Request) -> None:
        for n, process in enumerate(self.processes):
            for work, turn in process.turns.items():
                if (process.name, work.entry.key, work.lease.token, turn.waits) == (
                    request.owner,
                    request.key,
                    request.token,
                    "request",
                ):
                    self._change(n, work, at=turn.at + 1, waits="")
                    return

    # The loops of a process

    def _do_beat(self, n: int) -> None:
        self._spend("beats")
        process = self._process(n)
        self._ask(process, "renew", about=tuple(process.claims.leases))

    def _do_notice(self, n: int) -> None:
        process = self._process(n)
        for lease in process.claims.expired(self.now):
            self._feed(n, Gone(lease))

    def _do_reap(self, n: int) -> None:
        self._spend("reaps")
        self._ask(self._process(n), "take")
        if self.prompt:
            self._do_reach(n, -1)

    def _do_close(self, n: int) -> None:
        """SIGTERM: what has not sent anything is given back, the rest is cut short."""
        self._spend("closes")
        process = self._process(n)
        process.lanes.closing = True
        for work in list(process.turns):
            self._change(n, work, abort=process.turns[work].abort or "shutdown")

    # The inbox

    def _ask(self, process: Process, what: Any, work: Work | None = None, **fields: Any) -> None:
        process.calls.append(Call(what, process.name, self.now, self.now, work, **fields))

    def _do_reach(self, n: int, at: int) -> None:
        process = self._process(n)
        call = process.calls[at]
        process.calls[at] = replace(call, reached=True, answer=self._reach(call))

    def _reach(self, call: Call) -> Any:
        """The call reaches the inbox, which answers."""
        try:
            return self._consult(call)
        except LeaseLostError as error:
            return error

    def _consult(self, call: Call) -> Any:
        inbox, work = self._backend(), call.work
        if call.what == "accept":
            return self._accept(call)
        if call.what == "take":
            return now(inbox.take(call.owner, self.lease, 16))
        if call.what == "renew":
            return now(inbox.renew(call.about))
        assert work is not None
        key, lease = work.entry.key, work.lease
        match call.what:
            case "intend":
                now(inbox.intend(lease, key, call.about))
                if key not in self.facts.settled:
                    self._facts().intents[key] = call.about
                return None
            case "release":
                return now(inbox.release(lease))
            case "look":
                return now(inbox.entries(lease, 100))
            case "settle":
                action: Settle = call.about
                first = now(inbox.settle(lease, key, release=action.release))
                self._settled(key, "skipped" if action.skipped else "done")
                return first
            case "give":
                entry: InboxEntry = call.about
                first = now(inbox.settle(lease, entry.key))
                self._settled(entry.key, "given")
                return first

    def _accept(self, call: Call) -> Any:
        message = self.messages[call.about]
        claim = message.claim
        answer = now(
            self.inbox.accept(
                claim.key,
                claim.lane,
                message.payload,
                owner=call.owner,
                seconds=self.lease,
                wait=message.strategy != "reject",
                nonce=call.nonce,
            )
        )
        facts = self._facts()
        if claim.key not in facts.messages:
            facts.messages[claim.key] = message
            if isinstance(answer, Place):
                facts.order[claim.lane] = (*facts.order.get(claim.lane, ()), claim.key)
            else:
                facts.settled[claim.key] = "rejected"
        return answer

    def _settled(self, key: str, how: str) -> None:
        facts = self._facts()
        if key in facts.settled:
            return
        facts.settled[key] = how
        if how == "skipped":
            order = facts.order[facts.messages[key].claim.lane]
            later = order[order.index(key) + 1 :]
            if not any(facts.messages[k].strategy in SKIPPING and k not in facts.settled for k in later):
                raise BrokenError(f"{key} was skipped, and nothing newer waits")

    # What a process does with the answers

    def _do_answer(self, n: int, at: int) -> None:
        process = self._process(n)
        call = process.calls.pop(at)
        work, answer = call.work, call.answer
        match call.what:
            case "accept":
                if self.now > call.first + self.hold:
                    return  # 503
                self._facts().acked |= {call.about}
                if isinstance(answer, Place):
                    self._placed(n, answer, call.asked)
                return
            case "take":
                for place in answer:
                    self._placed(n, place, call.asked)
                return
            case "renew":
                for lease in process.claims.renewed(call.about, answer, call.asked):
                    self._feed(n, Gone(lease))
                for lease in call.about:
                    running = process.lanes.work(lease)
                    if running is not None and answer.get(lease.name):
                        self._obey(n, [Look(running)])
                return
        assert work is not None
        if isinstance(answer, LeaseLostError):
            self._gone(n, work.lease)
            if call.what == "give":
                self._gave(n, work)
            return
        match call.what:
            case "intend":
                turn = process.turns.get(work)
                if turn is not None and turn.waits == "intend":
                    if turn.lose:
                        self._report(work.entry.key)
                    self._change(n, work, at=turn.at + 1, waits="", intended=True)
            case "look":
                self._feed(n, Looked(work, answer))
            case "give":
                self._gave(n, work)
            case "release":
                process.claims.dropped(work.lease)
                self._feed(n, Followed(work.lease, None))
            case "settle":
                if answer is None:
                    process.claims.dropped(work.lease)
                else:
                    process.claims.held(work.lease, call.asked)
                self._feed(n, Followed(work.lease, answer))

    def _placed(self, n: int, place: Place, asked: float) -> None:
        if place.lease is not None:
            self.processes[n].claims.held(place.lease, asked)
        self._feed(n, Placed(place))

    def _gone(self, n: int, lease: Lease) -> None:
        self.processes[n].claims.dropped(lease)
        self._feed(n, Gone(lease))

    def _gave(self, n: int, work: Work) -> None:
        turn = self.processes[n].turns.get(work)
        if turn is not None:
            self._change(n, work, giving=turn.giving - 1)

    # What the lanes say

    def _feed(self, n: int, event: Event) -> None:
        self._obey(n, self.processes[n].lanes.feed(event))

    def _obey(self, n: int, actions: Sequence[Action]) -> None:
        process = self.processes[n]
        for action in actions:
            match action:
                case Run(work) | Lose(work):
                    self._begin(n, work, lose=isinstance(action, Lose))
                case Settle(work, done=done):
                    self._ask(process, "settle" if done else "release", work, about=action)
                case Look(work):
                    self._ask(process, "look", work)
                case Give(work, entry):
                    self._give(n, work, entry)
                case Abort(work, lost):
                    turn = process.turns.get(work)
                    if turn is not None and (lost or not turn.abort):
                        self._change(n, work, abort="lost" if lost else "newer")

    def _begin(self, n: int, work: Work, *, lose: bool) -> None:
        process, entry = self.processes[n], work.entry
        if not process.claims.valid(work.lease, self.now):  # the answer came too late
            self._gone(n, work.lease)
            self._feed(n, Ended(work))
            return
        self._check_begin(process, work, lose)
        message = self.facts.messages[entry.key]
        script: tuple[Op, ...] = message.script
        if lose:
            script = () if entry.intent == LOST else ("intend", "send")
        process.turns[work] = Turn(work, script, lose=lose)
        self._eagerly(n, work)

    def _check_begin(self, process: Process, work: Work, lose: bool) -> None:
        facts, key, lane, token = self._facts(), work.entry.key, work.lease.name, work.lease.token
        who = f"{process.name} began {key} under {token}"
        if process.lanes.closing:
            raise BrokenError(f"{who} while it shuts down")
        if not lose and key in facts.intents:
            raise BrokenError(f"{who}, whose intent was recorded")
        if key in facts.settled:
            raise BrokenError(f"{who}, which was {facts.settled[key]}")
        order = facts.order[lane]
        if earlier := [k for k in order[: order.index(key)] if k not in facts.settled]:
            raise BrokenError(f"{who} before {earlier}")
        if facts.given.get(key) == token:
            raise BrokenError(f"{who}, which was given to a turn that asked")
        if token < facts.newest.get(lane, 0):
            raise BrokenError(f"{who} after a newer holder had begun")
        facts.newest[lane] = token
        for other in self.processes:
            for turn in other.turns.values():
                stopped = turn.abort == "lost" or not other.claims.valid(turn.work.lease, self.now)
                if turn.work.lease.name == lane and not stopped:
                    raise BrokenError(f"{who} while {turn.work.entry.key} runs in {other.name}")

    def _give(self, n: int, work: Work, entry: InboxEntry) -> None:
        process, facts = self.processes[n], self._facts()
        turn = process.turns[work]
        if turn.waits != "ask":
            return
        if facts.given.get(entry.key) == work.lease.token:
            raise BrokenError(f"{entry.key} was given twice")
        facts.given[entry.key] = work.lease.token
        self._ask(process, "give", work, about=entry)
        self._change(n, work, at=turn.at + 1, waits="", giving=turn.giving + 1)

    def _report(self, key: str) -> None:
        facts = self._facts()
        if key in facts.reported:
            raise BrokenError(f"{key} was reported as lost twice")
        facts.reported |= {key}

    # The turns

    def _change(self, n: int, work: Work, **fields: Any) -> None:
        process = self._process(n)
        process.turns[work] = replace(process.turns[work], **fields)
        self._eagerly(n, work)

    def _eagerly(self, n: int, work: Work) -> None:
        if self.eager and runnable(self.processes[n].turns[work]):
            self._go(n, work)

    def _do_go(self, n: int, at: int) -> None:
        self._go(n, list(self._process(n).turns)[at])

    def _do_timeout(self, n: int, at: int) -> None:
        self._spend("timeouts")
        process = self._process(n)
        work, turn = list(process.turns.items())[at]
        process.lanes.ask(work, None)
        self._change(n, work, at=turn.at + 1, waits="")

    def _go(self, n: int, work: Work) -> None:
        """The turn's next step: it waits for nothing."""
        process = self._process(n)
        turn = process.turns[work]
        if turn.abort or turn.at == len(turn.script):
            self._end(n, turn)
            return
        op = turn.script[turn.at]
        if op == "intend":
            self._ask(process, "intend", work, about=LOST if turn.lose else b"turn")
            self._change(n, work, waits="intend")
        elif op == "ask":
            self._change(n, work, waits="ask")
            self._obey(n, process.lanes.ask(work, is_reply))
        elif process.claims.valid(work.lease, self.now):
            key, lease = work.entry.key, work.lease
            self.requests.append(Request(lease.name, key, lease.token, process.name, self.now + self.request))
            self._change(n, work, waits="request")
        else:
            self._gone(n, work.lease)  # so that it is not settled as if it had been answered

    def _end(self, n: int, turn: Turn) -> None:
        process, key = self.processes[n], turn.work.entry.key
        del process.turns[turn.work]
        untouched = turn.abort == "shutdown" and not turn.intended
        if turn.abort != "lost" and not untouched and not turn.lose:
            self._facts().ended |= {key}
        self._feed(n, Ended(turn.work, done=not untouched))

    # The end

    def recover(self, choose: Callable[[Sequence[Step]], Step] = lambda steps: steps[0]) -> None:
        """Nothing fails any more, every process lives, time goes on, until nothing is left to do."""
        self.network.clear()
        for n, process in enumerate(self.processes):
            if process.lanes.closing and not process.turns and not process.calls:
                self._do_crash(n)  # it has drained, and exits
        for again in range(60):
            self._calm(choose)
            for n, process in enumerate(self.processes):
                if process.lanes.closing and not process.turns and not process.calls:
                    self._do_crash(n)
            for message in range(len(self.messages)):
                if message not in self.facts.acked:
                    self.deliver(message, message % len(self.processes), f"{message} again {again}")
            for n, process in enumerate(self.processes):
                if not process.lanes.closing:
                    self._do_reap(n)
                if process.claims.leases:
                    self._do_beat(n)
                for at, turn in enumerate(list(process.turns.values())):
                    if turn.waits == "ask":
                        self._do_timeout(n, at)
            self._calm(choose)
            if self._quiet():
                return
            self._do_tick(self.request / 2)
        raise BrokenError("it does not come to an end")

    def _calm(self, choose: Callable[[Sequence[Step]], Step]) -> None:
        for _ in range(2000):
            steps = list(self.progress())
            if not steps:
                return
            self.do(choose(steps))
        raise BrokenError("it does not come to rest")

    def _quiet(self) -> bool:
        busy = any(
            process.calls or process.turns or len(process.claims) or process.lanes.statistics().lanes
            for process in self.processes
        )
        return not busy and len(self.facts.acked) == len(self.messages) and not self._unsettled()

    def _unsettled(self) -> list[str]:
        return [key for key in self.facts.messages if key not in self.facts.settled]

    def check(self) -> None:
        """After `recover`: each message was handled in one of the ways there are, and nothing is left."""
        facts = self.facts
        for message in self.messages:
            key = message.claim.key
            match facts.settled.get(key):
                case "rejected":
                    kept = message.strategy == "reject"
                case "skipped":
                    kept = message.strategy in SKIPPING
                case "given":
                    kept = key in facts.given
                case "done":  # who recorded that it reports the loss may have died before it did
                    kept = key in facts.ended or key in facts.reported or facts.intents.get(key) == LOST
                case _:
                    kept = False
            if not kept:
                raise BrokenError(
                    f"{key} was acknowledged and {facts.settled.get(key)}, but nothing came of it"
                )
        statistics = now(self._backend().statistics())
        if statistics.held or statistics.lanes:
            raise BrokenError(f"the inbox keeps {statistics}")
        if any(process.lanes.statistics().running for process in self.processes):
            raise BrokenError("a process believes that a turn runs, and none does")


def runnable(turn: Turn) -> bool:
    """Whether it waits for nothing. It does not end before what it was given is settled."""
    if turn.abort == "lost":
        return not turn.giving
    if turn.waits == "request":
        return False  # it is not taken back
    if turn.abort or turn.at == len(turn.script):
        return not turn.giving
    return not turn.waits


def now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


# Copies and names of states: what is frozen is shared, all else is copied.

_SHARED = (str, int, float, bool, bytes, type(None), Enum, InboxEntry, Lease, Work, Message)
_FIELDS: dict[type, tuple[str, ...] | None] = {}
_ENTRIES: dict[int, tuple[InboxEntry, Any]] = {}


def _fields(kind: type) -> tuple[str, ...] | None:
    """The attributes of mutable objects; None of what is shared."""
    if kind not in _FIELDS:
        parameters = getattr(kind, "__dataclass_params__", None)
        shared = issubclass(kind, _SHARED) or (parameters is not None and parameters.frozen) or kind in _PLAIN
        slots = tuple(name for base in kind.__mro__ for name in getattr(base, "__slots__", ()))
        _FIELDS[kind] = None if shared else slots
    return _FIELDS[kind]


_PLAIN = frozenset({type(lambda: None), type(len), type([].append)})


def clone(value: Any) -> Any:
    kind = type(value)
    if kind is dict or kind is OrderedDict:
        return kind((key, clone(each)) for key, each in value.items())
    if kind is list or kind is set or kind is deque:
        return kind(map(clone, value))
    if kind is tuple:
        return value
    if kind is count:
        return count(int(repr(value)[6:-1]))
    fields = _fields(kind)
    if fields is None:
        return value
    new = object.__new__(kind)
    for name in fields or value.__dict__:
        setattr(new, name, clone(getattr(value, name)))
    return new


def frozen(value: Any) -> Any:
    """What is equal for two values if and only if they are the same for all that can follow."""
    kind = type(value)
    if kind is str or kind is float or kind is int or value is None or kind is bool or kind is bytes:
        return value
    if kind is InboxEntry:
        return (value.key, value.number, value.intent, value.taken, value.behind)
    if kind is Work:
        return (value.entry.key, value.entry.number, value.entry.intent, value.lease.token)
    if kind is dict:
        return frozenset((frozen(key), frozen(each)) for key, each in value.items())
    if kind is OrderedDict:
        return tuple((frozen(key), frozen(each)) for key, each in value.items())
    if kind is list or kind is tuple or kind is deque:
        return tuple(map(frozen, value))
    if kind is set or kind is frozenset:
        return frozenset(map(frozen, value))
    if kind is count:
        return repr(value)
    if kind is Clock or kind is Message or kind in _PLAIN or isinstance(value, Enum):
        return hash(value) if kind is not Clock else 0
    if isinstance(value, LeaseLostError):
        return ("lost", value.name, value.token)
    slots = getattr(kind, "__slots__", None)
    names = slots if slots is not None else value.__dict__
    return (kind.__name__, *(frozen(getattr(value, name)) for name in names))
