"""`Delivery`: one run on its way to one conversation, in the hands of this process.

Its record says all that another process needs to go on: which run, where to, and a `HttpStream.snapshot()`,
which is saved before each request and after each answer. A process that takes the record over writes its name
into it first: whoever had it before can save nothing from then on, and so sends nothing.

Going on is not repeating: the log is read from its start, and once all that was there by then has been seen,
the answer as it stands is put in place of what the message was last to show. What extends that goes on in the
same message; what contradicts it (an attempt was superseded meanwhile) edits it; what is only a part of it
(a filter that looks at the time holds the rest) waits for more. Where events are gone, the message stays as
it is until an attempt says all of it again, or the run ends. An answer that was being finalized already is
only finalized: its snapshot has all of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cadenza.api import Account, ConversationReference, MessageActivityInput, TypingActivityInput
from cadenza.apps import App, HttpStream, StreamCancelledError
from cadenza.apps.stream import AbortReason
from cadenza.apps.stream.answer import PipedAnswer
from cadenza.events import AttemptSuperseded, Gap, Outcome, RunEnded, StreamEvent
from cadenza.state import ConflictError, Lease, State, StateUnavailableError

from .errors import ReadError, RunNotFound

if TYPE_CHECKING:
    from cadenza.agents import TurnFilter
    from cadenza.api import SentActivity

    from .runner import Runner

__all__ = ["Delivery", "ForeignRecordError", "Record"]

logger = logging.getLogger(__name__)

QUIET_SECONDS = 2.0
"""How long a delivery that is left waits for the answer of its request. Ours."""

AGAIN_SECONDS = 1.0
"""How long a log that is away is left alone before it is asked again. Ours."""

RECORD_VERSION = 1


@dataclass(slots=True)
class Record:
    """What is kept of a delivery that is not over, as JSON."""

    run_id: str
    to: dict[str, Any]
    """A `ConversationReference`."""
    separator: str
    ai_label: bool
    recipient: dict[str, Any] | None
    snapshot: dict[str, Any] | None = None
    """None: nothing was sent yet."""
    owner: str = ""
    """Who may write this."""
    breaks: int = 0
    """How often it broke: by an error that nobody knows, not by what ends or was away."""

    def encode(self) -> bytes:
        return json.dumps({"version": RECORD_VERSION, **asdict(self)}).encode()

    @classmethod
    def decode(cls, data: bytes) -> Record:
        """Raises ForeignRecordError where another Cadenza wrote it."""
        try:
            fields = json.loads(data)
            if (version := fields.pop("version")) == RECORD_VERSION:
                return cls(**fields)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ForeignRecordError(f"not one that this process can read ({error})") from error
        raise ForeignRecordError(f"of version {version}, and this process knows {RECORD_VERSION}")


class ForeignRecordError(Exception):
    """A record that another version of Cadenza wrote: for the processes of that one."""


class Delivery:
    """See the head of this module. To be used once: `run` or `give_up`, and `leave` meanwhile."""

    def __init__(
        self,
        app: App,
        runner: Runner,
        state: State,
        key: str,
        lease: Lease,
        record: Record,
        version: int,
        *,
        asked: float,
        filter: TurnFilter | None,
        apology: str,
    ) -> None:
        """`lease`: asked for at the loop's time `asked`. `record`: at `version` under `key`, and ours."""
        self._runner = runner
        self._state = state
        self._key = key
        self._lease = lease
        self._record = record
        self._version = version
        self._until = asked + lease.seconds
        self._filter = filter
        self._apology = apology
        self._gone = False
        """Whether it is another's, or to be: nothing is sent or saved any more."""
        self._leaving = False
        self._stopped = False
        self._quiet = asyncio.Event()
        """Set while no request is under way."""
        self._quiet.set()
        self._following: asyncio.Task[bool] | None = None
        self._main: asyncio.Task[SentActivity | None] | None = None
        ref = ConversationReference.received(record.to)
        recipient = None if record.recipient is None else Account.received(record.recipient)
        stream = app.stream(ref, recipient=recipient, journal=self._note, snapshot=record.snapshot)
        assert isinstance(stream, HttpStream)  # that of a plugin's channel takes no journal
        stream.on_stop(self._stop)
        self._stream = stream

    async def run(self) -> SentActivity | None:
        """Show the run to its end, and return the message; None where the user has stopped it, or there was
        nothing to show. Raises CancelledError where it was left, or lost to another; StreamDeliveryError;
        and StateUnavailableError where a Stop could not be passed on, so that it is to be tried again."""
        return await self._hold(self._deliver())

    async def give_up(self) -> SentActivity | None:
        """End the message as it is, with the apology. Returns and raises what `run` does."""
        return await self._hold(self._give_up())

    async def _hold(self, work: Coroutine[Any, Any, SentActivity | None]) -> SentActivity | None:
        """Do it while the lease is held."""
        main = self._main = asyncio.create_task(work)
        beating = asyncio.create_task(self._beat())
        try:
            await asyncio.wait({main, beating}, return_when=asyncio.FIRST_COMPLETED)
            if not main.done():
                if (error := beating.exception()) is not None:
                    logger.warning("The lease of a delivery cannot be kept: %s", error)
                self._abandon()
            return await main
        finally:
            self._abandon()
            beating.cancel()
            await asyncio.gather(main, beating, return_exceptions=True)

    async def leave(self) -> None:
        """Send nothing more, and leave the message as it is, for the next process to go on with. Waits a
        moment for the answer of the request under way."""
        self._leaving = True
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                await self._quiet.wait()
        except TimeoutError:
            logger.info("a request of a delivery was left without its answer")
        self._abandon()

    def _abandon(self) -> None:
        if self._gone or self._main is None or self._main.done():
            return
        self._gone = True
        # Nothing is sent by this, and nobody need wait for it: the stream forgets what it had to say.
        ending = asyncio.ensure_future(self._stream.finish(AbortReason.LOST))
        ending.add_done_callback(_look_at)
        self._main.cancel()

    # The record

    async def _note(self, snapshot: dict[str, Any]) -> None:
        """The journal of the stream. Raises where the request must not be made."""
        begins = snapshot["machine"]["in_flight"] is not None
        if self._gone or (begins and (self._leaving or _now() >= self._until)):
            raise asyncio.InvalidStateError("this delivery is no longer in the hands of this process")
        self._record.snapshot = snapshot
        if begins:
            self._quiet.clear()
            try:
                await self._save()
                if self._gone:
                    raise asyncio.InvalidStateError("this delivery was lost meanwhile")
            except BaseException:
                self._quiet.set()
                raise
            return
        try:
            await self._save()
        finally:
            self._quiet.set()

    async def _save(self) -> None:
        store, key, data = self._state.store, self._key, self._record.encode()
        try:
            self._version = await store.put(key, data, expected=self._version)
        except ConflictError:
            # It is another's, unless this is what came of a write of ours whose answer was lost.
            item = await store.get(key)
            if item is None or Record.decode(item.value).owner != self._record.owner:
                self._abandon()
                raise
            self._version = await store.put(key, data, expected=item.version)

    async def _beat(self) -> None:
        """Keep the lease. Returns when it is lost."""
        while True:
            await asyncio.sleep(self._lease.seconds / 3)
            asked = _now()
            try:
                async with asyncio.timeout_at(self._until):
                    if not await self._state.leases.renew(self._lease):
                        return
            except (StateUnavailableError, TimeoutError):
                if _now() >= self._until:
                    return
            else:
                self._until = asked + self._lease.seconds

    # The answer

    async def _deliver(self) -> SentActivity | None:
        stream = self._stream
        if stream.canceled or stream.closing:
            return await self._end()
        retelling = None if self._record.snapshot is None else _Retelling(stream)
        answer = PipedAnswer(
            retelling or stream,
            separator=self._record.separator,
            ai_label=self._record.ai_label,
            suggests=not stream.ref.conversation.is_group,
        )
        self._following = asyncio.create_task(self._follow(answer, retelling))
        well = True
        try:
            well = await self._following
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._stopped or (task is not None and task.cancelling()):
                raise
        except StreamCancelledError:
            self._stopped = True
        if not self._stopped:
            # From here to the closing without a pause: what goes with the end is saved as the end, or not at
            # all, so that nobody gives it to the message twice.
            answer.end(failed=not answer.complete)
            if retelling is not None:
                retelling.end()
            if not well:
                self._apologize()
        return await self._end()

    async def _give_up(self) -> SentActivity | None:
        if not (self._stream.canceled or self._stream.closing):
            self._apologize()
        return await self._end()

    def _apologize(self) -> None:
        if self._apology:
            text = self._stream.text
            self._stream.emit(("" if not text or text[-1].isspace() else "\n\n") + self._apology)

    async def _end(self) -> SentActivity | None:
        if self._stream.canceled:
            self._stopped = True
        sent = await self._stream.close()
        if self._stopped:
            try:
                await self._runner.cancel(self._record.run_id)
            except RunNotFound:
                logger.debug("a run that was stopped is not known any more")
        return sent

    def _stop(self) -> None:
        """The user pressed Stop."""
        if not self._gone:
            self._stopped = True
            if self._following is not None:
                self._following.cancel()

    async def _follow(self, answer: PipedAnswer, retelling: _Retelling | None) -> bool:
        """Show what the run says, until it ends. Returns whether the user then knows what became of it."""
        events = self._events(retelling)
        shown = events if self._filter is None else self._filter.apply(events)
        whole, well = True, False
        try:
            async with aclosing(shown):  # type: ignore[type-var]
                async for event in shown:
                    if isinstance(event, Gap):
                        whole = False
                        if retelling is not None:
                            retelling.lacks = True
                    elif event.scope:
                        pass
                    elif isinstance(event, AttemptSuperseded) and event.turn == 1:
                        whole = True  # it says all of it again
                        if retelling is not None:
                            retelling.begin_anew()
                    elif isinstance(event, RunEnded):
                        sorry = bool(event.extra and event.extra.get("apology"))
                        well = sorry or (whole and event.outcome in (Outcome.COMPLETED, Outcome.CANCELLED))
                    answer.show(event)
        except (ReadError, RunNotFound) as error:
            well = False
            logger.error(
                "The run %r cannot be shown to its end, as its events cannot be read: %s",
                self._record.run_id,
                error,
            )
        return well and (retelling is None or not retelling.lacks)

    async def _events(self, retelling: _Retelling | None) -> AsyncGenerator[StreamEvent]:
        """The run, from its start. `retelling` is told when all is given that there was at first."""
        run_id, cursor = self._record.run_id, None
        while retelling is not None:
            past = self._runner.attach(run_id, after=cursor, follow=False)
            try:
                async with past:
                    async for event in past:
                        yield event
            except StateUnavailableError:  # one that follows asks again by itself
                cursor = past.cursor
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                cursor = past.cursor
                retelling.catch_up()
                break
        async with self._runner.attach(run_id, after=cursor, lost_after=None) as reader:
            async for event in reader:
                yield event


class _Retelling:
    """What a `PipedAnswer` shows on: keeps all of it until `catch_up`, and as long as it is but a part of
    what the message shows, or `lacks` something. Then it shows what has come of it, as one; from then on it
    is the stream. What stands in between, and was superseded since, is not shown."""

    def __init__(self, stream: HttpStream) -> None:
        self.lacks = False
        """Whether events are gone: what is told is not what the run has said."""
        self._waits = True
        self._caught_up = False
        self._stream = stream
        self._text: str | None = None
        self._others: list[MessageActivityInput] = []
        self._line: str | None = None

    def emit(self, activity: str | MessageActivityInput | TypingActivityInput) -> None:
        if not self._waits:
            self._stream.emit(activity)
            return
        if isinstance(activity, MessageActivityInput):
            self._others.append(activity.model_copy(update={"text": ""}))
        text = activity if isinstance(activity, str) else activity.text
        if text:
            self._text = (self._text or "") + text
        self._try()

    def update(self, text: str) -> None:
        if self._waits:
            self._line = text
        else:
            self._stream.update(text)

    def replace_text(self, text: str) -> None:
        if self._waits:
            self._text = text
            self._try()
        else:
            self._stream.replace_text(text)

    def begin_anew(self) -> None:
        """Everything is said again from here on."""
        self.lacks = False
        self._text = None

    def catch_up(self) -> None:
        """All is told that there was at first."""
        self._caught_up = True
        self._try()

    def end(self) -> None:
        """The run is over: what is told is the answer."""
        if self._waits and not self.lacks:
            self._show()

    def _try(self) -> None:
        told, shown = self._text or "", self._stream.text
        part = told != shown and shown.startswith(told)
        if self._caught_up and not self.lacks and not part:
            self._show()

    def _show(self) -> None:
        self._waits = False
        if self._text is not None:
            self._stream.replace_text(self._text)
        elif self._line is not None:
            self._stream.update(self._line)
        for activity in self._others:
            self._stream.emit(activity)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _look_at(task: asyncio.Future[Any]) -> None:
    """What a stream that was given up ends with is nobody's concern."""
    if not task.cancelled() and isinstance(error := task.exception(), Exception):
        logger.debug("a stream that was given up ended with %s", type(error).__name__)
