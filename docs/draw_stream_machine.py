"""Draws the tables of the stream machine into docs/explanation/stream-machine.md.

    uv run python docs/draw_stream_machine.py

A test compares the page with the machine and says when it is stale.
"""

from __future__ import annotations

from pathlib import Path

from cadenza.apps.stream.classify import FailureKind
from cadenza.apps.stream.cycle import Channel, Plan, Step
from cadenza.apps.stream.machine import MOVES, TABLE, Move, Phase

PAGE = Path(__file__).parent / "explanation" / "stream-machine.md"


def diagram() -> str:
    """The phases and what leads from one to another, answers of the service aside."""
    arrows: dict[tuple[Phase, Phase], list[str]] = {}
    for (phase, event), rule in TABLE.items():
        for to in rule.to:
            if to is not phase and event.__name__ not in ("Sent", "Failed"):
                arrows.setdefault((phase, to), []).append(event.__name__.lower())
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> IDLE"]
    lines += [f"    {a.name} --> {b.name}: {', '.join(names)}" for (a, b), names in arrows.items()]
    lines += ["    CLOSING --> CLOSED: the last answer", "    CLOSING --> OPEN: the last answer, text waits"]
    lines += [
        "    OPEN --> STOPPED: an answer says Stop",
        "    CLOSING --> CLOSED: an answer says Stop",
        "```",
    ]
    return "\n".join(lines)


def events() -> str:
    kinds = list(dict.fromkeys(event for _, event in TABLE))
    head = [
        "| phase | " + " | ".join(kind.__name__ for kind in kinds) + " |",
        "|---" * (len(kinds) + 1) + "|",
    ]
    rows = [
        f"| **{phase.name}** | " + " | ".join(TABLE[phase, kind].words for kind in kinds) + " |"
        for phase in Phase
    ]
    return "\n".join(head + rows)


def failures() -> str:
    head = ["| failure | " + " | ".join(step.value for step in Step) + " |", "|---" * (len(Step) + 1) + "|"]
    rows = [
        f"| **{kind.name}** | "
        + " | ".join(MOVES[kind][step].name.lower().replace("_", " ") for step in Step)
        + " |"
        for kind in FailureKind
    ]
    return "\n".join(head + rows)


def glossary() -> str:
    lines = []
    for kind in (Phase, Channel, Plan, FailureKind, Move):
        lines.append(f"**{kind.__name__}**\n")
        lines += [f"- {member.name.lower().replace('_', ' ')}: {member.value}" for member in kind]
        lines.append("")
    return "\n".join(lines).rstrip()


DRAWN = {"diagram": diagram, "events": events, "failures": failures, "glossary": glossary}


def drawn(page: str) -> str:
    """`page` with every drawn part made anew."""
    for name, draw in DRAWN.items():
        begin, end = f"<!-- drawn: {name} -->\n", f"<!-- end: {name} -->"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise ValueError(f"{PAGE} needs exactly one {begin!r} and one {end!r}")
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}{draw()}\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
