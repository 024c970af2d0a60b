"""What importing costs: the time until `import cadenza.apps` is done, beside what it stands on, and the peer.

    python benchmarks/imports.py --out benchmarks/results     # a minute

Needs uv and Python 3.12 (the peer does). Each SDK gets an environment of its own, made by uv with what is
newest. A round imports each of them once, each in a new process; the median of all rounds is shown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from inbound import Environments

SUBJECTS = {
    "floor": ("cadenza", "import aiohttp.web, pydantic"),
    "cadenza": ("cadenza", "import cadenza.apps"),
    "first handler": ("cadenza", "from cadenza.apps import App; from cadenza.api import MessageActivity"),
    "teams-apps": ("teams-apps", "import microsoft_teams.apps"),
}
TIMED = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"
TARGETS = {"floor": 1.4, "teams-apps": 0.6}
"""At most so many times as long."""


def once(interpreter: Path, statement: str, bytecode: Path) -> float:
    """Seconds. What Python has compiled lies in `bytecode`, as it does beside installed modules."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bytecode)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [interpreter, "-W", "ignore", "-c", TIMED.format(statement)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def measure(rounds: int, python: str) -> dict[str, float]:
    """Seconds by subject: the median of all rounds. One more comes before them, for the
    compiling."""
    times: dict[str, list[float]] = {name: [] for name in SUBJECTS}
    with tempfile.TemporaryDirectory() as folder:
        environments = Environments(Path(folder), python)
        for _ in range(rounds + 1):
            for name, (environment, statement) in SUBJECTS.items():
                interpreter = environments.interpreter(environment)
                times[name].append(once(interpreter, statement, Path(folder) / "bytecode"))
    return {name: median(seconds[1:]) for name, seconds in times.items()}


def report(seconds: dict[str, float]) -> str:
    lines = ["| import | ms | ours by it |", "|---|---|---|"]
    for name, (_, statement) in SUBJECTS.items():
        ratio = seconds["cadenza"] / seconds[name]
        target = f" (wanted: at most {TARGETS[name]})" if name in TARGETS else ""
        lines.append(f"| {name}: `{statement}` | {1000 * seconds[name]:.0f} | {ratio:.2f}{target} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--python", default="3.12")
    parser.add_argument("--out", type=Path, help="a folder for imports.json and imports.md")
    options = parser.parse_args()
    seconds = measure(options.rounds, options.python)
    sys.stdout.write(report(seconds))
    if options.out is not None:
        (options.out / "imports.json").write_text(json.dumps(seconds, indent=2) + "\n")
        (options.out / "imports.md").write_text(report(seconds))


if __name__ == "__main__":
    main()
