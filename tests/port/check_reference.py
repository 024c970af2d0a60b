"""Runs the tests of the ported bots on the reference itself, which the bots were written for.

    uv run python tests/port/check_reference.py            all tests
    uv run python tests/port/check_reference.py streams    those with this in their name

It needs Python 3.12 or newer and the other SDK, as tests/faults/compare.py does, which says how they are got.
A test passes there, or fails for the reason that EXPECTED gives. Status 0 if all is so.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.compare import PEER, run

__all__ = ["EXPECTED"]

FILE = "tests/port/test_bots.py"

EXPECTED: Mapping[str, str] = {
    "test_a_function_answers_its_page_and_writes_to_its_chat": "P4: FunctionContext.send always raises",
    "test_a_plugin_sees_activities_and_errors": "P3: on_activity and on_error of a plugin never run",
}
"""The tests that fail on the reference, each with the defect of shared/api-surface.md that fails it."""


def main() -> int:
    words = sys.argv[1:]
    names = [
        line.partition("def ")[2].partition("(")[0]
        for line in (Path(__file__).parent / "test_bots.py").read_text().splitlines()
        if line.startswith(("def test_", "async def test_"))
    ]
    wanted = [name for name in names if all(word in name for word in words)]
    if not wanted:
        sys.exit(f"No test has {' and '.join(words)} in its name.")
    outcomes = run([f"{FILE}::{name}" for name in wanted])
    print(f"On {PEER}:")
    wrong = 0
    for name in wanted:
        ended = outcomes.get(name, ())
        passed = bool(ended) and all(one.passed for one in ended)
        said = next((one.said for one in ended if not one.passed), "" if ended else "did not run")
        as_expected = passed != (name in EXPECTED)
        wrong += not as_expected
        how = "passes" if passed else f"fails ({EXPECTED.get(name, 'not expected')}): {said}"
        print(f"{'ok ' if as_expected else 'NOT'}  {name}: {how if len(how) <= 200 else how[:199] + '…'}")
    print(f"{len(wanted) - wrong} passed, {wrong} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
