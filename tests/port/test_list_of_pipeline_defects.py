"""The list of the known defects of the pipeline is whole, and its tests are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from defect_list import listed_tests, named_after, read_rows

ROWS = read_rows(Path(__file__).parent / "README.md", "P")


def test_every_defect_is_listed_once_and_in_order() -> None:
    assert list(ROWS) == [f"P{number}" for number in range(1, 21)]


@pytest.mark.parametrize("id", ROWS)
def test_a_defect_has_all_tests_that_are_named_after_it_or_an_issue(id: str) -> None:
    _, tests, open = ROWS[id]
    assert listed_tests(tests) == named_after(id)
    assert tests or re.match(r"issue \d", open)
