"""What type checkers say about programs that use Cadenza: nothing about `right/`, and of `wrong/` exactly the
lines that end in `# error`."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

Lines = set[tuple[str, int]]


def files(folder: str) -> list[Path]:
    return sorted((HERE / folder).glob("*.py"))


def marked() -> Lines:
    return {
        (file.name, number)
        for file in files("wrong")
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if line.endswith("# error")
    }


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def mypy() -> list[tuple[str, str, int, str]]:
    """Folder, file, line and message of each error."""
    pattern = re.compile(r"tests/typing/(\w+)/(\w+\.py):(\d+): error: (.*)")
    shown = run("mypy", "--no-error-summary", *(str(file) for file in [*files("right"), *files("wrong")]))
    found = [pattern.match(line) for line in shown.splitlines() if ": error: " in line]
    assert None not in found, shown
    return [(match[1], match[2], int(match[3]), match[4]) for match in found if match]


@pytest.fixture(scope="module")
def pyright() -> list[tuple[str, str, int, str]]:
    shown = run("basedpyright", "--project", str(HERE), "--pythonpath", sys.executable, "--outputjson")
    errors = [item for item in json.loads(shown)["generalDiagnostics"] if item["severity"] == "error"]
    return [
        (path.parent.name, path.name, item["range"]["start"]["line"] + 1, item["message"])
        for item in errors
        for path in [Path(item["file"])]
    ]


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_right_programs_are_right(checker: str, request: pytest.FixtureRequest) -> None:
    assert [error for error in request.getfixturevalue(checker) if error[0] == "right"] == []


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_wrong_programs_are_refused_exactly_where_they_are_wrong(
    checker: str, request: pytest.FixtureRequest
) -> None:
    errors = request.getfixturevalue(checker)
    assert {(file, line) for folder, file, line, _ in errors if folder == "wrong"} == marked()
