"""The lists of known defects that name a test for each (tests/port/README.md, tests/auth/README.md)."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["listed_tests", "named_after", "read_rows"]

TESTS = Path(__file__).parent


def read_rows(readme: Path, letter: str) -> dict[str, list[str]]:
    """The cells of each row behind its first one, which is the id: `letter` and a number. Raises ValueError
    for an id that is there twice."""
    rows: dict[str, list[str]] = {}
    for line in readme.read_text().splitlines():
        if re.match(rf"\| {letter}\d+ \|", line):
            id, *cells = (cell.strip() for cell in line.strip().strip("|").split("|"))
            if id in rows:
                raise ValueError(f"{readme} has {id} twice")
            rows[id] = cells
    return rows


def listed_tests(cell: str) -> set[tuple[str, str]]:
    """The file and the name of each test of a cell: a file, its tests, and after a semicolon the next one."""
    files = {part.split("`")[1]: re.findall(r"`(test_\w+)`", part) for part in cell.split(";") if part}
    return {(file, name) for file, names in files.items() for name in names}


def named_after(id: str) -> set[tuple[str, str]]:
    """The file and the name of each test that is named after a defect, as `test_p8_p11_...` is after two."""
    letter, number = id[0].lower(), id[1:]
    named = re.compile(rf"^ *(?:async )?def (test_(?:{letter}\d+_)*{letter}0?{number}_\w+)\(", re.MULTILINE)
    return {
        (str(file.relative_to(TESTS)), name)
        for file in TESTS.rglob("test_*.py")
        for name in named.findall(file.read_text())
    }
