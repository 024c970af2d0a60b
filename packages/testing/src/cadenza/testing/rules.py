"""The rules of the emulated service: its numbers, a switch for each doubtful one, and where each comes from.

Sections and rows named here are those of teams-protocol.md. A row that is sure has only a number; a row that
is not ("Switchable" in its section 6.1) has a field with a strict default. Most switches are a `Verdict`:

- "refuse": the request is refused, and reported as a violation;
- "flag": it is accepted, and reported as a violation;
- "allow": it is accepted in silence.

What a violation is
-------------------
A violation is something that a correct client does not do, judged at the moment a request arrives and by
what the client had been **told** by then (answers that went out), never by what only the service knows. So
these are refused and are *no* violations:

- a sequence number repeated after a request without a 2xx answer: 202 out of order if the first was applied;
- a final repeated after a final that was applied but answered with something other than 2xx, or not at all:
  403 already completed;
- a start repeated after a start without a 2xx answer: 403 not allowed if the first one opened a stream;
- any request that meets a Stop, an expiry or a refusal for the first time;
- an informative line after text, as long as no 2xx acknowledged any;
- a start in a group chat whose kind was not told to the bot (no conversationType in what it received);
- a final of a stream that has expired, as long as no answer said so; a chunk becomes a violation when the
  lifetime has passed since the start was *answered*;
- a new stream while the old one is open, if a final for it was tried (whatever became of it);
- a final whose text differs from what was streamed (1.5: the sources conflict, so a client may try);
- an edit that is refused for the state of the message it edits, unless the client knew it was streaming;
- a targeted message in a personal chat whose kind was not told to the bot;
- a message above `message_bytes` where that was set below the documented limit.

Whatever an injected fault answers is what the client was told; requests refused by a fault are not applied
(unless the fault says so) but count as arrivals for the pace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["DOCUMENTED_MESSAGE_BYTES", "SOURCES", "Rules", "Verdict"]

Verdict = Literal["refuse", "flag", "allow"]

DOCUMENTED_MESSAGE_BYTES = 100 * 1024
"""Message size, in bytes of UTF-16 (2 "Message size"). Above it a client is at fault, not only refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the emulated service decides. The defaults are strict; times are seconds."""

    # -- pace
    stream_interval: float = 1.0
    """2 "Streaming request rate": least time between the arrivals of two stream requests."""
    pace_scope: Literal["conversation", "stream"] = "conversation"
    """2 "Streaming request rate" says per stream; with one stream per chat that is also per chat."""
    refused_counts: bool = True
    """2 "Strictness": whether a request refused for its pace or by a fault starts the interval anew."""
    throttle_body: Literal["object", "string"] = "object"
    """3 row 429 and 2 "429 body": an error object, or a bare string (teams.net#112)."""
    throttle_retry_after: int | None = None
    """9 question 9: whether a 429 on a stream carries Retry-After, and how many seconds."""
    early_retry: Verdict = "flag"
    """2 "429 wait": a stream goes on before the Retry-After of its last 429 is over."""
    conversation_rates: tuple[tuple[int, float], ...] = ((7, 1.0), (8, 2.0), (60, 30.0), (1800, 3600.0))
    """2 "Send to conversation, per bot per thread": at most that many requests in any that many seconds; what
    is above is refused with 429 and Retry-After. Empty: not limited."""
    tenant_requests_per_second: int | None = None
    """2 "Per app per tenant": 30 in older texts, 50 in the current one. None (the default, since tests with
    many users have but one tenant): not limited."""

    # -- sequence
    sequence_gap: Verdict = "flag"
    """1.6 "Gap in sequence": the documents say +1, the official sample leaves gaps and works."""
    final_sequence: Verdict = "refuse"
    """1.5 "streamSequence", 1.6 "seq on final": must not be set; real Teams tolerated it for a year."""
    stale_body: Literal["error", "flat", "empty"] = "error"
    """9 question 1: the body of the out-of-order 202: {"error": {...}}, {"code": ...}, or {}."""

    # -- text
    growth: Literal["prefix", "contain"] = "prefix"
    """9 question 5: each text must start with the previous one, or merely contain it."""
    final_text: Literal["grow", "any"] = "grow"
    """1.5 "may final text differ?": whether `growth` binds the final too."""
    empty_final: Literal["with_attachments", "refuse", "allow"] = "with_attachments"
    """1.5 "may final text differ?": whether a final may be without text; without attachments too, it is a
    violation."""
    empty_chunk: Verdict = "refuse"
    """1.6 "Continue with empty text"."""

    # -- informative
    informative_characters: int = 1000
    """1.4: at most 1000 characters."""
    informative_bytes: int = 1024
    """1.4: at most 1 KB, counted in UTF-8."""
    long_informative: Verdict = "refuse"
    """9 question 8: what the service does with a longer one."""
    late_informative: Verdict = "flag"
    """1.4 "After content has started": accepted and ignored, or refused."""

    # -- shape
    final_only: Verdict = "refuse"
    """1.2: attachments, suggestedActions, AI and sensitivity label and feedback on anything but the final."""

    # -- size
    message_bytes: int = DOCUMENTED_MESSAGE_BYTES
    """2 "Message size": UTF-16 bytes of text and attachments, images in base64 left out."""
    size_status: Literal[413, 403] = 413
    """1.6 "Text too long": the documents say 403, the service 413 (teams.py#488)."""

    # -- life of a stream
    stream_lifetime: float = 120.0
    """2 "Total stream time": from the first request on, whatever is sent."""
    expired_status: Literal[403, 429] = 403
    """1.6 "Over 2 minutes": 403, also seen as 429."""
    stop_spelling: Literal["canceled", "cancelled"] = "canceled"
    """1.6 "After Stop": both spellings are documented."""

    # -- where a stream may be
    group_refusal: Literal["400", "400-2024", "403"] = "400"
    """1.6 "Group chat / channel": BadArgument in its two wordings, or 403 not allowed."""
    second_stream: Literal["refuse", "allow"] = "refuse"
    """9 question 2: a start while another stream of the chat is open."""
    typing_while_open: Verdict = "flag"
    """1.4, 9 question 7: a bare typing while a stream is open."""
    message_while_open: Verdict = "allow"
    """1.6 "Plain message while a stream is open"."""

    # -- edits
    put_while_open: Verdict = "refuse"
    """9 question 11: an edit of a message that is still streaming."""
    put_after_expiry: Literal["allow", "refuse"] = "allow"
    """1.6 "After timeout"."""
    put_after_final: Literal["allow", "refuse"] = "allow"
    """1.5 "edit/delete after final", 9 question 12."""
    delete_while_open: Verdict = "flag"
    """1.6 "DELETE of an open stream": answers 2xx, but the bubble stays."""

    # -- targeted messages
    targeted_flag: Verdict = "refuse"
    """7 "Targeted": an edit or a deletion of a targeted message without `?isTargetedActivity=true`, or of
    another message with it; the sources do not say what becomes of it. Refused, it finds no message."""
    targeted_lifetime: float = 24 * 3600.0
    """7 "Targeted": how long such a message is there."""

    # -- signing in
    sign_in_card: Verdict = "flag"
    """api-surface.md 1.10, sign_in: in a group chat or a channel an OAuth card is targeted at who is to sign
    in, and in a channel it has no tokenExchangeResource. The SDKs do so; no source says that Teams minds."""


SOURCES: Mapping[str, str] = {
    name: f"teams-protocol.md {row}"
    for name, row in {
        "attachments-before-final": '1.2 "attachments, suggestedActions, ..."',
        "channel-data-differs": '1.2 "channelData mirror"',
        "concurrent": '1.1 "Serial"',
        "delete-while-open": '1.6 "DELETE of an open stream"',
        "edit-of-several": '1.7 "Activity resulted into multiple skype activities"',
        "edit-with-streaminfo": '1.1 "Verb + URL": a chunk is never a PUT',
        "final-sequence": '1.5 "streamSequence"',
        "informative-after-text": '1.4 "After content has started"',
        "informative-size": '1.4 "Max 1 KB or 1000 characters"',
        "malformed": "7: JSON bodies",
        "meeting": '7 "Meetings"',
        "message-size": '2 "Message size"',
        "message-while-open": '1.6 "Plain message while a stream is open"',
        "pace": '2 "Streaming request rate"',
        "personal-only": '2 "Scope"',
        "put-while-open": "9 question 11",
        "rate-limit": '2 "Send to conversation, per bot per thread", "Per app per tenant"',
        "retry-after": '2 "429 wait"',
        "route": '1.1 "Verb + URL", 7',
        "second-stream": '2 "Streams per chat"',
        "sequence-first": '1.2 "streamSequence", 1.6 "First seq not 1"',
        "sequence-gap": '1.6 "Gap in sequence"',
        "sequence-missing": '1.2 "streamSequence"',
        "sequence-repeated": '1.6 "Same or lower seq"',
        "stream-after-expiry": '1.6 "Over 2 minutes"',
        "stream-after-final": '1.5 "after final"',
        "stream-after-stop": '1.6 "After Stop"',
        "stream-id": '1.2 "streaminfo.streamId"',
        "stream-type": '1.2 "streaminfo.streamType", 1.7',
        "streaminfo-missing": "1.7, first row",
        "streaminfo-twice": '1.2 "more than one streaminfo entity"',
        "targeted-flag": '7 "Targeted"',
        "targeted-personal": '7 "Targeted"',
        "targeted-recipient": '7 "Targeted"',
        "text-changed": '1.6 "Change of already streamed text"',
        "text-missing": '1.6 "Start with empty/missing text"',
        "token": "8, last line: every request carries the bot's token",
        "typing-while-open": "1.4, last row but one",
    }.items()
} | {
    "card": "the schema of Adaptive Cards, AdaptiveCard: type, body, actions",
    "card-refresh": "msteams-docs, User-Specific-Views.md",
    "sign-in-card": "api-surface.md 1.10, sign_in",
    "sign-in-link": "api-surface.md 1.10, sign_in: the state of the link names the card's connection",
}
"""The row of teams-protocol.md (or of another document) behind each rule whose breach is a violation."""
