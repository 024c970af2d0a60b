"""Spans and metrics of the requests of an `ApiClient`, as an SDK of OpenTelemetry gets them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import pytest
from cadenza import api as teams
from cadenza.api import (
    AgenticIdentity,
    ApiClient,
    ConnectError,
    HandlerTransport,
    MessageActivityInput,
    Request,
    Response,
    ThrottledError,
)
from cadenza.api.clients.observed import operation_of
from cadenza.api.telemetry import API, active, current_ids, names
from cadenza.api.telemetry.sources import Source
from cadenza.testing import VirtualClock
from opentelemetry import trace
from opentelemetry.trace import NoOpTracerProvider, SpanKind
from recorded_spans import Recorded, recording

URL = "http://localhost:1"
CLIENT, AUTH = names.Span.API_CLIENT, names.Span.AUTH_OUTBOUND


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with recording() as recorded:
        yield recorded


def client(*answers: Response | Exception, **options: Any) -> ApiClient:
    """One that is given these answers, the last of them again and again."""
    left = list(answers) or [Response(201, {}, b'{"id": "new"}')]

    def answer(request: Request) -> Response:
        given = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(given, Exception):
            raise given
        return given

    return ApiClient(URL, transport=HandlerTransport(answer), **options)


async def test_a_request_has_a_span_that_tells_what_it_was(recorded: Recorded) -> None:
    await client().conversations.create_activity("19:c@thread", MessageActivityInput(text="a secret"))
    span = recorded.one(CLIENT)
    assert span.kind is SpanKind.CLIENT
    assert dict(span.attributes or {}) == {
        "operation": "create",
        "service.url": URL,
        "conversation.id": "19:c@thread",
        "activity.type": "message",
        "activity.id": "new",
        "http.request.method": "POST",
        "http.response.status_code": 201,
    }
    assert "secret" not in recorded.texts()
    assert recorded.metrics() == {"microsoft.teams.outbound.calls": {"create": 1}}


@pytest.mark.parametrize(
    ("call", "operation"),
    [
        (lambda api: api.reply_to_activity("c", "a", {"type": "message"}), "reply"),
        (lambda api: api.update_activity("c", "a", {"type": "message"}), "update"),
        (lambda api: api.delete_activity("c", "a"), "delete"),
        (lambda api: api.create_targeted_activity("c", {"recipient": {"id": "u"}}), "create_targeted"),
        (lambda api: api.update_targeted_activity("c", "a", {"type": "message"}), "update_targeted"),
        (lambda api: api.delete_targeted_activity("c", "a"), "delete_targeted"),
        (
            lambda api: api.add_reaction("c", "a", "like"),
            "PUT v3/conversations/{}/activities/{}/reactions/{}",
        ),
        (lambda api: api.get_paged_members("c"), "GET v3/conversations/{}/pagedMembers"),
    ],
)
async def test_each_kind_of_request_has_its_operation(
    call: Callable[[Any], Any], operation: str, recorded: Recorded
) -> None:
    body = b"[]" if operation.endswith("/members") else b"{}"
    await call(client(Response(200, {}, body)).conversations)
    assert (recorded.one(CLIENT).attributes or {})["operation"] == operation


def test_no_id_is_in_the_name_of_an_operation() -> None:
    path = ("v1", "meetings", "secret", "participants", "29:user")
    assert operation_of("GET", path, targeted=False, replies=False) == "GET v1/meetings/{}/participants/{}"


async def test_each_try_of_a_request_has_a_span(clock: VirtualClock, recorded: Recorded) -> None:
    api = client(Response(429, {"retry-after": "1"}), Response(201, {}, b'{"id": "new"}'))
    await api.conversations.create_activity("c", MessageActivityInput(text="hi"))
    assert recorded.tree("http.response.status_code", "operation") == (
        "microsoft.teams.api.client status_code=429 operation=create !exception "
        "ERROR cadenza.api.errors.ThrottledError\n"
        "microsoft.teams.api.client status_code=201 operation=create"
    )
    assert recorded.metrics() == {
        "microsoft.teams.outbound.calls": {"create": 2},
        "microsoft.teams.outbound.errors": {"create": 1},
    }


async def test_a_refusal_tells_its_status_and_correlation_id_and_no_words(recorded: Recorded) -> None:
    refusal = Response(
        400, {"x-ms-correlation-id": "abc"}, b'{"error": {"code": "Bad", "message": "secret"}}'
    )
    with pytest.raises(teams.BadRequestError):
        await client(refusal).conversations.delete_activity("c", "a")
    attributes = recorded.one(CLIENT).attributes or {}
    assert attributes["error.type"] == "cadenza.api.errors.BadRequestError"
    assert attributes["http.response.status_code"] == 400
    assert attributes["cadenza.correlation_id"] == "abc"
    assert "secret" not in recorded.texts()


async def test_a_request_without_an_answer_is_an_error_without_a_status(recorded: Recorded) -> None:
    api = client(ConnectError("no way to secret.example", Request("GET", URL)), retry=teams.NO_RETRY)
    with pytest.raises(ConnectError):
        await api.conversations.get_paged_members("c")
    span = recorded.one(CLIENT)
    assert span.status.description == "cadenza.api.errors.ConnectError"
    assert "http.response.status_code" not in (span.attributes or {})
    assert "secret" not in recorded.texts()


async def test_getting_the_token_is_a_child_of_the_request(recorded: Recorded) -> None:
    def agentic(identity: AgenticIdentity) -> Callable[[], str]:
        return lambda: "agent's token"

    api = client(token=lambda: "bot's token", agentic_token=agentic)
    user = AgenticIdentity(agentic_app_blueprint_id="b", agentic_app_id="a", agentic_user_id="u")
    app = AgenticIdentity(agentic_app_blueprint_id="b", agentic_app_id="a")
    for one in (api, api.for_agentic_identity(user), api.for_agentic_identity(app).at(URL)):
        await one.conversations.delete_activity("c", "a")
    assert recorded.tree("auth.flow").split("\n") == [
        CLIENT,
        f"    {AUTH} flow=app_only",
        CLIENT,
        f"    {AUTH} flow=agentic_user",
        CLIENT,
        f"    {AUTH} flow=agentic_app",
    ]
    assert recorded.named(AUTH)[0].kind is SpanKind.CLIENT
    for token in ("bot's", "agent's"):
        assert token not in recorded.texts()


async def test_a_token_that_could_not_be_got_is_an_error_of_both(recorded: Recorded) -> None:
    def broken() -> str:
        raise LookupError("secret")

    with pytest.raises(LookupError):
        await client(token=broken).conversations.delete_activity("c", "a")
    assert [span.status.description for span in recorded.spans] == ["LookupError", "LookupError"]
    assert "secret" not in recorded.texts()


async def test_a_throttled_error_is_raised_as_without_telemetry(recorded: Recorded) -> None:
    with pytest.raises(ThrottledError):
        await client(Response(429), retry=teams.NO_RETRY).conversations.delete_activity("c", "a")


def test_without_an_sdk_nobody_listens() -> None:
    assert not active()
    assert API.tracer() is None
    assert API.instruments() is None
    with API.span("anything") as span:
        assert span is None
    assert current_ids() == ("", "")


def test_a_provider_that_does_nothing_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", NoOpTracerProvider())
    assert API.tracer() is None


def test_an_opentelemetry_that_hides_its_provider_is_asked_for_it(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(trace, "_TRACER_PROVIDER")
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: recorded.tracers)
    assert Source("a name", "cadenza-api").tracer() is not None


def test_what_the_look_goes_by_is_there_in_this_version_of_opentelemetry() -> None:
    from opentelemetry.metrics import _internal

    assert vars(trace)["_TRACER_PROVIDER"] is None
    assert vars(_internal)["_METER_PROVIDER"] is None


def test_the_names_that_others_subscribe_to() -> None:
    assert teams.TEAMS_API_TRACER_NAME == teams.TEAMS_API_METER_NAME == "Microsoft.Teams.Api"
    telemetry = teams.TeamsApiTelemetry
    assert (telemetry.tracer_name, telemetry.meter_name) == ("Microsoft.Teams.Api", "Microsoft.Teams.Api")
    assert telemetry.instrumentation_version == version("cadenza-api")
