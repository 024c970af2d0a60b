# /// script
# requires-python = ">=3.12"
# dependencies = [
#     "cadenza-api",
#     "cadenza-apps",
#     "cadenza-state",
#     "cadenza-testing",
#     "matplotlib>=3.9",
#     "microsoft-agents-hosting-aiohttp",
#     "microsoft-teams-apps",
# ]
#
# [tool.uv.sources]
# cadenza-api = { path = "../packages/api", editable = true }
# cadenza-apps = { path = "../packages/apps", editable = true }
# cadenza-state = { path = "../packages/state", editable = true }
# cadenza-testing = { path = "../packages/testing", editable = true }
# ///
"""What a crowd of streams costs, beside the peers and beside a bare HTTP client, in one run.

    uv run benchmarks/stream.py --out benchmarks/results     # everything: about 20 minutes
    uv run benchmarks/stream.py --streams 100 --subjects cadenza bare

Needs Linux and two cores: the SDK has one, the emulated service the other. README.md says what is measured.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from answers import Crowd
from tables import tables

HERE = Path(__file__).parent
PACKAGES = {
    "bare": "aiohttp",
    "cadenza": "cadenza-apps",
    "agents": "microsoft-agents-hosting-aiohttp",
    "teams-apps": "microsoft-teams-apps",
    "teams-apps-unthrottled": "microsoft-teams-apps",
}
SUBJECTS = tuple(PACKAGES)
UNTHROTTLED = "-unthrottled"
"""Of a subject that is served however often it asks."""
SECONDS = 120
"""Longest time for one measurement."""
MANY = 1000
"""Streams from which on a measurement is made several times."""
CLEAR = 60
"""A measurement that takes longer than this many seconds is not made again."""


def measure(subject: str, crowd: Crowd) -> dict[str, Any]:
    """One measurement: the SDK in one process, the service in another, each on its own core."""
    numbers = [str(crowd.streams), str(crowd.tokens)]
    interval = "0" if subject.endswith(UNTHROTTLED) else "1"
    with _process(0, "service.py", *numbers, interval) as service:
        assert service.stdout
        url = service.stdout.readline().strip()
        with _process(1, "load.py", subject.removesuffix(UNTHROTTLED), url, *numbers) as load:
            try:
                said, _ = load.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                said = json.dumps(_nothing(crowd))
            if load.returncode:
                raise SystemExit(
                    f"{subject} with {crowd.streams} streams ended with status {load.returncode}"
                )
        seen, _ = service.communicate(timeout=60)
    return _figures(subject, crowd, json.loads(said), json.loads(seen))


def _nothing(crowd: Crowd) -> dict[str, Any]:
    """The report of a process that had to be killed."""
    errors = {"not done, and killed": crowd.streams}
    figures = dict.fromkeys(("cpu", "harness_cpu", "memory", "most_open"), math.nan)
    spans = [None] * crowd.streams
    return {**figures, "seconds": SECONDS, "lags": [], "spans": spans, "errors": errors, "unobserved": {}}


@contextmanager
def _process(core: int, script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    cores = sorted(os.sched_getaffinity(0))
    process = subprocess.Popen(
        [sys.executable, str(HERE / script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        preexec_fn=lambda: os.sched_setaffinity(0, {cores[core % len(cores)]}),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _figures(subject: str, crowd: Crowd, load: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """The figures of one measurement, in the units that the tables show."""
    began, ended, closed = [], [], []
    for span, first, final in zip(load["spans"], seen["first"], seen["final"], strict=True):
        if span is not None:
            began.append((first - span[0]) * 1e3 if first is not None else math.inf)
            ended.append(final - span[1] if final is not None else math.inf)
            closed.append(span[2] - span[1])
    answers = seen["whole"]
    lags = sorted(lag * 1e3 for lag in load["lags"])
    return {
        "subject": subject,
        "version": version(PACKAGES[subject]),
        "streams": crowd.streams,
        "tokens": crowd.tokens,
        "most_open": load["most_open"],
        "whole": answers,
        "lost_characters": seen["lost_characters"],
        "doubled_characters": seen["doubled_characters"],
        "violations": seen["violations"],
        "errors": load["errors"],
        "unobserved": load["unobserved"],
        "statuses": seen["statuses"],
        "seconds": load["seconds"],
        "service_busy": seen["cpu"] / load["seconds"],
        "requests_per_answer": seen["requests"] / crowd.streams,
        "bytes_per_answer": seen["bytes"] / crowd.streams,
        "cpu_ms_per_answer": load["cpu"] * 1e3 / max(1, answers),
        "cpu_ms_per_request": load["cpu"] * 1e3 / max(1, seen["requests"]),
        "harness_cpu_ms_per_answer": load["harness_cpu"] * 1e3 / max(1, answers),
        "memory_kb_per_stream": load["memory"] / 1024 / crowd.streams,
        "lag_ms": _quantiles(lags),
        "first_ms": _quantiles(sorted(began)),
        "final_s": _quantiles(sorted(ended)),
        "closed_s": _quantiles(sorted(closed)),
    }


def _quantiles(values: list[float]) -> dict[str, float]:
    """`values` in ascending order: the median, the 99th percentile and the greatest."""
    if not values:
        return {"p50": float("nan"), "p99": float("nan"), "max": float("nan")}
    return {"p50": median(values), "p99": values[int(0.99 * (len(values) - 1))], "max": values[-1]}


def _middle(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Of several measurements the one whose CPU is in the middle; it tells of the faults of all of them."""
    middle = sorted(measured, key=lambda result: result["cpu_ms_per_answer"])[len(measured) // 2]
    counts = ("violations", "errors", "unobserved")
    sums = {name: dict(sum((Counter(result[name]) for result in measured), Counter())) for name in counts}
    lost = {name: sum(r[name] for r in measured) for name in ("lost_characters", "doubled_characters")}
    whole = min(result["whole"] for result in measured)
    return {**middle, **sums, **lost, "whole": whole, "rounds": len(measured)}


def write(results: list[dict[str, Any]], out: Path, *, plots: bool) -> None:
    """Write the tables, the figures behind them, and the plots."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "stream.json").write_text(json.dumps(results, indent=1) + "\n")
    (out / "stream.md").write_text(tables(results))
    if plots:
        from plots import draw

        draw(results, out)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 100, 1000, 5000], metavar="N")
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--tokens", type=int, default=400, metavar="N", help="tokens of an answer")
    parser.add_argument(
        "--out", type=Path, help="directory of tables and plots; without it they are printed only"
    )
    parser.add_argument("--no-plots", action="store_true", help="leave the PNG files out")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of which the middle one counts")
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    for streams in options.streams:
        crowd = Crowd(streams, options.tokens)
        rounds: dict[str, list[dict[str, Any]]] = {subject: [] for subject in options.subjects}
        for _ in range(options.rounds if streams >= MANY else 1):
            for subject, measured in rounds.items():  # in turn, so that a noisy minute strikes all alike
                if measured and measured[-1]["seconds"] > CLEAR:
                    continue
                print(f"{streams} streams, {subject}: ", end="", file=sys.stderr, flush=True)
                measured.append(result := measure(subject, crowd))
                took, whole = result["seconds"], result["whole"]
                print(f"{whole} whole answers in {took:.0f} s", file=sys.stderr, flush=True)
        results.extend(map(_middle, rounds.values()))
        if options.out:  # after each size: what was measured is not lost if the rest fails
            write(results, options.out, plots=not options.no_plots)
    print(tables(results))


if __name__ == "__main__":
    main()
