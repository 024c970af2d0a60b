"""Ways to break the stream, each a change of one line, each of which the tests must notice.

A mutation stands for a promise of the stream. `run.py` makes each of them in a copy of the tree and runs the
tests there: those that pass all the same prove nothing. Twenty are in machine.py, pacing.py, segments.py and
classify.py, two beside them: what is acknowledged is kept in cycle.py, and channelData merged in parts.py.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MUTATIONS", "Mutation"]


@dataclass(frozen=True, slots=True)
class Mutation:
    """A change of one line that the tests must notice."""

    name: str
    file: str
    """Path below packages/."""
    old: str
    """A part of one line; it occurs once in the file."""
    new: str
    """What stands in its place: a part of one line too."""
    why: str
    """The promise that is broken, in one sentence."""
    tests: tuple[str, ...] = ()
    """Paths or node ids of the tests that must notice. Empty: those of the stream, `SUITE` in run.py."""


_STREAM = "apps/src/cadenza/apps/stream/"

MUTATIONS: tuple[Mutation, ...] = (
    # Pace, and the one open stream of a conversation
    Mutation(
        "pacing-removed",
        _STREAM + "pacing.py",
        "self.ready_at = now + interval",
        "self.ready_at = now",
        "Two stream requests of a conversation keep the interval, counted from the answer.",
    ),
    Mutation(
        "two-streams-open",
        _STREAM + "pacing.py",
        "if start and self.holder not in (None, owner):",
        "if False:",
        "A conversation has one open stream: a second one waits and collects its text.",
    ),
    Mutation(
        "retry-after-ignored",
        _STREAM + "classify.py",
        "return failure(FailureKind.THROTTLED)",
        "return Failure(FailureKind.THROTTLED, status, code, message)",
        "After a 429 nothing is sent before Retry-After is over.",
    ),
    Mutation(
        "final-without-deadline",
        _STREAM + "machine.py",
        "message.deadline = now + self._limits.final_deadline",
        "message.deadline = inf",
        "close() ends within its deadline, whatever the service answers.",
    ),
    Mutation(
        "expiry-clock-off",
        _STREAM + "machine.py",
        "end = message.started_at + self._limits.lifetime",
        "end = inf",
        "A stream is finalized at 115 s, before the service ends it, and edits carry it on.",
    ),
    Mutation(
        "busy-process-ignored",
        _STREAM + "machine.py",
        "return max(self._pace.ready_at, message.gives_way_until)",
        "return self._pace.ready_at",
        "The chunks of a process that cannot keep up give way.",
    ),
    Mutation(
        "late-without-bound",
        _STREAM + "pacing.py",
        "return MOST_RELIEF * late / (late + LATE)",
        "return MOST_RELIEF * late / LATE",
        "A chunk that gives way comes all the same, and soon.",
    ),
    # What goes over the wire
    Mutation(
        "sequence-reused",
        _STREAM + "machine.py",
        "                message.sequence += 1",
        "                message.sequence += 0",
        "streamSequence is 1, 2, 3... within a message.",
    ),
    Mutation(
        "stream-id-omitted",
        _STREAM + "machine.py",
        "return Post(kind, wish.text, wish.fields, message.id, message.sequence, wish.fresh)",
        "return Post(kind, wish.text, wish.fields, None, message.sequence, wish.fresh)",
        "Every request after the start names its stream.",
    ),
    Mutation(
        "acknowledged-text-not-advanced",
        _STREAM + "cycle.py",
        "self.acked = self.offered = request.text",
        "self.offered = request.text",
        "What a 2xx has brought to the screen is known: it is neither cut, repeated nor called undelivered.",
    ),
    Mutation(
        "surrogate-pair-cut",
        _STREAM + "segments.py",
        r'return text[:-1] if "\ud800" <= text[-1:] <= "\udbff" else text',
        "return text",
        "No request ends in the middle of a character that comes in two halves.",
    ),
    # The answer: its text, its parts, its messages
    Mutation(
        "clear-forgets",
        _STREAM + "machine.py",
        "message.clear()",
        'message.clear(); message.acked = message.offered = ""',
        "clear() drops the text, and remembers what the user sees, which a chunk must extend.",
    ),
    Mutation(
        "replaced-text-held-back",
        _STREAM + "machine.py",
        "elif message.live and message.contradicts:",
        "elif False:",
        "A text that takes the place of the shown one is seen while it grows, not only at its end.",
    ),
    Mutation(
        "text-told-again-ends-the-stream",
        _STREAM + "cycle.py",
        "text.startswith(offered) or offered.startswith(text)",
        "text.startswith(offered)",
        "A run that is told again from its start streams on in the same message.",
    ),
    Mutation(
        "channel-data-replaced",
        _STREAM + "parts.py",
        "_merge_mappings(self.channel_data, {k: v for k, v in value.items() if k not in _STREAM_KEYS})",
        "self.channel_data = {k: v for k, v in value.items() if k not in _STREAM_KEYS}",
        "channelData of all emits is merged: a later one erases no key of an earlier one.",
    ),
    Mutation(
        "attachments-dropped-at-roll-over",
        _STREAM + "machine.py",
        "self._seal(cycle, request.cut.at, opening=request.cut.opening)",
        "cycle.extras_sent = True; self._seal(cycle, request.cut.at, opening=request.cut.opening)",
        "Where an answer becomes several messages, its cards go with the last.",
    ),
    Mutation(
        "fence-not-reopened",
        _STREAM + "segments.py",
        "return Cut(at, closing, opening)",
        "return Cut(at, closing)",
        "A code block that is cut is closed in one message and opened again in the next.",
    ),
    Mutation(
        "too-large-not-split",
        _STREAM + "machine.py",
        "FailureKind.TOO_LARGE: _moves(Move.SPLIT, typing=Move.IGNORE, delete=Move.IGNORE),",
        "FailureKind.TOO_LARGE: _moves(Move.SETTLE, **_REFUSED),",
        "A message that the service calls too large is split into smaller ones.",
    ),
    Mutation(
        "close-not-shared",
        _STREAM + "machine.py",
        '(CLOSING, ev.Close): Rule("_close", (CLOSING,),',
        '(CLOSING, ev.Close): Rule("_nothing", (CLOSING,),',
        "Calls of close() share one finalization, and each gets its result.",
    ),
    # Failures
    Mutation(
        "start-repeated-twice",
        _STREAM + "machine.py",
        "if message.starts > 1:",
        "if message.starts > 2:",
        "A start that got no answer is repeated once, so that at most one bubble is orphaned.",
    ),
    Mutation(
        "lost-plain-repeated",
        _STREAM + "classify.py",
        "return Failure(FailureKind.LOST if left else FailureKind.TRANSIENT, message=message)",
        "return Failure(FailureKind.TRANSIENT, message=message)",
        "A plain message that may have arrived is not sent again: close() says that this is unknown.",
    ),
    Mutation(
        "stop-spelled-one-way",
        _STREAM + "classify.py",
        'if "cancel" in said:',
        'if "canceled" in said:',
        "The user's Stop is known in both spellings of the service.",
    ),
    Mutation(
        "code-not-read",
        _STREAM + "classify.py",
        "if code.lower() not in _STREAM_CODES:",
        "if False:",
        "A 403 with another code is never about the stream, whatever its message says.",
    ),
    Mutation(
        "stop-still-sends",
        _STREAM + "machine.py",
        "self._cycles.clear()",
        "pass",
        "After the user's Stop nothing more is sent.",
    ),
)
