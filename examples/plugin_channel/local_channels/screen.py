"""A streamer for screens that can show a message again as it grows: the laws of `StreamerProtocol`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any, Literal, Protocol
from uuid import uuid4

from cadenza.api import MessageActivityInput, SentActivity, TypingActivityInput
from cadenza.apps import StreamCancelledError, StreamDeliveryError

PAUSE_SECONDS = 0.03
"""Between two pictures of a growing message: a model says more words in a second than anybody sees."""

HANDLER_SECONDS = 10.0
"""How long close() waits for the handlers of on_chunk and on_close."""

REFUSED = 503
"""The status of a message that the bot did not take, since it stops."""

logger = logging.getLogger(__name__)

Handler = Callable[[SentActivity], Awaitable[None]]


@dataclass(frozen=True)
class Shown:
    """A message as it is to be on the screen."""

    id: str
    text: str = ""
    line: str | None = None
    """What the bot is doing, as long as there is no text."""
    state: Literal["growing", "final", "stopped", "removed"] = "growing"
    attachments: tuple[Mapping[str, Any], ...] = ()


class Screen(Protocol):
    """Where messages are shown."""

    async def show(self, message: Shown) -> None:
        """Put `message` on the screen, in the place of the one with its id, if there is one."""
        ...


@dataclass(eq=False)
class Cycle:
    """One message, from its first emit until it is finalized."""

    done: asyncio.Future[None]
    id: str = field(default_factory=lambda: uuid4().hex)
    text: str = ""
    line: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    on_screen: Shown | None = None
    unseen: int = 0
    sequence: int = 0
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False
    result: SentActivity | None = None
    error: Exception | None = None

    def picture(self) -> Shown:
        """What is to be on the screen now. Blank text takes nothing away: the next may continue it."""
        if self.text.strip():
            return Shown(self.id, self.text)
        before = self.on_screen
        return before if before is not None and before.text else Shown(self.id, line=self.line)

    def add(self, wire: Mapping[str, Any]) -> None:
        """Gather what comes with the text: lists grow, objects are merged, of the rest the newest counts."""
        for name, value in wire.items():
            before = self.fields.get(name)
            if isinstance(before, list) and isinstance(value, list):
                value = [*before, *value]
            elif isinstance(before, dict) and isinstance(value, dict):
                value = {**before, **value}
            if name not in ("type", "text"):
                self.fields[name] = value

    def final(self) -> MessageActivityInput | None:
        """The whole message; None if there is nothing to show."""
        if not self.text.strip() and not {"attachments", "suggestedActions"} & self.fields.keys():
            return None
        return MessageActivityInput.model_validate({"type": "message", **self.fields, "text": self.text})


class ScreenStreamer:
    """Shows answers on a `Screen`. To be made in the event loop."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._cycles: list[Cycle] = []  # those that are not finalized, the oldest first
        self._open: Cycle | None = None  # what is emitted belongs to it
        self._last: Cycle | None = None  # what close() was called for
        self._pump: asyncio.Task[None] | None = None
        self._handlers: set[asyncio.Task[None]] = set()
        self._on_chunk: list[Handler] = []
        self._on_close: list[Handler] = []
        self._on_stop: list[Callable[[], object]] = []

    @property
    def canceled(self) -> bool:
        return self._open is not None and self._open.stopped

    @property
    def closed(self) -> bool:
        return self._open is None and self._last is not None and self._last.done.done()

    @property
    def count(self) -> int:
        return sum(cycle.unseen for cycle in self._cycles)

    @property
    def sequence(self) -> int:
        return self._open.sequence if self._open else 0

    def on_chunk(self, handler: Handler) -> None:
        self._on_chunk.append(handler)

    def on_close(self, handler: Handler) -> None:
        self._on_close.append(handler)

    def on_stop(self, callback: Callable[[], object]) -> None:
        """Call `callback` as soon as the user has pressed Stop: the turn ends at once then."""
        self._on_stop.append(callback)

    def emit(self, activity: str | MessageActivityInput | TypingActivityInput) -> None:
        if isinstance(activity, TypingActivityInput):
            self.update(activity.text or "")
        elif isinstance(activity, MessageActivityInput):
            wire = activity.to_wire()  # a copy: the caller may change the activity afterwards
            self._in_loop(lambda: self._add(wire.get("text") or "", wire))
        elif isinstance(activity, str):
            self._in_loop(lambda: self._add(activity, {}))
        else:
            raise TypeError(f"emit() takes a str or a message, not {type(activity).__name__}")

    def update(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"update() takes a str, not {type(text).__name__}")
        self._in_loop(lambda: self._show_line(text))

    def clear_text(self) -> None:
        self._in_loop(self._clear)

    async def close(self) -> SentActivity | None:
        if self._open is not None:
            self._last, self._open = self._open, None
            self._last.closing.set()
            self._wake()
        cycle = self._last
        if cycle is None:
            return None
        await asyncio.shield(cycle.done)
        if handlers := self._handlers - {asyncio.current_task()}:
            _, late = await asyncio.wait(handlers, timeout=HANDLER_SECONDS)
            for handler in late:
                handler.cancel()
        if cycle.error is not None:
            raise cycle.error
        return cycle.result

    def press_stop(self, id: str | None = None) -> None:
        """The user has pressed Stop, at the message `id`. One that is being finalized is not stopped any
        more, and neither is one that the user has not seen yet."""
        cycle = self._open
        if cycle is None or cycle.stopped or cycle.on_screen is None or id not in (None, cycle.id):
            return
        cycle.stopped, cycle.unseen = True, 0
        for callback in self._on_stop:
            callback()

    async def idle(self) -> None:
        """Wait until all that was emitted is on the screen."""
        while self._pump is not None:
            await asyncio.shield(self._pump)

    def _in_loop(self, step: Callable[[], None]) -> None:
        if self.canceled:
            raise StreamCancelledError("The user has stopped this answer.")
        if get_ident() == self._thread:
            step()
        else:
            self._loop.call_soon_threadsafe(lambda: None if self.canceled else step())

    def _current(self) -> Cycle:
        if self._open is None:
            self._open = Cycle(self._loop.create_future())
            self._cycles.append(self._open)
        return self._open

    def _add(self, text: str, wire: Mapping[str, Any]) -> None:
        if text or wire.keys() - {"type"}:
            cycle = self._current()
            cycle.text += text
            cycle.add(wire)
            cycle.unseen += bool(text)
            self._wake()

    def _show_line(self, text: str) -> None:
        cycle = self._current()
        if not cycle.text.strip():
            cycle.line = text
            self._wake()

    def _clear(self) -> None:
        if self._open is not None:
            self._open.text, self._open.unseen = "", 0

    def _wake(self) -> None:
        if self._pump is None:
            self._pump = self._loop.create_task(self._run())

    def _due(self) -> Iterator[Cycle]:
        """The oldest message, as long as there is something to do for it; then the next."""
        while self._cycles:
            cycle = self._cycles[0]
            if not cycle.closing.is_set() and (
                cycle.stopped or cycle.picture() in (cycle.on_screen, Shown(cycle.id))
            ):
                return
            yield cycle

    async def _run(self) -> None:
        try:
            for cycle in self._due():
                if cycle.closing.is_set():
                    await self._finalize(cycle)
                else:
                    await self._grow(cycle)
        finally:
            self._pump = None

    async def _grow(self, cycle: Cycle) -> None:
        picture, unseen = cycle.picture(), cycle.unseen
        try:
            await self._screen.show(picture)
        except Exception:
            logger.exception("a part of an answer was not shown; the next has its text too")
        else:
            cycle.unseen = max(0, cycle.unseen - unseen)
            cycle.sequence += 1
            if picture.text:
                self._notify(self._on_chunk, SentActivity(cycle.id, TypingActivityInput(text=picture.text)))
        cycle.on_screen = picture  # if it failed too: it is not tried again until there is more to show
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSE_SECONDS):
                await cycle.closing.wait()

    async def _finalize(self, cycle: Cycle) -> None:
        try:
            final = None if cycle.stopped else cycle.final()
            if cycle.stopped:
                shown = cycle.on_screen or Shown(cycle.id)
                await self._screen.show(Shown(cycle.id, shown.text, state="stopped"))
            elif final is not None:
                attachments = tuple(cycle.fields.get("attachments", ()))
                await self._screen.show(Shown(cycle.id, cycle.text, None, "final", attachments))
                cycle.result = SentActivity(cycle.id, final, (cycle.id,))
            elif cycle.on_screen is not None:
                await self._screen.show(Shown(cycle.id, state="removed"))
        except Exception as error:
            cycle.error = StreamDeliveryError("The screen did not take it.", undelivered=cycle.text)
            cycle.error.__cause__ = error
        cycle.unseen = 0
        self._cycles.remove(cycle)
        if cycle.result is not None:
            self._notify(self._on_close, cycle.result)
        cycle.done.set_result(None)

    def _notify(self, handlers: list[Handler], sent: SentActivity) -> None:
        for handler in handlers:
            task = self._loop.create_task(_guarded(handler, sent))
            self._handlers.add(task)
            task.add_done_callback(self._handlers.discard)


async def _guarded(handler: Handler, sent: SentActivity) -> None:
    try:
        await handler(sent)
    except Exception:
        logger.exception("a handler of on_chunk or on_close failed; the answer goes on")


def message_from(user: str, conversation: str, id: str, text: str) -> dict[str, Any]:
    """A message of a user, as the bot gets it."""
    return {
        "type": "message",
        "id": id,
        "text": text,
        "from": {"id": user, "name": user},
        "recipient": {"id": "bot", "name": "bot"},
        "conversation": {"id": conversation, "conversationType": "personal"},
    }


def final_of(activity: MessageActivityInput) -> Shown:
    """A message that was sent whole."""
    wire = activity.to_wire()
    attachments = tuple(wire.get("attachments", ()))
    return Shown(activity.id or uuid4().hex, wire.get("text") or "", None, "final", attachments)


def readable(attachment: Mapping[str, Any]) -> list[str]:
    """What there is to read on a card, line by line; of another attachment its name."""
    if isinstance(content := attachment.get("content"), dict):
        return list(_texts(content))
    return [str(attachment.get("name") or attachment.get("contentType") or "attachment")]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict):
        if {"title", "value"} <= value.keys():  # a fact
            yield f"{value['title']}: {value['value']}"
            return
        yield from (value[name] for name in ("title", "text") if isinstance(value.get(name), str))
        for name, inner in value.items():
            if name != "data":
                yield from _texts(inner) if isinstance(inner, dict | list) else ()
