"""What is no request at all, and how errors look (teams-protocol.md 3 and 7)."""

from typing import Any

import pytest


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7", b'"text"', b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_body_that_is_no_json_object_is_refused(wire: Any, method: str, data: bytes) -> None:
    path = wire.path if method == "POST" else f"{wire.path}/17"
    answer = await wire.request(method, path, data=data)
    assert (answer.status, answer.code) == (400, "BadSyntax")
    assert wire.broken == ["malformed"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": None},
        {"type": ""},
        {"type": 7, "text": "Hello"},
        {"type": "message", "text": 7},
        {"type": "message", "entities": {"type": "streaminfo"}},
        {"type": "message", "attachments": {"contentType": "image/png"}},
        {"type": "message", "attachments": ["image/png"]},
        {"type": "message", "attachments": 7},
        {"type": "message", "suggestedActions": []},
        {"type": "message", "channelData": "streaming"},
    ],
)
async def test_a_field_of_the_wrong_type_is_refused(wire: Any, body: Any) -> None:
    answer = await wire.post(body)
    assert (answer.status, answer.code) == (400, "Bad Argument")
    assert wire.broken == ["malformed"]


async def test_entities_that_are_no_objects_are_passed_over(wire: Any) -> None:
    assert (await wire.say("Hello", entities=["streaminfo", None, {"type": 7}])).status == 201
    wire.teams.check()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("POST", "/v2/conversations/a/activities"),
        ("POST", "/v3/conversation"),
        ("POST", "/v3/conversations/a/activities/b/c/d/e"),
        ("GET", "/v3/conversations/a/rules"),
    ],
)
async def test_an_unknown_path_is_not_found(wire: Any, method: str, path: str) -> None:
    answer = await wire.request(method, path)
    assert (answer.status, answer.code) == (404, "NotFound")
    assert wire.broken == ["route"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v3/conversations"),
        ("PUT", "/v3/conversations/a:1/activities"),
        ("DELETE", "/v3/conversations/a:1/activities"),
        ("PATCH", "/v3/conversations/a:1/activities/17"),
        ("POST", "/v3/conversations/a:1/members"),
    ],
)
async def test_a_wrong_verb_is_refused(wire: Any, method: str, path: str) -> None:
    answer = await wire.request(method, path)
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    assert wire.broken == ["route"]


async def test_an_error_carries_the_headers_that_support_asks_for(wire: Any) -> None:
    first, second = [await wire.request("GET", "/") for _ in range(2)]
    assert first.headers["x-correlating-operationid"] != second.headers["x-correlating-operationid"]
    assert first.headers["ms-cv"] != second.headers["ms-cv"]


async def test_every_violation_names_the_row_that_it_comes_from(wire: Any) -> None:
    await wire.start("")
    (violation,) = wire.teams.violations
    assert violation.source.startswith("teams-protocol.md 1.6")
    assert "text-missing" in str(violation)
    assert violation.exchange is wire.teams.transcript[0]
