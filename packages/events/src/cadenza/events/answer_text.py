"""`AnswerText`: how the events of a run add up to its text."""

from __future__ import annotations

from io import StringIO

from .stream_event import AttemptSuperseded, StreamEvent, Text, TurnStarted

__all__ = ["AnswerText"]


class AnswerText:
    """The text of an answer, as its events have it so far.

    The one place for the rule of append, replace and superseded attempts. Events of other scopes (agents
    that a tool runs) do not count. `separator` stands between the text of one turn and that of the next,
    where neither has a line break there.
    """

    def __init__(self, scope: str = "", *, separator: str = "") -> None:
        self._scope = scope
        self._separator = separator
        self._turns: dict[int, StringIO] = {}
        self._turn = 1
        self._attempt = 1
        self._last = ""
        """The last character."""

    @property
    def text(self) -> str:
        """All of it."""
        joined = ""
        for turn in sorted(self._turns):
            joined += self._between(joined[-1:], part := self._turns[turn].getvalue()) + part
        return joined

    @property
    def turn(self) -> int:
        """The turn that events are of now."""
        return self._turn

    def void_from(self, event: StreamEvent) -> int | None:
        """The turn that begins anew with `event`: all that came with it, and with later ones, is void. None
        where nothing is. To be asked before `event` is applied."""
        if not isinstance(event, (TurnStarted, AttemptSuperseded)) or event.scope != self._scope:
            return None
        again = event.turn == self._turn and event.attempt > self._attempt
        void = again or event.turn < self._turn or isinstance(event, AttemptSuperseded)
        return event.turn if void else None

    def apply(self, event: StreamEvent) -> str | None:
        """Take `event` into account. Returns what it adds at the end, "" for nothing; None where what was
        there before has changed: look at `text`."""
        if isinstance(event, Text):
            if event.scope != self._scope:
                return ""
            if event.mode == "append":
                return self._append(event.text)
            return self._replace(event.text)
        if isinstance(event, (TurnStarted, AttemptSuperseded)) and event.scope == self._scope:
            first = self.void_from(event)
            changed = first is not None and self._forget(first)
            self._turn, self._attempt = event.turn, event.attempt
            return None if changed else ""
        return ""

    def _append(self, text: str) -> str:
        if not text:
            return ""
        part = self._turns.get(self._turn)
        if part is None:
            part = self._turns[self._turn] = StringIO()
            added = self._between("" if len(self._turns) == 1 else self._last, text) + text
        else:
            added = text
        part.write(text)
        self._last = text[-1]
        return added

    def _replace(self, text: str) -> str | None:
        old = self._turns[self._turn].getvalue() if self._turn in self._turns else ""
        if text.startswith(old):
            return self._append(text[len(old) :])
        self._forget(self._turn)
        self._append(text)
        return None

    def _forget(self, first: int) -> bool:
        """Forget the turns from `first` on; whether there was any text of them."""
        void = [turn for turn in self._turns if turn >= first]
        for turn in void:
            del self._turns[turn]
        self._last = self.text[-1:]
        return bool(void)

    def _between(self, before: str, after: str) -> str:
        if not before or not after or before in "\r\n" or after[0] in "\r\n":
            return ""
        return self._separator
