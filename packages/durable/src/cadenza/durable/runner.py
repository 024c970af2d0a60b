"""`Runner`: starts runs of agents, makes them or has workers make them, and reads what comes of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar
from uuid import uuid4

from cadenza.agents import (
    Agent,
    AgentResponse,
    AgentSession,
    Message,
    RunCancelled,
    RunFailed,
    RunIncomplete,
)
from cadenza.agents.arguments import as_messages, kind_of
from cadenza.agents.turn_filter import TurnFilter
from cadenza.events import Outcome, StreamEvent
from cadenza.state import MemoryState, State, StateError

from .conversation import follow_conversation
from .cursor import encode_cursor
from .endings import CANCELLED, tombstone_of
from .errors import DurableError, RunNotFound
from .jobs import Jobs
from .log_entries import encode_entry
from .log_reader import LogReader
from .memory_log import MemoryLog
from .reaper import Reaper
from .registry import AgentFunction, Apology, Recovery, Registration, Source
from .run_fold import RunFold
from .run_handle import RunHandle, RunStatus, status_word
from .run_request import RunRequest
from .session_order import run_after
from .stream_log import CancelMode, RunHead, StreamLog
from .worker import Worker

if TYPE_CHECKING:
    from taskiq import AsyncBroker

__all__ = ["Runner"]

logger = logging.getLogger("cadenza.durable")

SEND_SECONDS = 10.0
"""How long a broker may take for a job before it is given up: the reapers find the run. Ours."""

CLOSE_SECONDS = 1.0
"""For how long `close` waits for jobs that are on their way to the broker. Ours."""

S = TypeVar("S", bound=Source)


class _Opened(Protocol):
    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Runner:
    """Runs of agents that outlive the process which started them.

        runner = Runner(SQLiteLog("runs.db"), [agent])
        async with runner:
            run = await runner.start(agent, "Plan my trip", run_id="trip-1")
            async for event in run.attach():
                ...

    Without a `broker` the runs are made in this process, from `start_up` to `close`, those that another left
    in the same `log` included. A runner without any agents makes none: it is a client of those that do. With
    a broker of taskiq (the Redis streams of taskiq-redis, say), runs are made by processes that `work()`, as
    `cadenza worker module:runner` does, and whoever else has a Runner starts and reads them.

    `state`: where sessions are kept; by default in memory, where the log is. `recovery`: what becomes of a
    run whose worker died, for agents that do not say it themselves: "fail" (it ends as lost), "restart",
    "provider" (the provider's background response is resumed), "journal" (completed tool calls are not made
    again). `lease_seconds`: for how long a worker may be silent before another takes its run over; it gives
    a sign of life three times in that time, and then learns of a cancel. `reap_seconds`: how often a worker
    looks for runs without one. `shutdown_seconds`: how long a worker that is to stop lets its runs go on.
    `max_runs`: how many a worker makes at once. `session_options`: for each `AgentSession`.

    Runs of one session are made in the order in which they were started, one at a time; the others wait, and
    keep no worker busy meanwhile. So one that no worker can make holds up its session, until it is cancelled.

    What it starts it closes: the log and the state, but for one that is started already, as that of an App
    is. So of several Runners on one log or state in a process, let the first to start be the last to close.

    All workers of a log need the same agents, under the same names.
    """

    def __init__(
        self,
        log: StreamLog,
        agents: Iterable[Source] = (),
        *,
        state: State | None = None,
        broker: AsyncBroker | None = None,
        recovery: Recovery = "fail",
        lease_seconds: float = 10.0,
        reap_seconds: float = 1.0,
        shutdown_seconds: float = 10.0,
        max_runs: int = 100,
        session_options: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(log, type) or not hasattr(log, "due"):
            raise TypeError(f"Runner takes a log, as SQLiteLog('runs.db') is, not {kind_of(log)}.")
        if state is not None and not (hasattr(state, "store") and hasattr(state, "leases")):
            raise TypeError(
                "Runner(state=...) takes a state, as app.state or SQLiteState('bot.db'), not "
                f"{kind_of(state)}."
            )
        if isinstance(agents, (Agent, str)) or not isinstance(agents, Iterable):
            raise TypeError(
                f"Runner takes a list of agents, as in Runner(log, [agent]), not {kind_of(agents)}."
            )
        for option, value in (
            ("lease_seconds", lease_seconds),
            ("reap_seconds", reap_seconds),
            ("shutdown_seconds", shutdown_seconds),
            ("max_runs", max_runs),
        ):
            if not isinstance(value, int if option == "max_runs" else (int, float)):
                raise TypeError(f"Runner({option}={value!r}) takes a number, not {kind_of(value)}.")
        if not lease_seconds > 0 or not reap_seconds > 0 or not shutdown_seconds >= 0 or max_runs < 1:
            raise ValueError(
                f"Runner(lease_seconds={lease_seconds}, reap_seconds={reap_seconds}, "
                f"shutdown_seconds={shutdown_seconds}, max_runs={max_runs}): lease_seconds and reap_seconds "
                "must be more than 0, shutdown_seconds not less than 0, and max_runs at least 1."
            )
        if state is None and isinstance(log, MemoryLog):
            state = MemoryState()
        self.log = log
        self.state = state
        self._recovery: Recovery = recovery
        self._lease_seconds = lease_seconds
        self._reap_seconds = reap_seconds
        self._shutdown_seconds = shutdown_seconds
        self._max_runs = max_runs
        self._session_options = dict(session_options or {})
        self._registrations: dict[str, Registration] = {}
        self._jobs = Jobs(broker, self._do)
        self._worker: Worker | None = None
        self._reaping: asyncio.Task[None] | None = None
        self._serving: set[asyncio.Task[Any]] = set()
        """What `work` waits for, where it was called."""
        self._warned = False
        self._sending: set[asyncio.Task[None]] = set()
        self._opened = False
        self._opening = asyncio.Lock()
        self._mine: list[_Opened] = []
        """What this has started, and closes."""
        for agent in agents:
            self.add(agent)

    # Agents

    @property
    def agents(self) -> tuple[str, ...]:
        """The names of those that this runner has."""
        return tuple(self._registrations)

    def add(
        self,
        agent: S,
        *,
        name: str | None = None,
        recovery: Recovery | None = None,
        fallback: Source | None = None,
        apology: Apology | None = None,
        max_attempts: int = 3,
    ) -> S:
        """Know an agent, or a function as `agent` describes, and return it.

        `name`: what runs know it by, the same in all processes; by default its own. `recovery`: instead of
        the runner's. `fallback`: who answers where it fails. `apology`: what the reader is told where a run
        is lost or interrupted, or a function that makes it of the run's head. `max_attempts`: a run that this
        many workers died with is lost, whatever `recovery` says.
        """
        registration = Registration(
            name if name is not None else _name(agent),
            agent,
            recovery=recovery or self._recovery,
            fallback=fallback,
            apology=apology,
            max_attempts=max_attempts,
        )
        if registration.name in self._registrations:
            raise ValueError(
                f"Two agents of this Runner have the name {registration.name!r}: give one another, as in "
                "add(agent, name='other')."
            )
        self._registrations[registration.name] = registration
        if self._opened and self._jobs.local:
            self._begin_work()
        return agent

    def agent(
        self,
        *,
        name: str | None = None,
        recovery: Recovery | None = None,
        fallback: Source | None = None,
        apology: Apology | None = None,
        max_attempts: int = 3,
    ) -> Callable[[AgentFunction], AgentFunction]:
        """Know a function as an agent: an async generator that takes a `RunContext`, and yields text and
        events.

            @runner.agent(name="clock")
            async def clock(ctx):
                yield "It is late."
        """

        def known(function: AgentFunction) -> AgentFunction:
            return self.add(
                function,
                name=name,
                recovery=recovery,
                fallback=fallback,
                apology=apology,
                max_attempts=max_attempts,
            )

        return known

    # Its life

    @property
    def started(self) -> bool:
        """Whether it was started, and not closed since."""
        return self._opened

    async def start_up(self) -> None:
        """Start the log and the state, and, without a broker, begin to work. A second call does nothing.
        Where it fails, all is closed again."""
        async with self._opening:
            if self._opened:
                return
            try:
                await self._start(self.log)
                if self.state is not None:
                    await self._start(self.state)
            except BaseException:
                await self._close_mine()
                raise
            self._opened = True
            if self._jobs.local and self.agents:
                self._begin_work()

    async def close(self, seconds: float | None = None) -> None:
        """Stop to work, as `work` does when it is cancelled, disconnect from the broker, and close what was
        started. `seconds`: for how long runs may go on, instead of `shutdown_seconds`. May be called more
        than once."""
        async with self._opening:
            if not self._opened:
                return
            self._opened = False
            try:
                await self._end_work(self._shutdown_seconds if seconds is None else seconds)
                if self._sending:
                    await asyncio.wait(self._sending, timeout=CLOSE_SECONDS)
            finally:
                for task in self._sending:
                    task.cancel()
                try:
                    await asyncio.gather(*self._sending, return_exceptions=True)
                    await self._jobs.close()
                finally:
                    await self._close_mine()

    async def _start(self, one: _Opened) -> None:
        if not getattr(one, "started", False):
            self._mine.append(one)
            await one.start()

    async def _close_mine(self) -> None:
        while self._mine:
            one = self._mine.pop()
            try:
                await one.close()
            except Exception:
                logger.exception("%s could not be closed", type(one).__name__)

    async def __aenter__(self) -> Self:
        await self.start_up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def work(self) -> None:
        """Work on runs until this is cancelled, or the Runner closed: those that the broker brings, and those
        whose worker is gone.

        When that happens it takes no more, lets what it is at go on for up to `shutdown_seconds`, and
        leaves the rest to other workers, or ends it as interrupted where nobody may go on ("fail").
        """
        if not self.agents:
            raise ValueError("This Runner has no agents to work with: Runner(log, [agent]), or add(agent).")
        opens = not self._opened
        await self.start_up()
        begins = self._begin_work()  # False: without a broker it works while it is open, whoever calls this
        if not begins and not self._jobs.local:
            raise RuntimeError("This Runner works already: work() is called once in a process.")
        serving = asyncio.create_task(
            asyncio.Event().wait() if self._jobs.local else self._jobs.receive(self._max_runs)
        )
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        try:
            await asyncio.wait([serving])
            if not serving.cancelled():
                serving.result()
        finally:
            _cancel_once(serving)
            if opens:
                await self.close()
            elif begins:
                await self._end_work(self._shutdown_seconds)

    # Runs

    async def start(
        self,
        agent: Agent | AgentFunction | str,
        message: str | Message | Sequence[Message],
        *,
        session: str | AgentSession | None = None,
        run_id: str | None = None,
        conversation_id: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> RunHandle:
        """Begin a run, and return at once; it goes on whether anybody reads it or not.

        `agent`: one that was added, or its name. `session`: the conversation that it belongs to; of an
        object only the id counts, since the run's worker has it from its own state. It begins when those of
        that session which were started before it are over (their order is known within one
        `conversation_id`; those of another one are not made at the same time). `run_id`: a name of your
        own: to start the same under the same name again is to get the run that there is. `conversation_id`:
        what `runs_of` finds it by, by default the session's id. `options`: for the provider, JSON.

        Raises RunConflict where there is a run of that name with another agent, message, session or options.
        """
        self._check_open()
        session_id = session.id if isinstance(session, AgentSession) else session
        if session_id is not None:
            self._check_session(session_id)
        messages = as_messages(message, "A run")
        if not messages:
            raise ValueError("A run takes a str, a Message, or a list of Messages; this list is empty.")
        request = RunRequest(self._name_of(agent), messages, session_id, dict(options or {}))
        run_id = run_id if run_id is not None else uuid4().hex
        if not run_id or not isinstance(run_id, str):
            raise ValueError(f"start(run_id={run_id!r}): it is a str, and not empty.")
        _, created = await self.log.create(
            run_id,
            request.encode(),
            conversation_id=conversation_id if conversation_id is not None else session_id,
        )
        if created:
            self._send(run_id)
            if not self.log.shared and not self.agents and not self._warned:
                self._warned = True
                logger.warning(
                    "This Runner has no agents, and its log is in the memory of this process: its runs wait "
                    "until another Runner here has the agent %r and this log. Processes share a SQLiteLog or "
                    "a RedisLog.",
                    request.agent,
                )
        return RunHandle(self, run_id)

    def run(self, run_id: str) -> RunHandle:
        """A run that was started, here or elsewhere. That there is one is not looked up."""
        return RunHandle(self, run_id)

    def attach(
        self,
        run_id: str,
        after: str | Literal["now"] | None = None,
        *,
        follow: bool = True,
        deadline: float | None = None,
        lost_after: float | None = 30.0,
        filter: TurnFilter | None = None,
    ) -> LogReader:
        """Read a run, from its start or after a cursor; the options are as `LogReader` has them. Who stops
        reading does not cancel the run; `cancel()` of the reader does."""
        self._check_open()
        return LogReader(
            self.log,
            run_id,
            after=after,
            follow=follow,
            deadline=deadline,
            lost_after=lost_after,
            filter=filter,
            on_cancel=lambda: self.cancel(run_id),
        )

    def follow(
        self,
        conversation_id: str,
        *,
        run_id: str | None = None,
        after: str | None = None,
        follow: bool = True,
        lost_after: float | None = 30.0,
        filter: TurnFilter | None = None,
    ) -> AsyncGenerator[StreamEvent]:
        """Read the runs of a conversation one after the other, and newer ones as they come: see
        `follow_conversation`."""
        self._check_open()
        return follow_conversation(
            self.log,
            conversation_id,
            run_id=run_id,
            after=after,
            follow=follow,
            lost_after=lost_after,
            filter=filter,
        )

    async def status(self, run_id: str) -> RunStatus:
        """Raises RunNotFound, and DurableError for a run that no Runner has started, or one of a newer
        version."""
        self._check_open()
        head = await self.log.head(run_id)
        request = await self._request(run_id)
        end = head.tombstone
        return RunStatus(
            run_id,
            agent=request.agent,
            session_id=request.session_id,
            conversation_id=head.conversation_id,
            status=status_word(head),
            attempts=head.attempts,
            cursor=encode_cursor(run_id, head.incarnation, head.last),
            cancelling=head.cancel if end is None else None,
            outcome=end.outcome if end else None,
            error=end.error if end else None,
            message=end.message if end else None,
        )

    async def result(
        self, run_id: str, timeout: float | None = None, *, lost_after: float | None = 30.0
    ) -> AgentResponse:
        """Wait for the end of a run, and return what it came to.

        Raises RunFailed (with the code "lost" where its worker was lost), RunCancelled and RunIncomplete
        (also where the beginning of its events is not kept any more), all with the `partial` response;
        TimeoutError after `timeout` seconds; LogExpired; and ProducerLost where its worker is gone, and none
        has taken it over for `lost_after` seconds (None: wait on). One that no worker has begun yet is waited
        for: `timeout` bounds that. DurableError as `status` does.
        """
        request = await self._request(run_id)
        fold = RunFold(run_id, session_id=request.session_id)
        try:
            async with self.attach(run_id, deadline=timeout, lost_after=lost_after) as reader:
                async for event in reader:
                    fold.apply(event)
        except TimeoutError as error:
            head = reader.head
            if timeout is None or head is None or head.epoch or head.tombstone is not None:
                raise
            raise TimeoutError(
                f"Nobody was seen to begin the run {run_id!r} within {timeout:g} s: is there a worker that "
                f"has the agent {request.agent!r}, and the same log? Or is an earlier run of its session not "
                "over?"
            ) from error
        return _checked(run_id, fold)

    async def cancel(self, run_id: str, mode: CancelMode = "now") -> None:
        """Stop a run: "now", or "after_turn", when its turn's answer and tools are done. Its worker learns of
        it with its next sign of life, a third of the lease's seconds later, or at once where it is this
        process. One that nobody has begun is over with this. To cancel it again, or when it is over, does
        nothing. Raises RunNotFound."""
        self._check_open()
        if mode not in ("now", "after_turn"):
            raise ValueError(f"cancel(mode={mode!r}): it is 'now' or 'after_turn'.")
        head = await self.log.cancel(run_id, mode, encode_entry([CANCELLED]), tombstone_of(CANCELLED))
        if self._worker is not None:
            await self._worker.look(run_id)
        if head.epoch == 0:  # no worker had it, which would look for the next of its session
            self._spawn(self._send_next(head), run_id)

    async def delete(self, run_id: str) -> None:
        """Forget a run: all that the log has of it, at once, whether it is over or not. Its worker stops with
        its next sign of life, and those who read it get LogExpired. What its session remembers stays:
        `AgentSession.clear` forgets that. One that does not exist is no error."""
        self._check_open()
        await self.log.delete(run_id)
        if self._worker is not None:
            await self._worker.look(run_id)

    async def runs_of(self, conversation_id: str, *, limit: int = 100) -> list[RunHandle]:
        """The runs of a conversation, the newest first."""
        self._check_open()
        found = await self.log.runs_of(conversation_id, limit=limit, newest_first=True)
        return [RunHandle(self, run.run_id) for run in found]

    # Inside

    def _begin_work(self) -> bool:
        """False: that was done already."""
        if self._worker is not None:
            return False
        worker = self._worker = Worker(
            self.log,
            self._registrations,
            state=self.state,
            lease_seconds=self._lease_seconds,
            session_options=self._session_options,
            most=self._max_runs,
        )
        reaper = Reaper(
            self.log,
            seconds=self._reap_seconds,
            postpone=self._lease_seconds,
            room=lambda: worker.room,
            take=worker.begin,
        )
        self._reaping = asyncio.create_task(reaper.run(), name="cadenza reaper")
        return True

    async def _end_work(self, seconds: float) -> None:
        """Returns when this works on nothing any more, for each of those who call it; the shortest time of
        theirs counts."""
        worker = self._worker
        # First, so that no job comes from a broker that nobody works for, nor is it asked again when closed.
        bringing = [*self._serving, *([] if self._reaping is None else [self._reaping])]
        for task in bringing:
            _cancel_once(task)
        try:
            await asyncio.gather(*bringing, return_exceptions=True)
        except asyncio.CancelledError:
            seconds = 0.0
            raise
        finally:
            try:
                if worker is not None:
                    await worker.close(seconds)
            finally:
                if self._worker is worker:
                    self._worker = self._reaping = None

    async def _do(self, run_id: str) -> None:
        """A job that the broker brought."""
        if self._worker is not None:
            await self._worker.do(run_id)

    def _send(self, run_id: str) -> None:
        """Tell workers of the run, and do not wait for that: who starts it has nothing from it."""
        if not self._jobs.local:
            self._spawn(self._send_job(run_id), run_id)
        elif self._worker is not None:
            self._worker.begin(run_id)
        # else a worker finds it in the log

    def _spawn(self, work: Coroutine[Any, Any, None], run_id: str) -> None:
        """`work` raises nothing."""
        task = asyncio.create_task(work, name=f"cadenza job {run_id}")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send_next(self, head: RunHead) -> None:
        """Tell workers of the run that waited for this one, if there is one."""
        try:
            request = RunRequest.decode(await self.log.meta(head.run_id))
            after = await run_after(self.log, head, request.session_id) if request.session_id else None
            if after is not None:
                self._send(after)
        except (StateError, RunNotFound, ValueError):
            logger.debug("what waits for run %r is found by a reaper", head.run_id, exc_info=True)

    async def _send_job(self, run_id: str) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._jobs.send(run_id)
        except Exception as error:  # of any broker
            logger.warning(
                "run %r could not be handed to the broker (%s): a worker finds it in the log",
                run_id,
                type(error).__name__,
            )

    async def _request(self, run_id: str) -> RunRequest:
        self._check_open()
        try:
            return RunRequest.decode(await self.log.meta(run_id))
        except ValueError as error:
            raise DurableError(f"It is not known what the run {run_id!r} is to do: {error}") from error

    def _name_of(self, agent: Source | str) -> str:
        names = [
            name for name, registration in self._registrations.items() if agent in (registration.source, name)
        ]
        if names:
            return names[0]
        if self.agents or not isinstance(agent, (str, Agent)):
            given = repr(agent) if isinstance(agent, str) else f"this {type(agent).__name__}"
            known = ", ".join(map(repr, self.agents)) or "none"
            raise ValueError(
                f"This Runner does not have {given}, but {known}: give it to Runner(log, [agent]), or add it."
            )
        return agent if isinstance(agent, str) else agent.name  # the workers have it

    def _check_open(self) -> None:
        if not self._opened:
            raise RuntimeError(
                "This Runner is not started, or closed: use it within `async with runner:`, or await "
                "runner.start_up() first."
            )

    def _check_session(self, session_id: str) -> None:
        if not isinstance(session_id, str) or not session_id:
            raise ValueError(
                f"start(session=...) takes an AgentSession or its id, a str that is not empty, not "
                f"{session_id!r}."
            )
        if self.state is None and self.agents:
            raise ValueError(
                f"The session {session_id!r} needs a place: give the Runner a state that its workers share, "
                f"as in Runner(log, state=SQLiteState('sessions.db'))."
            )


def _checked(run_id: str, fold: RunFold) -> AgentResponse:
    """The response of a run that is complete; raises for any other."""
    end, response = fold.ended, fold.response()
    outcome = Outcome.INTERRUPTED if end is None else end.outcome
    said = f": {end.message}".removesuffix(".") if end is not None and end.message else ""
    if outcome == Outcome.COMPLETED and not fold.gap:
        return response
    if outcome == Outcome.COMPLETED:
        raise RunIncomplete(
            f"The run {run_id!r} is complete, but the beginning of its events is not kept any more.",
            reason="gap",
            partial=response,
        )
    if outcome == Outcome.CANCELLED:
        raise RunCancelled(f"The run {run_id!r} was cancelled.", partial=response)
    if outcome == Outcome.LOST:
        raise RunFailed(f"The worker of the run {run_id!r} was lost{said}.", code="lost", partial=response)
    if outcome == Outcome.FAILED:
        code = end.error if end is not None else None
        raise RunFailed(f"The run {run_id!r} failed ({code}){said}.", code=code, partial=response)
    raise RunIncomplete(f"The run {run_id!r} was interrupted{said}.", reason="interrupted", partial=response)


def _cancel_once(task: asyncio.Task[Any]) -> None:
    """A second cancel would not let it end in good order."""
    if not task.cancelling():
        task.cancel()


def _name(agent: Source) -> str:
    name = getattr(agent, "name", None) or getattr(agent, "__name__", None)
    return name if isinstance(name, str) and name != "<lambda>" else ""
