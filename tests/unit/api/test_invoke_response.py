from typing import Any

import pytest
from cadenza.api import InvokeResponse, InvokeResponseBody, VoidInvokeResponse, is_invoke_response


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (InvokeResponse(), True),
        (InvokeResponse(412, {"a": 1}), True),
        ({"status": 200}, True),
        ({"status": 200, "body": None}, True),
        ({"status": "open"}, False),
        ({"status": True}, False),
        ({"body": 1}, False),
        (None, False),
        ("status", False),
    ],
)
def test_a_response_says_which_status_it_has(value: object, expected: bool) -> None:
    assert is_invoke_response(value) is expected


def test_a_body_that_has_a_status_of_its_own_is_no_response() -> None:
    assert not is_invoke_response({"status": 200, "title": "a ticket"})


def test_the_names_of_the_bodies_load_no_model() -> None:
    body: object = InvokeResponseBody
    assert body is Any
    assert VoidInvokeResponse is None
