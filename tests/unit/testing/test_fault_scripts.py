"""Fault scripts: what each line means, and what is said of one that cannot be read."""

import math

import pytest
from cadenza.testing import (
    Fault,
    FaultScriptError,
    at,
    bad_request,
    delay,
    each,
    forbid,
    hold,
    never_answer,
    parse_faults,
    reset,
    stale,
    status,
    throttle,
)  # fmt: skip


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("3: 429", at(3, throttle())),
        ("start: 429 2.5", at(1, throttle(2.5), "start")),
        ("chunk 2: 429 string", at(2, throttle(body="string"), "chunk")),
        ("chunk 2: 429 7 string", at(2, throttle(7, "string"), "chunk")),
        ("stream *: 503", each(status(503), "stream")),
        ("2-4: 502 applied", Fault(status(502, applied=True), first=2, last=4)),
        ("final 2-: 500", Fault(status(500), "final", 2, math.inf)),
        ("401: 412", at(401, status(412))),
        ("any: 413", at(1, status(413))),
        ("start: 403", at(1, forbid("not_allowed"), "start")),
        ("chunk 3: 403 expired", at(3, forbid("expired"), "chunk")),
        ("start: 400 not_enabled", at(1, bad_request("not_enabled"), "start")),
        ("plain: 400", at(1, status(400), "plain")),
        ("*: delay 0.2", each(delay(0.2))),
        ("final: hold 3", at(1, hold(3), "final")),
        ("final: reset before", at(1, reset(applied=False), "final")),
        ("final: reset after", at(1, reset(applied=True), "final")),
        ("put: never", at(1, never_answer(), "put")),
        ("put: never applied", at(1, never_answer(applied=True), "put")),
        ("  informative   2 :   stale   # a comment", at(2, stale(), "informative")),
    ],
)
def test_a_line_is_a_fault(line: str, fault: Fault) -> None:
    assert parse_faults(line) == [fault]


def test_empty_lines_and_comments_are_passed_over() -> None:
    script = "# first the start\n\nstart: 503\n   \nfinal: 500 # then the end\n"
    assert parse_faults(script) == [at(1, status(503), "start"), at(1, status(500), "final")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("start 503", "'start 503' has no colon"),
        ("chnk: 503", "'chnk' is no kind of request; one of start, chunk"),
        ("chunk two: 503", "'two' is no number of a request"),
        ("chunk 0: 503", "'0' strikes nothing"),
        ("chunk 4-2: 503", "'4-2' strikes nothing"),
        ("chunk 2 3: 503", "'3' is too much"),
        ("chunk:", "no action follows"),
        ("chunk: 418", "'418' is no action; one of 400, 401"),
        ("chunk: explode", "'explode' is no action"),
        ("chunk: 503 applyed", "'applyed' does not belong"),
        ("chunk: 429 soon", "'soon' is no number of seconds"),
        ("chunk: delay -1", "'-1' is no number of seconds"),
        ("chunk: delay nan", "'nan' is no number of seconds"),
        ("chunk: delay", "'' is no number of seconds"),
        ("chunk: reset", "before or after"),
        ("chunk: 403 no_reason", "'no_reason' is no reason for a 403; one of not_allowed"),
        ("chunk: 400 no_reason", "'no_reason' is no reason for a 400"),
    ],
)
def test_an_error_names_the_line_and_the_word(line: str, message: str) -> None:
    with pytest.raises(FaultScriptError) as caught:
        parse_faults(f"# a script\nstart: 503\n{line}\n")
    assert str(caught.value).startswith("line 3: ")
    assert message in str(caught.value)


def test_faults_made_in_python_are_checked_too() -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        at(0, status(503))
    with pytest.raises(ValueError, match="no kind of request"):
        each(status(503), "chnk")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="418"):
        status(418)
