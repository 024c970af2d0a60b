"""What telemetry costs a turn that nobody watches, and one that somebody does.

    uv run python benchmarks/telemetry.py --out benchmarks/results     # ten minutes, one quiet core

README.md says what is measured.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import importlib.util
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from statistics import quantiles
from types import ModuleType
from typing import Any

SUBJECTS = {
    "floor": "the calls of telemetry taken out of the source",
    "again": "the same once more: what lies between the two is noise",
    "absent": "OpenTelemetry cannot be imported",
    "api": "its API is imported, as by a model's client, and no SDK is set up",
    "sdk": "an SDK keeps spans and metrics in memory",
}
TURNS = {"echo": 400, "stream": 60}
"""By kind of turn, how many one block has."""
TARGET = 1.02
FEWEST_SITES = 20
"""What is taken out at least: if it is less, the floor is none any more."""


# The floor


class Taken(ast.NodeTransformer):
    """Takes the calls of telemetry out of a module."""

    def __init__(self) -> None:
        self.sites = 0

    def visit_If(self, node: ast.If) -> Any:
        self.generic_visit(node)
        said = ast.unparse(node.test)
        if said == "self.spans is None or selection is None":
            return self._instead(node.body)
        if "active()" in said or any(
            name in said for name in ("self._spans", "self._span ", "self.spans ", "_looked_at")
        ):
            return self._instead(node.orelse)
        return node

    def visit_With(self, node: ast.With) -> Any:
        self.generic_visit(node)
        (item, *others) = node.items
        said = ast.unparse(item.context_expr)
        if others or not said.startswith(("APPS.span(", "API.span(", "telemetry.API.span(")):
            return node
        if item.optional_vars is None:
            return self._instead(node.body)
        nothing = ast.Assign([ast.Name("span", ast.Store())], ast.Constant(None))
        return self._instead([nothing, *node.body])

    def visit_Expr(self, node: ast.Expr) -> Any:
        said = ast.unparse(node)
        if said.startswith(("self._metrics.waited(", "self._end_span(")):
            return self._instead([ast.Pass()])
        return node

    def _instead(self, nodes: Sequence[ast.stmt]) -> Any:
        self.sites += 1
        return list(nodes) or ast.Pass()


class Stripped(SourceFileLoader):
    """Loads a module without them."""

    sites = 0

    def get_code(self, fullname: str) -> Any:
        tree = ast.parse(self.get_data(self.path))
        taken = Taken()
        tree = ast.fix_missing_locations(taken.visit(tree))
        Stripped.sites += taken.sites
        return compile(tree, self.path, "exec")


class Finder(MetaPathFinder):
    """Lets all of ours be loaded so, but for telemetry itself."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(("cadenza.api.", "cadenza.apps.")) or "telemetry" in fullname:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or not isinstance(spec.loader, SourceFileLoader):
            return spec
        return importlib.util.spec_from_file_location(
            fullname,
            spec.origin,
            loader=Stripped(fullname, spec.loader.path),
            submodule_search_locations=spec.submodule_search_locations,
        )


# One process: a subject


def prepare(subject: str) -> Any:
    """Set the subject up; returns what is called after each block."""
    if subject == "absent":
        sys.modules["opentelemetry"] = None  # type: ignore[assignment]
        return lambda: None
    from opentelemetry import metrics, trace

    if subject in ("floor", "again"):
        sys.meta_path.insert(0, Finder())
    if subject != "sdk":
        return lambda: None
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept, reader, tracers = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(kept))
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(MeterProvider([reader]))
    return kept.clear


async def serve(subject: str) -> None:
    """Run a block for each line of stdin, which names the kind of turn; answer with the microseconds of CPU
    that one turn took."""
    after = prepare(subject)
    from cadenza.api import HandlerTransport, Response
    from cadenza.apps import App, RateLimits
    from cadenza.testing import VirtualClock

    def answer(request: Any) -> Response:
        return Response(201, {}, b'{"id": "1728640934763"}')

    async with VirtualClock():
        # Without limits: waiting for them is another benchmark's.
        limits = RateLimits(conversation=(), tenant=None)
        app = App(
            transport=HandlerTransport(answer),
            dangerously_allow_unauthenticated_requests=True,
            rate_limits=limits,
        )

        @app.on_message
        async def respond(ctx: Any) -> None:
            if ctx.activity.text == "echo":
                await ctx.send(ctx.activity.text)
                return
            for _ in range(40):
                ctx.stream.emit("token ")
                await asyncio.sleep(0.05)

        number = 0
        while kind := sys.stdin.readline().strip():
            activities = [_message(kind, number := number + 1) for _ in range(TURNS[kind])]
            began = time.process_time()
            for activity in activities:
                await app.process(activity)
            took = time.process_time() - began
            after()
            print(1e6 * took / len(activities), flush=True)
        await app.stop()
    if subject in ("floor", "again") and Stripped.sites < FEWEST_SITES:
        raise SystemExit(f"only {Stripped.sites} calls of telemetry were taken out: mend Taken")


def _message(text: str, number: int) -> dict[str, Any]:
    return {
        "type": "message",
        "id": str(number),
        "text": text,
        "channelId": "msteams",
        "from": {"id": f"29:{number % 1000}"},
        "recipient": {"id": "28:bot"},
        "conversation": {"id": f"a:{number % 1000}", "conversationType": "personal", "tenantId": "t"},
        "serviceUrl": "http://localhost:3978",
    }


# All of them


def measure(subjects: list[str], launches: int, rounds: int) -> dict[str, dict[str, list[list[float]]]]:
    """By kind of turn and subject: for each launch, the microseconds of each round. A launch is a process
    for each subject; where their code lies in memory alone makes some percent of difference. In a round each
    has one block, in an order that is drawn."""
    found: dict[str, dict[str, list[list[float]]]] = {kind: {name: [] for name in subjects} for kind in TURNS}
    core = {max(os.sched_getaffinity(0))} if hasattr(os, "sched_getaffinity") else set()
    for launch in range(launches):
        processes = {
            name: subprocess.Popen(
                [sys.executable, __file__, "--serve", name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                preexec_fn=(lambda: os.sched_setaffinity(0, core)) if core else None,
            )
            for name in subjects
        }
        for kind in TURNS:
            times: dict[str, list[float]] = {name: [] for name in subjects}
            for round_ in range(rounds + 2):  # two to warm up
                for name in random.sample(subjects, len(subjects)):
                    process = processes[name]
                    assert process.stdin is not None
                    assert process.stdout is not None
                    process.stdin.write(f"{kind}\n")
                    process.stdin.flush()
                    took = float(process.stdout.readline())
                    if round_ > 1:
                        times[name].append(took)
            for name, each in times.items():
                found[kind][name].append(each)
        for process in processes.values():
            process.communicate("\n")
            if process.returncode:
                raise SystemExit("a subject failed")
        print(f"launch {launch + 1} of {launches}", file=sys.stderr, flush=True)
    return found


def figures(found: dict[str, dict[str, list[list[float]]]]) -> dict[str, dict[str, dict[str, float]]]:
    """By kind of turn and subject: the ratio to the floor of the least that any block took, since what
    disturbs only adds. The spread: the quartiles of the same ratio within each launch."""
    told: dict[str, dict[str, dict[str, float]]] = {}
    for kind, subjects in found.items():
        told[kind] = {}
        for name, launches in subjects.items():
            ratios = [min(ours) / min(floor) for ours, floor in zip(launches, subjects["floor"], strict=True)]
            low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
            least = min(map(min, launches))
            told[kind][name] = {
                "microseconds": least,
                "ratio": least / min(map(min, subjects["floor"])),
                "low": low,
                "high": high,
            }
    return told


def report(told: dict[str, dict[str, dict[str, float]]]) -> str:
    """Markdown."""
    lines = ["| turn | telemetry | CPU, µs | floor = 1 | quartiles |", "|---|---|---:|---:|---:|"]
    for kind, subjects in told.items():
        for name, one in subjects.items():
            lines.append(
                f"| {kind} | {name}: {SUBJECTS[name]} | {one['microseconds']:.0f} | {one['ratio']:.3f} | "
                f"{one['low']:.3f} to {one['high']:.3f} |"
            )
    text = "\n".join(lines) + "\n"
    for kind, subjects in told.items():
        for name in ("absent", "api"):
            ratio = subjects[name]["ratio"]
            met = "yes" if ratio < TARGET else "NO"
            text += f"\n{kind}, {name}: {100 * (ratio - 1):+.1f} % (wanted: under 2 %: {met})\n"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--launches", type=int, default=11)
    parser.add_argument("--rounds", type=int, default=15, help="of each launch, for each kind of turn")
    parser.add_argument("--out", type=Path, help="a folder for telemetry.json and telemetry.md")
    parser.add_argument("--serve", choices=SUBJECTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve))
        return
    told = figures(measure(list(SUBJECTS), options.launches, options.rounds))
    sys.stdout.write(report(told))
    if options.out is not None:
        (options.out / "telemetry.json").write_text(json.dumps(told, indent=2) + "\n")
        (options.out / "telemetry.md").write_text(report(told))


if __name__ == "__main__":
    main()
