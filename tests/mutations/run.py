"""Breaks the code on purpose, one line at a time, and sees whether the tests notice.

    uv run python tests/mutations/run.py                     all mutations
    uv run python tests/mutations/run.py --list              what each of them breaks
    uv run python tests/mutations/run.py pacing-removed      only these

The tree is copied to a temporary directory, and all is done there. Before any mutation the tests must pass in
the copy, and a copy that cannot even be imported must fail: else nothing that follows would mean anything.
Ends with status 0 if every mutation was noticed. A hang is noticed too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])  # as under pytest, the packages of tests/ are found by name
from mutations.agents import AGENTS
from mutations.auth import AUTH
from mutations.defects import DEFECTS
from mutations.durable import DURABLE
from mutations.mutations import MUTATIONS, Mutation
from mutations.surroundings import SURROUNDINGS
from mutations.turns import TURNS

__all__ = ["ALL", "ROOT", "SUITE", "Verdict", "read"]

ROOT = Path(__file__).parents[2]

SUITE = tuple(
    path
    for path in (
        "tests/machine/test_rules.py",
        "tests/machine/test_failures.py",
        "tests/unit/stream",
        "tests/fuzz/test_schedules.py",
        "tests/faults",
        "tests/fuzz/test_driver.py",
        "tests/machine/test_table.py",
        "tests/machine/test_drawing.py",
    )
    if (ROOT / path).exists()
)
"""The tests of the stream in the order in which they are run: fast ones first, and the pinned tables last, so
that the test which notices says what promise is broken."""

SCHEDULES = "500"
"""Random schedules per fuzz test; CADENZA_FUZZ_COUNT says otherwise."""

ALL: tuple[Mutation, ...] = MUTATIONS + TURNS + AUTH + SURROUNDINGS + AGENTS + DURABLE + DEFECTS


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one run of the tests came to."""

    kind: Literal["passed", "failed", "hung", "did not run"]
    test: str = ""
    """Node id of the first test that failed, or that was running when it hung."""
    said: str = ""
    """What that test said; of tests that did not run, the end of their output."""


def read(status: int | None, output: str) -> Verdict:
    """The verdict of a run of pytest, by its exit status (None: stopped for lack of time) and its output.

    Tests that cannot be collected, or are not there, notice nothing: this is "did not run".
    """
    lines = output.splitlines()
    if status is None:
        started = [line.split()[0] for line in lines if line.startswith("tests/") and "::" in line]
        return Verdict("hung", started[-1] if started else "")
    if status == 0:
        return Verdict("passed")
    if status == 1:
        for line in lines:
            word, _, rest = line.partition(" ")
            if word in ("FAILED", "ERROR") and "::" in rest:
                test, _, said = rest.partition(" - ")
                return Verdict("failed", test, said)
    return Verdict("did not run", said="\n".join(lines[-15:]))


class Copy:
    """A copy of the tree, in which the tests run one at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._process: subprocess.Popen[bytes] | None = None
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(".*", "__pycache__"))

    def test(self, tests: Sequence[str], limit: float) -> Verdict:
        """Run `tests` up to the first failure. `limit`: seconds."""
        sources = sorted(str(path) for path in self.root.glob("packages/*/src"))
        environment = {
            "CADENZA_FUZZ_COUNT": SCHEDULES,
            **os.environ,
            "COLUMNS": "160",
            "PYTHONDONTWRITEBYTECODE": "1",  # a .pyc of another mutation must not be taken for this one
            "PYTHONPATH": os.pathsep.join(sources),  # before the site-packages that lead to the work tree
        }
        options = [
            "-n",
            "0",
            "-x",
            "-v",
            "--tb=short",
            "--no-header",
            "-p",
            "no:cacheprovider",
            "--hypothesis-seed=0",
        ]
        command = [sys.executable, "-m", "pytest", *options, *tests]
        log = self.root.parent / f"{self.root.name}.log"
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                cwd=self.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            status: int | None = None
            try:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    status = self._process.wait(limit)
            finally:
                self.stop()
        return read(status, log.read_text(errors="replace"))

    def stop(self) -> None:
        """End the tests that run, with all that they started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def mutated(self, mutation: Mutation, tests: Sequence[str], limit: float) -> Verdict:
        """Run `tests` with `mutation` in place."""
        path = self.root / "packages" / mutation.file
        text = path.read_text()
        if text.count(mutation.old) != 1:
            return Verdict("did not run", said=f"{mutation.old!r} is not once in {mutation.file}")
        path.write_text(text.replace(mutation.old, mutation.new))
        try:
            return self.test(tests, limit)
        finally:
            path.write_text(text)


def prove(copy: Copy, mutations: Sequence[Mutation], tests: Sequence[str]) -> float:
    """The seconds that the tests take when nothing is broken. Exits where they prove nothing."""
    machine = copy.root / "packages/apps/src/cadenza/apps/stream/machine.py"
    text = machine.read_text()
    machine.write_text("raise ImportError('this copy is broken')\n")
    if "this copy is broken" not in copy.test(["tests/machine/test_rules.py"], 300).said:
        sys.exit("The tests do not run the code of the copy, so that no mutation would be seen.")
    machine.write_text(text)
    began = time.monotonic()
    wanted = dict.fromkeys(test for m in mutations for test in (tests or m.tests or SUITE))
    verdict = copy.test(list(wanted), 3600)
    if verdict.kind != "passed":
        sys.exit(f"Without any mutation the tests must pass: {verdict.kind} {verdict.test}\n{verdict.said}")
    return time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(description="Break the code line by line: do the tests notice?")
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutations to make (all)")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="mutations at a time (1)")
    parser.add_argument("--tests", nargs="+", default=[], metavar="TEST", help="only these tests")
    options = parser.parse_args()
    unknown = set(options.names) - {mutation.name for mutation in ALL}
    if unknown:
        parser.error(f"no mutation is called {', '.join(sorted(unknown))}; --list names all")
    chosen = [mutation for mutation in ALL if not options.names or mutation.name in options.names]
    width = max(len(mutation.name) for mutation in chosen)
    if options.list:
        print("\n".join(f"{m.name:{width}}  {Path(m.file).name}: {m.why}" for m in chosen))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the copies go, and what runs in them
    copies: list[Copy] = []
    with tempfile.TemporaryDirectory(prefix="cadenza-mutations-") as folder:
        pool = ThreadPoolExecutor(max(1, options.jobs))
        try:
            copies += [Copy(Path(folder) / f"copy{number}") for number in range(max(1, options.jobs))]
            seconds = prove(copies[0], chosen, options.tests)
            limit = 60.0 + 3.0 * seconds * len(copies)
            print(f"Without mutation the tests pass, in {seconds:.0f} s. Limit: {limit:.0f} s.", flush=True)
            free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
            for copy in copies:
                free.put(copy)

            def judge(mutation: Mutation) -> tuple[Verdict, float]:
                copy, began = free.get(), time.monotonic()
                try:
                    verdict = copy.mutated(mutation, options.tests or mutation.tests or SUITE, limit)
                finally:
                    free.put(copy)
                return verdict, time.monotonic() - began

            failed = 0
            for mutation, (verdict, took) in zip(chosen, pool.map(judge, chosen), strict=True):
                noticed = verdict.kind in ("failed", "hung")
                failed += not noticed
                what = {"failed": "caught", "hung": "hung", "passed": "NOT NOTICED"}.get(
                    verdict.kind, "ERROR"
                )
                by = f"by {verdict.test}" if noticed else verdict.said or mutation.why
                print(f"{mutation.name:{width}}  {what:11}  {took:5.1f} s  {by}", flush=True)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for copy in copies:
                copy.stop()
            pool.shutdown()
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
