"""The list of the known defects of the pipeline is whole, and its tests are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parents[1]


class Row(NamedTuple):
    id: str
    tests: frozenset[tuple[str, str]]
    """File and name."""
    open: str


def row(line: str) -> Row:
    id, _, tests, open = (cell.strip() for cell in line.strip("|\n").split("|"))
    files = {part.split("`")[1]: re.findall(r"`(test_\w+)`", part) for part in tests.split(";") if part}
    return Row(id, frozenset((file, name) for file, names in files.items() for name in names), open)


ROWS = [
    row(line)
    for line in (Path(__file__).parent / "README.md").read_text().splitlines()
    if line.startswith("| P")
]


def named_after(defect: str) -> set[tuple[str, str]]:
    """`test_p8_p11_...` is named after two."""
    named = re.compile(rf"^ *(?:async )?def (test_(?:p\d+_)*{defect.lower()}_\w+)\(", re.MULTILINE)
    return {
        (str(file.relative_to(TESTS)), name)
        for file in TESTS.rglob("test_*.py")
        for name in named.findall(file.read_text())
    }


def test_every_defect_is_listed_once_and_in_order() -> None:
    assert [row.id for row in ROWS] == [f"P{number}" for number in range(1, 21)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_defect_has_all_tests_that_are_named_after_it_or_an_issue(row: Row) -> None:
    assert row.tests == named_after(row.id)
    assert row.tests or re.match(r"issue \d", row.open)
