"""`HttpStream`: what a bot author holds. The rules are in machine.py, the I/O in driver.py."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from copy import copy
from threading import get_ident
from typing import TYPE_CHECKING, Any, Literal, Self

from cadenza import api as teams

from ..budget import BudgetTransport, RateBudget
from ..log_fields import with_fields
from . import events as ev
from .actions import Result
from .cycle import Cycle
from .driver import Clock, Handler, LoopClock, StreamDriver
from .errors import StreamCancelledError, StreamDeliveryError, StreamError
from .gate import StreamGate
from .limits import Limits, limits_for
from .machine import Machine, Phase
from .piped import PipedStream
from .results import delivery_error, sent_activity
from .sender import Sender
from .statistics import StreamStatistics

if TYPE_CHECKING:
    from cadenza.api import (
        Account,
        ApiClient,
        ConversationReference,
        MessageActivityInput,
        SentActivity,
        TypingActivityInput,
    )

__all__ = ["HttpStream"]

logger = with_fields(logging.getLogger(__name__))


class HttpStream(PipedStream):
    """A streamed answer in one conversation.

    `ctx.stream` is one; made by hand it works without an App:

        async with HttpStream(api, reference) as stream:
            stream.update("Searching...")
            stream.emit("Hello")

    `limits`: the channel's numbers (by default those of `ref.channel_id`). `fallback`: where streaming is
    refused, "buffer" sends one message at close, "edit" posts early and edits it. `on_expiry`: after two
    minutes, "edit" goes on by editing the message, "rollover" in a new one. `on_empty`: informative lines
    without an answer are taken off the screen ("withdraw") or left ("keep"). `gate`: shared by the streams
    of one conversation. `streaming`: False sends one plain message at close, whatever the conversation
    shows. `recipient`: the only person who sees the answer, in a chat with others; it is not streamed then,
    but sent as a targeted message, the answer to the one of `ref.activity_id`. `budget`: asked before each
    request, so that what waits for it grows meanwhile; by default that of `api`, if its transport is a
    `BudgetTransport`. `on_acknowledged`: gets a `snapshot()` after each accepted request. `journal`: awaited
    with a `snapshot()` before each request, whose `in_flight` names it, and after each answer, whatever that
    was. Where it raises, or takes longer than the longest wait for an answer, the request is not made, and
    wished for again later. So the newest snapshot that it was given always tells whether a request may have
    been made whose answer is not known.

    Must be made inside a running event loop; `emit` and `update` may be called from any thread.
    """

    def __init__(
        self,
        api: ApiClient,
        ref: ConversationReference,
        *,
        limits: Limits | None = None,
        clock: Clock | None = None,
        fallback: Literal["buffer", "edit"] = "buffer",
        on_expiry: Literal["edit", "rollover"] = "edit",
        on_empty: Literal["withdraw", "keep"] = "withdraw",
        gate: StreamGate | None = None,
        streaming: bool = True,
        recipient: Account | None = None,
        budget: RateBudget | None = None,
        on_acknowledged: Callable[[dict[str, Any]], Awaitable[None] | None] | None = None,
        journal: Callable[[dict[str, Any]], Awaitable[None]] | None = None,
    ) -> None:
        _check("fallback", fallback, ("buffer", "edit"))
        _check("on_expiry", on_expiry, ("edit", "rollover"))
        _check("on_empty", on_empty, ("withdraw", "keep"))
        self.ref = ref
        limits = limits or limits_for(ref.channel_id)
        self._clock = clock or LoopClock()
        gate = gate or StreamGate()
        if isinstance(api.transport, BudgetTransport):  # which would ask once more, and let no text grow
            budget, api = budget or api.transport.budget, api.through(api.transport.inner)
        room = None if budget is None else budget.place(ref.conversation.id, ref.conversation.tenant_id)
        self._recipient = recipient
        kind = ref.conversation.conversation_type
        shows = streaming and recipient is None  # what is typed for one person is not shown to the others
        self._machine = Machine(
            limits,
            gate.pace,
            streaming=shows and (kind == "personal" or (kind is None and not ref.conversation.is_group)),
            typing=shows and kind != "channel",
            fallback=fallback,
            on_expiry=on_expiry,
            on_empty=on_empty,
            room=room,
        )
        self._sender = Sender(api, ref, limits.request_timeout, recipient)
        self._driver = StreamDriver(
            self, self._machine, self._sender, gate, self._clock, limits.request_timeout
        )
        if room is not None:
            room.on_turn(self._driver.wake)
        if on_acknowledged is not None:
            self._driver.on_acknowledged = lambda: on_acknowledged(self.snapshot())
        if journal is not None:
            self._driver.journal = lambda: journal(self.snapshot())
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._sealed: StreamError | None = None

    # What a handler calls

    def emit(self, activity: str | MessageActivityInput | TypingActivityInput) -> None:
        """Add text, or a message with text, cards, entities and so on, to the answer.

        Returns at once; the text is on the screen within about a second. A TypingActivityInput with text is
        an informative line, as `update` shows it. Raises TypeError for anything else, ValueError for a
        message that is targeted at somebody for whom this answer is not alone, StreamCancelledError after the
        user's Stop. `activity` is not changed.
        """
        if isinstance(activity, str):
            if self._sealed is None and get_ident() == self._thread:
                self._driver.emit(activity)
            else:
                self._tell(ev.Emit(activity))
        elif isinstance(activity, teams.MessageActivityInput):
            wire = self._private(activity).to_wire()
            self._tell(ev.Emit(wire.get("text") or "", wire))
        elif isinstance(activity, teams.TypingActivityInput):
            self.update(activity.text or "", activity.text_format)
        else:
            raise TypeError(
                f"emit() takes a str, a MessageActivityInput or a TypingActivityInput, not "
                f"{type(activity).__name__}: wrap a card in MessageActivityInput().add_card(card)"
            )

    def update(self, text: str, text_format: str | None = None) -> None:
        """Show an informative line ("Searching...") until the first text; the newest one counts.

        Clipped to 1,000 characters and 1 KB. After the first text it is ignored, and counted in
        `statistics().updates_ignored`.
        """
        if not isinstance(text, str):
            raise TypeError(f"update() takes a str, not {type(text).__name__}")
        self._tell(ev.Update(text, text_format))

    def clear_text(self) -> None:
        """Forget the text emitted since the last close(), for instance to end with a card alone.

        What the user sees already is replaced when the message is finalized. Messages that an over-long
        answer has completed stay if the text that comes then begins with theirs, which is not shown again;
        else they are deleted.
        """
        self._tell(ev.Clear())

    def replace_text(self, text: str) -> None:
        """Show `text` in place of all the text emitted since the last close(), as soon as the service allows.

        What extends the text on the screen goes on streaming. A text that contradicts it cannot (each chunk
        must begin with what is shown): the streamed message is finalized as it is, and edited from then on,
        about every three seconds, at the end by close(). What is emitted afterwards extends `text`. Messages
        that an over-long answer has completed stay if the new text begins with theirs, which is not shown
        again; else they are deleted once it is seen. What came with the old text (cards, ...) stays.
        """
        self._tell(ev.Clear(live=True))
        if text:
            self.emit(text)

    async def close(self) -> SentActivity | None:
        """Finalize the message; the next emit or update begins a new one.

        Calls share one finalization and all get its result: the last message sent, with the ids of all in
        `.parts`. None where there was nothing to show, or the user pressed Stop. Raises StreamDeliveryError
        with `.undelivered` where text did not reach the user, DeliveryUnknownError where that is unknown.
        Cancelling the caller cancels the waiting, not the finalization.
        """
        cycle = self._driver.tell(ev.Close())
        if cycle is None:
            return None
        await self._driver.end_of(cycle)
        return self._result(cycle)

    async def finish(self, reason: ev.AbortReason, *, deadline: float | None = None) -> SentActivity | None:
        """End the stream on behalf of an app. STOP, LOST: nothing more is sent. Else finalize what there is,
        with `deadline` seconds for closing requests and their repetitions (None: the channel's own)."""
        at = None if deadline is None else self._clock.now() + deadline
        self._driver.tell(ev.Abort(reason, at))
        return await self.close()

    def is_private(self, activity_id: str) -> bool:
        """Whether this stream has sent that message, to one person alone. For an app."""
        return activity_id in self._sender.private_ids

    def belong_to(self, context: Context) -> None:
        """Make the requests in `context`, and their spans below its current one, on behalf of an app. By
        default it is what was there when the stream was made."""
        self._driver.context = context

    def seal(self, error: StreamError) -> None:
        """Take nothing more, on behalf of an app: from now on emit, update and clear_text raise `error`."""
        self._sealed = self._sealed or error

    # What is seen from outside

    @property
    def canceled(self) -> bool:
        """Whether the user stopped this answer (until the next close)."""
        return self._machine.stopped

    @property
    def closed(self) -> bool:
        """Whether the newest message is finalized."""
        return self._machine.phase is Phase.CLOSED

    @property
    def closing(self) -> bool:
        """Whether the newest message takes no more text, as it is being finalized, or was."""
        return self._machine.phase in (Phase.CLOSING, Phase.CLOSED)

    @property
    def text(self) -> str:
        """The text emitted since the last close()."""
        return self._begun_text()

    @property
    def count(self) -> int:
        """How many emits added text that no request has carried yet."""
        return self._machine.unsent + self._driver.noted

    @property
    def sequence(self) -> int:
        """How many stream activities of the current message were accepted."""
        message = self._machine.message
        return message.sequence - 1 if message else 0

    @property
    def undelivered(self) -> str:
        """The text that the last Stop, or the last failed close(), kept from the user."""
        return self._machine.undelivered

    def statistics(self) -> StreamStatistics:
        """The counters so far, as a frozen snapshot."""
        driver = self._driver
        return self._machine.statistics(
            noted=driver.noted, bytes=self._sender.bytes, waits=driver.waits, waited=driver.waited
        )

    def on_chunk(self, handler: Handler) -> None:
        """Call `handler` after each accepted chunk. Its exceptions are logged."""
        self._driver.chunk_handlers.append(handler)

    def on_close(self, handler: Handler) -> None:
        """Call `handler` each time a message was finalized. Its exceptions are logged."""
        self._driver.close_handlers.append(handler)

    def on_stop(self, callback: Callable[[], object]) -> None:
        """Call `callback` as soon as it is known that the user pressed Stop."""
        self._driver.stop_callbacks.append(callback)

    # Snapshots

    def snapshot(self) -> dict[str, Any]:
        """What another process needs to carry the answer on with `resume`, as JSON. To be called in the
        thread of the event loop."""
        self._driver.tell_noted()
        return {"version": 1, "saved_at": time.time(), "machine": self._machine.snapshot(self._clock.now())}

    @classmethod
    def resume(
        cls, api: ApiClient, ref: ConversationReference, snapshot: Mapping[str, Any], **options: Any
    ) -> Self:
        """A stream that carries on what `snapshot` describes; `options` are those of the constructor.

        A request that was in flight counts as one that got no answer. Raises ValueError for a snapshot of
        another version.
        """
        if snapshot.get("version") != 1:
            raise ValueError(f"this is no stream snapshot of version 1, but {snapshot.get('version')!r}")
        stream = cls(api, ref, **options)
        passed = max(0.0, time.time() - snapshot["saved_at"])
        stream._machine.restore(snapshot["machine"], stream._clock.now(), passed)
        for cycle in stream._machine.cycles:
            stream._driver.look_at(cycle)
        stream._driver.wake()
        return stream

    def _begun_text(self) -> str:
        self._driver.tell_noted()
        cycles = self._machine.cycles
        return cycles[-1].text if cycles and not cycles[-1].closing else ""

    def _private(self, activity: MessageActivityInput) -> MessageActivityInput:
        """`activity` as this stream may carry it: what is for one person must not become public."""
        wanted, only = activity.recipient, self._recipient
        if wanted is not None and wanted.is_targeted and (only is None or only.id != wanted.id):
            raise ValueError(
                f"This message is for {wanted.id!r} alone, but a streamed answer is for "
                f"{'the whole conversation' if only is None else repr(only.id)}: send it with ctx.send."
            )
        if only is None or self.ref.activity_id is None:
            return activity
        # Takes out a quote of that message, which excludes the targeted answer to it. Changes only the copy.
        return activity.model_copy().add_targeted_message_info(self.ref.activity_id)

    def _tell(self, event: ev.Emit | ev.Update | ev.Clear) -> None:
        if self._sealed is not None:
            raise copy(self._sealed)  # with its traceback this one would keep the turn alive
        if get_ident() == self._thread:
            self._driver.tell(event)
        elif self.canceled:
            raise StreamCancelledError("The user stopped this answer: nothing is sent until close().")
        else:
            self._loop.call_soon_threadsafe(self._tell_late, event)

    def _tell_late(self, event: ev.Emit | ev.Update | ev.Clear) -> None:
        try:
            self._driver.tell(event)
        except StreamCancelledError:
            logger.debug("an emit from another thread came after the user's Stop")

    def _result(self, cycle: Cycle) -> SentActivity | None:
        outcome = cycle.outcome
        if outcome is None:
            raise StreamDeliveryError(
                "The stream broke, by a defect of Cadenza or with its event loop; the log says how.",
                undelivered=cycle.message.unacknowledged,
                sent=tuple(filter(None, cycle.ids)),
            ) from self._driver.broken
        if outcome.result is Result.SENT:
            return sent_activity(outcome)
        if outcome.result in (Result.NOTHING, Result.STOPPED):
            return None
        raise delivery_error(outcome) from self._sender.cause


def _check(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{option}={value!r} is not known; one of {', '.join(map(repr, known))}")
