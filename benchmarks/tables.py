"""The results as Markdown tables: one for each number of streams, a column for each SDK."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

__all__ = ["tables"]

Result = dict[str, Any]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"


def _pair(figures: dict[str, float], digits: int) -> str:
    return f"{_number(figures['p50'], digits)} / {_number(figures['p99'], digits)}"


def _number(value: float, digits: int) -> str:
    """Nothing, where nothing was measured, or where it never came."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def _above_noise(result: Result, value: float) -> str:
    """Nothing, where measuring cost more CPU than what was measured, or there was no answer to divide by."""
    above = result["whole"] and result["cpu_ms_per_answer"] > result["harness_cpu_ms_per_answer"]
    return f"{value:.2f}" if above else "-"


ROWS: tuple[tuple[str, Callable[[Result], str]], ...] = (
    ("whole answers", lambda r: f"{r['whole']:,} of {r['streams']:,}"),
    ("characters lost / doubled", lambda r: f"{r['lost_characters']:,} / {r['doubled_characters']:,}"),
    ("violations of the protocol", lambda r: _counts(r["violations"])),
    ("errors out of close()", lambda r: _counts(r["errors"])),
    ("exceptions that nobody saw", lambda r: _counts(r["unobserved"])),
    ("requests per answer", lambda r: f"{r['requests_per_answer']:.1f}"),
    ("bytes per answer", lambda r: f"{r['bytes_per_answer']:,.0f}"),
    ("CPU per whole answer, ms", lambda r: _above_noise(r, r["cpu_ms_per_answer"])),
    ("CPU per request, ms", lambda r: _above_noise(r, r["cpu_ms_per_request"])),
    ("how busy the emulated service was", lambda r: f"{100 * r['service_busy']:.0f} %"),
    ("memory per stream, KB", lambda r: _number(r["memory_kb_per_stream"], 1)),
    ("lag of the loop, ms, median / p99", lambda r: _pair(r["lag_ms"], 1)),
    ("longest lag, ms", lambda r: _number(r["lag_ms"]["max"], 0)),
    ("first emit to first request, ms, median / p99", lambda r: _pair(r["first_ms"], 1)),
    ("last emit to final, s, median / p99", lambda r: _pair(r["final_s"], 2)),
    ("last emit to the end of close(), s, median / p99", lambda r: _pair(r["closed_s"], 2)),
)


def tables(results: list[Result]) -> str:
    """Markdown, in the order of the results."""
    parts = []
    for streams in dict.fromkeys(result["streams"] for result in results):
        columns = [result for result in results if result["streams"] == streams]
        parts.append(f"## {streams:,} {'streams' if streams > 1 else 'stream'}\n\n{_table(columns)}")
    return "\n".join(parts)


def _table(columns: list[Result]) -> str:
    lines = [["", *(f"{result['subject']} ({result['version']})" for result in columns)]]
    lines.append(["---", *("---:" for _ in columns)])
    lines.extend([name, *map(show, columns)] for name, show in ROWS)
    bare = next((result for result in columns if result["subject"] == "bare"), None)
    if bare is not None:
        floor = bare["cpu_ms_per_answer"]
        ratios = (_above_noise(result, result["cpu_ms_per_answer"] / floor) for result in columns)
        lines.append(["CPU, bare = 1", *ratios])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
