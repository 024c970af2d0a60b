"""`TurnFilter`: of all that an agent says between its tools, show the last turn.

Whether a turn is the last one is said by nothing but what follows it: a model may stop with "end_turn" and be
called again, and a tool may end a run. So the text of a turn is held until it is decided:

    what comes next                                       policy final         policy status
    a tool call                                           held                 held, and said as a Status
    a later turn                                          dropped              dropped; a Status, if none yet
    the run ends: RunEnded, the end, an exception         shown, and then that
    the turn begins anew: AttemptSuperseded, TurnStarted  discarded
      with a greater attempt, or of an earlier turn

and it is shown live, chunk by chunk as it came, from the moment on that it is known to be the answer:

    the provider says so: phase "final_answer"            unless phase=False
    the turn may call no tools: TurnStarted.tools False
    so many characters, or seconds, without a tool call   lookahead_chars, lookahead_seconds
    more is held than max_held_chars

Text of the phase "commentary" is not the answer, and is shown only where nothing else would be. Each scope is
filtered for itself. Events that are not filtered are given at once, in their order.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast, overload

from cadenza.events import AnswerText, Citation, StreamEvent, Text

from .agent_response import AgentResponse
from .closing import close_source
from .response_stream import ResponseStream
from .turn_filter_core import Decision, TurnFilterCore, TurnStatistics, TurnView

__all__ = [
    "Decision",
    "FilteredEvents",
    "Share",
    "TurnFilter",
    "TurnFilterCore",
    "TurnPolicy",
    "TurnStatistics",
    "TurnView",
]

TurnPolicy: TypeAlias = Literal["all", "final", "status"]
Share: TypeAlias = Literal["all", "final", "none"]
"""Of reasoning or citations: all of them as they come, those of what is shown, or none."""

FinalT = TypeVar("FinalT")

MOST_HELD_CHARS = 100_000
"""Ours: longer than answers are, and little memory."""


class TurnFilter:
    """Which text of an agent's turns is shown. One filter serves any number of streams.

        agent.run("...", stream=True, filter=TurnFilter("status"))
        async for event in TurnFilter("final").apply(events): ...

    `policy`: "all" (nothing is filtered), "final" (the last turn), "status" (the last turn; what is said
    before tools comes as Status events), or a function of a `TurnView` that returns "release" (show the turn
    from here on), "drop", "status", or "hold": that decides nothing, and the rules of "final" go on. It is
    asked at each text, tool call and end of a turn that is not decided, and must be quick.

    `phase`: whether to believe what a provider says of its text. Without it commentary is like other text.
    `lookahead_chars`, `lookahead_seconds`: show a turn once so much text of it is there, or has waited for so
    long, without a tool call. A tool call that comes later takes nothing back, and a Status names it. Time is
    looked at when an event comes.
    `reasoning`, `citations`: "all" of them, at once; "final": those of text that is shown, with it; "none".
    By default reasoning goes as the text does, and so do citations that point into it (`start`); others,
    those of tools for instance, are for the whole answer and pass. Where they point is corrected for
    commentary that was left out. With the policy "all", "final" is refused.
    `raw`: whether `Raw` events pass. They would tell what is held: without it none does.
    `max_held_chars`: a turn of which more would be held is shown. Of a run's memory, no more than this.

    Raises ValueError for a policy or setting that there is not, or settings that do not go together.
    """

    def __init__(
        self,
        policy: TurnPolicy | Callable[[TurnView], Decision] = "final",
        *,
        phase: bool = True,
        lookahead_chars: int | None = None,
        lookahead_seconds: float | None = None,
        reasoning: Share | None = None,
        citations: Share | None = None,
        raw: bool = False,
        max_held_chars: int = MOST_HELD_CHARS,
    ) -> None:
        if not callable(policy) and policy not in ("all", "final", "status"):
            raise ValueError(
                f"There is no policy {policy!r}: it is 'all', 'final', 'status' or a function of a TurnView."
            )
        for name, share in (("reasoning", reasoning), ("citations", citations)):
            if share not in (None, "all", "final", "none"):
                raise ValueError(f"{name}={share!r}: it is 'all', 'final' or 'none'.")
            if policy == "all" and share == "final":
                raise ValueError(
                    f"{name}='final' with the policy 'all', which shows all turns: 'all' or 'none'."
                )
        for name, least in (("lookahead_chars", lookahead_chars), ("max_held_chars", max_held_chars)):
            if least is not None and least < 1:
                raise ValueError(f"{name} is {least}: it must be at least 1")
        if lookahead_seconds is not None and lookahead_seconds < 0:
            raise ValueError(f"lookahead_seconds is {lookahead_seconds}: it must not be negative")
        self.policy = policy
        self.phase = phase
        self.lookahead_chars = lookahead_chars
        self.lookahead_seconds = lookahead_seconds
        self.reasoning = reasoning
        self.citations = citations
        self.raw = raw
        self.max_held_chars = max_held_chars

    def __repr__(self) -> str:
        name = self.policy if isinstance(self.policy, str) else getattr(self.policy, "__name__", "a function")
        return f"TurnFilter({name!r})"

    @property
    def passes_all(self) -> bool:
        """Whether it filters nothing at all."""
        return self.policy == "all" and self.reasoning in (None, "all") and self.citations in (None, "all")

    def core(self, token: str | None = None) -> TurnFilterCore:
        """What filters one run, without a stream around it. `token`: from where the run was resumed."""
        return TurnFilterCore(self, token)

    @overload
    def apply(self, source: ResponseStream[StreamEvent, FinalT]) -> ResponseStream[StreamEvent, FinalT]: ...

    @overload
    def apply(
        self, source: AsyncIterable[StreamEvent], *, token: str | None = None
    ) -> AsyncIterator[StreamEvent]: ...

    def apply(self, source: Any, *, token: str | None = None) -> Any:
        """The events of `source` that are shown.

        Of a `ResponseStream`: a stream whose outcome, errors and closing are those of `source`; the text and
        citations of its `AgentResponse` are what was shown, and `messages` stay whole. Of any other source:
        `FilteredEvents`. Closing the result closes the source. With the policy "all": `source` itself.
        `token`: from where these events go on, where that is a background run.

        Where the source raises, what is held comes first and the exception after it; not where this task is
        cancelled, or the result is closed: then nobody is there any more.
        """
        if self.passes_all:
            return source
        if isinstance(source, ResponseStream):
            return _filter_stream(self, source)
        return FilteredEvents(self.core(token), source)


class FilteredEvents(AsyncIterator[StreamEvent]):
    """The events of a source that a filter shows. Closing it closes the source."""

    def __init__(self, core: TurnFilterCore, source: AsyncIterable[StreamEvent]) -> None:
        self._core = core
        self._source = source
        self._events = _filtered(core, source, closes=True)

    @property
    def statistics(self) -> tuple[TurnStatistics, ...]:
        """What became of each turn so far."""
        return self._core.statistics

    def __aiter__(self) -> AsyncIterator[StreamEvent]:  # a call less per event
        return self._events

    async def __anext__(self) -> StreamEvent:
        return await anext(self._events)

    async def aclose(self) -> None:
        """Close the source. What is held is not given any more."""
        try:
            await self._events.aclose()
        finally:  # nothing of it may have run yet, and then it closes nothing
            await close_source(self._source)


async def _filtered(
    core: TurnFilterCore, source: AsyncIterable[StreamEvent], *, closes: bool
) -> AsyncGenerator[StreamEvent]:
    iterator = aiter(source)
    feed = core.feed
    clock = time.monotonic if core.timed else None
    try:
        async for event in iterator:
            for shown in feed(event, clock() if clock is not None else 0.0):
                yield shown
    except Exception:
        for shown in core.finish():
            yield shown
        raise
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or not task.cancelling():  # not us: the source's own work was cancelled
            for shown in core.finish():
                yield shown
        raise
    else:
        for shown in core.finish():
            yield shown
    finally:
        if closes:
            await close_source(iterator)


def _filter_stream(
    rules: TurnFilter, source: ResponseStream[StreamEvent, FinalT]
) -> ResponseStream[StreamEvent, FinalT]:
    events = _filtered(rules.core(), source, closes=False)  # the stream around it closes the one inside
    if source._gives_updates:
        return source._around(events, finalizer=cast("Any", tuple) if source._keep else None)
    return source._around(events, reducer=_Released(source))


class _Released(Generic[FinalT]):
    """What the stream inside came to, with the text and the citations that were shown."""

    def __init__(self, source: ResponseStream[StreamEvent, FinalT]) -> None:
        self._source = source
        self._answer = AnswerText()
        self._citations: list[tuple[int, Citation]] = []

    def add(self, update: StreamEvent) -> None:
        if isinstance(update, Citation):
            if not update.scope:
                self._citations.append((self._answer.turn, update))
        elif not isinstance(update, Text) and (first := self._answer.void_from(update)) is not None:
            self._citations = [item for item in self._citations if item[0] < first]
        self._answer.apply(update)

    def result(self) -> FinalT:
        whole: Any = self._source._result()
        if isinstance(whole, AgentResponse):
            citations = tuple(citation for _, citation in self._citations)
            whole = dataclasses.replace(whole, text=self._answer.text, citations=citations)
        return cast("FinalT", whole)
