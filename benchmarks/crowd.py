# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "cadenza-api",
#     "cadenza-apps",
#     "cadenza-state[redis]",
#     "cadenza-testing",
#     "matplotlib>=3.9",
# ]
#
# [tool.uv.sources]
# cadenza-api = { path = "../packages/api", editable = true }
# cadenza-apps = { path = "../packages/apps", editable = true }
# cadenza-state = { path = "../packages/state", editable = true }
# cadenza-testing = { path = "../packages/testing", editable = true }
# ///
"""A crowd of streams in one tenant: how evenly it slows down, in one process and in several.

    uv run benchmarks/crowd.py --out benchmarks/results        # 1,000 streams of 100 s, twice: 5 minutes
    uv run benchmarks/crowd.py --streams 100 --seconds 20 --rate 5 --processes 1

The emulated service, in a process of its own, refuses the 51st request of the tenant within any second.
Several bot processes share the tenant through a real Redis (redis-server on the PATH). Everything goes over
HTTP, in real time. README.md says what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any

from crowd_load import WORDS_PER_SECOND

HERE = Path(__file__).parent
RATE = 50
LEAD = 2.0
"""Seconds for each process to be there before the first stream begins."""


def measure(streams: int, seconds: float, rate: int, processes: int) -> dict[str, Any]:
    """One crowd. As many streams begin in a second as the tenant may send requests in one."""
    ramp = streams / rate
    with ExitStack() as stack:
        redis = stack.enter_context(_redis()) if processes > 1 else "-"
        service = stack.enter_context(_process(0, "crowd_service.py", streams, rate))
        assert service.stdout
        assert service.stdin
        url = service.stdout.readline().strip()
        begin = time.monotonic() + LEAD * (1 + processes)
        loads = [
            stack.enter_context(
                _process(
                    1, "crowd_load.py", url, redis, first, processes, streams, rate, seconds, ramp, begin
                )
            )
            for first in range(processes)
        ]
        reports = []
        for load in loads:
            said, _ = load.communicate(timeout=ramp + seconds + 300)
            if load.returncode:
                raise SystemExit(f"a bot process ended with status {load.returncode}")
            reports.append(json.loads(said))
        took = time.monotonic() - begin
        count = round(seconds * WORDS_PER_SECOND)
        seen, _ = service.communicate(json.dumps({"words": count}) + "\n", timeout=120)
    return _figures(streams, seconds, rate, processes, reports, json.loads(seen), took)


def _figures(
    streams: int,
    seconds: float,
    rate: int,
    processes: int,
    reports: list[dict[str, Any]],
    seen: dict[str, Any],
    took: float,
) -> dict[str, Any]:
    spans = {int(index): span for report in reports for index, span in report["spans"].items()}
    gaps = [[after - before for before, after in pairwise(of)] for of in seen["changes"]]
    medians = [median(of) for of in gaps if of]
    crowd = median(medians) if medians else float("nan")
    finals = [
        final - spans[index][1]
        for index, final in enumerate(seen["finals"])
        if final is not None and index in spans
    ]
    firsts = [of[0] - spans[index][0] for index, of in enumerate(seen["changes"]) if of and index in spans]
    waits: dict[str, list[float]] = {}
    for report in reports:
        for priority, of in report["waits"].items():
            waits.setdefault(priority, []).extend(of)
    arrivals = sorted(seen["arrivals"])
    busiest, first = 0, 0
    for last, at in enumerate(arrivals):
        while arrivals[first] <= at - 1.0:
            first += 1
        busiest = max(busiest, last - first + 1)
    errors: Counter[str] = sum((Counter(report["errors"]) for report in reports), Counter())
    return {
        "streams": streams,
        "seconds": seconds,
        "rate": rate,
        "processes": processes,
        "took": took,
        "requests": len(arrivals),
        "busiest_second": busiest,
        "kinds": seen["kinds"],
        "refused": sum(count for status, count in seen["statuses"].items() if int(status) >= 300),
        "throttled": seen["statuses"].get("429", 0),
        "violations": seen["violations"],
        "errors": dict(errors),
        "whole": seen["whole"],
        "lost_characters": seen["lost_characters"],
        "doubled_characters": seen["doubled_characters"],
        "states": seen["states"],
        "gap_s": {
            "crowd": crowd,
            "slowest": max(medians, default=float("nan")),
            "ratio": max(medians, default=float("nan")) / crowd,
            "longest": max((max(of) for of in gaps if of), default=float("nan")),
            "changes": mean(len(of) for of in seen["changes"]),
        },
        "first_s": _quantiles(firsts),
        "final_s": _quantiles(finals),
        "waits_s": {priority: _quantiles(of) for priority, of in sorted(waits.items())},
        "cpu_s": sum(report["cpu"] for report in reports),
        "medians": medians,
        "finals": finals,
        "chunk_waits": waits.get("CHUNK", []),
        "by_process": [
            median([median(gaps[int(index)]) for index in report["spans"] if gaps[int(index)]])
            for report in reports
        ],
    }


def _quantiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {"p50": float("nan"), "p99": float("nan"), "max": float("nan")}
    values = sorted(values)
    return {"p50": median(values), "p99": values[int(0.99 * (len(values) - 1))], "max": values[-1]}


@contextmanager
def _process(core: int, script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    cores = sorted(os.sched_getaffinity(0))
    process = subprocess.Popen(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {cores[core % len(cores)]}),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def _redis() -> Iterator[str]:
    """A Redis server of our own, on a free port."""
    binary = shutil.which("redis-server")
    if binary is None:
        raise SystemExit(
            "several processes share the budget through Redis: there is no redis-server on the PATH"
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--appendonly", "yes"]
        server = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 10
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
            yield f"redis://127.0.0.1:{port}"
        finally:
            server.kill()
            server.wait()


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: a column for each number of processes."""

    def counts(of: dict[str, int]) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in of.items()) or "none"

    def three(of: dict[str, float] | None) -> str:
        return f"{of['p50']:.2f} / {of['p99']:.2f} / {of['max']:.2f}" if of else "-"

    rows: list[tuple[str, Any]] = [
        ("whole answers", lambda r: f"{r['whole']:,} of {r['streams']:,}"),
        ("characters lost / doubled", lambda r: f"{r['lost_characters']:,} / {r['doubled_characters']:,}"),
        ("requests answered with 429", lambda r: f"{r['throttled']:,} of {r['requests']:,}"),
        ("requests refused at all", lambda r: f"{r['refused']:,}"),
        ("violations of the protocol", lambda r: counts(r["violations"])),
        ("errors out of close()", lambda r: counts(r["errors"])),
        ("most requests in any second", lambda r: f"{r['busiest_second']} (allowed: {r['rate']})"),
        ("screen changes of a stream, mean", lambda r: f"{r['gap_s']['changes']:.1f}"),
        ("median gap of the crowd, s", lambda r: f"{r['gap_s']['crowd']:.2f}"),
        ("median gap of the slowest stream, s", lambda r: f"{r['gap_s']['slowest']:.2f}"),
        ("the slowest, crowd = 1 (at most 1.5)", lambda r: f"{r['gap_s']['ratio']:.2f}"),
        ("longest single gap, s", lambda r: f"{r['gap_s']['longest']:.2f}"),
        ("median gap by process, s", lambda r: " / ".join(f"{one:.1f}" for one in r["by_process"])),
        ("first word to the screen, s, median / p99 / max", lambda r: three(r["first_s"])),
        ("end of the answer to its final, s, median / p99 / max", lambda r: three(r["final_s"])),
        ("wait of a final, s, median / p99 / max", lambda r: three(r["waits_s"].get("FINAL"))),
        ("wait of a start, s, median / p99 / max", lambda r: three(r["waits_s"].get("START"))),
        ("wait of a chunk, s, median / p99 / max", lambda r: three(r["waits_s"].get("CHUNK"))),
        ("CPU of the bots, s", lambda r: f"{r['cpu_s']:.1f} in {r['took']:.0f} s"),
    ]
    names = [f"{r['processes']} process{'es' if r['processes'] > 1 else ''}" for r in results]
    first = results[0]
    lines = [["", *names], ["---", *("---:" for _ in names)]]
    lines += [[name, *map(show, results)] for name, show in rows]
    head = (
        f"{first['streams']:,} streams of {first['seconds']:g} s in one tenant, {first['rate']} requests in "
        f"any second; {first['streams'] / first['rate']:.0f} s from the first to begin to the last.\n\n"
    )
    return head + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def draw(results: list[dict[str, Any]], out: Path) -> None:
    """Write `crowd.png`: how the gaps and the waits are spread."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    picture, axes = pyplot.subplots(
        len(results), 2, figsize=(13, 4 * len(results)), layout="constrained", squeeze=False
    )
    for (left, right), result in zip(axes, results, strict=True):
        name = f"{result['processes']} process{'es' if result['processes'] > 1 else ''}"
        crowd = result["gap_s"]["crowd"]
        left.hist(result["medians"], bins=60, color="C0")
        left.axvline(crowd, color="k", label=f"the crowd: {crowd:.1f} s")
        left.axvline(1.5 * crowd, color="C3", linestyle="--", label=f"1.5 times: {1.5 * crowd:.1f} s")
        left.set_xlim(0, 1.7 * crowd)
        left.set_title(f"{name}: median time between two screen changes, by stream")
        left.set_xlabel("seconds")
        left.set_ylabel("streams")
        left.legend()
        longest = max([*result["chunk_waits"], *result["finals"], 1.0])
        bins = [longest * step / 60 for step in range(61)]
        right.hist(result["chunk_waits"], bins=bins, color="C1", alpha=0.7, label="wait of a chunk")
        right.hist(result["finals"], bins=bins, color="C2", alpha=0.7, label="end of an answer to its final")
        right.set_title(f"{name}: finals are not behind chunks")
        right.set_xlabel("seconds")
        right.set_ylabel("requests")
        right.legend()
    picture.savefig(out / "crowd.png", dpi=80)
    pyplot.close(picture)


def write(results: list[dict[str, Any]], out: Path, *, plots: bool) -> None:
    """Write the table, the figures behind it, and the plot."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "crowd.md").write_text(table(results))
    if plots:
        draw(results, out)
    single = ("medians", "finals", "chunk_waits")
    figures = [{name: of for name, of in result.items() if name not in single} for result in results]
    (out / "crowd.json").write_text(json.dumps(figures, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=1000, metavar="N")
    parser.add_argument("--seconds", type=float, default=100.0, metavar="S", help="length of an answer")
    parser.add_argument(
        "--rate", type=int, default=RATE, metavar="N", help="requests of the tenant in a second"
    )
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 4], metavar="N")
    parser.add_argument(
        "--out", type=Path, help="directory of table and plot; without it they are printed only"
    )
    parser.add_argument("--no-plots", action="store_true", help="leave the PNG file out")
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    for processes in options.processes:
        print(f"{options.streams} streams, {processes} processes: ", end="", file=sys.stderr, flush=True)
        results.append(result := measure(options.streams, options.seconds, options.rate, processes))
        print(f"{result['whole']} whole answers in {result['took']:.0f} s", file=sys.stderr, flush=True)
        if options.out:
            write(results, options.out, plots=not options.no_plots)
    print(table(results))


if __name__ == "__main__":
    main()
