"""Where a text that is too long for one message is cut, and how code fences survive it.

Lengths are UTF-16 code units, as Teams counts them; positions are Python's (code points), so that no
surrogate pair is ever cut. A cut inside a fenced code block closes the fence before it and opens it again
after it. These two repairs are all that the joined messages hold beyond the text that was emitted.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Cut", "clip", "cut", "units", "whole"]

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
_ZERO_WIDTH_JOINER = "\u200d"
_LONGEST_REPAIR = 100
"""Characters. A longer line that opens a code block is not repeated."""


@dataclass(frozen=True, slots=True)
class Cut:
    """`text[:at] + closing` ends one message, `opening + text[at:]` begins the next."""

    at: int
    closing: str = ""
    opening: str = ""


def units(text: str) -> int:
    """Length of `text` in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def whole(text: str) -> str:
    """`text` without the first half of a surrogate pair at its end: the other half is yet to come, and what
    was sent of a stream cannot change."""
    return text[:-1] if "\ud800" <= text[-1:] <= "\udbff" else text


def clip(text: str, most_units: int, most_bytes: int) -> str:
    """The longest beginning of `text` within both limits (UTF-16 code units, UTF-8 bytes), with an
    ellipsis where something was left out."""
    if units(text) <= most_units and _bytes(text) <= most_bytes:
        return text
    kept = text[:most_units]
    while units(kept) > most_units - 1 or _bytes(kept) > most_bytes - _bytes("…"):
        kept = kept[:-1]
    return kept + "…"


def cut(text: str, limit: int, floor: int = 0) -> Cut:
    """Where to end the first message of `text`, which is longer than `limit` UTF-16 code units.

    Looks for the end of a paragraph in the last fifth of the limit, else of a line, a sentence, a word;
    else cuts between two characters. Never cuts before position `floor` (what the user already sees), even
    if that breaks the limit.
    """
    room = limit
    while True:
        at = _place(text, room, floor)
        fence = _fence_at(text, at)
        if fence is None:
            return Cut(at)
        if max(floor, 0) < fence.begins and at <= fence.content:  # not in the line that opens a code block
            return Cut(fence.begins)
        closing = ("" if text[at - 1] == "\n" else "\n") + fence.mark
        opening = f"{fence.mark}{fence.info}\n"
        if at < fence.content or len(opening) > _LONGEST_REPAIR or len(opening) >= at - fence.begins:
            return Cut(at)  # a repair would not help, or the rest would never get shorter
        excess = units(text[:at]) + len(closing) - limit
        if excess <= 0 or at <= floor or room <= 1:
            return Cut(at, closing, opening)
        room = max(1, room - excess)


def _place(text: str, limit: int, floor: int) -> int:
    end = _prefix(text, limit)
    if end <= floor:
        return floor
    start = max(floor, _prefix(text, limit * 4 // 5))
    for mark in ("\n\n", "\n", ". ", " "):
        found = text.rfind(mark, start, end)
        if found >= 0 and found + len(mark) > floor:
            return found + len(mark)
    if start == floor > 0 and text[floor - 1].isspace():  # what is shown ends with a word
        return floor
    while end > max(start, 1) and _joined(text, end):
        end -= 1
    return max(end, floor, 1)


def _prefix(text: str, limit: int) -> int:
    """How many characters of `text` fit into `limit` (0 or more) UTF-16 code units."""
    end = min(len(text), limit)
    while (over := units(text[:end]) - limit) > 0:
        end -= max(1, over // 2)
    return end


def _joined(text: str, at: int) -> bool:
    """Whether a reader takes the characters around `at` for one."""
    if at >= len(text):
        return False
    before, after = text[at - 1], text[at]
    return (
        (before == "\r" and after == "\n")
        or ("\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff")
        or _ZERO_WIDTH_JOINER in (before, after)
        or unicodedata.combining(after) != 0
        or "\ufe00" <= after <= "\ufe0f"  # variation selectors
        or "\U0001f3fb" <= after <= "\U0001f3ff"  # skin tones
    )


class _Fence(NamedTuple):
    """A fenced code block that is open at some place."""

    mark: str
    info: str
    begins: int
    """Position of the line that opens it."""
    content: int
    """Position of the line after that one."""


def _fence_at(text: str, at: int) -> _Fence | None:
    """The code block that is open at position `at`, if one is."""
    fence: _Fence | None = None
    begins = 0
    for line in text[:at].splitlines(keepends=True):
        found = _FENCE.match(line.rstrip("\r\n"))
        begins += len(line)
        if not found:
            continue
        run, rest = found.groups()
        if fence is None:
            if run[0] == "~" or "`" not in rest:
                complete = line.endswith(("\n", "\r"))
                fence = _Fence(run, rest.strip(), begins - len(line), begins if complete else at + 1)
        elif run[0] == fence.mark[0] and len(run) >= len(fence.mark) and not rest.strip():
            fence = None
    return fence
