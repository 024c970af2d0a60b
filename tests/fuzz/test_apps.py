"""Several real Apps on one inbox, in virtual time: killed, stopped, frozen and cut off from the inbox. Every
message is still handled in its order, or reported as lost, and none twice.

The rules of turns are proved in tests/machine/test_turns.py and tests/fuzz/test_turns.py; here the real
`TurnRunner` follows them, and the emulator says what the users see. A failure names its seed:

    CADENZA_FUZZ_SEED=4711 CADENZA_FUZZ_COUNT=1 uv run pytest tests/fuzz/test_apps.py
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import os
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

import pytest
from cadenza.api import CadenzaError, MessageActivity, Request, Response
from cadenza.apps import ActivityContext, App
from cadenza.apps.turns.claims import Strategy, claim_of
from cadenza.apps.turns.guard import TurnLostError
from cadenza.apps.turns.lanes import SKIPPING
from cadenza.apps.turns.runner import AskTimeoutError, ShuttingDownError
from cadenza.state import (
    Busy,
    Duplicate,
    InboxEntry,
    InboxStatistics,
    Lease,
    LeaseLostError,
    MemoryInbox,
    MemoryLeases,
    MemoryStore,
    Place,
    StateUnavailableError,
)
from cadenza.testing import Teams, User, VirtualClock
from called_server import CalledServer

SEED = int(os.environ.get("CADENZA_FUZZ_SEED", "0"))
COUNT = int(os.environ.get("CADENZA_FUZZ_COUNT", "60"))

LEASE, REQUEST = 12.0, 5.0
STRATEGIES: tuple[Strategy, ...] = ("queue", "queue", "queue", "interrupt", "latest", "reject", "concurrent")
KINDS = ("send", "two", "two", "slow", "late", "long", "stream", "silent", "raise", "ask", "freeze")

T = TypeVar("T")
OWNER: contextvars.ContextVar[Host | None] = contextvars.ContextVar("OWNER", default=None)


class Host:
    """One process: an App, and how it can end."""

    def __init__(self, play: Play, name: str) -> None:
        self.play, self.name = play, name
        self.dead = self.stopping = False
        self.cut_off = 0.0
        """Until when it cannot reach the inbox."""
        self.tasks: set[asyncio.Task[Any]] = set()
        self.server = CalledServer()
        self.context = contextvars.copy_context()
        self.context.run(OWNER.set, self)
        self.app = self.context.run(self._make)

    def _make(self) -> App:
        app = App(
            http_server_adapter=self.server,
            state=SharedState(self),
            transport=Wire(self),
            dangerously_allow_unauthenticated_requests=True,
            turn_strategy=self.play.strategy,
            lease_seconds=LEASE,
            request_seconds=REQUEST,
            shutdown_seconds=5.0,
            stop_seconds=2.0,
            logger=logging.getLogger(f"cadenza.fuzz.{self.name}"),
        )
        self.play.handlers(app, self)
        return app

    def run(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of this process."""
        return asyncio.get_running_loop().create_task(coroutine, context=self.context.copy())

    async def crash(self) -> None:
        """SIGKILL: nothing that it does from now on has any effect."""
        self.dead = True
        for _ in range(200):
            pending = [task for task in self.tasks if not task.done()]
            if not pending:
                return
            for task in pending:
                task.cancel()
            await asyncio.sleep(0)
        raise AssertionError(f"tasks of a killed process go on: {pending}")

    async def through(self, work: Callable[[], Awaitable[T]], *, taken_back: bool = False) -> T:
        """Leaves the process: it happens, even if the process dies meanwhile; not if it is dead already.
        `taken_back`: nor if it is cancelled before it has happened."""
        if self.dead:
            await asyncio.get_running_loop().create_future()
        task = asyncio.get_running_loop().create_task(_coroutine(work), context=self.play.outside.copy())
        self.play.outside_tasks.add(task)
        task.add_done_callback(self.play.forget)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if taken_back and not self.dead:
                task.cancel()
            raise


async def _coroutine(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


class Wire:
    """The way to Teams."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def send(self, request: Request) -> Response:
        play = self._host.play

        async def carry() -> Response:
            await asyncio.sleep(play.draw.choice((0.02, 0.1, 0.1, 1.0, 3.0 if play.slow else 0.1)))
            return await play.teams.transport.send(request)

        return await self._host.through(carry, taken_back=True)

    async def close(self) -> None: ...


class Inbox:
    """One process's way to the inbox that all share: slow at times, and at times cut off, before or after
    what was asked has happened."""

    durable = True

    def __init__(self, host: Host) -> None:
        self._host, self._play = host, host.play

    async def _ask(self, work: Callable[[], Awaitable[T]]) -> T:
        host, play = self._host, self._play
        loop = asyncio.get_running_loop()
        before, after, refuse = play.weather()

        async def carry() -> T:
            await asyncio.sleep(before)
            if loop.time() < host.cut_off or refuse == "before":
                raise StateUnavailableError("The inbox cannot be reached.")
            result = await work()
            await asyncio.sleep(after)
            if refuse == "after":
                raise StateUnavailableError("The answer of the inbox did not come.")
            return result

        return await host.through(carry)

    async def accept(
        self,
        key: str,
        lane: str,
        payload: Mapping[str, Any],
        *,
        owner: str,
        seconds: float,
        wait: bool = True,
        nonce: str = "",
    ) -> Place | Duplicate | Busy:
        play = self._play

        async def accept() -> Place | Duplicate | Busy:
            answer = await play.inbox.accept(
                key, lane, payload, owner=owner, seconds=seconds, wait=wait, nonce=nonce
            )
            if isinstance(answer, Place):
                play.accepted(answer.entry)
            elif isinstance(answer, Busy):
                play.how[key] = "rejected"
            return answer

        return await self._ask(accept)

    async def intend(self, lease: Lease, key: str, intent: bytes) -> None:
        async def intend() -> None:
            await self._play.inbox.intend(lease, key, intent)
            self._play.intents.setdefault(key, []).append(intent)

        await self._ask(intend)

    async def settle(
        self,
        lease: Lease,
        key: str,
        *,
        response: bytes | None = None,
        note: bytes | None = None,
        release: bool = False,
        forget: bool = False,
    ) -> InboxEntry | None:
        async def settle() -> InboxEntry | None:
            first = await self._play.inbox.settle(
                lease, key, response=response, note=note, release=release, forget=forget
            )
            self._play.how.setdefault(key, f"settled by {self._host.name}")
            return first

        return await self._ask(settle)

    async def renew(self, leases: Iterable[Lease]) -> dict[str, int]:
        return await self._ask(lambda: self._play.inbox.renew(leases))

    async def release(self, lease: Lease) -> None:
        await self._ask(lambda: self._play.inbox.release(lease))

    async def take(self, owner: str, seconds: float, limit: int) -> list[Place]:
        return await self._ask(lambda: self._play.inbox.take(owner, seconds, limit))

    async def entries(self, lease: Lease, limit: int) -> list[InboxEntry]:
        return await self._ask(lambda: self._play.inbox.entries(lease, limit))

    async def lookup(self, key: str, lane: str) -> Duplicate | None:
        return await self._ask(lambda: self._play.inbox.lookup(key, lane))

    async def statistics(self) -> InboxStatistics:
        return await self._ask(lambda: self._play.inbox.statistics())


class SharedState:
    """What all processes share, as one of them reaches it."""

    shared = True
    permits = None

    def __init__(self, host: Host) -> None:
        self.store: MemoryStore = host.play.store
        self.leases: MemoryLeases = host.play.leases
        self.inbox = Inbox(host)

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Play:
    """One random schedule."""

    def __init__(self, seed: int, clock: VirtualClock, teams: Teams) -> None:
        self.draw = draw = random.Random(seed)
        self.clock, self.teams = clock, teams
        self.outside = contextvars.copy_context()
        self.outside_tasks: set[asyncio.Task[Any]] = set()
        time = asyncio.get_running_loop().time
        self.inbox = MemoryInbox(clock=time)
        self.store, self.leases = MemoryStore(clock=time), MemoryLeases(clock=time)
        self.strategy = draw.choice(STRATEGIES)
        self.faults = draw.choice((0.0, 0.02, 0.1, 0.2))
        self.slow = draw.random() < 0.5
        self.calm = False
        self.users = [teams.user(name) for name in "abc"[: draw.randint(1, 3)]]
        self.hosts: list[Host] = []
        self.names = iter(f"{n}" for n in range(1000))
        # What happened
        self.kind: dict[str, str] = {}
        self.number: dict[str, int] = {}
        self.order: dict[str, list[str]] = defaultdict(list)
        self.acked: set[str] = set()
        self.intents: dict[str, list[bytes]] = {}
        self.how: dict[str, str] = {}
        self.ended: set[str] = set()
        self.given: Counter[str] = Counter()
        self.reported: Counter[str] = Counter()
        self.complete: dict[str, list[str]] = {}
        self.log: list[str] = []
        self.problems: list[str] = []

    def note(self, text: str) -> None:
        self.log.append(f"{asyncio.get_running_loop().time():8.2f} {text}")

    def forget(self, task: asyncio.Task[Any]) -> None:
        self.outside_tasks.discard(task)
        if not task.cancelled():
            task.exception()

    def weather(self) -> tuple[float, float, str]:
        """Seconds to the inbox and back, and whether it fails."""
        draw = self.draw
        if self.calm:
            return 0.001, 0.001, ""
        way = [draw.choice((0.001, 0.001, 0.01, 0.3)) for _ in range(2)]
        if draw.random() < self.faults:
            fault = draw.choice(("before", "after", "slow", "slow"))
            if fault != "slow":
                return way[0], way[1], fault
            way[draw.randrange(2)] = draw.choice((2.0, 6.0, 15.0, 30.0))
        return way[0], way[1], ""

    def accepted(self, entry: InboxEntry) -> None:
        if entry.key not in self.order[entry.lane]:
            self.order[entry.lane].append(entry.key)

    # The bot

    def handlers(self, app: App, host: Host) -> None:
        app.on_message(lambda ctx: self._handle(ctx, host))
        app.on_turn_lost(lambda ctx: self._lost(ctx, host))
        app.on_error(lambda ctx, error: self._failed(ctx, error, host))

    def _key(self, ctx: ActivityContext[Any]) -> str:
        return claim_of(ctx.activity.raw).key

    async def _handle(self, ctx: ActivityContext[MessageActivity], host: Host) -> None:
        key = self._key(ctx)
        number, kind = self.number[key], self.kind[key]
        self.note(f"{host.name} begins {number} {kind}")
        lane = claim_of(ctx.activity.raw, self.strategy).lane
        order = self.order[lane]
        if key in self.intents:
            self.problems.append(f"{host.name} runs {number}, whose intent is recorded")
        if key in self.how:
            self.problems.append(f"{host.name} runs {number}, which is {self.how[key]}")
        if any(k not in self.how for k in order[: order.index(key)]):
            self.problems.append(f"{host.name} runs {number} before its turn")
        skipped = {claim_of(message.raw).key for message in ctx.skipped}
        if skipped & self.intents.keys():
            self.problems.append(f"{number} is told that one was skipped which was not")
        sent: list[str] = []

        async def say(text: str) -> None:
            text = f"[{number}] {text}"
            await ctx.send(text)
            sent.append(text)

        try:
            await self._act(ctx, kind, say, sent, number)
        except asyncio.CancelledError:
            self.note(f"{host.name} is cut off in {number}")
            if not host.dead and (self.strategy == "interrupt" or host.stopping):
                self.ended.add(key)
            raise
        except BaseException as error:
            self.note(f"{host.name} fails in {number}: {error!r}")
            raise
        if not host.dead:
            self.note(f"{host.name} ends {number}")
            self.ended.add(key)
            self.complete[key] = sent

    async def _act(
        self,
        ctx: ActivityContext[MessageActivity],
        kind: str,
        say: Callable[[str], Awaitable[None]],
        sent: list[str],
        number: int,
    ) -> None:
        match kind:
            case "send":
                await say("one")
            case "two":
                await say("one")
                await asyncio.sleep(2)
                await say("two")
            case "slow":
                await asyncio.sleep(3)
                await say("one")
            case "late":
                await asyncio.sleep(25)
                await say("one")
            case "long":
                await say("one")
                await asyncio.sleep(25)
                await say("two")
            case "stream":
                for n in range(5):
                    ctx.stream.emit(f"[{number}] " if n == 0 else "word ")
                    await asyncio.sleep(0.7)
            case "silent":
                await asyncio.sleep(1)
            case "raise":
                raise ValueError("of the handler")
            case "freeze":
                await asyncio.sleep(1)
                self.clock._now += self.draw.choice((5, 8, 20))  # the loop stands still for so long
                await say("one")
            case "ask":
                try:
                    answer = await ctx.ask(f"[{number}] what?", timeout=self.draw.choice((2.0, 10.0)))
                except (AskTimeoutError, ShuttingDownError):
                    return
                self.given[claim_of(answer.raw).key] += 1
                await say("one")

    async def _lost(self, ctx: ActivityContext[Any], host: Host) -> None:
        number = self.number[self._key(ctx)]
        self.note(f"{host.name} is told that {number} was lost")
        if self._key(ctx) in self.how:
            self.problems.append(f"{number} is lost, and {self.how[self._key(ctx)]}")
        await ctx.send(f"[{number}] lost")
        if not host.dead:
            self.reported[self._key(ctx)] += 1

    async def _failed(self, ctx: ActivityContext[Any], error: Exception, host: Host) -> None:
        key = self._key(ctx)
        self.note(f"{host.name} has failed in {self.number[key]}: {error!r}")
        if not host.dead:
            if not isinstance(error, TurnLostError):
                self.ended.add(key)
            unexpected = not isinstance(error, ValueError | CadenzaError | StateUnavailableError)
            if unexpected or isinstance(error, LeaseLostError):
                self.problems.append(f"a handler failed with {error!r}")

    # Teams

    def new_activity(self, user: User, n: int) -> dict[str, Any]:
        service = self.teams.service
        id_ = service.new_id()
        service.add_inbound(user.conversation_id, id_)
        activity = user._sender().message(id_, f"{n}")
        key = claim_of(activity).key
        kinds = [kind for kind in KINDS if kind != "ask" or self.strategy not in ("concurrent", "reject")]
        self.kind[key], self.number[key] = self.draw.choice(kinds), n
        return activity

    async def deliver(self, activity: dict[str, Any]) -> None:
        """Until it is acknowledged, and at times once more."""
        key = claim_of(activity).key
        draw = self.draw
        for attempt in range(100):
            hosts = [host for host in self.hosts if not host.dead]
            if not hosts:
                await asyncio.sleep(1)
                continue
            host = draw.choice(hosts)
            task = host.run(host.server.post(json.dumps(activity).encode()))
            await asyncio.wait({task}, timeout=15)
            if task.done() and not task.cancelled() and task.result().status == 200:
                if key not in self.acked:
                    self.note(f"{host.name} has acknowledged {self.number[key]}")
                self.acked.add(key)
                if draw.random() < 0.75 or attempt > 3:
                    return
            await asyncio.sleep(draw.choice((0.01, 1, 5)))
        self.problems.append(f"{self.number[key]} is never acknowledged")

    # Faults

    async def start_host(self) -> Host:
        host = Host(self, next(self.names))
        await host.run(host.app.initialize())
        self.hosts.append(host)
        return host

    async def meddle(self) -> None:
        draw = self.draw
        host = draw.choice(self.hosts)
        if host.dead or host.stopping:
            return
        match draw.choice(("kill", "kill", "stop", "cut off", "nothing")):
            case "kill":
                self.note(f"{host.name} is killed")
                self.hosts.remove(host)
                await host.crash()
                await self.start_host()
            case "stop":
                self.note(f"{host.name} is told to stop")
                self.hosts.remove(host)
                host.stopping = True
                stop = host.run(host.app.stop())
                await self.start_host()
                await stop
                await host.crash()
                self.note(f"{host.name} has stopped")
            case "cut off":
                seconds = draw.choice((1, 5, 10, 30))
                self.note(f"{host.name} is cut off from the inbox for {seconds} s")
                host.cut_off = asyncio.get_running_loop().time() + seconds

    # All of it

    async def run(self) -> None:
        draw = self.draw
        for _ in range(draw.randint(1, 3)):
            await self.start_host()
        deliveries = []
        for n in range(draw.randint(2, 10)):
            await asyncio.sleep(draw.choice((0, 0, 0.1, 1, 4)))
            deliveries.append(
                asyncio.ensure_future(self.deliver(self.new_activity(draw.choice(self.users), n)))
            )
            if draw.random() < 0.25:
                await self.meddle()
        for _ in range(draw.choice((0, 1, 3))):
            await asyncio.sleep(draw.choice((0.5, 3, 10, 20)))
            await self.meddle()
        self.calm, self.slow = True, False
        for host in self.hosts:
            host.cut_off = 0.0
        await asyncio.gather(*deliveries)
        await asyncio.sleep(400)
        await self.check()
        for host in self.hosts:
            await host.run(host.app.stop())
            await host.crash()
        if self.outside_tasks:
            await asyncio.wait(self.outside_tasks)

    async def check(self) -> None:
        problems = self.problems
        statistics = await self.inbox.statistics()
        if statistics.held or statistics.lanes:
            problems.append(f"the inbox still keeps {statistics}")
        for host in self.hosts:
            if (running := host.app._runner.statistics()).lanes or running.running:
                problems.append(f"{host.name} still works: {running}")
            if len(host.app._runner._claims):
                problems.append(f"{host.name} still holds {host.app._runner._claims.leases}")
        shown = Counter(
            message.text for user in self.users for message in user.screen.messages if not message.deleted
        )
        for key in self.acked:
            number = self.number[key]
            lost = any(b"lost" in intent for intent in self.intents.get(key, []))
            rejected = self.how.get(key) == "rejected" and self.strategy == "reject"
            skipped = self.strategy in SKIPPING and key not in self.intents and not self._last(key)
            came = (key in self.ended, self.given[key], self.reported[key], lost, rejected, skipped)
            if not any(came):
                problems.append(f"nothing came of {number} ({self.kind[key]}), which is {self.how.get(key)}")
            if self.reported[key] > 1:
                problems.append(f"{number} was reported {self.reported[key]} times")
        # Of a stream whose process died before it knew of its start, one bubble may be left behind.
        orphans = {self.number[key] for key in self.reported if self.kind[key] == "stream"}
        for text, times in shown.items():
            if text.startswith("[") and times > 1 + (int(text[1 : text.index("]")]) in orphans):
                problems.append(f"{text!r} is on the screen {times} times")
        for texts in self.complete.values():
            for text in texts:
                if not shown[text]:
                    problems.append(f"{text!r} was sent, and is not on the screen")
        if self.strategy == "queue":
            for user in self.users:
                self._check_order(user)

    def _last(self, key: str) -> bool:
        return any(key == keys[-1] for keys in self.order.values())

    def _check_order(self, user: User) -> None:
        lanes = [keys for lane, keys in self.order.items() if lane.endswith(user.conversation_id)]
        if not lanes:
            return
        rank = {self.number[key]: n for n, key in enumerate(lanes[0])}
        shown = [m.text for m in user.screen.messages if m.text.startswith("[")]
        ranks = [rank[int(text[1 : text.index("]")])] for text in shown]
        if ranks != sorted(ranks):
            self.problems.append(f"the answers are out of order: {shown}")


def task_factory(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    task = asyncio.Task(coroutine, loop=loop, **options)
    context = options.get("context")
    host = OWNER.get() if context is None else context.run(OWNER.get)
    if host is not None:
        host.tasks.add(task)
        task.add_done_callback(host.tasks.discard)
    return task


async def play(seed: int) -> None:
    loop = asyncio.get_running_loop()
    asked: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: asked.append(context))
    async with VirtualClock() as clock, Teams() as teams:
        loop.set_task_factory(task_factory)  # type: ignore[arg-type]
        one = Play(seed, clock, teams)
        try:
            await one.run()
            assert not one.problems, "\n".join(one.problems)
            assert not asked, f"an exception went unobserved: {asked}"
        except BaseException as error:
            error.add_note("\n".join([f"seed {seed}, strategy {one.strategy}", *one.log]))
            raise
        finally:
            loop.set_task_factory(None)


def run(first: int, count: int) -> None:
    logging.getLogger("cadenza.fuzz").setLevel(logging.CRITICAL)
    for seed in range(first, first + count):
        asyncio.run(play(seed))


def test_no_app_loses_a_message_or_answers_it_twice() -> None:
    run(SEED, COUNT)


@pytest.mark.slow
def test_no_app_of_a_longer_run_loses_a_message_or_answers_it_twice() -> None:
    run(40_000_000, 5 * COUNT)
