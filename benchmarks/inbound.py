"""What it costs to take a message: requests/s of the messaging endpoint, beside the peers and a bare handler.

    python benchmarks/inbound.py --out benchmarks/results     # everything: about ten minutes
    python benchmarks/inbound.py --subjects bare cadenza --rounds 1

Needs Linux, two cores that nobody else uses, uv, Python 3.12 (the peers do) and redis-server. Each SDK gets
an environment of its own, made by uv with what is newest. README.md says what is measured.
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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bots import ABSENT
from identity import METADATA, TOKENS

HERE = Path(__file__).parent
PACKAGES = HERE.parent / "packages"
OURS = [f"--editable={PACKAGES / name}" for name in ("api", "state", "apps")]
ENVIRONMENTS = {
    "cadenza": [*OURS, "redis"],
    "asgi": [*OURS, "starlette", "uvicorn", "httptools"],
    "teams-apps": ["microsoft-teams-apps"],
    "agents": ["microsoft-agents-hosting-aiohttp"],
}
SUBJECTS = {
    "bare": ("cadenza", "aiohttp"),
    "cadenza": ("cadenza", "cadenza-apps"),
    "cadenza-sqlite": ("cadenza", "cadenza-apps"),
    "cadenza-redis": ("cadenza", "cadenza-apps"),
    "cadenza-tokens": ("cadenza", "cadenza-apps"),
    "bare-asgi": ("asgi", "starlette"),
    "cadenza-asgi": ("asgi", "cadenza-apps"),
    "teams-apps": ("teams-apps", "microsoft-teams-apps"),
    "teams-apps-unlogged": ("teams-apps", "microsoft-teams-apps"),
    "teams-apps-tokens": ("teams-apps", "microsoft-teams-apps"),
    "agents": ("agents", "microsoft-agents-hosting-aiohttp"),
}
"""Of each subject the environment, and the package whose version is shown."""

FLOOR = "bare"
PEER = "teams-apps"
TARGET_OF_FLOOR = 0.4
TARGET_OF_PEER = 5.0
TARGET_OF_UNCHECKED = 0.5
"""Of what the same App serves where it checks no tokens."""

SIGNED = 400
"""Tokens that the load has: they last for 175,000 requests, so that a measurement never begins anew."""


class Environments:
    """Where the SDKs are installed, each when it is first needed."""

    def __init__(self, folder: Path, python: str) -> None:
        self._folder = folder
        self._python = python

    def interpreter(self, name: str) -> Path:
        place = self._folder / name
        interpreter = place / "bin" / "python"
        if not interpreter.exists():
            _uv("venv", "--quiet", "--no-config", "--python", self._python, str(place))
            packages = ENVIRONMENTS[name]
            _uv("pip", "install", "--quiet", "--no-config", f"--python={interpreter}", *packages)
        return interpreter

    def version(self, name: str, package: str) -> str:
        code = f"from importlib.metadata import version; print(version({package!r}))"
        said = subprocess.run(
            [self.interpreter(name), "-c", code], check=True, capture_output=True, text=True
        )
        return said.stdout.strip()


def _uv(*arguments: str) -> None:
    subprocess.run(["uv", *arguments], check=True)


class Benchmark:
    """One run: the servers on one core, the load and Redis on the other."""

    def __init__(self, options: argparse.Namespace, environments: Environments, folder: Path) -> None:
        self._options = options
        self._environments = environments
        self._folder = folder
        self._cores = sorted(os.sched_getaffinity(0))
        if len(self._cores) < 2:
            raise SystemExit("this needs two cores: one for the server, one for the load")

    def measure(self, subject: str) -> dict[str, Any] | None:
        """One measurement; None if the SDK has no such thing."""
        port = _free_port()
        with ExitStack() as stack:
            place = tokens = ""
            if subject.endswith("-redis"):
                place = stack.enter_context(self._redis())
            elif subject.endswith("-sqlite"):
                place = str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "state.db")
            elif subject.endswith("-tokens"):
                provider = stack.enter_context(self._provider())
                place, tokens = provider + METADATA, provider + TOKENS
            python = self._environments.interpreter(SUBJECTS[subject][0])
            command = [str(python), str(HERE / "bots.py"), subject, str(port), place]
            server = stack.enter_context(self._process(self._cores[0], command, subject))
            return self._load(server, port, tokens)

    def _load(self, server: subprocess.Popen[bytes], port: int, tokens: str) -> dict[str, Any] | None:
        options = self._options
        numbers = [port, options.connections, options.conversations, options.warm_up, options.seconds]
        load = subprocess.Popen(
            [
                sys.executable,
                str(HERE / "posts.py"),
                *map(str, numbers),
                str(server.pid),
                *filter(None, [tokens]),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {self._cores[1]}),
        )
        try:
            while load.poll() is None:
                if server.poll() == ABSENT:
                    return None
                if server.poll() is not None:
                    raise SystemExit(f"the server ended with status {server.returncode}")
                time.sleep(0.1)
            said, complaint = load.communicate()
        finally:
            load.kill()
            load.wait()
        if load.returncode:
            raise SystemExit(f"the load ended with status {load.returncode}: {complaint.strip()}")
        figures: dict[str, Any] = json.loads(said)
        return figures

    @contextmanager
    def _redis(self) -> Iterator[str]:
        """A Redis that writes what it is told to a file, as one must that holds what was acknowledged."""
        port = _free_port()
        with tempfile.TemporaryDirectory() as folder:
            files = ["--dir", folder, "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"]
            command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", *files]
            with self._process(self._cores[1], command, "redis"):
                _await_port(port)
                yield f"redis://127.0.0.1:{port}"

    @contextmanager
    def _provider(self) -> Iterator[str]:
        """Who signs the tokens of the load. Once the bot has its keys it has nothing to do."""
        port = _free_port()
        python = self._environments.interpreter("cadenza")
        command = [str(python), str(HERE / "identity.py"), str(port), str(SIGNED)]
        with self._process(self._cores[1], command, "identity"):
            _await_port(port)
            yield f"http://127.0.0.1:{port}"

    @contextmanager
    def _process(self, core: int, command: list[str], name: str) -> Iterator[subprocess.Popen[bytes]]:
        with open(self._folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _await_port(port: int) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def summary(subject: str, version: str, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The medians of several measurements of one subject."""
    names = ("requests_per_second", "server_cpu_us", "server_busy", "load_busy")
    failed = sum(
        count
        for figures in rounds
        for status, count in figures["statuses"].items()
        if not status.startswith("2")
    )
    return {
        "subject": subject,
        "version": version,
        "rounds": len(rounds),
        "answers": sum(figures["answers"] for figures in rounds),
        "failed": failed,
        **{name: median(figures[name] for figures in rounds) for name in names},
        "ack_ms": {name: median(figures["ack_ms"][name] for figures in rounds) for name in ("p50", "p99")},
        "each": [figures["requests_per_second"] for figures in rounds],
    }


def table(results: list[dict[str, Any]], absent: list[str]) -> str:
    """Markdown: a row for each subject."""
    rates = {result["subject"]: result["requests_per_second"] for result in results}
    rows = [
        [
            f"{result['subject']} ({result['version']})",
            f"{result['requests_per_second']:,.0f}",
            f"{min(result['each']):,.0f} to {max(result['each']):,.0f}",
            _ratio(rates, result["subject"], FLOOR),
            _ratio(rates, result["subject"], PEER),
            f"{result['server_cpu_us']:.0f}",
            f"{result['ack_ms']['p50']:.1f} / {result['ack_ms']['p99']:.1f}",
            f"{100 * result['server_busy']:.0f} %",
            f"{100 * result['load_busy']:.0f} %",
            f"{result['failed']:,} of {result['answers']:,}",
        ]
        for result in results
    ]
    head = [
        "",
        "requests/s",
        "in the rounds",
        f"{FLOOR} = 1",
        f"{PEER} = 1",
        "CPU a request, µs",
        "answered after, ms, median / p99",
        "server's core",
        "load's core",
        "failed",
    ]
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    if absent:
        text += f"\nNot there: {', '.join(absent)}.\n"
    return text + _verdict(rates)


def _ratio(rates: dict[str, float], subject: str, other: str) -> str:
    return f"{rates[subject] / rates[other]:.2f}" if other in rates else "-"


def _verdict(rates: dict[str, float]) -> str:
    """A sentence for each of the two: without tokens, and with."""
    text = ""
    for subject, floor, said, wanted, peer in (
        ("cadenza", FLOOR, "the bare handler's requests", TARGET_OF_FLOOR, PEER),
        (
            "cadenza-tokens",
            "cadenza",
            "the requests of the same App without tokens",
            TARGET_OF_UNCHECKED,
            f"{PEER}-tokens",
        ),
    ):
        if {subject, floor, peer} <= rates.keys():
            of_floor, of_peer = rates[subject] / rates[floor], rates[subject] / rates[peer]
            text += (
                f"\n`{subject}` serves {of_floor:.2f} of {said} (at least {wanted} is wanted: "
                f"{_met(of_floor >= wanted)}), and {of_peer:.1f} times those of {peer} (at least "
                f"{TARGET_OF_PEER:g}: {_met(of_peer >= TARGET_OF_PEER)}).\n"
            )
    return text


def _met(reached: bool) -> str:
    return "yes" if reached else "NO"


def run(options: argparse.Namespace, folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The results, and the subjects that are not there."""
    environments = Environments(options.environments or folder / "environments", options.python)
    benchmark = Benchmark(options, environments, folder)
    measured: dict[str, list[dict[str, Any]]] = {subject: [] for subject in options.subjects}
    absent: list[str] = []
    for round_ in range(options.rounds):
        for subject, figures in measured.items():  # in turn, so that a noisy minute strikes all alike
            if subject in absent:
                continue
            print(f"round {round_ + 1}, {subject}: ", end="", file=sys.stderr, flush=True)
            one = benchmark.measure(subject)
            if one is None:
                absent.append(subject)
                print("not there", file=sys.stderr, flush=True)
                continue
            figures.append(one)
            rate, cpu = one["requests_per_second"], one["server_cpu_us"]
            print(f"{rate:,.0f} requests/s, {cpu:.0f} us of CPU each", file=sys.stderr, flush=True)
    results = [
        summary(subject, environments.version(*SUBJECTS[subject]), figures)
        for subject, figures in measured.items()
        if figures
    ]
    return results, absent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="of which the median counts")
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--warm-up", type=float, default=2, metavar="SECONDS")
    parser.add_argument("--connections", type=int, default=64, metavar="N")
    parser.add_argument("--conversations", type=int, default=1000, metavar="N")
    parser.add_argument("--python", default="3.12", help="what uv makes the environments with")
    parser.add_argument("--environments", type=Path, help="folder to keep them in; else they are removed")
    parser.add_argument("--out", type=Path, help="folder of the table; without it, it is printed only")
    options = parser.parse_args()
    if shutil.which("redis-server") is None and "cadenza-redis" in options.subjects:
        raise SystemExit("there is no redis-server here: name the other --subjects")
    with tempfile.TemporaryDirectory() as folder:
        results, absent = run(options, Path(folder))
    text = table(results, absent)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "inbound.json").write_text(json.dumps(results, indent=1) + "\n")
        (options.out / "inbound.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
