"""The page about the machine shows the machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_drawn_tables_are_those_of_the_machine() -> None:
    spec = importlib.util.spec_from_file_location("draw_stream_machine", ROOT / "docs/draw_stream_machine.py")
    assert spec is not None
    assert spec.loader is not None
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    page = drawing.PAGE.read_text()
    stale = "docs/explanation/stream-machine.md is stale: run `uv run python docs/draw_stream_machine.py`"
    assert page == drawing.drawn(page), stale
