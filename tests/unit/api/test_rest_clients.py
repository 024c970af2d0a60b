"""Teams, meetings, user tokens and sign-in links: what each call sends, and what it makes of the answer."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cadenza.api import (
    AGENTIC_IDENTITY_CLEAR,
    CHINA,
    NO_RETRY,
    PUBLIC,
    US_GOV,
    US_GOV_DOD,
    AgenticIdentity,
    ApiClient,
    ApiClientSettings,
    ClientCredentials,
    CloudEnvironment,
    ExchangeUserTokenParams,
    GetBotSignInResourceParams,
    GetBotSignInUrlParams,
    GetUserAADTokenParams,
    GetUserTokenParams,
    GetUserTokenStatusParams,
    HandlerTransport,
    InvalidResponseError,
    ManagedIdentityCredentials,
    MeetingNotificationParams,
    MeetingNotificationSurface,
    MeetingNotificationValue,
    MessageActivityInput,
    NotFoundError,
    Request,
    Response,
    SignOutUserParams,
    TokenCredentials,
    TokenExchangeRequest,
    UntrustedHostError,
    config_from_cloud_name,
    merge_api_client_settings,
    with_overrides,
)

SERVICE = "https://smba.trafficmanager.net/amer"
TOKENS = "https://token.botframework.com"

USER = {"user_id": "29:1/x", "connection_name": "graph"}
NOTICE = MeetingNotificationParams(
    value=MeetingNotificationValue(
        recipients=["29:1"],
        surfaces=[
            MeetingNotificationSurface(surface="meetingStage", content_type="task", content={"value": None})
        ],
    )
)


class Wire:
    """A transport that keeps what it was sent and always gives the same answer."""

    def __init__(self, status: int = 200, body: object = None) -> None:
        self.sent: list[Request] = []
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self._answer = Response(status, {}, raw)
        self.transport = HandlerTransport(self._handle)

    def _handle(self, request: Request) -> Response:
        self.sent.append(request)
        return self._answer

    def client(self, service_url: str = SERVICE, **options: Any) -> ApiClient:
        return ApiClient(service_url, transport=self.transport, **{"retry": NO_RETRY, **options})

    @property
    def line(self) -> str:
        """Method and URL, the query put aside."""
        (request,) = self.sent
        return f"{request.method} {request.url.partition('?')[0]}"

    @property
    def query(self) -> dict[str, str]:
        return dict(
            parse_qsl(urlsplit(self.sent[-1].url).query, keep_blank_values=True, strict_parsing=False)
        )

    @property
    def body(self) -> Any:
        return json.loads(self.sent[-1].body or b"null")


Call = Callable[[ApiClient], Awaitable[Any]]


@pytest.mark.parametrize(
    ("call", "line", "query", "body"),
    [
        (lambda api: api.teams.get_by_id("19:t/1"), f"GET {SERVICE}/v3/teams/19%3At%2F1", {}, None),
        (lambda api: api.teams.get_conversations("t"), f"GET {SERVICE}/v3/teams/t/conversations", {}, None),
        (lambda api: api.meetings.get_by_id("m=="), f"GET {SERVICE}/v1/meetings/m%3D%3D", {}, None),
        (
            lambda api: api.meetings.get_participant("m", "aad", "t"),
            f"GET {SERVICE}/v1/meetings/m/participants/aad",
            {"tenantId": "t"},
            None,
        ),
        (
            lambda api: api.meetings.send_notification("m", NOTICE),
            f"POST {SERVICE}/v1/meetings/m/notification",
            {},
            {
                "type": "targetedMeetingNotification",
                "value": {
                    "recipients": ["29:1"],
                    "surfaces": [
                        {"surface": "meetingStage", "contentType": "task", "content": {"value": None}}
                    ],
                },
            },
        ),
        (
            lambda api: api.users.sign_out(SignOutUserParams(**USER, channel_id="msteams")),
            f"DELETE {TOKENS}/api/usertoken/SignOut",
            {"userId": "29:1/x", "connectionName": "graph", "channelId": "msteams"},
            None,
        ),
        (
            lambda api: api.bots.sign_in.get_resource(GetBotSignInResourceParams(state="s=")),
            f"GET {TOKENS}/api/botsignin/GetSignInResource",
            {"state": "s="},
            None,
        ),
        (
            lambda api: api.bots.sign_in.get_resource(
                GetBotSignInResourceParams(
                    state="s", code_challenge="c", emulator_url="http://e", final_redirect="http://f"
                )
            ),
            f"GET {TOKENS}/api/botsignin/GetSignInResource",
            {"state": "s", "codeChallenge": "c", "emulatorUrl": "http://e", "finalRedirect": "http://f"},
            None,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_call_has_its_documented_method_path_query_and_body(
    call: Call, line: str, query: dict[str, str], body: object
) -> None:
    wire = Wire(200, {})
    await call(wire.client(token="t"))
    assert (wire.line, wire.query, wire.body) == (line, query, body)
    assert wire.sent[0].headers["Authorization"] == "Bearer t"


@pytest.mark.parametrize(
    ("call", "line", "query", "body"),
    [
        (
            lambda api: api.users.get_token(GetUserTokenParams(**USER)),
            f"GET {TOKENS}/api/usertoken/GetToken",
            {"userId": "29:1/x", "connectionName": "graph"},
            None,
        ),
        (
            lambda api: api.users.get_token(GetUserTokenParams(**USER, channel_id="msteams", code="123456")),
            f"GET {TOKENS}/api/usertoken/GetToken",
            {"userId": "29:1/x", "connectionName": "graph", "channelId": "msteams", "code": "123456"},
            None,
        ),
        (
            lambda api: api.users.exchange_token(
                ExchangeUserTokenParams(
                    **USER, channel_id="msteams", exchange_request=TokenExchangeRequest(token="sso")
                )
            ),
            f"POST {TOKENS}/api/usertoken/exchange",
            {"userId": "29:1/x", "connectionName": "graph", "channelId": "msteams"},
            {"token": "sso"},  # R9: no "uri": null
        ),
    ],
    ids=["get_token", "get_token with a code", "exchange_token, R9"],
)
async def test_a_token_is_asked_for_and_read(
    call: Call, line: str, query: dict[str, str], body: object
) -> None:
    wire = Wire(200, {"connectionName": "graph", "token": "secret", "expiration": "2026-11-21T00:00:00Z"})
    token = await call(wire.client())
    assert (wire.line, wire.query, wire.body) == (line, query, body)
    assert (token.connection_name, token.token) == ("graph", "secret")
    assert "secret" not in repr(token)


async def test_r8_the_resources_of_entra_tokens_are_in_the_body() -> None:
    wire = Wire(200, {"https://g": {"token": "one", "connectionName": "graph"}, "https://f": {}, "x": None})
    params = GetUserAADTokenParams(**USER, channel_id="msteams", resource_urls=["https://g", "https://f"])
    tokens = await wire.client().users.get_aad_tokens(params)
    assert wire.line == f"POST {TOKENS}/api/usertoken/GetAadTokens"
    assert wire.query == {"userId": "29:1/x", "connectionName": "graph", "channelId": "msteams"}
    assert wire.body == {"resourceUrls": ["https://g", "https://f"]}
    assert {url: token.token for url, token in tokens.items()} == {"https://g": "one"}


async def test_the_status_of_each_connection_is_listed() -> None:
    wire = Wire(200, [{"connectionName": "graph", "hasToken": True, "new": 1}, "odd"])
    params = GetUserTokenStatusParams(user_id="u", channel_id="msteams", include_filter="graph,github")
    (status,) = await wire.client().users.get_token_status(params)
    assert wire.line == f"GET {TOKENS}/api/usertoken/GetTokenStatus"
    assert wire.query == {"userId": "u", "channelId": "msteams", "includeFilter": "graph,github"}
    assert (status.connection_name, status.has_token) == ("graph", True)


@pytest.mark.parametrize("body", [b"https://login.example/s?x=y", b'"https://login.example/s?x=y"\n'])
async def test_a_link_to_sign_in_is_text(body: bytes) -> None:
    wire = Wire(200, body)
    link = await wire.client().bots.sign_in.get_url(GetBotSignInUrlParams(state="s"))
    assert link == "https://login.example/s?x=y"
    assert (wire.line, wire.query) == (f"GET {TOKENS}/api/botsignin/GetSignInUrl", {"state": "s"})


async def test_a_link_comes_with_what_single_sign_on_needs() -> None:
    body = {"signInLink": "https://l", "tokenExchangeResource": {"id": "1", "uri": "api://x"}}
    found = await Wire(200, body).client().bots.sign_in.get_resource(GetBotSignInResourceParams(state="s"))
    assert (found.sign_in_link, found.token_post_resource) == ("https://l", None)
    assert found.token_exchange_resource
    assert found.token_exchange_resource.uri == "api://x"


async def test_who_is_not_signed_in_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        await Wire(404).client().users.get_token(GetUserTokenParams(**USER))


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (lambda api: api.users.get_token(GetUserTokenParams(**USER)), {}),
        (lambda api: api.users.get_token(GetUserTokenParams(**USER)), None),
        (lambda api: api.users.get_token(GetUserTokenParams(**USER)), [1]),
        (
            lambda api: api.users.get_aad_tokens(
                GetUserAADTokenParams(**USER, channel_id="c", resource_urls=[])
            ),
            [],
        ),
        (
            lambda api: api.users.get_token_status(GetUserTokenStatusParams(user_id="u", channel_id="c")),
            {},
        ),
        (lambda api: api.bots.sign_in.get_url(GetBotSignInUrlParams(state="s")), b" "),
        (lambda api: api.teams.get_by_id("t"), b"<html>"),
        (lambda api: api.meetings.send_notification("m", NOTICE), [1]),
    ],
)
async def test_an_answer_of_another_shape_is_an_error_of_its_own(call: Call, body: object) -> None:
    with pytest.raises(InvalidResponseError):
        await call(Wire(200, body).client())


async def test_a_team_and_its_channels_are_read_tolerantly() -> None:
    team = (
        await Wire(200, {"id": "t", "memberCount": "many", "type": "new", "x": 1})
        .client()
        .teams.get_by_id("t")
    )
    assert (team.id, team.member_count, team.type) == ("t", None, "new")
    assert team.to_wire()["memberCount"] == "many"
    body = {"conversations": [{"id": "t"}, {"id": "c", "name": "Ideas", "type": "private"}, 5]}
    channels = await Wire(200, body).client().teams.get_conversations("t")
    assert [(channel.id, channel.name) for channel in channels] == [("t", None), ("c", "Ideas")]


async def test_a_meeting_and_its_participants_are_read_tolerantly() -> None:
    details = {"id": "m", "title": "Plan", "scheduledStartTime": "2026-11-21T09:00:00Z", "x": [1]}
    body = {"id": "m", "details": details, "organizer": {"id": "29:1", "objectId": "aad"}}
    meeting = await Wire(200, body).client().meetings.get_by_id("m")
    assert meeting.details
    assert meeting.details.title == "Plan"
    assert meeting.details.join_url == ""
    assert meeting.details.scheduled_start_time
    assert meeting.details.scheduled_start_time.year == 2026
    assert meeting.organizer
    assert meeting.organizer.aad_object_id == "aad"
    body = {"user": {"id": "29:1"}, "meeting": {"role": "Organizer", "inMeeting": True}}
    participant = await Wire(200, body).client().meetings.get_participant("m", "aad", "t")
    assert participant.meeting
    assert (participant.meeting.role, participant.meeting.in_meeting) == (
        "Organizer",
        True,
    )


async def test_a_notification_says_who_was_not_notified() -> None:
    assert await Wire(202).client().meetings.send_notification("m", NOTICE) is None
    failure = {"recipientMri": "29:2", "errorCode": "NotFound", "failureReason": "who?"}
    answer = (
        await Wire(207, {"recipientsFailureInfo": [failure]}).client().meetings.send_notification("m", NOTICE)
    )
    assert answer
    assert answer.recipients_failure_info
    assert answer.recipients_failure_info[0].recipient_mri == "29:2"


# -- where user tokens are asked for


@pytest.mark.parametrize("cloud", [PUBLIC, US_GOV, US_GOV_DOD, CHINA])
async def test_r15_each_cloud_has_its_token_service_and_so_has_every_client_made_from_one(
    cloud: CloudEnvironment,
) -> None:
    wire = Wire(200, {"token": "x"})
    api = ApiClient(
        "http://127.0.0.1", token="t", transport=HandlerTransport(lambda _: Response(500)), cloud=cloud
    )
    turn = (
        api.at(f"https://{cloud.service_hosts[0]}/teams")
        .through(wire.transport)
        .clone(service_url="http://[::1]")
    )
    await turn.users.get_token(GetUserTokenParams(**USER))
    await turn.bots.sign_in.get_url(GetBotSignInUrlParams(state="s"))
    assert [request.url.partition("/api/")[0] for request in wire.sent] == [cloud.token_service_url] * 2
    assert all(request.headers["Authorization"] == "Bearer t" for request in wire.sent)


async def test_the_token_service_of_a_region_takes_the_place_of_the_clouds() -> None:
    wire = Wire(200, {"token": "x"})
    settings = ApiClientSettings(oauth_url="https://europe.token.botframework.com/")
    api = wire.client(token="t", api_client_settings=settings).at("http://127.0.0.1")
    await api.users.get_token(GetUserTokenParams(**USER))
    assert wire.line == "GET https://europe.token.botframework.com/api/usertoken/GetToken"


@pytest.mark.parametrize(
    "oauth_url",
    [
        "http://token.botframework.com",
        "http://europe.token.botframework.com",
        "https://token.contoso.example",
        "https://eviltoken.botframework.com",
        "https://token.botframework.com.contoso.example",
        "https://token.botframework.com@contoso.example",
        "https://token.botframework.azure.cn",
    ],
)
async def test_r13_the_bots_token_goes_to_no_other_token_service(oauth_url: str) -> None:
    wire = Wire(200, {"token": "x"})
    api = wire.client(token="t", api_client_settings=ApiClientSettings(oauth_url=oauth_url))
    with pytest.raises(UntrustedHostError):
        await api.users.get_token(GetUserTokenParams(**USER))
    assert wire.sent == []


async def test_a_token_service_of_ones_own_is_trusted_when_the_cloud_names_it() -> None:
    wire = Wire(200, {"token": "x"})
    cloud = with_overrides(PUBLIC, token_service_url="https://token.contoso.example")
    await wire.client(token="t", cloud=cloud).users.get_token(GetUserTokenParams(**USER))
    assert wire.line == "GET https://token.contoso.example/api/usertoken/GetToken"
    assert not with_overrides(PUBLIC, token_service_url="").trusts("https://token.botframework.com/")


def test_the_settings_have_a_token_service_in_any_case() -> None:
    assert merge_api_client_settings().oauth_url == TOKENS
    assert merge_api_client_settings(ApiClientSettings(), CHINA).oauth_url == CHINA.token_service_url
    given = ApiClientSettings(oauth_url="https://europe.token.botframework.com")
    assert merge_api_client_settings(given, CHINA) == given
    assert config_from_cloud_name("usgov") is US_GOV


# -- as whom


async def test_an_agentic_identity_has_its_own_token_for_one_call_or_for_a_client() -> None:
    wire = Wire(201, {"id": "1"})
    identity = AgenticIdentity(agentic_app_blueprint_id="blueprint", agentic_app_id="agent")
    api = wire.client(token="bot", agentic_token=lambda who: f"for {who.agentic_app_id}")
    message = MessageActivityInput(text="Hi")
    await api.conversations.create_activity("c", message, agentic_identity=identity)
    await api.for_agentic_identity(identity).at(SERVICE).conversations.create_activity("c", message)
    await api.conversations.create_activity("c", message)
    clone = api.clone(agentic_identity=identity)
    await clone.clone(agentic_identity=AGENTIC_IDENTITY_CLEAR).conversations.create_activity("c", message)
    tokens = [request.headers["Authorization"].removeprefix("Bearer ") for request in wire.sent]
    assert tokens == ["for agent", "for agent", "bot", "bot"]


async def test_an_agentic_identity_whose_token_nobody_knows_is_refused() -> None:
    identity = AgenticIdentity(agentic_app_blueprint_id="blueprint", agentic_app_id="agent")
    with pytest.raises(ValueError, match="agentic_token"):
        Wire().client(token="bot").for_agentic_identity(identity)


async def test_one_call_may_go_to_another_service_url() -> None:
    wire = Wire(201, {"id": "1"})
    message = MessageActivityInput(text="Hi")
    await wire.client().conversations.create_activity("c", message, service_url="https://other.example/x/")
    assert wire.line == "POST https://other.example/x/v3/conversations/c/activities"


# -- the reference's older names


@pytest.mark.parametrize(
    ("old", "line"),
    [
        (lambda api: api.conversations.activities("c").create({"type": "typing"}), "POST c/activities"),
        (
            lambda api: api.conversations.activities("c").update("a", {"type": "message"}),
            "PUT c/activities/a",
        ),
        (lambda api: api.conversations.activities("c").reply("a", {"type": "message"}), "POST c/activities"),
        (lambda api: api.conversations.activities("c").delete("a"), "DELETE c/activities/a"),
        (lambda api: api.conversations.activities("c").get_members("a"), "GET c/activities/a/members"),
        (
            lambda api: api.conversations.activities("c").create_targeted({"recipient": {"id": "u"}}),
            "POST c/activities?isTargetedActivity=true",
        ),
        (
            lambda api: api.conversations.activities("c").update_targeted("a", {"recipient": {"id": "u"}}),
            "PUT c/activities/a?isTargetedActivity=true",
        ),
        (
            lambda api: api.conversations.activities("c").delete_targeted("a"),
            "DELETE c/activities/a?isTargetedActivity=true",
        ),
        (lambda api: api.conversations.members("c").get_all(), "GET c/members"),
        (lambda api: api.conversations.members("c").get("u"), "GET c/members/u"),
        (
            lambda api: api.conversations.members("c").get_paged(50, "x"),
            "GET c/pagedMembers?pageSize=50&continuationToken=x",
        ),
        (lambda api: api.conversations.members_client.get("c"), "GET c/members"),
        (lambda api: api.conversations.members_client.get_by_id("c", "u"), "GET c/members/u"),
        (lambda api: api.conversations.members_client.get_paged("c"), "GET c/pagedMembers"),
        (lambda api: api.conversations.activities_client.delete("c", "a"), "DELETE c/activities/a"),
        (lambda api: api.reactions.add("c", "a", "like"), "PUT c/activities/a/reactions/like"),
        (
            lambda api: api.reactions.delete("c", "a", "1f440_eyes"),
            "DELETE c/activities/a/reactions/1f440_eyes",
        ),
    ],
)
async def test_an_older_name_does_what_its_successor_does_and_says_that_it_is_deprecated(
    old: Call, line: str
) -> None:
    wire = Wire(200, [] if line.endswith("members") else {})
    with pytest.warns(DeprecationWarning, match="is deprecated: use api") as warned:
        await old(wire.client())
    assert warned[0].filename == __file__
    (request,) = wire.sent
    assert f"{request.method} {request.url.removeprefix(SERVICE + '/v3/conversations/')}" == line


async def test_the_older_names_of_user_tokens_do_the_same() -> None:
    wire = Wire(200, {"token": "x"})
    with pytest.warns(DeprecationWarning, match="get_token"):
        tokens = wire.client().users.token
    assert (await tokens.get(GetUserTokenParams(**USER))).token == "x"
    exchange = ExchangeUserTokenParams(**USER, channel_id="c", exchange_request=TokenExchangeRequest(uri="u"))
    assert (await tokens.exchange(exchange)).token == "x"
    await tokens.get_aad(GetUserAADTokenParams(**USER, channel_id="c", resource_urls=[]))
    await tokens.sign_out(SignOutUserParams(**USER, channel_id="c"))
    paths = [urlsplit(request.url).path.rpartition("/")[2] for request in wire.sent]
    assert paths == ["GetToken", "exchange", "GetAadTokens", "SignOut"]


# -- the bot's own token


@pytest.mark.filterwarnings("ignore:api.bots.token is deprecated")
async def test_the_bots_token_is_asked_of_the_login_endpoint_with_the_secret_alone() -> None:
    wire = Wire(200, {"token_type": "Bearer", "expires_in": 3600, "access_token": "secret", "x": 1})
    api = wire.client(token="never sent there", cloud=US_GOV)
    answer = await api.bots.token.get(ClientCredentials(client_id="id", client_secret="s&s"))
    await api.bots.token.get_graph(ClientCredentials(client_id="id", client_secret="s", tenant_id="mine"))
    assert (answer.access_token, answer.expires_in) == ("secret", 3600)
    assert "secret" not in repr(answer)
    first, second = wire.sent
    assert f"{first.method} {first.url}" == (
        "POST https://login.microsoftonline.us/MicrosoftServices.onmicrosoft.us/oauth2/v2.0/token"
    )
    assert first.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "Authorization" not in first.headers
    assert dict(parse_qsl((first.body or b"").decode())) == {
        "grant_type": "client_credentials",
        "client_id": "id",
        "client_secret": "s&s",
        "scope": "https://api.botframework.us/.default",
    }
    assert "/mine/" in second.url
    assert b"graph.microsoft.us" in (second.body or b"")


@pytest.mark.filterwarnings("ignore:api.bots.token is deprecated")
async def test_the_bots_token_comes_from_its_provider_where_there_is_one() -> None:
    async def provider(scope: str | list[str], tenant: str | None) -> str:
        return f"{scope} {tenant}"

    bots = Wire().client().bots
    answer = await bots.token.get(TokenCredentials(client_id="id", tenant_id="t", token=provider))
    assert answer.access_token == "https://api.botframework.com/.default t"
    with pytest.raises(ValueError, match="gave no token"):
        await bots.token.get(TokenCredentials(client_id="id", token=lambda scope, tenant: None))
    with pytest.raises(TypeError, match="no secret"):
        await bots.token.get(ManagedIdentityCredentials(client_id="id"))
