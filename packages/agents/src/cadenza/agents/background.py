"""Background runs: begun at once, and then looked at, polled, resumed or cancelled by their tokens."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cadenza.events import AnswerText, Outcome, RunEnded, StreamEvent, TurnStarted

from .agent_response import AgentResponse
from .background_run import BackgroundRun
from .clients.client import BackgroundClient, ModelReply
from .continuation import ContinuationToken, ResumeMode, TokenIssuer
from .errors import (
    BackgroundUnsupported,
    ModelError,
    RunCancelled,
    RunError,
    RunFailed,
    RunIncomplete,
    SessionBusy,
    TokenExpired,
)
from .history import RunRecord
from .repair import repair
from .run_notes import Notes, PrivateSessions, RunMemory
from .session import AgentSession
from .turn_record import events_of

if TYPE_CHECKING:
    from .agent import Agent
    from .turn_filter import TurnFilter

__all__ = ["Background", "Pace"]

MOST_ERRORS = 3
"""After so many looks in a row that failed, though they may succeed later, a poll gives up. Ours."""


@dataclass(frozen=True, slots=True)
class Pace:
    """When a poll looks. Pure: seconds since its start go in, seconds to wait come out."""

    interval: float = 2.0
    backoff: float = 1.5
    max_interval: float = 30.0
    deadline: float | None = None

    def __post_init__(self) -> None:
        if self.interval <= 0 or self.max_interval <= 0:
            raise ValueError(f"A poll needs intervals of more than 0 seconds: {self}")
        if self.backoff < 1:
            raise ValueError(f"A poll's backoff is {self.backoff}: it must be at least 1")

    def wait(self, looks: int, elapsed: float) -> float | None:
        """How long to wait after the `looks`-th look, from 1; None where the deadline has come. The last wait
        ends at the deadline, so that there is a look then."""
        seconds = self.interval
        for _ in range(looks - 1):
            if seconds >= self.max_interval:
                break
            seconds *= self.backoff
        seconds = min(seconds, self.max_interval)
        if self.deadline is None:
            return seconds
        left = self.deadline - elapsed
        return min(seconds, left) if left > 0 else None


class Background:
    """The background runs of one agent."""

    def __init__(self, agent: Agent, *, secret: bytes | str | None, seconds: float | None) -> None:
        self._agent = agent
        self._secret = secret
        self._seconds = seconds
        self._private = PrivateSessions()

    @property
    def supported(self) -> bool:
        """Whether the agent's client can answer in the background."""
        return isinstance(self._agent.client, BackgroundClient)

    @property
    def client(self) -> BackgroundClient:
        """The agent's client. Raises BackgroundUnsupported where it cannot answer in the background."""
        client = self._agent.client
        if not isinstance(client, BackgroundClient):
            raise BackgroundUnsupported(
                f"The client {client.provider!r} cannot answer in the background: use one that can, such as "
                "OpenAIResponsesClient, or make the agent with background_fallback=True"
            )
        return client

    def parse(
        self, value: str | ContinuationToken | Mapping[str, Any], session: AgentSession | None
    ) -> ContinuationToken:
        """The token, if it may be used. Raises TokenInvalid, TokenMismatch and TokenExpired."""
        token = ContinuationToken.parse(value, secret=self._secret)
        token.check(
            agent=self._agent.name,
            provider=self.client.provider,
            session_id=None if session is None else session.id,
            now=self._agent._clock(),
        )
        return token

    def resume(
        self, token: ContinuationToken, *, session: AgentSession | None, resume: ResumeMode, **run: Any
    ) -> BackgroundRun:
        """What comes after the token's place."""
        only = token.resume_mode == "replay" or self.client.resumes_by == "replay"
        begun = token.stage != "start" or token.skip > 0
        replay = begun and (resume == "replay" or only)
        return self.run(token.run_id, session, look=False, token=token, replay=replay, **run)

    async def look(
        self,
        token: ContinuationToken,
        *,
        session: AgentSession | None,
        filter: TurnFilter | None,
        **how: Any,
    ) -> AgentResponse:
        """How the run is doing. Goes on with it where it waits for tools, and comes back at once where it
        waits for its provider. Raises what it ended with."""
        memory = RunMemory(self._private, session)
        record = await memory.find(token)
        notes = Notes.of(record)
        partial = _response(record, session, filter)
        if record.outcome is Outcome.CANCELLED:
            raise RunCancelled(f"The run {token.run_id} was cancelled", partial=partial)
        if record.outcome is Outcome.FAILED:
            raise RunFailed(
                notes.message or f"The run {token.run_id} has failed", code=notes.error, partial=partial
            )
        found = None
        newest = notes.newest
        note = notes.turns[newest]
        if record.outcome is None and note.stop_reason is None:
            reply = await self.client.retrieve(note.cursor)
            if reply.status in ("queued", "in_progress"):
                next_token = self._issuer(token.run_id, session).issue(
                    newest, "start", note.cursor, 0, self._agent._clock()
                )
                return replace(partial, status=reply.status, continuation_token=next_token)
            found = (newest, reply)
        run = self.run(token.run_id, session, look=True, token=token, found=found, **how)
        stream = self._agent._stream(run, filter)
        try:
            async with stream:
                response = await stream.final()
        except RunError as error:
            error.partial = stream.partial().result
            raise
        except ModelError as error:
            if not run.failed:
                raise
            raise RunFailed(str(error), code=error.code, partial=stream.partial().result) from error
        if response.status == "incomplete":
            reason = run.notes.error or response.raw_reason
            raise RunIncomplete(
                f"The run {token.run_id} stopped early: {reason}", reason=reason, partial=response
            )
        return response

    async def poll(
        self,
        token: ContinuationToken,
        *,
        session: AgentSession | None,
        pace: Pace,
        on_status: Callable[[AgentResponse], object] | None,
        **how: Any,
    ) -> AgentResponse:
        """Look until the run is over."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        looks = errors = 0
        response: AgentResponse | None = None
        while True:
            looks += 1
            try:
                response = await self.look(token, session=session, **how)
                errors = 0
            except SessionBusy:
                pass  # whoever has the session may be the one who goes on with this run
            except ModelError as error:
                errors += 1
                if not error.retryable or errors >= MOST_ERRORS:
                    raise
            else:
                if response.continuation_token is None:
                    return response
                token = ContinuationToken.parse(response.continuation_token, secret=self._secret)
                if on_status is not None:
                    told = on_status(response)
                    if inspect.isawaitable(told):
                        await told
            wait = pace.wait(looks, loop.time() - began)
            if wait is None:
                status = "not known" if response is None else response.status
                raise TimeoutError(
                    f"The run {token.run_id} was not over after {pace.deadline:g} s (status: {status}). It "
                    "goes on, and its token is still good: poll again."
                )
            await asyncio.sleep(wait)

    async def cancel(self, token: ContinuationToken, *, session: AgentSession | None) -> None:
        """Stop a run. Whoever goes on with it sees that before its next call or turn, or hears it from the
        provider; and if nobody does, the run is over with this."""
        memory = RunMemory(self._private, session)
        await memory.find(token)
        await self.end(memory, token.run_id, wait=True)

    async def end(self, memory: RunMemory, run_id: str, *, wait: bool) -> None:
        """The same for a run that is noted. `wait`: for its session, to save there that it is over. Raises
        TokenExpired where it is not noted any more."""
        record = await memory.ask_to_cancel(run_id)
        if record.outcome is not None:
            return
        cursor = await self._stop(record)
        if not wait:
            return
        try:
            held = await memory.reopen(run_id)
        except SessionBusy:
            return
        try:
            record = held.record
            if record.outcome is not None:
                return
            notes = Notes.of(record)
            note = notes.turns[notes.newest]
            if note.cursor != cursor:
                await self._stop(record)
            messages = list(record.messages)
            if note.stop_reason is None:
                reply = await self._left(note.cursor)
                if reply is not None:
                    if reply.status in ("completed", "incomplete", "failed") and not reply.message.tool_calls:
                        return  # it was over before
                    if reply.message.parts:
                        messages.append(replace(reply.message, status="interrupted"))
            notes.status = "cancelled"
            await held.save(Outcome.CANCELLED, repair(messages), background=notes.to_dict())
        finally:
            await held.release()

    async def _stop(self, record: RunRecord) -> Mapping[str, Any]:
        """Stop the newest response of a run."""
        notes = Notes.of(record)
        cursor = notes.turns[notes.newest].cursor
        with suppress(TokenExpired):  # what the provider has forgotten does not go on
            await self.client.cancel(cursor)
        return cursor

    async def _left(self, cursor: Mapping[str, Any]) -> ModelReply | None:
        try:
            return await self.client.retrieve(cursor)
        except (TokenExpired, ModelError):
            return None

    def run(self, run_id: str, session: AgentSession | None, *, look: bool, **run: Any) -> BackgroundRun:
        """A run, new or from where it is. `look`: what is not over is not waited for."""
        memory = RunMemory(self._private, session)
        return self._agent._run(
            BackgroundRun,
            run_id,
            session,
            memory=memory,
            end=functools.partial(self.end, memory, run_id),
            issuer=self._issuer(run_id, session),
            clock=self._agent._clock,
            look=look,
            **run,
        )

    def _issuer(self, run_id: str, session: AgentSession | None) -> TokenIssuer:
        client = self.client
        return TokenIssuer(
            run_id=run_id,
            agent=self._agent.name,
            provider=client.provider,
            session_id=None if session is None else session.id,
            resume_mode=client.resumes_by,
            seconds=self._seconds,
            secret=self._secret,
        )


def _response(record: RunRecord, session: AgentSession | None, filter: TurnFilter | None) -> AgentResponse:
    """What a record has of a run. Its text is what `filter` would have shown of it so far."""
    notes = Notes.of(record)
    text = AnswerText()
    feed = None if filter is None else filter.core().feed
    for event in _events(record, notes):
        for shown in (event,) if feed is None else feed(event, 0.0):
            text.apply(shown)
    return AgentResponse(
        record.run_id,
        text=text.text,
        messages=record.messages,
        session_id=None if session is None else session.id,
        status=notes.status,
    )


def _events(record: RunRecord, notes: Notes) -> Iterator[StreamEvent]:
    """What a reader would have got of a record: as far as a filter asks for it."""
    turn = notes.first
    for said in record.messages:
        if said.role != "assistant":
            continue
        yield TurnStarted(turn)
        yield from events_of(said)
        turn += 1
    if record.outcome is not None:
        yield RunEnded(record.outcome)
    elif turn <= notes.newest:
        yield TurnStarted(turn)
