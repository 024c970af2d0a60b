"""Runs the tests of the known defects on microsoft-teams-apps, where README.md says that they fail.

    uv run python tests/faults/compare.py            all defects
    uv run python tests/faults/compare.py S1 R6      only these

The other SDK gets an environment of its own, made by uv from the package index that uv is set to; it needs
Python 3.12 or newer (CADENZA_PEER_PYTHON names one, else one is looked for). Our packages api, state and
testing go into it from the work tree. Nothing of ours that is tested does.

A test that README.md says to fail must fail, by an assertion that says what README.md says it says, so that
it is the defect that fails it; or hang. One that is said to pass must pass. Status 0 if all is as claimed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FILES", "IDS", "Defect", "Outcome", "judge", "read_table"]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEER = "microsoft-teams-apps==2.1.1"
FILES = ("test_stream_defects.py", "test_client_defects.py")
IDS = tuple([f"S{number}" for number in range(1, 29)] + [f"R{number}" for number in range(1, 16)])
SECONDS = 900.0
"""Real time for everything, set-up included; each test has a limit of its own (limit.py)."""


@dataclass(frozen=True, slots=True)
class Defect:
    """A row of the table in README.md."""

    id: str
    test: str
    """Name of the test function."""
    says: str | None
    """What the failed assertion says on the other SDK; None: the test passes there."""
    mutation: str | None
    """The mutation of our code that the test notices."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one test ended, once for each of its parameters."""

    passed: bool
    said: str = ""
    """The message of what failed it."""


def read_table(text: str) -> list[Defect]:
    """The rows of README.md, in order. Raises ValueError for one that cannot be read."""
    defects: list[Defect] = []
    for line in text.splitlines():
        if not re.match(r"\| [SR]\d+ \|", line):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) != 5:
            raise ValueError(f"a row has 5 cells, this one {len(cells)}: {line}")
        id, _, test, there, mutation = cells
        fails = re.match(r"fails, `([^`]+)`", there)
        if not fails and not there.startswith("passes"):
            raise ValueError(f"{id} must either say 'fails, `...`' or 'passes', not {there!r}")
        says = fails[1] if fails else None
        defects.append(Defect(id, test.strip("`"), says, mutation.strip("`") or None))
    return defects


def judge(defect: Defect, outcomes: Sequence[Outcome]) -> tuple[bool, str]:
    """Whether the test ended as README.md says, and in words how it ended."""
    if not outcomes:
        return False, "did not run"
    passed = sum(outcome.passed for outcome in outcomes)
    said = next((outcome.said for outcome in outcomes if not outcome.passed), "")
    if defect.says is None:
        return passed == len(outcomes), "passes" if not said else f"fails: {said}"
    if passed:
        return False, f"passes, {passed} times of {len(outcomes)}"
    for outcome in outcomes:
        hangs = outcome.said.startswith("faults.limit.HangError")
        if not hangs and not (outcome.said.startswith("AssertionError") and defect.says in outcome.said):
            return False, f"fails, but not by what it says: {outcome.said}"
    return True, f"fails: {said.removeprefix('AssertionError: ')}"


def find_python() -> str:
    """A Python that the other SDK runs on; a version number, if none is found here."""
    given = os.environ.get("CADENZA_PEER_PYTHON")
    if given:
        return given
    places = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python"))
    candidates = [shutil.which(f"python3.{minor}") for minor in (12, 13, 14)] + [str(p) for p in places]
    for candidate in filter(None, candidates):
        new = "import sys; sys.exit(sys.version_info < (3, 12))"
        if subprocess.run([candidate, "-c", new], capture_output=True, check=False).returncode == 0:
            return candidate
    return "3.12"


def beside_the_other_sdk(*packages: str) -> list[str]:
    """The command that runs what is put behind it with the other SDK and `packages` at hand."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    newest = settings["tool"]["uv"]["exclude-newer"]
    uv = ["uv", "run", "--isolated", "--no-project", "--python", find_python(), "--exclude-newer", newest]
    for package in (PEER, *packages):
        uv += ["--with", package]
    for ours in ("api", "state", "testing"):
        uv += ["--with-editable", str(ROOT / "packages" / ours)]
    return [*uv, "--"]


def command(report: Path, tests: Sequence[str]) -> list[str]:
    """The command that runs `tests` on the other SDK and writes what came of them to `report`."""
    uv = beside_the_other_sdk("pytest", "pytest-asyncio", "pytest-aiohttp", "pytest-xdist")
    pytest = [
        "python",
        "-m",
        "pytest",
        "-n",
        "0",
        "--noconftest",
        "-p",
        "no:cacheprovider",
        "-p",
        "faults.limit",
    ]
    pytest += ["-o", "filterwarnings=default", "--quiet", "--tb=no", "--show-capture=no"]
    return [*uv, *pytest, f"--junit-xml={report}", *tests]


def run(tests: Sequence[str]) -> Mapping[str, Sequence[Outcome]]:
    """The outcomes of `tests` on the other SDK, by the name of the function."""
    environment = {
        **os.environ,
        "CADENZA_TEST_SUBJECT": "microsoft-teams-apps",
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(ROOT / "tests"),
    }
    environment.pop("VIRTUAL_ENV", None)
    with tempfile.TemporaryDirectory(prefix="cadenza-compare-") as folder:
        report = Path(folder) / "report.xml"
        try:
            done = subprocess.run(
                command(report, tests),
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            sys.exit(f"The tests did not end within {SECONDS:g} s, though each has a limit of its own.")
        if not report.exists():
            sys.exit(f"The tests did not run on {PEER}:\n{done.stdout}")
        return read_report(report.read_text())


def read_report(text: str) -> Mapping[str, Sequence[Outcome]]:
    """The outcomes in a report of pytest in JUnit's form."""
    outcomes: defaultdict[str, list[Outcome]] = defaultdict(list)
    for case in ElementTree.fromstring(text).iter("testcase"):
        bad = [child for child in case if child.tag in ("failure", "error", "skipped")]
        said = " ".join(bad[0].get("message", "").split()) if bad else ""
        outcomes[case.get("name", "").partition("[")[0]].append(Outcome(not bad, said))
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=f"Run the tests of the known defects on {PEER}.")
    parser.add_argument("ids", nargs="*", metavar="ID", help="defects, such as S1 or R6 (all)")
    wanted = parser.parse_args().ids
    defects = read_table((HERE / "README.md").read_text())
    unknown = set(wanted) - {defect.id for defect in defects}
    if unknown:
        parser.error(f"README.md has no defect {', '.join(sorted(unknown))}")
    defects = [defect for defect in defects if not wanted or defect.id in wanted]
    files = dict(zip("SR", FILES, strict=True))
    outcomes = run([f"tests/faults/{files[defect.id[0]]}::{defect.test}" for defect in defects])
    print(f"On {PEER}:")
    failed = 0
    for defect in defects:
        as_claimed, how = judge(defect, outcomes.get(defect.test, ()))
        failed += not as_claimed
        claim = "as README.md says" if as_claimed else "NOT AS README.md SAYS"
        print(f"{defect.id:4} {claim:21}  {how if len(how) <= 140 else how[:139] + '…'}")
    print(f"{len(defects) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
