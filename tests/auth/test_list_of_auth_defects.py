"""The list of the known defects of authentication and server is whole, and its tests are there."""

from __future__ import annotations

from pathlib import Path

import pytest
from defect_list import listed_tests, named_after, read_rows

ROWS = read_rows(Path(__file__).parent / "README.md", "A")


def test_every_defect_is_listed_once_and_in_order() -> None:
    assert list(ROWS) == [f"A{number}" for number in range(1, 16)]


@pytest.mark.parametrize("id", ROWS)
def test_a_defect_has_all_tests_that_are_named_after_it(id: str) -> None:
    defect, ours, tests, theirs = ROWS[id]
    assert defect
    assert ours
    assert theirs
    assert tests
    assert listed_tests(tests) == named_after(id)
