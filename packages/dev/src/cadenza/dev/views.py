"""What `cadenza chat` prints where there is no terminal: lines to read, and lines of JSON."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from typing import Any, Protocol, TextIO

from cadenza.testing import Dialog, Exchange, ScreenChange, ScreenMessage
from cadenza.testing.outline import attached, buttons, card_of, named, outline

__all__ = [
    "ENDS",
    "PROMPT",
    "JsonView",
    "Output",
    "PlainView",
    "View",
    "extras",
    "how_to_sign_in",
    "in_dialog",
    "labels",
    "printable",
    "reacted",
]

PROMPT = "you: "

WIDTH = 78
"""Columns of a card. Texts are printed as they are."""

ENDS = {"final": "end of message", "stopped": "stopped by the user", "expired": "the stream has expired"}
"""How a streamed message ends, by the change of the screen that says so."""


_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {0x7F: 0x2421}
_PICTURES |= dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


def printable(text: str) -> str:
    """`text` with pictures of its control characters: a bot must not steer the terminal."""
    return text.translate(_PICTURES)


class View(Protocol):
    """Shows a conversation."""

    def prompt(self) -> None:
        """It is the user's turn. What the bot does until `said` interrupts somebody who is typing."""
        ...

    def said(self, text: str, *, echoed: bool) -> None:
        """The user has said that; `echoed`: by typing, so that it is on the terminal already."""
        ...

    def observe(self, event: Exchange | ScreenChange) -> None:
        """A request has ended, or the screen has changed. Never raises."""
        ...

    def opened(self, dialog: Dialog) -> None:
        """A dialog has opened, or shows something else than before."""
        ...

    def notice(self, text: str) -> None:
        """The answer to what the user did says that."""
        ...

    def note(self, text: str) -> None:
        """Say something that is no part of the conversation."""
        ...

    def close(self) -> None:
        """Nothing more will be shown."""
        ...


class Output:
    """A text stream whose reader may go away: what is written afterwards is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        try:
            self._stream.write(printable(text))
            self._stream.flush()
        except BrokenPipeError:
            # The interpreter flushes once more when it ends, and would complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


class JsonView:
    """The transcript: an object a line for each request, and for each change of the screen. Times are
    seconds of a monotonic clock."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def prompt(self) -> None:
        pass

    def said(self, text: str, *, echoed: bool) -> None:
        pass

    def observe(self, event: Exchange | ScreenChange) -> None:
        if isinstance(event, Exchange):
            record: dict[str, Any] = {"event": "request", **event.to_json()}
            record.setdefault("body", None)
            record.setdefault("status", None)  # no answer went out
        else:
            record = {"event": "screen", **event.to_json()}
        self._output.write(json.dumps(record) + "\n")

    def opened(self, dialog: Dialog) -> None:
        record = {"event": "dialog", "title": dialog.title, "card": dialog.card, "url": dialog.url}
        self._output.write(json.dumps(record) + "\n")

    def notice(self, text: str) -> None:
        self._output.write(json.dumps({"event": "notice", "text": text}) + "\n")

    def note(self, text: str) -> None:
        print(text, file=sys.stderr)

    def close(self) -> None:
        pass


class PlainView:
    """The conversation as text that only grows: nothing that was printed is changed.

    A line of a streamed text is printed bit by bit, as it comes. Where the bot replaces a text instead of
    extending it, the new one is printed whole.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._texts: dict[str, str] = {}
        self._informative: dict[str, str] = {}
        self._extras: dict[str, list[str]] = {}
        self._unfinished: str | None = None  # the id of the message whose line has no end yet
        self._empty = True
        self._prompting = False

    def prompt(self) -> None:
        self._finish_line()
        self._output.write(PROMPT if self._empty else f"\n{PROMPT}")
        self._empty = False
        self._prompting = True

    def said(self, text: str, *, echoed: bool) -> None:
        self._prompting = False
        if not echoed:
            self._output.write(f"{text}\n")

    def observe(self, event: Exchange | ScreenChange) -> None:
        if isinstance(event, Exchange):
            what = reacted(event)
            if what and not self._prompting:
                self._line(f"({what})")
        elif not self._prompting:
            self._show(event)
        elif event.message is not None and event.message.state != "streaming":
            self._output.write("\n")
            self._show(event)
            self.prompt()

    def opened(self, dialog: Dialog) -> None:
        self._line("\n".join(_box(f"dialog: {dialog.title}", in_dialog(dialog))))

    def notice(self, text: str) -> None:
        self._line(f"({text})")

    def note(self, text: str) -> None:
        self._finish_line()
        self._output.write(f"{text}\n")
        self._empty = False

    def close(self) -> None:
        self._finish_line()

    def _show(self, event: ScreenChange) -> None:
        message = event.message
        if message is None:
            if event.change == "typing":
                self._line("(the bot is typing)")
        elif event.change == "reaction":
            self._line(f"(reactions: {', '.join(message.reactions) or 'none'})")
        elif message.deleted:
            self._line("(the message was deleted)")
        else:
            self._show_message(message)
            if event.change in ENDS:
                self._line(f"-- {ENDS[event.change]}, {event.time - message.created_at:.1f} s")

    def _show_message(self, message: ScreenMessage) -> None:
        if message.informative and message.informative != self._informative.get(message.id):
            self._informative[message.id] = message.informative
            self._line(f"... {message.informative}")
        self._show_text(message)
        if message.state != "streaming":
            lines = extras(message)
            if lines != self._extras.get(message.id, []):
                self._extras[message.id] = lines
                self._finish_line()
                self._output.write("".join(f"{line}\n" for line in lines))

    def _show_text(self, message: ScreenMessage) -> None:
        shown = self._texts.get(message.id, "")
        whole = named(message.text, message.entities)
        if whole == shown:
            return
        self._texts[message.id] = whole
        if not whole.startswith(shown):
            self._line("(the text is replaced)")
            shown = ""
        if self._unfinished != message.id:
            self._finish_line()
        text = whole[len(shown) :]
        self._output.write(text)
        self._unfinished = None if text.endswith("\n") else message.id
        if message.state != "streaming":
            self._finish_line()

    def _line(self, text: str) -> None:
        self._finish_line()
        self._output.write(f"{text}\n")

    def _finish_line(self) -> None:
        if self._unfinished is not None:
            self._output.write("\n")
            self._unfinished = None


def extras(message: ScreenMessage) -> list[str]:
    """What a message has besides its text, as lines: cards in outline, attachments, suggested actions."""
    lines: list[str] = []
    for attachment in message.attachments:
        card = card_of(attachment)
        lines += [attached(attachment)] if card is None else _box("card", outline(card))
    row = buttons((message.suggested_actions or {}).get("actions"))
    how = how_to_sign_in(message)
    return [*lines, *([how] if how else []), *([f"suggested: {row}"] if row else []), *labels(message)]


def how_to_sign_in(message: ScreenMessage) -> str | None:
    """What to type, if a card of the message asks the user to sign in."""
    if not message.sign_in_buttons:
        return None
    return "(/signin signs in, /signin --code shows a code to say, /decline closes the page)"


def labels(message: ScreenMessage) -> list[str]:
    """What Teams shows around a message, as lines: its sources, labels, and thumbs."""
    lines = [
        f"[{source.position}] {source.name}{f', {source.url}' if source.url else ''}"
        for source in message.citations
    ]
    if marks := [*(["AI generated"] if message.ai_generated else []), *filter(None, [message.sensitivity])]:
        lines.append(f"labels: {', '.join(marks)}")
    return [*lines, "feedback: [ like ]  [ dislike ]"] if message.feedback else lines


def in_dialog(dialog: Dialog) -> list[str]:
    """What a dialog shows, as lines."""
    return [f"[page {dialog.url}]"] if dialog.card is None else outline(dialog.card)


def reacted(exchange: Exchange) -> str | None:
    """What the bot did, if it was to react or to take that back."""
    if exchange.kind != "reaction" or not exchange.applied:
        return None
    what = "reacts to a message" if exchange.method == "PUT" else "takes a reaction back"
    return f"the bot {what}: {exchange.segments[-1]}"


def _box(title: str, lines: list[str]) -> list[str]:
    parts = [part for line in lines for part in textwrap.wrap(line, WIDTH - 2) or [""]]
    top, bottom = f"+- {title} ".ljust(WIDTH, "-"), "+".ljust(WIDTH, "-")
    return [top, *(f"| {part}".rstrip() for part in parts), bottom]
