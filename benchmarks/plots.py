"""The results as pictures: one PNG for each figure, over the number of streams."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

__all__ = ["draw"]

Result = dict[str, Any]

FIGURES: tuple[tuple[str, str, Callable[[Result], float]], ...] = (
    ("cpu", "CPU per whole answer, ms", lambda r: r["cpu_ms_per_answer"]),
    ("memory", "memory per stream, KB", lambda r: r["memory_kb_per_stream"]),
    ("lag", "lag of the event loop, p99, ms", lambda r: r["lag_ms"]["p99"]),
    ("first", "first emit to first request, p99, ms", lambda r: r["first_ms"]["p99"]),
    ("final", "last emit to final, p99, s", lambda r: r["final_s"]["p99"]),
    ("whole", "whole answers, %", lambda r: 100 * r["whole"] / r["streams"]),
)
MARKS = {
    "bare": "k--o",
    "cadenza": "C0-o",
    "agents": "C1-s",
    "teams-apps": "C3-^",
    "teams-apps-unthrottled": "C4-v",
}


def draw(results: list[Result], out: Path) -> None:
    """Write `<figure>.png` for each figure into `out`, and all of them together into `stream.png`."""
    together, axes = pyplot.subplots(2, 3, figsize=(15, 8), layout="constrained")
    for axis, (name, title, figure) in zip(axes.flat, FIGURES, strict=True):
        _curve(axis, results, title, figure)
        alone, single = pyplot.subplots(figsize=(5, 4), layout="constrained")
        _curve(single, results, title, figure)
        alone.savefig(out / f"{name}.png", dpi=80)
        pyplot.close(alone)
    together.savefig(out / "stream.png", dpi=80)
    pyplot.close(together)


def _curve(axis: Any, results: list[Result], title: str, figure: Callable[[Result], float]) -> None:
    for subject in dict.fromkeys(result["subject"] for result in results):
        points = [(r["streams"], figure(r)) for r in results if r["subject"] == subject]
        axis.plot(*zip(*points, strict=True), MARKS[subject], label=subject)
    axis.set_title(title)
    axis.set_xlabel("concurrent streams")
    axis.set_xscale("log")
    if "%" not in title:
        axis.set_yscale("log")
    axis.grid(visible=True, which="major", alpha=0.3)
    axis.legend()
