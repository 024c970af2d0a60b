"""The list of the known defects is whole, and says of each test what is so."""

import re
from pathlib import Path

import pytest
from faults.compare import FILES, IDS, Defect, Outcome, judge, read_report, read_table
from mutations.defects import DEFECTS

HERE = Path(__file__).parent
TABLE = read_table((HERE / "README.md").read_text())


def test_every_defect_is_listed_once_and_in_order() -> None:
    assert tuple(defect.id for defect in TABLE) == IDS


def test_every_listed_test_is_there_and_every_test_is_listed() -> None:
    for letter, name in zip("SR", FILES, strict=True):
        tests = re.findall(r"^(?:async )?def (test_\w+)\(", (HERE / name).read_text(), re.MULTILINE)
        assert tests == [defect.test for defect in TABLE if defect.id[0] == letter]


@pytest.mark.parametrize("defect", TABLE, ids=lambda defect: defect.id)
def test_a_test_is_named_after_its_defect_and_fails_somewhere(defect: Defect) -> None:
    assert defect.test.startswith(f"test_{defect.id[0].lower()}{int(defect.id[1:]):02}_")
    assert defect.says or defect.mutation, "neither the other SDK nor a mutation fails it"


def test_the_mutations_of_the_list_are_those_of_defects_py_and_name_its_tests() -> None:
    listed = {(defect.mutation, defect.test) for defect in TABLE if defect.mutation}
    made = {(mutation.name, test.rpartition("::")[2]) for mutation in DEFECTS for test in mutation.tests}
    assert listed == made


FAILS = Defect("S1", "test_s01", "too many", None)
PASSES = Defect("R4", "test_r04", None, "client-per-turn")
PASSED = Outcome(True)
RIGHT = Outcome(False, "AssertionError: too many requests")
WRONG = Outcome(False, "AttributeError: no emit, too many")
OTHER = Outcome(False, "AssertionError: 1 == 2")
HANG = Outcome(False, "faults.limit.HangError: it hangs: no end within 30 s of real time")


@pytest.mark.parametrize(
    ("defect", "outcomes", "as_claimed"),
    [
        (FAILS, [RIGHT], True),
        (FAILS, [RIGHT, HANG], True),
        (FAILS, [RIGHT, PASSED], False),
        (FAILS, [WRONG], False),
        (FAILS, [RIGHT, OTHER], False),
        (FAILS, [], False),
        (PASSES, [PASSED, PASSED], True),
        (PASSES, [PASSED, RIGHT], False),
        (PASSES, [], False),
    ],
)
def test_a_claim_holds_if_every_parameter_ends_by_what_it_says(
    defect: Defect, outcomes: list[Outcome], as_claimed: bool
) -> None:
    assert judge(defect, outcomes)[0] is as_claimed


def test_a_report_is_read_by_function_with_what_failed_it() -> None:
    report = """<testsuites><testsuite>
        <testcase name="test_a[one]"><failure message="AssertionError: no&#10;assert 1"/></testcase>
        <testcase name="test_a[two]"/>
        <testcase name="test_b"><error message="setup failed"/></testcase>
    </testsuite></testsuites>"""
    assert read_report(report) == {
        "test_a": [Outcome(False, "AssertionError: no assert 1"), Outcome(True)],
        "test_b": [Outcome(False, "setup failed")],
    }
