"""`Agent`: a model with instructions and tools."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload
from uuid import uuid4

from .agent_response import AgentResponse
from .agent_stream import AgentStream
from .arguments import as_messages, kind_of
from .background import Background, Pace
from .clients.client import ModelClient
from .limits import RunLimits
from .message import Message
from .run import Run
from .tools import Tool, ToolFunction, as_tool

if TYPE_CHECKING:
    from cadenza.events import StreamEvent

    from .continuation import ContinuationToken
    from .run_progress import RunProgress
    from .session import AgentSession
    from .turn_filter import TurnFilter

__all__ = ["Agent"]

RunT = TypeVar("RunT", bound=Run)

logger = logging.getLogger(__name__)


class Agent:
    """A model with instructions and tools, which answers messages.

        agent = Agent(OpenAIResponsesClient("gpt-5"), "You are brief.", tools=[search])
        response = await agent.run("What is new?", session=session)

    `tools` are typed functions or `Tool`s. `options` go to the provider with each request, as its API names
    them. An agent keeps nothing between its runs, so one serves all conversations: what is said is in an
    `AgentSession`.
    """

    def __init__(
        self,
        client: ModelClient,
        instructions: str = "",
        *,
        name: str = "agent",
        tools: Sequence[Tool | ToolFunction] = (),
        limits: RunLimits | None = None,
        options: Mapping[str, Any] | None = None,
        token_secret: bytes | str | None = None,
        token_seconds: float | None = 3600.0,
        background_fallback: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if isinstance(client, type) or not isinstance(client, ModelClient):
            raise TypeError(
                "An agent needs a model's client, with `provider` and `stream()`, as in "
                f"Agent(OpenAIResponsesClient('gpt-5')), not {kind_of(client)}"
            )
        if inspect.iscoroutinefunction(client.stream) or inspect.isgeneratorfunction(client.stream):
            raise TypeError(
                f"{type(client).__name__}.stream() must be an async generator: `async def` with `yield`"
            )
        self.client = client
        self.instructions = instructions
        self.name = name
        self.limits = limits or RunLimits()
        self.options = dict(options or {})
        self.tools: dict[str, Tool] = {}
        for given in tools:
            made = as_tool(given)
            if made.name in self.tools:
                raise ValueError(f"Two tools of the agent {name!r} have the name {made.name!r}")
            self.tools[made.name] = made
        self._background = Background(self, secret=token_secret, seconds=token_seconds)
        self._background_fallback = background_fallback
        self._clock = clock

    @overload
    def run(
        self,
        message: str | Message | Sequence[Message] | None = None,
        *,
        session: AgentSession | None = None,
        stream: Literal[True],
        background: bool = False,
        final_turn_only: bool = False,
        filter: TurnFilter | None = None,
        continuation_token: str | ContinuationToken | Mapping[str, Any] | None = None,
        resume: Literal["append", "replay"] = "append",
        run_id: str | None = None,
        progress: RunProgress | None = None,
        on_progress: Callable[[RunProgress], Awaitable[None]] | None = None,
        raw: bool = False,
        keep_updates: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> AgentStream: ...

    @overload
    def run(
        self,
        message: str | Message | Sequence[Message] | None = None,
        *,
        session: AgentSession | None = None,
        stream: Literal[False] = False,
        background: bool = False,
        final_turn_only: bool = False,
        filter: TurnFilter | None = None,
        continuation_token: str | ContinuationToken | Mapping[str, Any] | None = None,
        resume: Literal["append", "replay"] = "append",
        run_id: str | None = None,
        progress: RunProgress | None = None,
        on_progress: Callable[[RunProgress], Awaitable[None]] | None = None,
        raw: bool = False,
        keep_updates: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> Coroutine[Any, Any, AgentResponse]: ...

    @overload
    def run(
        self,
        message: str | Message | Sequence[Message] | None = None,
        *,
        session: AgentSession | None = None,
        stream: bool,
        background: bool = False,
        final_turn_only: bool = False,
        filter: TurnFilter | None = None,
        continuation_token: str | ContinuationToken | Mapping[str, Any] | None = None,
        resume: Literal["append", "replay"] = "append",
        run_id: str | None = None,
        progress: RunProgress | None = None,
        on_progress: Callable[[RunProgress], Awaitable[None]] | None = None,
        raw: bool = False,
        keep_updates: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> AgentStream | Coroutine[Any, Any, AgentResponse]: ...

    def run(
        self,
        message: str | Message | Sequence[Message] | None = None,
        *,
        session: AgentSession | None = None,
        stream: bool = False,
        background: bool = False,
        final_turn_only: bool = False,
        filter: TurnFilter | None = None,
        continuation_token: str | ContinuationToken | Mapping[str, Any] | None = None,
        resume: Literal["append", "replay"] = "append",
        run_id: str | None = None,
        progress: RunProgress | None = None,
        on_progress: Callable[[RunProgress], Awaitable[None]] | None = None,
        raw: bool = False,
        keep_updates: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> AgentStream | Coroutine[Any, Any, AgentResponse]:
        """Answer `message`.

        With `stream=True` it returns an `AgentStream` of the events at once, and nothing is done before the
        stream is iterated; otherwise a coroutine of the `AgentResponse`.

        `session`: the conversation that this belongs to; what is said is saved there when the run ends, by
        the outcome. Without one the run knows of nothing before it, and leaves nothing.
        `final_turn_only`: the reader gets the text of the last turn alone, the same as
        `filter=TurnFilter("final")`; history has all of it.
        `run_id`: a name of your own for the run, otherwise a new one.
        `on_progress`: is awaited with how far the run has come: after each turn's events, before the first of
        its tools is begun; before each further one of the `sequential` tools; and after each tool's result,
        before its event is given. What it raises ends the run, and no more calls are made. `progress`: go on
        from there, given the same message and session, maybe in another process; not with `background`.
        There is no RunStarted then, and no event of the turns that are whole, but all ToolResults of the
        newest of them. Calls that were begun and have no result are not made again, and the model is told
        that they were interrupted; the limits count on. The response has all text and messages, but its
        citations, attachments and suggestions are those of the rest alone. In the session the run begins
        anew, and takes the place of what was there under its id.
        `raw`: give the provider's own events, too.
        `background`: the provider goes on while nobody is connected. With a stream each event has a
        continuation token; without one the run is begun, and the response comes back at once, with a status
        and a token. Raises BackgroundUnsupported where the client cannot; with the agent's
        `background_fallback` the run is made in the foreground. That its tools are called once, whoever goes
        on with it, needs a session: without one this agent alone remembers which were called, and in another
        process an old token calls those that came after it again.
        `continuation_token`: go on with a background run, without a message and in the same session. With a
        stream: with what comes after the token's place, or, with `resume="replay"` or where the provider can
        do no more, with a Text that takes back the turn under way, and all of that turn. While a filter
        holds text, the tokens stay where that text begins: who leaves then gets no further by resuming.
        Without a stream: one look, which returns what `poll` would, or a response with the status and a
        token. Raises TokenInvalid, TokenMismatch and TokenExpired.
        `keep_updates`: keep all events that were given, in `updates`.
        `options`: for the provider; they go before those of the agent.
        """
        messages = () if message is None else as_messages(message, "run()")
        _check(session)
        filter = _filter(final_turn_only, filter)
        if resume not in ("append", "replay"):
            raise ValueError(f"run(resume={resume!r}): it is 'append' or 'replay'")
        if continuation_token is not None:
            if message is not None or run_id is not None or progress is not None or on_progress is not None:
                raise ValueError(
                    "A continuation token stands for its message, run_id and progress: give it alone"
                )
            token = self._background.parse(continuation_token, session)
            if not stream:
                return self._background.look(token, session=session, filter=filter, raw=raw, options=options)
            resumed = self._background.resume(token, session=session, resume=resume, raw=raw, options=options)
            return self._stream(resumed, filter, keep_updates)
        if background and (progress is not None or on_progress is not None):
            raise ValueError("A background run has its continuation tokens instead of a progress")
        if message is None and session is None:
            raise ValueError("run() needs a message, or a session whose messages are to be answered")
        if progress is not None:
            from .run_progress import RunProgress

            if not isinstance(progress, RunProgress):
                raise TypeError(
                    f"progress= takes a RunProgress, not {kind_of(progress)}: RunProgress.from_dict(...)"
                )
            if run_id not in (None, progress.run_id):
                raise ValueError(f"run(run_id={run_id!r}): the progress is of the run {progress.run_id!r}")
            run_id = progress.run_id
        run_id = run_id or uuid4().hex
        if progress is not None or on_progress is not None:
            from .resumable_run import ResumableRun

            run: Run = self._run(
                ResumableRun,
                run_id,
                session,
                input=messages,
                raw=raw,
                options=options,
                progress=progress,
                on_progress=on_progress,
            )
        elif background and (self._background.supported or not self._background_fallback):
            run = self._background.run(
                run_id, session, look=not stream, input=messages, raw=raw, options=options
            )
        else:
            run = self._run(Run, run_id, session, input=messages, raw=raw, options=options)
            if background:
                logger.warning(
                    "the client %r cannot answer in the background: the run is made in the foreground",
                    self.client.provider,
                )
        made = self._stream(run, filter, keep_updates)
        return made if stream else whole_response(made)

    async def poll(
        self,
        continuation_token: str | ContinuationToken | Mapping[str, Any],
        *,
        session: AgentSession | None = None,
        interval: float = 2.0,
        backoff: float = 1.5,
        max_interval: float = 30.0,
        deadline: float | None = None,
        on_status: Callable[[AgentResponse], object] | None = None,
        final_turn_only: bool = False,
        filter: TurnFilter | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> AgentResponse:
        """Look at a background run until it is over; tools that it waits for are run on the way.

        The second look comes `interval` seconds after the first, and each further pause is `backoff` times
        as long, up to `max_interval`. `on_status` (sync or async) gets the response of each look that finds
        the run not over, with its status and the newest token. `deadline`: after so many seconds it raises
        TimeoutError, and the run goes on. To cancel the poll does not cancel the run.

        Raises RunFailed, RunCancelled and RunIncomplete, with what came of the run as `partial` (with what
        the session's `HistoryPolicy` keeps of it, where the run was over before this look); TokenExpired
        where the provider has forgotten the response; and ModelError where it cannot be reached.
        """
        _check(session)
        filter = _filter(final_turn_only, filter)
        token = self._background.parse(continuation_token, session)
        return await self._background.poll(
            token,
            session=session,
            pace=Pace(interval, backoff, max_interval, deadline),
            on_status=on_status,
            filter=filter,
            options=options,
        )

    async def cancel(
        self,
        continuation_token: str | ContinuationToken | Mapping[str, Any],
        *,
        session: AgentSession | None = None,
    ) -> None:
        """Stop a background run, at its provider too. To cancel it again, or one that is over, does nothing.

        Where a stream or poll is at this run just then, it calls no more tools and begins no turn. It sees
        that when one of the calls that are going on ends or says something: those that are not over are
        cancelled then. Until then this waits, as long as the session does.
        """
        _check(session)
        await self._background.cancel(self._background.parse(continuation_token, session), session=session)

    def _run(
        self,
        kind: Callable[..., RunT],
        run_id: str,
        session: AgentSession | None,
        *,
        options: Mapping[str, Any] | None = None,
        **rest: Any,
    ) -> RunT:
        """A run of this agent."""
        return kind(
            self.client,
            id=run_id,
            agent=self.name,
            instructions=self.instructions,
            tools=self.tools,
            limits=self.limits,
            options={**self.options, **(options or {})},
            session=session,
            **rest,
        )

    @staticmethod
    def _stream(run: Run, filter: TurnFilter | None, keep_updates: bool = False) -> AgentStream:
        run.filtered = filter is not None
        events: AsyncIterator[StreamEvent] = run.events()
        if filter is not None:
            events = filter.apply(events, token=run.continuation_token)
        return AgentStream(run, events, keep_updates=keep_updates)


async def whole_response(stream: AgentStream) -> AgentResponse:
    """What `run` gives to be awaited. Who takes it for a stream meets its name in the error."""
    async with stream:
        return await stream.final()


def _check(session: AgentSession | None) -> None:
    """Refuse what would fail in the midst of the run, where nobody sees who gave it."""
    if session is not None:
        from .session import AgentSession

        if not isinstance(session, AgentSession):
            raise TypeError(
                f"session= takes an AgentSession, not {kind_of(session)}: AgentSession(id, state=...)"
            )


def _filter(final_turn_only: bool, filter: TurnFilter | None) -> TurnFilter | None:
    """What the reader gets less through; None where it gets all."""
    if filter is None and not final_turn_only:
        return None
    from .turn_filter import TurnFilter

    if filter is None:
        return TurnFilter("final")
    if not isinstance(filter, TurnFilter):
        raise TypeError(f"filter= takes a TurnFilter, not {kind_of(filter)}: TurnFilter('final')")
    if final_turn_only:
        raise ValueError('final_turn_only=True is filter=TurnFilter("final"): give one of the two')
    return None if filter.passes_all else filter
