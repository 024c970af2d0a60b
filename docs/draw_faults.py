"""Draws the tables of docs/reference/faults.md: what the faults of tests/faults really led to.

    uv run python docs/draw_faults.py

A test compares the page with a run and says when it is stale.
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from cadenza.apps import StreamDeliveryError  # noqa: E402
from cadenza.testing import ScreenMessage  # noqa: E402
from faults.expected import alone, rows  # noqa: E402
from faults.scene import WORDS, Sight  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "faults.md"
BEGIN, END = "<!-- drawn: faults -->\n", "<!-- end: faults -->\n"
HEAD = (
    "| where | fault | the user sees | requests | the handler gets | seconds |\n|---|---|---|---|---|---:|\n"
)
STATES = {
    "final": "",
    "message": " (a plain message)",
    "expired": " (ended by Teams)",
    "stopped": " (stopped)",
    "streaming": " (never ends)",
}


def words(text: str) -> str:
    return "the whole answer" if text == "".join(WORDS) else f"“{text.strip()}”"


def bubble(message: ScreenMessage) -> str:
    shown = [words(message.text)] if message.text else ["an informative line"] * bool(message.informative)
    shown += ["the card"] * len(message.cards)
    return " with ".join(shown) + STATES[message.state] + ", edited" * message.edited


def screen(sight: Sight) -> str:
    bubbles = [bubble(message) for message in sight.messages]
    return (f"{len(bubbles)} bubbles: " if len(bubbles) > 1 else "") + ("; ".join(bubbles) or "nothing")


def requests(sight: Sight) -> str:
    runs = [(kind, len(list(run))) for kind, run in groupby(sight.kinds)]
    return f"{len(sight.kinds)}: " + ", ".join(kind if n == 1 else f"{n} {kind}" for kind, n in runs)


def handler(sight: Sight) -> str:
    if sight.stopped:
        return "a cancellation; undelivered: " + (
            words(sight.undelivered) if sight.undelivered else "nothing"
        )
    if isinstance(sight.error, StreamDeliveryError):
        missing = [words(sight.error.undelivered), *sight.error.missing]
        return f"`{type(sight.error).__name__}`; undelivered: {' and '.join(missing)}"
    return "`SentActivity`"


def tables() -> str:
    sights = alone()
    parts = []
    for meaning, group in groupby(rows(), key=lambda row: row.meaning):
        parts.append(f"## {meaning.rstrip('.')}\n\n{HEAD}")
        for row in group:
            outcomes: dict[tuple[str, str, str, str], list[str]] = {}
            for fault in row.faults:
                sight = sights[row.place, fault]
                outcome = screen(sight), requests(sight), handler(sight), f"{sight.seconds:g}"
                outcomes.setdefault(outcome, []).append(f"`{fault}`")
            for outcome, faults in outcomes.items():
                parts.append("| " + " | ".join([row.place, ", ".join(faults), *outcome]) + " |\n")
        parts.append("\n")
    return "".join(parts)


def drawn(page: str) -> str:
    """`page` with the tables made anew."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE} needs the lines {BEGIN!r} and {END!r}")
    return f"{before}{begin}\n{tables()}{end}{after}"


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
