"""The console as a channel: who types there writes to the bot."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any, TextIO
from uuid import uuid4
from weakref import WeakSet

from cadenza.api import ActivityInput, ConversationReference, MessageActivityInput, SentActivity
from cadenza.apps import EventMetadata, Plugin, PluginBase, PluginStartEvent

from .screen import REFUSED, ScreenStreamer, Shown, final_of, message_from, readable

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What must not reach a terminal from a model: it could move the cursor, or worse."""

ERASE = "\r\x1b[K"
INDENT = "     "


class Terminal:
    """A screen on which what was written stays: a message grows at its end, and one that changes otherwise is
    written once more. Only informative lines are erased; a file or a pipe, where that cannot be, has none."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._open: str | None = None
        """The message that the cursor is at the end of."""
        self._written = ""
        """What is there of its text."""
        self._line = False
        """Whether it is an informative line as yet."""
        self._known: set[str] = set()
        """The messages that were written, if only in part."""

    async def show(self, message: Shown) -> None:
        if self._line:
            self._write(ERASE)
            self._open, self._line = None, False
        elif self._open not in (None, message.id) or not message.text.startswith(self._written):
            self._end()
        if message.state == "removed":
            if message.id in self._known:
                self._write("bot (took that back)\n")
        elif message.line is not None:
            if self._out.isatty():
                self._write(f"bot ... {CONTROL.sub('', ' '.join(message.line.split()))[:60]}")
                self._open, self._line = message.id, True
        else:
            self._grow(message)
            for attachment in message.attachments:
                for line in readable(attachment):
                    self._write(f"\n{INDENT}┃ {CONTROL.sub('', line)}")
            if message.state != "growing":
                self._write(" [stopped]" if message.state == "stopped" else "")
                self._end()
        self._out.flush()

    def _grow(self, message: Shown) -> None:
        if message.id != self._open:
            self._write("bot again: " if message.id in self._known else "bot: ")
            self._open, self._written = message.id, ""
            self._known.add(message.id)
        more = CONTROL.sub("", message.text[len(self._written) :])
        self._write(more.replace("\n", f"\n{INDENT}"))
        self._written = message.text

    def _end(self) -> None:
        if self._open is not None:
            self._write("\n")
        self._open, self._written = None, ""

    def _write(self, text: str) -> None:
        self._out.write(text)


class ConsoleStreamer(ScreenStreamer):
    """An answer that grows on the console."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(terminal)


@Plugin(name="console", description="Talks to whoever sits at the console.")
class ConsoleChannel(PluginBase):
    """Every line that is typed is a message to the bot; /stop is the Stop button."""

    channel_id = "console"
    bring: Annotated[Callable[..., Awaitable[Any]], EventMetadata("activity")]
    fail: Annotated[Callable[..., Awaitable[Any]], EventMetadata("error")]

    def __init__(self, lines: AsyncIterable[str] | None = None, out: TextIO | None = None) -> None:
        self._lines = lines
        self.terminal = Terminal(out or sys.stdout)
        self._streams: WeakSet[ConsoleStreamer] = WeakSet()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def on_start(self, event: PluginStartEvent) -> None:
        if self._lines is None and sys.stdin.isatty():
            print("Type to the bot, and press Enter; /stop stops an answer.", flush=True)
        self._begin(self._read(self._lines or keyboard()))

    async def on_stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def send(self, activity: ActivityInput, ref: ConversationReference) -> SentActivity:
        if not isinstance(activity, MessageActivityInput):  # "the bot is typing"
            return SentActivity("")
        message = final_of(activity)
        await self.terminal.show(message)
        return SentActivity(message.id, activity)

    def create_stream(self, ref: ConversationReference) -> ConsoleStreamer:
        stream = ConsoleStreamer(self.terminal)
        self._streams.add(stream)
        return stream

    async def _read(self, lines: AsyncIterable[str]) -> None:
        async for line in lines:
            if line.strip() == "/stop":
                for stream in list(self._streams):
                    stream.press_stop()
            elif line.strip():
                # In a task: the next line may be /stop.
                self._begin(self._bring(message_from("you", "console", uuid4().hex, line)))

    async def _bring(self, activity: dict[str, Any]) -> None:
        try:
            response = await self.bring(activity)
            if response.status == REFUSED:
                await self.terminal.show(Shown(uuid4().hex, "(not taken: it is stopping)", state="final"))
        except Exception as error:
            await self.fail(error)

    def _begin(self, work: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def keyboard() -> AsyncIterator[str]:
    """What is typed, line by line. A daemon thread reads: one that never comes keeps nobody from ending."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        rest = b""
        with suppress(RuntimeError, OSError):  # the loop is closed, or nobody can type
            while chunk := os.read(0, 4096):
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    loop.call_soon_threadsafe(lines.put_nowait, line.decode(errors="replace"))
            loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    while (line := await lines.get()) is not None:
        yield line
