"""`PipedAnswer`: shows the events of a run on a stream.

    Text                         the text of the message; of two turns, with the separator between them
    Status                       an informative line
    Citation                     a source of the message; where the text has no number for it, it gets one
    Attachment, Suggestions      go with the end of the message; what is too large for Teams is left out
    a Text that replaces,
    AttemptSuperseded            the message changes: at its end, or as an edit, if it was on the screen

All others show nothing. Of an agent that a tool runs (another scope) its Status is shown, and nothing else.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from cadenza import api as teams
from cadenza.events import (
    AnswerText,
    Attachment,
    AttemptSuperseded,
    Citation,
    Outcome,
    RunEnded,
    Status,
    StreamEvent,
    Suggestions,
    Text,
    TurnEnded,
    TurnStarted,
)

from ..log_fields import with_fields
from .segments import units

if TYPE_CHECKING:
    from cadenza.api import MessageActivityInput

__all__ = [
    "MOST_ATTACHMENT_UNITS",
    "MOST_CITATIONS",
    "MOST_PICTURE_BYTES",
    "MOST_SUGGESTIONS",
    "PipedAnswer",
    "Shown",
]

logger = with_fields(logging.getLogger(__name__))

MOST_ATTACHMENT_UNITS = 40_960
"""Most UTF-16 code units in the attachments of one message, as JSON; pictures in base64 do not count
(Microsoft's page "Format your bot messages": 100 KB, of which 80 KB are sure)."""

MOST_PICTURE_BYTES = 1024 * 1024
"""Most bytes of a picture that comes in base64 (the same page, "Picture messages": 1 MB)."""

MOST_CITATIONS = 20
"""Most citations of one message: with more, Teams refuses it with 400 (Microsoft's page "Enhance AI-generated
bot messages", Citations, error handling)."""

MOST_SUGGESTIONS = 6
"""Most suggested actions that Teams takes; it shows about three at once (teams-protocol.md 1.5)."""

_SPACE = re.compile(r"\s")


class Shown(Protocol):
    """What a `PipedAnswer` needs of a stream."""

    def emit(self, activity: str | MessageActivityInput) -> None: ...

    def update(self, text: str) -> None: ...

    def replace_text(self, text: str) -> None: ...


class PipedAnswer:
    """The answer that the events of one run make on `stream`.

    `before`: the text that is there already, and stays. `separator`: stands between the text of two turns.
    `ai_label`: whether the message says that AI has made it. `suggests`: whether this conversation shows
    suggested actions (one-to-one chats only, teams-protocol.md 1.5).
    """

    def __init__(
        self, stream: Shown, *, before: str = "", separator: str = "", ai_label: bool, suggests: bool
    ) -> None:
        self.complete = False
        """Whether the run said that it is complete."""
        self._stream = stream
        self._before = before
        self._void = False
        """Whether the text on the screen was taken back, and nothing has come in its place yet."""
        self._labels = ai_label
        self._suggests = suggests
        self._text = AnswerText(separator=separator)
        self._citations: list[tuple[int, int, Citation]] = []
        """Turn, number in the text, and source."""
        self._numbers: dict[tuple[str | None, ...], int] = {}
        """The number of each source."""
        self._given: set[int] = set()
        """The numbers that are ours, not the text's own."""
        self._marks = ""
        """Numbers that the text gets at its next white space."""
        self._last_marks: list[tuple[int, str]] = []
        """Those of sources that came between turns, from tools: the text gets them at its very end."""
        self._in_turn = True
        self._attachments: list[tuple[int, Attachment]] = []
        self._suggestions: tuple[int, Suggestions] | None = None

    def show(self, event: StreamEvent) -> None:
        """Show what there is to show of `event`. Raises what `emit` of the stream raises."""
        if isinstance(event, Text):
            if event.scope == "":
                self._show_text(event)
        elif isinstance(event, Status):
            self._stream.update(event.text)
        elif event.scope != "":
            pass
        elif isinstance(event, Citation):
            self._cite(event)
        elif isinstance(event, Attachment):
            self._attachments.append((self._text.turn, event))
        elif isinstance(event, Suggestions):
            self._suggestions = (self._text.turn, event)
        elif isinstance(event, TurnStarted | AttemptSuperseded):
            self._begin_turn(event)
        elif isinstance(event, TurnEnded):
            self._flush_marks()
            self._in_turn = False
        elif isinstance(event, RunEnded):
            self.complete = event.outcome == Outcome.COMPLETED

    def add(self, text: str) -> None:
        """Show a text that came among the events, as one of them."""
        self.show(Text(text))

    def end(self, *, failed: bool = False) -> None:
        """Give the message what goes with its end. Nothing is shown after that. `failed`: the run raised, so
        that a text that was taken back and had nothing come in its place stays."""
        if self._void and not failed:
            self._stream.replace_text(self._before + self._text.text)
        self._void = False
        self._marks += "".join(mark for _, mark in self._last_marks if mark not in self._marks)
        self._flush_marks()
        message = teams.MessageActivityInput(text="")
        cited: set[int] = set()
        for _, number, source in self._citations:
            if number in cited or len(cited) < MOST_CITATIONS:
                cited.add(number)
                message.add_citation(number, _appearance(number, source))
        attachments = _fitting([one for _, one in self._attachments])
        if attachments:
            message.add_attachments(*map(_attachment, attachments))
        if self._suggestions and self._suggests:
            message.with_suggested_actions(_suggested(self._suggestions[1]))
        if self._labels and attachments:
            message.add_ai_generated()
        if cited or attachments or message.suggested_actions:
            self._stream.emit(message)
        self._citations, self._attachments, self._suggestions = [], [], None
        self._last_marks = []

    def _show_text(self, event: Text) -> None:
        if event.mode == "append":
            if self._marks:
                event = Text(self._with_marks(event.text))
        elif not event.text:
            self._forget_places()
        else:
            self._mark_again(event.text)
        added = self._text.apply(event)
        if added is None or self._void:
            self._replace(event.text)
        elif added:
            if self._labels:
                self._label(added)
            else:
                self._stream.emit(added)

    def _replace(self, new: str) -> None:
        """Show the text in place of what is on the screen, once it has words: `new` is what has come of it. A
        retry that fails before it says one leaves what was read."""
        self._void = not new.strip()
        if not self._void:
            self._stream.replace_text(self._before + self._text.text)

    def _label(self, text: str) -> None:
        """The first text brings the label, so that it is there however the run ends."""
        self._stream.emit(teams.MessageActivityInput(text=text).add_ai_generated())
        self._labels = False

    def _begin_turn(self, event: TurnStarted | AttemptSuperseded) -> None:
        first = self._text.void_from(event)
        if first is not None:
            self._forget(first)
        else:
            self._flush_marks()
        self._in_turn = True
        if self._text.apply(event) is None:
            self._void = True

    def _forget(self, first: int) -> None:
        """What came with the turns from `first` on is void."""
        self._marks = ""
        self._last_marks = [one for one in self._last_marks if one[0] < first]
        self._attachments = [one for one in self._attachments if one[0] < first]
        self._citations = [one for one in self._citations if one[0] < first]
        if self._suggestions and self._suggestions[0] >= first:
            self._suggestions = None
        self._forget_numbers()

    def _forget_places(self) -> None:
        """The text of the turn is void, and with it what points into it. The other numbers that we gave wait
        for a place again."""
        turn = self._text.turn
        self._citations = [one for one in self._citations if one[0] < turn or one[2].start is None]
        self._forget_numbers()
        marks = {f" [{number}]" for number in self._given}
        self._last_marks = [one for one in self._last_marks if one[1] in marks]
        self._mark_again("")

    def _forget_numbers(self) -> None:
        kept = {number for _, number, _ in self._citations}
        self._numbers = {source: number for source, number in self._numbers.items() if number in kept}
        self._given &= kept

    def _cite(self, source: Citation) -> None:
        number = source.index
        key = (source.url,) if source.url else (source.title, source.quote)
        known = self._numbers.get(key)
        if number is None or number < 1 or (number in self._given and number != known):
            number = known or self._free_number()
            self._given.add(number)
            mark = f" [{number}]"
            if number > MOST_CITATIONS:
                pass
            elif not self._in_turn:
                if all(mark != other for _, other in self._last_marks):
                    self._last_marks.append((self._text.turn, mark))
            elif mark not in self._marks:
                self._marks += mark
        self._numbers.setdefault(key, number)
        self._citations.append((self._text.turn, number, source))

    def _free_number(self) -> int:
        """One that neither a source has nor, for whatever it means, the text."""
        number = 1 + max((number for _, number, _ in self._citations), default=0)
        text = self._text.text
        while f"[{number}]" in text:
            number += 1
        return number

    def _mark_again(self, text: str) -> None:
        """`text` replaces that of the turn: the numbers that it lacks wait for a place again."""
        self._marks = ""
        last = {mark for _, mark in self._last_marks}
        for turn, number, _ in self._citations:
            mark = f" [{number}]"
            ours = turn == self._text.turn and number in self._given and number <= MOST_CITATIONS
            if ours and mark not in last and mark[1:] not in text and mark not in self._marks:
                self._marks += mark

    def _with_marks(self, text: str) -> str:
        """`text` with the numbers that wait for a place: no word is torn in two."""
        shown = self._text.text
        if not shown or shown[-1].isspace():
            place, marks = 0, f"{self._marks.lstrip()} "
        else:
            space = _SPACE.search(text)
            if space is None:
                return text
            place, marks = space.start(), self._marks
        self._marks = ""
        return text[:place] + marks + text[place:]

    def _flush_marks(self) -> None:
        marks, self._marks = self._marks, ""
        shown = self._text.text if marks else ""
        if not shown:
            return
        if shown[-1].isspace():
            marks = marks.lstrip()
        if added := self._text.apply(Text(marks)):
            if self._void:
                self._replace(added)
            else:
                self._stream.emit(added)


def _appearance(number: int, source: Citation) -> teams.CitationAppearance:
    """What Teams shows of a source; it wants a name."""
    name = source.title or source.url or f"Source {number}"
    return teams.CitationAppearance(name=name, abstract=source.quote or "", url=source.url)


def _fitting(attachments: Sequence[Attachment]) -> list[Attachment]:
    """Those that Teams takes: one that is too large would end the answer in an error."""
    fitting: list[Attachment] = []
    room = MOST_ATTACHMENT_UNITS
    for one in attachments:
        url = one.content_url or ""
        picture = len(url) * 3 // 4 if url.startswith("data:") else 0
        size = units(json.dumps(one.content, default=str, ensure_ascii=False)) + (0 if picture else len(url))
        if picture > MOST_PICTURE_BYTES:
            logger.warning("left out a picture of %d bytes: Teams takes %d", picture, MOST_PICTURE_BYTES)
        elif size > room:
            logger.warning("left out an attachment of %d characters: there was room for %d", size, room)
        else:
            fitting.append(one)
            room -= size
    return fitting


def _attachment(event: Attachment) -> teams.Attachment:
    return teams.Attachment(
        content_type=event.content_type,
        content=event.content,
        content_url=event.content_url,
        name=event.name,
    )


def _suggested(event: Suggestions) -> teams.SuggestedActions:
    actions: list[Any] = [
        teams.CardAction(type="imBack", title=text, value=text) for text in event.texts[:MOST_SUGGESTIONS]
    ]
    return teams.SuggestedActions(actions=actions)
