"""Which failures are repeated: the table of retry.py, row by row."""

from typing import Any

import pytest
from cadenza.api import (
    DEFAULT_RETRY,
    NO_RETRY,
    ApiError,
    ConnectError,
    ConnectionLostError,
    InvalidResponseError,
    Request,
    RequestTimeoutError,
    Response,
    RetryPolicy,
    RetryRule,
    TransportError,
    UntrustedHostError,
    status_error,
)

POST, PUT = Request("POST", "https://x/"), Request("PUT", "https://x/")


def failure(what: int | type[ApiError], request: Request, **headers: str) -> ApiError:
    if isinstance(what, int):
        return status_error(request, Response(what, {k.replace("_", "-"): v for k, v in headers.items()}))
    return what("it broke", request)


ROWS: list[tuple[int | type[ApiError], bool, bool]] = [
    # failure, repeated for POST, repeated for PUT and other idempotent methods
    (ConnectError, True, True),
    (412, True, True),
    (429, True, True),
    (503, True, True),
    (502, False, True),
    (504, False, True),
    (ConnectionLostError, False, True),
    (RequestTimeoutError, False, True),
    (500, False, False),
    (501, False, False),
    (302, False, False),
    (400, False, False),
    (401, False, False),  # the client refreshes the token once; the table does not repeat it
    (403, False, False),
    (404, False, False),
    (409, False, False),
    (413, False, False),
    (UntrustedHostError, False, False),
    (InvalidResponseError, False, False),
]


@pytest.mark.parametrize(("what", "post", "put"), ROWS)
def test_each_failure_is_repeated_as_the_table_says(what: Any, post: bool, put: bool) -> None:
    assert (DEFAULT_RETRY.delay(failure(what, POST), 1, 0.0) is not None) is post
    for method in ("PUT", "GET", "DELETE"):
        repeated = DEFAULT_RETRY.delay(failure(what, Request(method, "https://x/")), 1, 0.0) is not None
        assert repeated is put


@pytest.mark.parametrize(("what", "_post", "_put"), ROWS)
def test_no_retry_repeats_nothing(what: Any, _post: bool, _put: bool) -> None:
    assert NO_RETRY.delay(failure(what, PUT), 1, 0.0) is None
    assert not NO_RETRY.refresh_token


def test_waits_double_up_to_the_longest() -> None:
    policy = RetryPolicy(rules={503: RetryRule(attempts=9)}, base=1.0, longest=5.0, deadline=1e9)
    waits = [policy.delay(failure(503, POST), attempt, 0.0) for attempt in range(1, 10)]
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0, 5.0, None]


def test_jitter_only_lengthens_a_wait() -> None:
    waits = [DEFAULT_RETRY.delay(failure(503, POST), 2, 0.0, draw) for draw in (0.0, 0.5, 1.0)]
    assert waits == pytest.approx([2.0, 2.2, 2.4])


def test_retry_after_is_honoured_where_it_is_longer_than_the_backoff() -> None:
    assert DEFAULT_RETRY.delay(failure(429, POST, retry_after="7"), 1, 0.0) == 7.0
    assert DEFAULT_RETRY.delay(failure(429, POST, retry_after="0"), 1, 0.0) == 1.0
    assert DEFAULT_RETRY.delay(failure(503, POST, retry_after="9"), 1, 0.0, 1.0) == 9.0


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    assert DEFAULT_RETRY.delay(failure(429, POST, retry_after="61"), 1, 0.0) is None
    assert DEFAULT_RETRY.delay(failure(429, POST, retry_after="50"), 1, 9.0) == 50.0
    assert DEFAULT_RETRY.delay(failure(429, POST, retry_after="50"), 1, 11.0) is None


def test_attempts_run_out() -> None:
    assert DEFAULT_RETRY.delay(failure(412, POST), 3, 0.0) is not None
    assert DEFAULT_RETRY.delay(failure(412, POST), 4, 0.0) is None


def test_a_rule_for_a_kind_covers_its_subclasses() -> None:
    policy = RetryPolicy(rules={TransportError: RetryRule(attempts=2)})
    assert policy.delay(failure(ConnectError, POST), 1, 0.0) == 1.0
    assert policy.delay(failure(500, POST), 1, 0.0) is None


def test_a_policy_of_a_million_attempts_computes_its_wait() -> None:
    policy = RetryPolicy(rules={503: RetryRule(attempts=1_000_000)}, deadline=1e9)
    assert policy.delay(failure(503, POST), 999_999, 0.0) == 15.0
