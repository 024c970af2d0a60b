"""Draws the tables of docs/reference/routes.md from the table of routes.

    uv run python docs/draw_routes.py

A test says when the page is stale.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cadenza.apps.routing.decorators import OnKeyed, OnPattern, Row
from cadenza.apps.routing.router import KINDS
from cadenza.apps.routing.routes import rows

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "routes.md"
BEGIN, END = "<!-- drawn: routes -->\n", "<!-- end: routes -->\n"
HEAD = "| decorator | selects | its handler is given | and may return |\n|---|---|---|---|\n"
PLACES = {"conversationUpdate": "eventType", "messageUpdate": "eventType", "messageDelete": "eventType"}


def decorator(row: Row[Any, Any]) -> str:
    if isinstance(row, OnPattern):
        return f"`{row.name}(pattern)`"
    return f"`{row.name}([{row.word}])`" if isinstance(row, OnKeyed) else f"`{row.name}`"


def selects(row: Row[Any, Any]) -> str:
    if row.type is None:
        return "everything"
    shown = f"`{row.type}`"
    if row.kinds:
        place = PLACES.get(row.type, "action" if row.type == "installationUpdate" else "name")
        assert row.type in KINDS
        shown += f", {place} " + " or ".join(f"`{kind}`" for kind in row.kinds)
    return shown + (f"; {row.when_shown}" if row.when_shown else "")


def result(row: Row[Any, Any]) -> str:
    """The answers that are special to a row; what all invokes may return is said above the table."""
    if row.type != "invoke":
        return ""
    if row.result == "object":
        return "anything"
    special = [name for name in row.result.split(" | ") if name != "Answer"]
    return ", ".join(f"`{name}`" for name in special) or "no body"


def drawn() -> str:
    lines = [f"| {decorator(row)} | {selects(row)} | `{row.activity}` | {result(row)} |\n" for row in rows()]
    return HEAD + "".join(lines)


def updated(page: str) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + drawn() + END + after


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text()))
