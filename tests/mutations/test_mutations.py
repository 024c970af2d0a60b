"""The mutations can be made, and the verdict on them can be trusted. run.py makes them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mutations.mutations import MUTATIONS, Mutation
from mutations.run import ALL, ROOT, SUITE, read

FAILED = "FAILED tests/unit/stream/test_driver.py::test_a[b c] - AssertionError: no - not so\n"


@pytest.mark.parametrize("mutation", ALL, ids=lambda mutation: mutation.name)
def test_a_mutation_changes_one_line_that_is_there_once_into_another_that_compiles(
    mutation: Mutation,
) -> None:
    path = ROOT / "packages" / mutation.file
    text = path.read_text()
    assert text.count(mutation.old) == 1
    assert mutation.new != mutation.old
    assert "\n" not in mutation.old + mutation.new
    compile(text.replace(mutation.old, mutation.new), path, "exec")


@pytest.mark.parametrize("mutation", ALL, ids=lambda mutation: mutation.name)
def test_the_tests_that_a_mutation_names_are_there(mutation: Mutation) -> None:
    assert mutation.why.endswith(".")
    for test in mutation.tests:
        path, _, name = test.partition("::")
        assert (ROOT / path).exists()
        assert f"def {name.split('[')[0]}(" in (ROOT / path).read_text() if name else True


def test_twenty_mutations_of_the_rules_are_listed_and_no_name_is_given_twice() -> None:
    rules = ("machine.py", "pacing.py", "segments.py", "classify.py")
    assert sum(Path(mutation.file).name in rules for mutation in MUTATIONS) >= 20
    assert all("/cadenza/apps/stream/" in mutation.file for mutation in MUTATIONS)
    assert len({mutation.name for mutation in ALL}) == len(ALL)


def test_the_suite_leaves_out_no_test_of_the_stream() -> None:
    folders = ("tests/machine", "tests/unit/stream", "tests/faults", "tests/fuzz")
    files = {str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).glob("test_*.py")}
    others = {"tests/machine/test_turns.py"} | {
        f"tests/fuzz/test_{name}.py" for name in ("turns", "apps", "payloads", "tokens")
    }
    assert {file for file in files - others if not file.startswith(SUITE)} == set()


@pytest.mark.parametrize(
    ("status", "output", "kind", "test"),
    [
        (0, "1 passed", "passed", ""),
        (1, FAILED, "failed", "tests/unit/stream/test_driver.py::test_a[b c]"),
        (1, "1 failed, but nobody says which", "did not run", ""),
        (2, "ERROR tests/unit/stream/test_driver.py - ImportError: no", "did not run", ""),
        (4, "ERROR: file or directory not found: tests/none", "did not run", ""),
        (5, "no tests ran in 0.01s", "did not run", ""),
        (-9, "", "did not run", ""),
        (
            None,
            "tests/fuzz/a.py::test_a PASSED [ 1%]\ntests/fuzz/a.py::test_b ",
            "hung",
            "tests/fuzz/a.py::test_b",
        ),
    ],
)
def test_only_a_failed_test_or_a_hang_counts_as_noticed(
    status: int | None, output: str, kind: str, test: str
) -> None:
    verdict = read(status, output)
    assert (verdict.kind, verdict.test) == (kind, test)


def test_a_mutation_that_is_not_noticed_is_a_failure_and_nothing_is_left_behind(tmp_path: Path) -> None:
    names, tests = ["fence-not-reopened", "stop-spelled-one-way"], ["tests/unit/stream/test_segments.py"]
    ran = subprocess.run(
        [sys.executable, ROOT / "tests/mutations/run.py", *names, "--tests", *tests],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    _, fence, spelling, end = ran.stdout.splitlines()  # in the order of the list
    assert fence.split()[:2] == ["fence-not-reopened", "caught"]
    assert spelling.split()[:3] == ["stop-spelled-one-way", "NOT", "NOTICED"]
    assert (end, ran.returncode) == ("1 passed, 1 failed", 1)
    assert list(tmp_path.iterdir()) == []
