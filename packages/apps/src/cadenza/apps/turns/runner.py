"""`TurnRunner`: drives the lanes. It owns the task of every turn, and all that is asked of the inbox.

What is to be done because of what is in lanes.py and claims.py; here it is done. Where the inbox is durable,
three loops run beside the turns: the heartbeat of the leases, the reaper that takes over lanes which nobody
holds, and the watch that stops turns whose lease can no longer be relied on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import uuid4

from cadenza import api as teams
from cadenza.api import CadenzaError
from cadenza.state import (
    Busy,
    Duplicate,
    Inbox,
    InboxEntry,
    InboxStatistics,
    Lease,
    LeaseLostError,
    Place,
    StateUnavailableError,
)

from ..expected_replies import expects_replies
from ..routing.responses import FAILED, InvokeResponse
from ..stream import AbortReason
from ..tasks import look_at
from .claims import LEASE_SECONDS, REQUEST_SECONDS, Claim, Claims, Strategy, claim_of, forgets
from .guard import Guard
from .lanes import (
    Abort,
    Action,
    Ended,
    Followed,
    Give,
    Gone,
    Lanes,
    LaneStatistics,
    Look,
    Looked,
    Lose,
    Placed,
    Run,
    Settle,
    Work,
)
from .turn import LOST, Turn

if TYPE_CHECKING:
    from cadenza.api import MessageActivity

    from ..expected_replies import ExpectedReplies

__all__ = ["FINALIZE_SECONDS", "Admitted", "AskTimeoutError", "ShuttingDownError", "TurnRunner"]

FINALIZE_SECONDS = 8.0
"""The longest time for finalizing the streams that a shutdown has cut off: a tenant takes 45 finals a second
(the rate budget), and with the seconds before it all must be over within 30."""

INTERRUPT_SECONDS = 4.0
"""The longest time for finalizing a stream that a newer message has cut off: the interval, and a request."""

REAP_SECONDS = 1.0
"""How often a process looks for lanes that nobody holds. Ours."""

REAP_MOST = 16
"""How many of them it takes at once, so that the others get some. Ours."""

ATTENTIVE_SECONDS = 1.0
"""The longest time between heartbeats while a turn wants to know who waits behind it. Ours."""

RETRY_SECONDS = 0.5
"""How long to wait before the inbox is asked again after it could not be reached. Ours."""

LOOK_MOST = 100
"""How many entries of a lane are looked at."""

T = TypeVar("T")


class ShuttingDownError(CadenzaError):
    """An activity came too late to be handled, or a turn waits for one that cannot come any more."""


class AskTimeoutError(CadenzaError, TimeoutError):
    """Nobody answered `ctx.ask` in time."""


class Admitted(Protocol):
    """An activity that was accepted."""

    answered: asyncio.Future[InvokeResponse[Any]]
    """Done when the response may be given. Never an exception."""
    over: asyncio.Future[None]
    """Done when its turn is over, as far as this process can tell. Never an exception."""
    fatal: BaseException | None
    """What the handlers raised, if it was no `Exception`."""
    replies: ExpectedReplies | None
    """What it has sent, where the answer of its request is to hold that."""


@dataclass(slots=True)
class Repeated:
    """An activity that was accepted before, or that this process has nothing to do for."""

    answered: asyncio.Future[InvokeResponse[Any]]
    over: asyncio.Future[None]
    fatal: BaseException | None = None
    replies: ExpectedReplies | None = None


class Handover(Protocol):
    """What one process knows of a conversation's pace, for the next that writes to it."""

    def leave(self, conversation_id: str) -> bytes | None:
        """What the next one must know; None: nothing."""
        ...

    def enter(self, conversation_id: str, note: bytes) -> None:
        """Take over what another process has left."""
        ...


class TurnRunner:
    """Runs turns in the order that `Lanes` says, each in a task of its own.

    `revive` makes the turn of an entry that this process did not accept itself. `strategy` says of an
    activity, as JSON, how it goes with others. `reject` is called with a turn that is not to run, because its
    conversation was busy.
    """

    def __init__(
        self,
        inbox: Inbox,
        *,
        revive: Callable[[Mapping[str, Any]], Turn],
        strategy: Callable[[Mapping[str, Any]], Strategy],
        reject: Callable[[Turn], Awaitable[None]],
        handover: Handover,
        logger: logging.Logger,
        invoke_seconds: float = 10.0,
        lease_seconds: float = LEASE_SECONDS,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._inbox = inbox
        self._revive = revive
        self._strategy = strategy
        self._reject = reject
        self._handover = handover
        self._logger = logger
        self._invoke_seconds = invoke_seconds
        self._context = copy_context()
        """What turns begin in that this process has not been brought by a request."""
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:8]}"
        self._claims = Claims(lease_seconds if inbox.durable else inf, request_seconds)
        self._lanes = Lanes(lambda entry: entry.payload["strategy"])
        self._accepting: dict[str, asyncio.Future[None] | None] = {}
        """By key: done when the inbox has answered, if anybody wants to know."""
        self._waiting: dict[str, dict[str, Turn]] = {}
        """By lane and key: turns of entries that this process accepted, and whose time has not come."""
        self._running: dict[Work, Turn] = {}
        self._by_key: dict[str, Turn] = {}
        self._asks: dict[Work, asyncio.Future[InboxEntry]] = {}
        self._giving: dict[Work, asyncio.Task[None]] = {}
        self._tasks: dict[asyncio.Task[None], Work] = {}
        self._left: set[asyncio.Task[None]] = set()
        """Tasks of handlers that were left behind."""
        self._chores: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._beat_at = -inf
        self._unreachable = False
        self.takes_over = True
        """Whether turns are begun that no request has brought to this process."""
        self._draining = False
        self._calm: asyncio.Future[None] | None = None
        """Done when nothing is left to wait for; while `drain` waits."""
        self._shutting_down = False

    # What the App asks

    def start(self) -> None:
        """Look after the leases, and take over what nobody holds, from now on."""
        if self._inbox.durable and not self._loops and not self._shutting_down:
            reap = min(REAP_SECONDS, self._claims.beat)
            self._loops = [
                asyncio.create_task(self._every(min(ATTENTIVE_SECONDS, self._claims.beat), self._beat)),
                asyncio.create_task(self._every(reap, self._reap)),
                asyncio.create_task(self._every(reap, self._watch)),
            ]

    def guard(self) -> Guard | None:
        """What a new turn sends through; None where nothing has to be guarded."""
        if not self._inbox.durable:
            return None
        return Guard(self._inbox, self._claims, self._lost, now=self._now, logger=self._logger)

    @property
    def running(self) -> int:
        """How many turns run."""
        return len(self._tasks)

    def statistics(self) -> LaneStatistics:
        return self._lanes.statistics()

    async def submit(self, turn: Turn, payload: Mapping[str, Any]) -> Admitted:
        """Accept a turn; when this returns, its activity may be acknowledged.

        Raises what the inbox raises, and `ShuttingDownError`: then the turn is not accepted, and never runs.
        Cancelling this cancels nothing but the waiting: what the inbox was asked for may be done already.
        """
        if not self._inbox.durable:
            return await self._submit(turn, payload)
        task = asyncio.create_task(self._submit(turn, payload))
        task.add_done_callback(look_at)
        return await asyncio.shield(task)

    async def _submit(self, turn: Turn, payload: Mapping[str, Any]) -> Admitted:
        activity = payload["activity"]
        strategy = self._strategy(activity)
        payload = {**payload, "strategy": strategy}  # asked once, so that all processes act alike
        claim = claim_of(activity, strategy)
        while claim.key in self._accepting:  # the same activity is being accepted at this moment
            if (earlier := self._accepting[claim.key]) is None:
                earlier = self._accepting[claim.key] = asyncio.get_running_loop().create_future()
            await asyncio.wait({earlier})
        self._accepting[claim.key] = None
        waiting = self._waiting.setdefault(claim.lane, {})
        kept = waiting.setdefault(claim.key, turn) is not turn  # delivered again, while the first one waits
        try:
            asked = self._now()
            answer = await self._inbox.accept(
                claim.key,
                claim.lane,
                payload,
                owner=self._owner,
                seconds=self._claims.seconds,
                wait=strategy != "reject" or not claim.ordered or self._asked(claim.lane),
            )
            if isinstance(answer, Place):
                kept = True
                return self._place(claim, turn, answer, asked)
        finally:
            if (accepted := self._accepting.pop(claim.key)) is not None:
                accepted.set_result(None)
            self._calmed()
            if not kept:
                self._unwait(claim.lane, claim.key)
        if isinstance(answer, Busy):
            self._spawn(self._reject(turn), turn.context)
            return self._nothing_to_do()
        return self._repeat(claim, activity, answer)

    def _asked(self, lane: str) -> bool:
        """Whether a turn of the lane asks something here."""
        return any(work.lease.name == lane for work in self._asks)

    async def ask(
        self, turn: Turn, sender_id: str | None, timeout: float | None, send: Callable[[], Awaitable[object]]
    ) -> MessageActivity:
        """The next message of the turn's conversation (of that sender, if one is given) after `send` was
        called; it has no turn of its own then. Raises RuntimeError where no message can be waited for,
        before anything is sent; `AskTimeoutError`; and `ShuttingDownError` if the bot stops meanwhile."""
        work = next((work for work, running in self._running.items() if running is turn), None)
        strategy = work.entry.payload["strategy"] if work is not None else None
        if work is None or not claim_of(work.entry.payload["activity"]).ordered:
            raise RuntimeError(
                "ctx.ask works in the turn of a message, which the next one waits for; not in an invoke, a "
                "reaction or a typing indicator, and not after the turn."
            )
        if strategy == "concurrent" or (strategy == "reject" and self._inbox.durable):
            raise RuntimeError(
                f"ctx.ask cannot work with turn_strategy={strategy!r}: no message waits for a turn"
                + (", at other processes." if strategy == "reject" else ".")
            )
        if work in self._asks:
            raise RuntimeError("This turn asks already: await one ctx.ask before the next.")
        if self._draining:
            raise ShuttingDownError("The App is stopping: no answer can come any more.")
        future: asyncio.Future[InboxEntry] = asyncio.get_running_loop().create_future()
        self._asks[work] = future
        try:
            # What was written before the question was there is no answer to it.
            before = await self._insist(work.lease, lambda: self._inbox.entries(work.lease, LOOK_MOST))
            newest = before[-1].number if before else 0

            def wanted(entry: InboxEntry) -> bool:
                activity = entry.payload["activity"]
                sender = activity.get("from")
                if activity.get("type") != "message" or entry.number <= newest:
                    return False
                return sender_id is None or (isinstance(sender, Mapping) and sender.get("id") == sender_id)

            await send()
            self._obey(self._lanes.ask(work, wanted))
            await asyncio.wait({future}, timeout=timeout)
            if not future.done():
                raise AskTimeoutError(f"Nobody answered within {timeout:g} s.")
            entry = future.result()
            self._settle_answer(work, entry)
            return _message(entry)
        finally:
            future.cancel()
            look_at(future)
            del self._asks[work]
            self._lanes.ask(work, None)

    async def drain(self, seconds: float) -> None:
        """Wait until no turn runs or waits, for `seconds` at most. Turns that ask are told that no answer
        comes any more."""
        for future in self._asks.values():
            if not future.done():
                future.set_exception(ShuttingDownError("The App is stopping: no answer can come any more."))
        self._draining = True
        deadline = self._now() + seconds
        while self._busy and (left := deadline - self._now()) > 0:
            self._calm = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._calm}, timeout=left)

    @property
    def _busy(self) -> bool:
        return bool(self._tasks or self._chores or self._accepting)

    def _calmed(self) -> None:
        """Something ended: maybe it was the last that `drain` waits for."""
        if self._calm is not None and not self._calm.done() and not self._busy:
            self._calm.set_result(None)

    async def shut_down(self, seconds: float, finalize: float = FINALIZE_SECONDS) -> None:
        """Cancel what runs, give back what waits, and return when all is over: after `seconds` at most, of
        which `finalize` are for finalizing streams and the rest for the handlers to clean up."""
        self._shutting_down = self._lanes.closing = True
        for turn in self._running.values():
            turn.abort(AbortReason.SHUTDOWN, finalize)
        await self.drain(seconds)
        if stuck := list(self._tasks):
            self._logger.error("%d turns did not end in %g s after they were cancelled.", len(stuck), seconds)
        for loop in self._loops:
            loop.cancel()
        await self._end([*stuck, *self._chores, *self._loops])
        if not self._inbox.durable and (held := (await self._inbox.statistics()).held):
            self._logger.error(
                "%d activities were accepted but never handled: the bot stopped before their turn came. "
                "SQLiteState and RedisState keep them.",
                held,
            )

    async def held(self) -> InboxStatistics:
        """How many activities wait or run, in all processes."""
        return await self._inbox.statistics()

    # Accepting

    def _place(self, claim: Claim, turn: Turn, place: Place, asked: float) -> Admitted:
        if place.lease is not None:
            if self._inbox.durable:
                self._claims.held(place.lease, asked)
            self._enter(place)
        elif not self._lanes.holds(claim.lane):
            self._unwait(claim.lane, claim.key)  # another process works on it
        self._obey(self._lanes.feed(Placed(place)))
        if not self._inbox.durable and self._shutting_down:
            # It came in while the App stopped. The service keeps what is not acknowledged.
            raise ShuttingDownError("The App has stopped.")
        known = self._by_key.get(claim.key) is turn or claim.key in self._waiting.get(claim.lane, ())
        return turn if known else self._nothing_to_do()

    def _repeat(self, claim: Claim, activity: Mapping[str, Any], known: Duplicate) -> Admitted:
        """What to answer to an activity that was delivered before."""
        self._logger.info(
            "The activity %.64r of type %.64r was delivered before, and is not handled again.",
            activity.get("id"),
            activity.get("type"),
        )
        if activity.get("type") != "invoke" and not expects_replies(activity):
            return self._nothing_to_do()
        if (turn := self._by_key.get(claim.key)) is not None:
            return turn
        repeated = self._nothing_to_do()
        if known.settled:
            repeated.answered = _done(_stored(known.response))
        else:
            repeated.answered = asyncio.get_running_loop().create_future()
            self._spawn(self._await_response(claim, repeated.answered))
        return repeated

    async def _await_response(self, claim: Claim, answered: asyncio.Future[InvokeResponse[Any]]) -> None:
        """Wait for the response that another process gives."""
        deadline = self._now() + self._invoke_seconds
        while self._now() < deadline:
            await asyncio.sleep(RETRY_SECONDS)
            known = await self._inbox.lookup(claim.key, claim.lane)
            if known is None or known.settled:
                answered.set_result(_stored(None if known is None else known.response))
                return

    @staticmethod
    def _nothing_to_do() -> Repeated:
        return Repeated(_done(InvokeResponse()), _done(None))

    def _unwait(self, lane: str, key: str) -> Turn | None:
        """Take a turn from those that wait."""
        turns = self._waiting.get(lane)
        if turns is None:
            return None
        turn = turns.pop(key, None)
        if not turns:
            del self._waiting[lane]
        return turn

    def _forget(self, lane: str) -> None:
        """The lane is not in the hands of this process any more: what waits in it is another's."""
        if not self._lanes.holds(lane):
            for key, turn in list(self._waiting.get(lane, {}).items()):
                if key not in self._accepting:
                    self._unwait(lane, key)
                    turn.drop(refused=not self._inbox.durable)

    # Doing what the lanes say

    def _obey(self, actions: list[Action]) -> None:
        for action in actions:  # not by `match`: each message pays for this
            if isinstance(action, Run):
                # Not in the context of the turn whose end may have led to this.
                self._context.copy().run(self._begin, action.work, action.skipped)
            elif isinstance(action, Lose):
                self._context.copy().run(partial(self._begin, action.work, lost=True))
            elif isinstance(action, Abort):
                self._abort(action.work, lost=action.lost)
            elif isinstance(action, Give):
                self._give(action.work, action.entry)
            else:
                self._spawn(self._consult(action))

    async def _consult(self, action: Settle | Look) -> None:
        """What takes a question to the inbox."""
        lease = action.work.lease
        try:
            if isinstance(action, Settle):
                await self._settle(action)
            else:
                entries = await self._insist(lease, lambda: self._inbox.entries(lease, LOOK_MOST))
                self._obey(self._lanes.feed(Looked(action.work, entries)))
        except LeaseLostError:
            self._gone(lease)
        except StateUnavailableError as error:
            self._logger.error("What became of a turn was not recorded: %s", error)
            self._gone(lease)
        except Exception:
            self._logger.exception("What became of a turn could not be recorded.")
            self._gone(lease)
        self._forget(lease.name)

    async def _settle(self, action: Settle) -> None:
        work, lease, asked = action.work, action.work.lease, self._now()
        first: InboxEntry | None = None
        if action.done:
            turn = self._running.pop(work, None)
            if action.skipped and (skipped := self._unwait(lease.name, work.entry.key)) is not None:
                skipped.drop()
            response = turn.stored_response() if turn is not None else None
            given = turn.response if turn is not None else None
            forget = forgets(work.entry.payload["activity"], None if given is None else given.status)
            note = self._leave(work)
            first = await self._insist(
                lease,
                lambda: self._inbox.settle(
                    lease, work.entry.key, response=response, note=note, release=action.release, forget=forget
                ),
            )
        else:
            await self._insist(lease, lambda: self._inbox.release(lease))
        if first is None:
            self._claims.dropped(lease)
        elif self._inbox.durable:
            self._claims.held(lease, asked)
        self._obey(self._lanes.feed(Followed(lease, first)))

    def _give(self, work: Work, entry: InboxEntry) -> None:
        """Give the turn of `work` the entry that it asked for. That is settled when the turn has taken it."""
        future = self._asks.get(work)
        if future is not None and not future.done():
            future.set_result(entry)

    def _settle_answer(self, work: Work, entry: InboxEntry) -> None:
        waiting = self._unwait(entry.lane, entry.key)
        former = self._giving.get(work)

        async def settle() -> None:
            if former is not None:
                await asyncio.wait({former})
            try:
                await self._insist(work.lease, lambda: self._inbox.settle(work.lease, entry.key))
            except LeaseLostError:
                self._gone(work.lease)
            finally:
                if waiting is not None:
                    waiting.drop()

        # The turn must not end before: what follows it is not this entry.
        self._giving[work] = self._spawn(settle())

    async def _insist(self, lease: Lease, question: Callable[[], Awaitable[T]]) -> T:
        """Ask the inbox until it answers, for as long as the lease lasts."""
        while True:
            try:
                return await question()
            except StateUnavailableError:
                if not self._claims.valid(lease, self._now()):
                    raise
                await asyncio.sleep(RETRY_SECONDS)

    def _gone(self, lease: Lease) -> None:
        self._claims.dropped(lease)
        self._obey(self._lanes.feed(Gone(lease)))
        self._forget(lease.name)

    def _lost(self, work: Work) -> None:
        """A turn found out that its lease is gone."""
        self._gone(work.lease)

    def _abort(self, work: Work, *, lost: bool) -> None:
        turn = self._running.get(work)
        if turn is None:
            return
        if lost:
            turn.context.copy().run(
                self._logger.warning,
                "A turn is cancelled: its conversation's lease was lost, or could not be renewed in time.",
            )
            turn.abort(AbortReason.LOST)
        else:
            turn.abort(AbortReason.INTERRUPT, INTERRUPT_SECONDS)

    # Turns

    def _begin(self, work: Work, skipped: tuple[InboxEntry, ...] = (), *, lost: bool = False) -> None:
        entry = work.entry
        turn = self._unwait(entry.lane, entry.key)
        if self._inbox.durable and not self._claims.valid(work.lease, self._now()):
            # The inbox was so slow to answer that another process may have the lane by now.
            self._gone(work.lease)
            self._obey(self._lanes.feed(Ended(work)))
            if turn is not None:
                turn.drop()
            return
        # Nobody waits any more for the answer to an invoke whose process died: the user has seen a failure.
        lost = lost or (entry.taken > 0 and entry.payload["activity"].get("type") == "invoke")
        course: Coroutine[Any, Any, None]
        if lost and _reported(entry.intent):
            self._logger.error("A turn died while it was being reported as lost: it is given up.")
            course = self._end_of(work, turn)
        else:
            try:
                turn = turn or self._revive(entry.payload)
                turn.begin(work, tuple(_message(former) for former in skipped))
                if lost:
                    turn.resume(_progress(entry.intent))
            except Exception:
                self._logger.exception("An activity of the inbox cannot be handled: it is given up.")
                course = self._end_of(work, turn)
            else:
                self._running[work] = self._by_key[entry.key] = turn
                if self._shutting_down:
                    turn.abort(AbortReason.SHUTDOWN)
                course = self._drive(turn, work, partial(turn.run, partial(self._leave_behind, turn, work)))
        self._start(course, work, turn)

    def _start(self, course: Coroutine[Any, Any, None], work: Work, turn: Turn | None) -> None:
        task = asyncio.create_task(course, context=None if turn is None else turn.context)
        self._tasks[task] = work
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        self._left.discard(task)
        self._chores.discard(task)
        self._calmed()

    async def _drive(self, turn: Turn, work: Work, course: Callable[[], Awaitable[bool]]) -> None:
        try:
            whole = await course()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # the lane must move on in any case
            self._logger.exception("A turn broke.")
            whole = True
        if whole:
            await self._end_of(work, turn)

    def _leave_behind(self, turn: Turn, work: Work) -> None:
        """The handlers of a turn do not end: the turn goes on without them, in another task."""
        task = next(task for task, known in self._tasks.items() if known is work)
        del self._tasks[task]
        self._left.add(task)
        self._start(self._drive(turn, work, turn.finish), work, turn)

    async def _end_of(self, work: Work, turn: Turn | None) -> None:
        """The turn is over. The lane must move on in any case."""
        if (giving := self._giving.pop(work, None)) is not None:
            await asyncio.wait({giving})
        again = turn is not None and turn.unfinished
        actions = self._lanes.feed(Ended(work, done=not again, seen=turn is None or not turn.unseen))
        try:
            for action in actions:
                assert isinstance(action, Settle)
                await self._consult(action)
        finally:
            self._running.pop(work, None)
            if turn is not None:
                if self._by_key.get(work.entry.key) is turn:
                    del self._by_key[work.entry.key]
                turn.drop()

    # The loops

    async def _beat(self) -> None:
        leases, asked = self._claims.leases, self._now()
        if not leases or (asked < self._beat_at and not self._lanes.attentive):
            return
        self._beat_at = asked + self._claims.beat
        works = [self._lanes.work(lease) for lease in leases]
        held = await self._inbox.renew(leases)
        self._reached()
        for lease in self._claims.renewed(leases, held, asked):
            self._gone(lease)
        if self._lanes.attentive:
            for work in works:
                if work is not None and held.get(work.lease.name):
                    self._obey([Look(work)])

    async def _reap(self) -> None:
        if self._draining or not self.takes_over:
            return
        asked = self._now()
        places = await self._inbox.take(self._owner, self._claims.seconds, REAP_MOST)
        self._reached()
        for place in places:
            assert place.lease is not None
            self._claims.held(place.lease, asked)
            self._enter(place)
            self._obey(self._lanes.feed(Placed(place)))

    def _reached(self) -> None:
        if self._unreachable:
            self._unreachable = False
            self._logger.warning("The state can be reached again.")

    async def _watch(self) -> None:
        for lease in self._claims.expired(self._now()):
            self._gone(lease)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await asyncio.sleep(seconds)
                await work()
            except StateUnavailableError as error:
                if not self._unreachable:
                    self._unreachable = True
                    self._logger.error(
                        "The state cannot be reached: turns go on while their leases last. %s", error
                    )
            except Exception:
                self._logger.exception("Looking after the leases failed; it is tried again.")

    # Handing over

    def _enter(self, place: Place) -> None:
        if place.note is None:
            return
        conversation_id = _conversation_id(place.entry)
        try:
            if conversation_id:
                self._handover.enter(conversation_id, place.note)
        except Exception:
            self._logger.exception("What another process left of a conversation's pace cannot be read.")

    def _leave(self, work: Work) -> bytes | None:
        conversation_id = _conversation_id(work.entry)
        return self._handover.leave(conversation_id) if self._inbox.durable and conversation_id else None

    # Tasks

    def _spawn(self, chore: Awaitable[None], context: Context | None = None) -> asyncio.Task[None]:
        task = asyncio.create_task(self._logged(chore), context=context)
        self._chores.add(task)
        task.add_done_callback(self._ended)
        return task

    async def _logged(self, chore: Awaitable[None]) -> None:
        try:
            await chore
        except Exception:
            self._logger.exception("Something beside a turn failed.")

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _done(value: T) -> asyncio.Future[T]:
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


def _message(entry: InboxEntry) -> MessageActivity:
    activity = teams.parse_activity(dict(entry.payload["activity"]))
    assert isinstance(activity, teams.MessageActivity)  # nothing else is skipped, or given to those who ask
    return activity


def _conversation_id(entry: InboxEntry) -> str:
    conversation = entry.payload["activity"].get("conversation")
    id_ = conversation.get("id") if isinstance(conversation, Mapping) else None
    return id_ if isinstance(id_, str) else ""


def _progress(intent: bytes | None) -> dict[str, Any]:
    return {} if intent is None else dict(json.loads(intent))


def _reported(intent: bytes | None) -> bool:
    return LOST in _progress(intent)


def _stored(response: bytes | None) -> InvokeResponse[Any]:
    """The response that an entry was settled with; a process that died left none."""
    if response is None:
        return FAILED
    data = json.loads(response)
    return InvokeResponse(data["status"], data["body"])
