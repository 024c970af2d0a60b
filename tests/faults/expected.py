"""What one fault leads to, in each place: written from the documents, not recorded from a run.

The documents are design.md section 4 (the failure table), teams-protocol.md section 3 and CONTRIBUTING.md.
The bot says "One, " at 0 s, "two, " at 1.5 s, "three, " at 3 s, "four, " at 14 s and "five." at 15.5 s, adds
a card and closes. Where a line is struck, two informative lines come first, at 0 and 1.5 s, and the words 3 s
later. docs/reference/faults.md is drawn from this table, and from what really came of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from faults.catalogue import ACTIONS
from faults.scene import Place, Scene, Sight, Strike, play

__all__ = ["PLACES", "Row", "alone", "rows"]

PLACES: dict[str, tuple[Place, bool]] = {
    "start": ("start", False),
    "chunk": ("chunk", False),
    "final": ("final", False),
    "first line": ("start", True),
    "line": ("informative", True),
}
"""For each place of the table the kind of request, and whether informative lines come before the text."""

GROUPS = {
    "THROTTLED": "429, 429 string",
    "THROTTLED 2 S": "429 2, 429 2 string",
    "NOT DONE": "401, 412, 503",
    "LOST": "502, 504, reset before",
    "LOST, DONE": "502 applied, 504 applied, reset after",
    "SILENCE": "never, delay 15",
    "SILENCE, DONE": "never applied, hold, hold 15",
    "LATE": "delay 3, hold 3",
    "NOT ALLOWED": "403 not_allowed, 400 not_enabled, 400 not_enabled_2024",
    "REFUSED": "400, 400 argument, 400 text, 400 typing, 400 message, 400 several, 404, "
    "403 prefix, 403 empty, 403 blocked, 403 not_in_roster",
    "OVER": "403 expired, 403 completed",
    "TOO LARGE": "413, 403 size",
    "DENIED, DONE": "400 applied, 404 applied",
    "NOT DONE, DONE": "401 applied, 412 applied, 503 applied",
    "STOP": "403 canceled, 403 cancelled",
}
"""Faults that mean the same."""

# Requests: a letter each, start chunk informative final plain typing pUt delete.
# Screen: the words of each bubble by number, the card, and how the bubble stands in the end.
TABLE = """
## The request was certainly not carried out: it is made again, with the newest text.
start | sscccf | 1-5+card final | sent | 15.5 | THROTTLED; NOT DONE
start | ssccf  | 1-5+card final | sent | 15.5 | THROTTLED 2 S
chunk | sccccf | 1-5+card final | sent | 15.5 | THROTTLED; NOT DONE
chunk | scccf  | 1-5+card final | sent | 15.5 | THROTTLED 2 S
final | scccff | 1-5+card final | sent | 16.5 | THROTTLED; NOT DONE
final | scccff | 1-5+card final | sent | 17.5 | THROTTLED 2 S

## The service asks to wait for longer than the end of a message may take: `close()` says so at once.
start | s     |             | StreamDeliveryError, 1-5 and attachments undelivered | 15.5 | 429 90
chunk | sc    | 1 expired   | StreamDeliveryError, 2-5 and attachments undelivered | 15.5 | 429 90
final | scccf | 1-4 expired | StreamDeliveryError, 5 and attachments undelivered   | 15.5 | 429 90

## Nobody knows whether the request was carried out: it is made once more.
start | sscccf  | 1-5+card final              | sent | 15.5 | LOST
start | ssttttp | 1 expired, 1-5+card message | sent | 15.5 | LOST, DONE
start | sscf    | 1-5+card final              | sent | 15.5 | SILENCE
start | ssttp   | 1 expired, 1-5+card message | sent | 15.5 | SILENCE, DONE
chunk | sccccf  | 1-5+card final              | sent | 15.5 | LOST; LOST, DONE; SILENCE; SILENCE, DONE
final | scccff  | 1-5+card final              | sent | 16.5 | LOST; LOST, DONE
final | scccff  | 1-5+card final              | sent | 26.5 | SILENCE; SILENCE, DONE

## The service failed: a start is not made again, the next chunk follows, a final is safe to repeat.
start | sttttp | 1-5+card message            | sent | 15.5 | 500
start | sttttp | 1 expired, 1-5+card message | sent | 15.5 | 500 applied
chunk | sccccf | 1-5+card final              | sent | 15.5 | 500; 500 applied
final | scccff | 1-5+card final              | sent | 16.5 | 500; 500 applied

## The request was dropped as out of order: its text goes out again, with the next number.
start | sttttp | 1-5+card message | sent | 15.5 | stale
chunk | sccccf | 1-5+card final   | sent | 15.5 | stale
final | scccff | 1-5+card final   | sent | 16.5 | stale

## The answer comes late: meanwhile text is collected.
start | sccf  | 1-5+card final | sent | 15.5 | LATE
chunk | scccf | 1-5+card final | sent | 15.5 | LATE
final | scccf | 1-5+card final | sent | 18.5 | LATE

## Refused for good: what is shown is finalized, and the rest follows as a plain message.
start | sttttp   | 1-5+card message          | sent | 15.5 | NOT ALLOWED; REFUSED; TOO LARGE; OVER
chunk | scfttttp | 1 final, 2-5+card message | sent | 15.5 | NOT ALLOWED; REFUSED; TOO LARGE
final | scccffp  | 1-4 final, 5+card message | sent | 16.5 | NOT ALLOWED; REFUSED

## Too large, with a card: first the text, then the card.
final | scccffp | 1-5 final, -+card message | sent | 16.5 | TOO LARGE

## The stream is over: its message is edited, and the card follows.
chunk | scuuup  | 1-5 expired edited, -+card message | sent | 15.5 | 403 expired
chunk | scuuup  | 1-5 final edited, -+card message   | sent | 15.5 | 403 completed
final | scccfup | 1-5 expired edited, -+card message | sent | 16.5 | 403 expired
final | scccfup | 1-5 final edited, -+card message   | sent | 16.5 | 403 completed

## The user pressed Stop: nothing more is sent, and the handler is cancelled.
start | s     |             | stopped, 1 undelivered | 0    | STOP
chunk | sc    | 1 stopped   | stopped, 2 undelivered | 1.5  | STOP
final | scccf | 1-4 stopped | stopped, 5 undelivered | 15.5 | STOP

## The service says that it did nothing, and did: words may come twice, but none is lost.
start | sttttp   | 1 expired, 1-5+card message      | sent | 15.5 | DENIED, DONE; 413 applied
start | ssttttp  | 1 expired, 1-5+card message      | sent | 15.5 | NOT DONE, DONE
chunk | scfp     | 1-2 expired, 2-5+card message    | sent | 15.5 | DENIED, DONE; 413 applied
chunk | sccccf   | 1-5+card final                   | sent | 15.5 | NOT DONE, DONE
final | scccffp  | 1-5+card final, 5+card message   | sent | 16.5 | DENIED, DONE
final | scccffup | 1-5 final edited, -+card message | sent | 17.5 | NOT DONE, DONE; 413 applied

## An informative line comes first: like any start, but that a line may be dropped.
first line | ssiccccf | 1-5+card final   | sent | 18.5 | THROTTLED; NOT DONE; LOST
first line | ssccccf  | 1-5+card final   | sent | 18.5 | THROTTLED 2 S; TOO LARGE
first line | s        |   | StreamDeliveryError, 1-5 and attachments undelivered | 18.5 | 429 90
first line | sscf     | 1-5+card final   | sent | 18.5 | SILENCE
first line | sccccf   | 1-5+card final   | sent | 18.5 | LATE
first line | stttttp  | 1-5+card message | sent | 18.5 | NOT ALLOWED; REFUSED; OVER; 500; stale
first line | stttttp  | - expired, 1-5+card message | sent | 18.5 | DENIED, DONE; 500 applied
first line | sstttttp | - expired, 1-5+card message | sent | 18.5 | NOT DONE, DONE; 413 applied
first line | sstttttp | - expired, 1-5+card message | sent | 18.5 | LOST, DONE
first line | ssttp    | - expired, 1-5+card message | sent | 18.5 | SILENCE, DONE
first line | s        |                  | stopped, - undelivered | 0 | STOP

## A later informative line: it is shown again, or dropped, and the text goes on.
line | siiccccf  | 1-5+card final   | sent | 18.5 | THROTTLED; NOT DONE; LOST; LOST, DONE; stale
line | siiccccf  | 1-5+card final   | sent | 18.5 | NOT DONE, DONE
line | siccccf   | 1-5+card final   | sent | 18.5 | THROTTLED 2 S; REFUSED; TOO LARGE; 500
line | sicccccf  | 1-5+card final   | sent | 18.5 | DENIED, DONE; 413 applied; 500 applied
line | sicccf    | 1-5+card final   | sent | 18.5 | LATE; SILENCE, DONE
line | siccf     | 1-5+card final   | sent | 18.5 | SILENCE
line | si        | - expired        | StreamDeliveryError, 1-5 and attachments undelivered | 18.5 | 429 90
line | sifdttttp | 1-5+card message | sent | 18.5 | NOT ALLOWED
line | siuuuup   | 1-5 expired edited, -+card message | sent | 18.5 | 403 expired
line | siuuuup   | 1-5 final edited, -+card message   | sent | 18.5 | 403 completed
line | si        | - stopped        | stopped, - undelivered | 1.5 | STOP
"""


class Row(NamedTuple):
    """One row: faults in one place that lead to the same."""

    meaning: str
    """The sentence above it."""
    place: str
    faults: tuple[str, ...]
    requests: str
    screen: str
    handler: str
    seconds: float


def rows() -> Iterator[Row]:
    meaning = ""
    for line in filter(None, TABLE.splitlines()):
        if line.startswith("## "):
            meaning = line.removeprefix("## ")
            continue
        place, requests, screen, handler, seconds, names = (cell.strip() for cell in line.split("|"))
        faults = ", ".join(GROUPS.get(name, name) for name in names.split("; "))
        yield Row(meaning, place, tuple(faults.split(", ")), requests, screen, handler, float(seconds))


@cache
def alone() -> dict[tuple[str, str], Sight]:
    """What really came of each fault in each place: played once, and kept."""
    cells = [(place, fault) for place in PLACES for fault in ACTIONS]
    scenes = [Scene((Strike(PLACES[place][0], fault),), PLACES[place][1]) for place, fault in cells]
    return dict(zip(cells, play(scenes), strict=True))
