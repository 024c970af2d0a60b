"""What `cadenza chat` shows in a terminal: bubbles, the open one growing."""

from __future__ import annotations

import sys

from cadenza.dev.views import ENDS, PROMPT, how_to_sign_in, in_dialog, labels, printable, reacted
from cadenza.testing import Dialog, Exchange, ScreenChange, ScreenMessage
from cadenza.testing.outline import attached, buttons, card_of, named, outline
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

__all__ = ["RichView"]

WIDTH = 100
"""Columns of a bubble, at most."""

MARGIN = 4
"""Columns beside a bubble: a ^C that the terminal writes behind the open one must not break the line."""

FRAME = 4
"""Rows that a bubble needs around its text, and columns."""


class RichView:
    """The conversation as bubbles. The open one is redrawn as it grows: of a text that is higher than the
    terminal its end is shown, until it is final and printed whole."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._growing: ScreenMessage | None = None  # what the live display shows
        self._texts: dict[str, str] = {}
        self._prompting = False

    def prompt(self) -> None:
        self._leave_live()
        self._console.print(Text(f"\n{PROMPT}", style="bold cyan"), end="")
        self._prompting = True

    def said(self, text: str, *, echoed: bool) -> None:
        self._prompting = False
        if not echoed:
            self._console.print(Text(text))

    def opened(self, dialog: Dialog) -> None:
        self._leave_live()
        shown = Text(printable("\n".join(in_dialog(dialog))))
        title = Text(printable(f"dialog: {dialog.title}"))
        self._console.print(
            Panel(shown, title=title, title_align="left", border_style="cyan", width=self._width)
        )

    def notice(self, text: str) -> None:
        self._leave_live()
        self._console.print(Text(printable(text), style="bold"))

    def note(self, text: str) -> None:
        self._leave_live()
        self._console.print(Text(text, style="dim"))

    def close(self) -> None:
        self._leave_live()

    def observe(self, event: Exchange | ScreenChange) -> None:
        if isinstance(event, Exchange):
            what = reacted(event)
            if what and not self._prompting:
                self._console.print(Text(printable(what), style="dim"))
        elif not self._prompting:
            self._show(event)
        elif event.message is not None and event.message.state != "streaming":
            self._console.print()
            self._show(event)
            self.prompt()

    def _show(self, event: ScreenChange) -> None:
        message = event.message
        if message is None:
            if event.change == "typing":
                self._console.print(Text("typing...", style="dim"))
        elif event.change == "reaction":
            self._console.print(Text(f"reactions: {' '.join(message.reactions) or 'none'}", style="dim"))
        elif message.state == "streaming":
            self._grow(message)
        else:
            if message is self._growing:
                self._end_live()
            self._console.print(self._whole(message, event))  # above the one that grows

    def _grow(self, message: ScreenMessage) -> None:
        if self._live is None:
            # Logs go above the bubble, but not where stderr goes somewhere else.
            to_terminal = sys.stderr.isatty()
            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, redirect_stderr=to_terminal
            )
            self._live.start()
        self._growing = message
        self._live.update(self._open(message), refresh=True)

    def _end_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = self._growing = None

    def _leave_live(self) -> None:
        """End the live display of a message that may never be final, and leave on the terminal what it is."""
        message = self._growing
        if message is not None:
            self._end_live()
            self._console.print(self._open(message))

    def _open(self, message: ScreenMessage) -> Panel:
        """A message that streams: its informative line, or as many of its last lines as there is room for."""
        if not message.text:
            return self._bubble(
                Text(printable(message.informative or ""), style="italic dim"), "streaming", "yellow"
            )
        text = named(message.text, message.entities)
        lines = Text(printable(text.rstrip())).wrap(self._console, self._width - FRAME)
        room = max(1, self._console.height - FRAME)
        return self._bubble(Text("\n").join(lines[-room:]), "streaming", "yellow")

    def _whole(self, message: ScreenMessage, event: ScreenChange) -> RenderableType:
        if message.deleted:
            return Text("(the message was deleted)", style="dim")
        shown = self._texts.get(message.id, "")
        whole = self._texts[message.id] = named(message.text, message.entities)
        continued = event.change == "edited" and shown and whole.startswith(shown)
        parts: list[RenderableType] = []
        text = whole[len(shown) :] if continued else whole
        if text:
            parts.append(Text(printable(text.rstrip())))
        for attachment in message.attachments:
            card = card_of(attachment)
            if card is None:
                parts.append(Text(printable(attached(attachment))))
            else:
                parts.append(
                    Panel(Text(printable("\n".join(outline(card)))), title="card", title_align="left")
                )
        if how := how_to_sign_in(message):
            parts.append(Text(how, style="dim"))
        row = buttons((message.suggested_actions or {}).get("actions"))
        if row:
            parts.append(Text(printable(row), style="cyan"))
        parts += [Text(printable(line), style="dim") for line in labels(message)]
        end = ENDS.get(event.change, "edited" if message.edited else "")
        if event.change in ENDS:
            end += f", {event.time - message.created_at:.1f} s"
        return self._bubble(Group(*parts), end, "red" if event.change in ("stopped", "expired") else "green")

    def _bubble(self, inside: RenderableType, end: str, color: str) -> Panel:
        return Panel(
            inside,
            title="bot",
            title_align="left",
            subtitle=Text(end) if end else None,
            subtitle_align="right",
            border_style=color,
            width=self._width,
        )

    @property
    def _width(self) -> int:
        return min(self._console.width - MARGIN, WIDTH)
