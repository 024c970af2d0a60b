"""What errors say, and that no answer is odd enough to break them."""

import json
import pickle

import pytest
from cadenza.api import (
    ApiError,
    BadRequestError,
    CadenzaError,
    ConnectError,
    ForbiddenError,
    HttpStatusError,
    InvalidActivityError,
    MessageTooLargeError,
    NotFoundError,
    PreconditionFailedError,
    Request,
    Response,
    ServerError,
    ThrottledError,
    TransportError,
    UnauthorizedError,
    service_error,
    status_error,
)
from hypothesis import given, strategies as st

REQUEST = Request("POST", "https://smba.trafficmanager.net/amer/v3/conversations/a%3A1/activities")


def answered(status: int, body: bytes = b"", **headers: str) -> HttpStatusError:
    return status_error(
        REQUEST, Response(status, {name.replace("_", "-"): v for name, v in headers.items()}, body)
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, HttpStatusError),
        (400, BadRequestError),
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, HttpStatusError),
        (412, PreconditionFailedError),
        (413, MessageTooLargeError),
        (429, ThrottledError),
        (500, ServerError),
        (503, ServerError),
        (599, ServerError),
        (799, HttpStatusError),
    ],
)
def test_each_status_has_its_error(status: int, kind: type) -> None:
    error = answered(status)
    assert type(error) is kind
    assert isinstance(error, ApiError)
    assert isinstance(error, CadenzaError)
    assert (error.status, error.request) == (status, REQUEST)


def test_a_401_says_what_to_check_whatever_the_bots_credentials_are() -> None:
    body = {"message": "Authorization has been denied for this request."}
    text = str(answered(401, json.dumps(body).encode()))
    assert (
        "denied for this request. Check the bot's client id and tenant, what it gets its tokens with" in text
    )
    assert ".." not in text
    traced = str(answered(401, json.dumps(body).encode(), X_Correlating_OperationId="abc"))
    assert "denied for this request (correlation id abc). Check" in traced


def test_an_error_tells_what_was_asked_what_was_answered_and_how_to_trace_it() -> None:
    body = {"error": {"code": "ContentStreamNotAllowed", "message": "Content stream is not allowed"}}
    error = answered(
        403, json.dumps(body).encode(), X_Correlating_OperationId="abc", MS_CV="cv.1", retry_after="7"
    )
    assert error.code == "ContentStreamNotAllowed"
    assert error.message == "Content stream is not allowed"
    assert error.correlation_id == "abc"
    assert error.ms_cv == "cv.1"
    assert error.retry_after == 7.0
    assert error.headers["ms-cv"] == "cv.1"
    assert str(error) == (
        f"POST {REQUEST.url} was answered 403 ContentStreamNotAllowed: Content stream is not allowed "
        "(correlation id abc, MS-CV cv.1, retry after 7 s)"
    )


def test_other_microsoft_headers_serve_as_correlation_id() -> None:
    assert answered(500, x_ms_request_id="r").correlation_id == "r"
    assert answered(500).correlation_id is None


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (
            b'{"error": {"code": "Throttled", "message": "Too many requests"}}',
            "Throttled",
            "Too many requests",
        ),
        (b'{"error": {"code": 12, "message": {"a": 1}}}', "12", '{"a": 1}'),
        (b'{"error": "invalid"}', None, "invalid"),
        (b'{"code": "X", "message": "flat"}', "X", "flat"),
        (b'{"Message": "No HTTP resource was found"}', None, "No HTTP resource was found"),
        (
            b'"API calls quota exceeded! maximum admitted 1 per 1s."',
            None,
            "API calls quota exceeded! maximum",
        ),
        (b"API calls quota exceeded", None, "API calls quota exceeded"),
        (b"<html><body>Bad Gateway</body></html>", None, "an HTML page"),
        (b"[1, 2]", None, ""),
        (b"7", None, ""),
        (b"{}", None, ""),
        (b"", None, ""),
        (b"\xff\xfe", None, "\ufffd\ufffd"),
        (b"[" * 100_000, None, "[["),
    ],
)
def test_bodies_of_every_shape_are_read(body: bytes, code: str | None, message: str) -> None:
    found_code, found_message = service_error(body)
    assert found_code == code
    assert found_message.startswith(message)
    assert len(found_message) <= 500


def test_a_body_that_says_nothing_leaves_the_statuss_own_words() -> None:
    assert answered(502).message == "Bad Gateway"
    assert answered(799).message == "(no message)"


@given(status=st.integers(100, 999), body=st.binary(), value=st.text())
def test_no_answer_breaks_the_parser(status: int, body: bytes, value: str) -> None:
    error = status_error(REQUEST, Response(status, {"retry-after": value, "date": value}, body))
    assert str(error).startswith("POST https://")
    assert error.retry_after is None or error.retry_after >= 0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
        (
            {"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"},
            30.0,
        ),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_from_now(headers: dict[str, str], seconds: float | None) -> None:
    assert status_error(REQUEST, Response(429, headers)).retry_after == seconds


def test_errors_survive_pickling_between_processes() -> None:
    error = pickle.loads(pickle.dumps(answered(413, b'{"error":{"code":"MessageSizeTooBig"}}')))
    assert (type(error), error.status, error.code) == (MessageTooLargeError, 413, "MessageSizeTooBig")
    lost = pickle.loads(pickle.dumps(ConnectError("refused", REQUEST)))
    assert (str(lost), lost.request) == ("refused", REQUEST)


def test_a_transport_error_is_told_apart_by_what_may_have_happened() -> None:
    assert issubclass(ConnectError, TransportError)
    assert not issubclass(TransportError, HttpStatusError)
    assert issubclass(InvalidActivityError, ValueError)


def test_neither_token_nor_words_are_in_the_repr_of_a_request_or_response() -> None:
    request = Request("POST", "https://x", {"Authorization": "Bearer SECRET"}, b"PRIVATE")
    shown = repr(request) + repr(Response(200, {}, b"PRIVATE"))
    assert "SECRET" not in shown
    assert "PRIVATE" not in shown
