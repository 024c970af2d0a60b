"""The results as a picture: each figure over the number of streams."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

__all__ = ["draw"]

Result = dict[str, Any]

FIGURES: tuple[tuple[str, Callable[[Result], float]], ...] = (
    ("CPU per whole answer, ms", lambda r: r["cpu_ms_per_answer"]),
    ("memory per stream, KB", lambda r: r["memory_kb_per_stream"]),
    ("lag of the event loop, p99, ms", lambda r: r["lag_ms"]["p99"]),
    ("first emit to first request, p99, ms", lambda r: r["first_ms"]["p99"]),
    ("last emit to final, p99, s", lambda r: r["final_s"]["p99"]),
    ("whole answers, %", lambda r: 100 * r["whole"] / r["streams"]),
)
MARKS = {
    "bare": "k--o",
    "cadenza": "C0-o",
    "agents": "C1-s",
    "teams-apps": "C3-^",
    "teams-apps-unthrottled": "C4-v",
}


def draw(results: list[Result], out: Path) -> None:
    """Write `stream.png` into `out`."""
    picture, axes = pyplot.subplots(2, 3, figsize=(15, 8), layout="constrained")
    for axis, (title, figure) in zip(axes.flat, FIGURES, strict=True):
        _curve(axis, results, title, figure)
    picture.savefig(out / "stream.png", dpi=80)
    pyplot.close(picture)


def _curve(axis: Any, results: list[Result], title: str, figure: Callable[[Result], float]) -> None:
    for subject in dict.fromkeys(result["subject"] for result in results):
        points = [
            (r["streams"], figure(r) if r["whole"] or "%" in title else math.nan)
            for r in results
            if r["subject"] == subject
        ]
        axis.plot(*zip(*points, strict=True), MARKS[subject], label=subject)
    axis.set_title(title)
    axis.set_xlabel("concurrent streams")
    axis.set_xscale("log")
    if "%" not in title:
        axis.set_yscale("log")
    axis.grid(visible=True, which="major", alpha=0.3)
    axis.legend()
