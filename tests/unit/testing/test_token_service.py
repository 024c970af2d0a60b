"""The Bot token service, by its routes."""

import asyncio
import base64
import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from cadenza.api import (
    ApiClient,
    ConnectionLostError,
    ExchangeUserTokenParams,
    GetBotSignInResourceParams,
    GetBotSignInUrlParams,
    GetUserAADTokenParams,
    GetUserTokenParams,
    GetUserTokenStatusParams,
    NotFoundError,
    SignOutUserParams,
    TokenExchangeRequest,
)
from cadenza.testing import Exchange, Reply, ServiceRequest, Teams, User, Violation
from cadenza.testing.token_service import CODE_SECONDS, TokenService

ADA = "29:1ada"
URL = "https://emulator.example"


class Client:
    """Asks a token service at times that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.broken: list[tuple[str, str]] = []
        self.service = TokenService(lambda: URL, self._note, lambda: self.now)
        self.service.add_connection("graph", display_name="Entra ID")
        self.service.add_connection("github", sso=False, opaque=True, lifetime=60)

    def _note(self, rule: str, source: str, detail: str, request: ServiceRequest, reply: Reply) -> None:
        self.broken.append((rule, f"{request.path}: {detail}"))

    def ask(self, method: str, route: str, body: Any = None, **query: str) -> Reply | None:
        path = f"/api/{route}?{urlencode(query, quote_via=quote)}"
        return self.service.answer(ServiceRequest(method, path, {}, body), self.now)

    def get_token(self, connection: str = "graph", **query: str) -> Reply:
        reply = self.ask(
            "GET", "usertoken/GetToken", userId=ADA, connectionName=connection, channelId="msteams", **query
        )
        assert reply is not None
        return reply

    def exchange(self, body: Any, connection: str = "graph", user_id: str = ADA) -> Reply:
        query = {"userId": user_id, "connectionName": connection, "channelId": "msteams"}
        reply = self.ask("POST", "usertoken/exchange", body, **query)
        assert reply is not None
        return reply

    def link(self, connection: str = "graph") -> str:
        reply = self.ask("GET", "botsignin/GetSignInUrl", state=state(connection))
        assert reply is not None
        assert isinstance(reply.body, str)
        return reply.body


def state(connection: str = "graph", **fields: Any) -> str:
    value = {
        "connectionName": connection,
        "msAppId": "app",
        "conversation": {
            "channelId": "msteams",
            "user": {"id": ADA},
            "bot": {"id": "28:app"},
            "conversation": {"id": "a:1"},
        },
    }
    return base64.b64encode(json.dumps(value | fields).encode()).decode()


@pytest.fixture
def client() -> Client:
    return Client()


def test_a_code_gives_one_token_once_and_the_token_is_kept(client: Client) -> None:
    assert client.get_token().status == 404
    code = client.service.visit(client.link(), ADA, client.now)
    assert code == "123456"
    assert client.get_token().status == 404  # nothing is held before the code is redeemed
    answer = client.get_token(code=code).body
    assert isinstance(answer, dict)
    assert (answer["channelId"], answer["connectionName"]) == ("msteams", "graph")
    assert answer["expiration"].endswith("Z")
    for again in (client.get_token(), client.get_token(code="000000")):
        assert isinstance(again.body, dict)
        assert again.body["token"] == answer["token"]  # `expiration` is reckoned anew for each answer
    client.service.forget_tokens()
    assert client.get_token(code=code).status == 404
    assert client.broken == []


@pytest.mark.parametrize("why", ["connection", "user", "time", "digits"])
def test_a_code_is_for_one_user_and_one_connection_and_ten_minutes(client: Client, why: str) -> None:
    link = client.link("github" if why == "connection" else "graph")
    code = client.service.visit(link, "29:1bob" if why == "user" else ADA, client.now)
    if why == "time":
        client.now += CODE_SECONDS
    assert client.get_token(code="000000" if why == "digits" else code).status == 404
    assert client.service.tokens == []


def test_a_connection_with_a_token_answers_whatever_the_code_is(client: Client) -> None:
    """So a bot that asks the wrong connection for a code takes the token of the wrong connection."""
    held = client.service.give_token(ADA, "graph")
    code = client.service.visit(client.link("github"), ADA, client.now)
    answer = client.get_token("graph", code=code).body
    assert isinstance(answer, dict)
    assert answer["token"] == held.token
    assert client.get_token("github", code=code).status == 200  # the code is not used up


def test_what_was_asked_is_shown_to_observers_without_codes_and_tokens(client: Client) -> None:
    seen: list[Exchange] = []
    client.service.observers.append(seen.append)
    code = client.service.visit(client.link(), ADA, client.now)
    answer = client.get_token(code=code).body
    assert isinstance(answer, dict)
    sso = client.service.sso_token(ADA, client.service.app_resource, client.now)
    client.exchange(json.dumps({"token": sso}).encode())
    body = {"resourceUrls": ["https://graph.microsoft.com"]}
    client.ask("POST", "usertoken/GetAadTokens", body, userId=ADA, connectionName="graph")
    client.service.down = True
    client.ask("GET", "usertoken/GetTokenStatus", userId=ADA)
    written = json.dumps([one.to_json() for one in seen])
    assert code not in written
    assert "-token-" not in written
    assert [one.status for one in seen] == [200, 200, 200, 200, None]
    assert seen[1].path.endswith("&channelId=msteams&code=...")
    assert isinstance(seen[1].answer, dict)
    assert seen[1].answer["token"] == "..."
    assert answer["token"] != "..."  # the bot gets it all the same
    assert (seen[2].body, seen[4].end) == ({"token": "..."}, "reset")


def test_a_token_is_held_for_its_lifetime(client: Client) -> None:
    held = client.service.give_token(ADA, "github")
    assert held.token.startswith("gho_")
    client.now += 59.9
    assert client.service.token(ADA, "github", client.now) == held.token
    client.now += 0.1
    assert client.get_token("github").status == 404
    with pytest.raises(LookupError, match=r"no connection 'nope'; there are: graph, github"):
        client.service.give_token(ADA, "nope")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((ADA, "graph", 5.0), TypeError, "a token is a text, not a float"),
        (("Ada", "graph"), ValueError, r"'Ada' is not the id of an account \(29:...\); give the User"),
        (({"id": ADA}, "graph"), TypeError, "for a User or the id of an account"),
        ((None, "graph"), TypeError, "for a User or the id of an account"),
        ((ADA, 5), TypeError, "connection_name is the name of a connection, not 5"),
    ],
)
def test_a_token_is_given_to_nobody_that_there_cannot_be(
    client: Client, arguments: tuple[Any, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        client.service.give_token(*arguments)
    assert client.service.tokens == []


async def test_a_token_may_be_given_to_a_user_of_teams(teams: Teams, user: User) -> None:
    teams.add_connection("graph", lifetime=60)
    assert teams.token_service.give_token(user, "graph", "a token of mine").token == "a token of mine"
    assert user.is_signed_in("graph")
    await asyncio.sleep(60)
    assert not user.is_signed_in("graph")


def test_signing_out_forgets_one_connection_or_all(client: Client) -> None:
    for name in ("graph", "github"):
        client.service.give_token(ADA, name)
    client.service.give_token("29:1bob", "graph")

    def sign_out(**query: str) -> int:
        reply = client.ask("DELETE", "usertoken/SignOut", userId=ADA, **query)
        assert reply is not None
        return reply.status

    assert sign_out(connectionName="graph", channelId="msteams") == 200
    assert sign_out(connectionName="graph", channelId="msteams") == 204
    assert [(one.user_id, one.connection_name) for one in client.service.tokens] == [
        (ADA, "github"),
        ("29:1bob", "graph"),
    ]
    assert sign_out() == 200
    assert [one.user_id for one in client.service.tokens] == ["29:1bob"]


def test_the_status_is_of_all_connections_or_of_those_that_are_named(client: Client) -> None:
    client.service.give_token(ADA, "graph")

    def ask(**query: str) -> object:
        reply = client.ask("GET", "usertoken/GetTokenStatus", userId=ADA, channelId="msteams", **query)
        assert reply is not None
        return reply.body

    graph, github = (
        {
            "channelId": "msteams",
            "connectionName": name,
            "hasToken": has_token,
            "serviceProviderDisplayName": shown,
        }
        for name, has_token, shown in (("graph", True, "Entra ID"), ("github", False, "github"))
    )
    assert ask() == [graph, github]
    assert ask(includeFilter="github,unknown") == [github]
    assert ask(include="graph") == [graph]
    assert client.broken == []


def test_a_token_of_single_sign_on_is_exchanged_for_its_user_and_resource(client: Client) -> None:
    service = client.service
    resource = service.app_resource
    good = service.sso_token(ADA, resource, client.now)
    assert client.exchange({"token": good}, user_id="29:1bob").status == 400
    assert client.exchange({"token": "stolen"}).status == 400
    assert client.exchange({"token": service.sso_token(ADA, "api://other", client.now)}).status == 400
    assert client.exchange({"token": good}, "github").status == 400  # it has no single sign-on
    assert client.exchange({"uri": resource}).status == 404
    assert service.tokens == []
    answer = client.exchange({"token": good}).body
    assert isinstance(answer, dict)
    assert answer["token"] == service.token(ADA, "graph", client.now)
    assert client.exchange(json.dumps({"uri": resource}).encode()).status == 200
    assert client.broken == []


def test_without_consent_an_exchange_is_answered_412_until_the_user_has_signed_in(client: Client) -> None:
    client.service.set_consent(ADA, False)
    token = client.service.sso_token(ADA, client.service.app_resource, client.now)
    refused = client.exchange({"token": token})
    assert refused.status == 412
    assert refused.body == {
        "error": {
            "code": "ConsentRequired",
            "message": "The user or an administrator has not consented.",
        }
    }
    client.service.visit(client.link(), ADA, client.now)
    assert client.exchange({"token": token}).status == 200


def test_tokens_of_resources_are_given_for_each_url(client: Client) -> None:
    body = {"resourceUrls": ["https://graph.microsoft.com", "https://contoso.sharepoint.com"]}
    query = {"userId": ADA, "connectionName": "graph", "channelId": "msteams"}
    assert client.ask("POST", "usertoken/GetAadTokens", body, **query) == Reply(200, {})
    client.service.give_token(ADA, "graph")
    reply = client.ask("POST", "usertoken/GetAadTokens", body, **query)
    assert reply is not None
    assert isinstance(reply.body, dict)
    assert list(reply.body) == body["resourceUrls"]
    assert len({one["token"] for one in reply.body.values()}) == 2


def test_the_resource_of_a_sign_in_has_what_single_sign_on_needs_where_the_connection_has_it(
    client: Client,
) -> None:
    client.service.client_id = "app"
    reply = client.ask("GET", "botsignin/GetSignInResource", state=state())
    assert reply is not None
    resource: Any = reply.body
    assert resource["signInLink"].startswith(f"{URL}/api/oauth/signin?signin=")
    assert resource["tokenExchangeResource"]["uri"] == "api://botid-app"
    assert set(resource["tokenExchangeResource"]) == {"id", "uri", "providerId"}
    assert resource["tokenPostResource"]["sasUrl"].startswith(URL)
    reply = client.ask("GET", "botsignin/GetSignInResource", state=state("github"))
    assert reply is not None
    resource = reply.body
    assert "tokenExchangeResource" not in resource
    assert client.service.is_link(resource["signInLink"])
    for other in (f"{URL}/api/oauth/signin?signin=1", "https://example.com", "http://[", None):
        assert not client.service.is_link(other)
    assert client.broken == []


@pytest.mark.parametrize(
    ("method", "route", "query", "status", "rule", "detail"),
    [
        ("GET", "usertoken/Nothing", {}, 404, "token-route", "has no such route"),
        ("POST", "usertoken/GetToken", {}, 405, "token-route", "takes GET"),
        ("GET", "usertoken/GetToken", {"userId": ADA}, 400, "token-parameters", "without connectionName"),
        ("GET", "usertoken/GetToken", {"userId": "", "connectionName": "x"}, 400, "token-parameters", "user"),
        (
            "GET",
            "usertoken/GetToken",
            {"userId": ADA, "connectionName": "graph", "channel": "msteams"},
            404,
            "token-parameters",
            "unknown channel",
        ),
        (
            "GET",
            "usertoken/GetToken",
            {"userId": ADA, "connectionName": "grpah"},
            404,
            "token-connection",
            "no connection 'grpah'; there are: graph, github",
        ),
        (
            "POST",
            "usertoken/exchange",
            {"userId": ADA, "connectionName": "graph", "channelId": "msteams"},
            400,
            "token-body",
            "neither {token} nor {uri}",
        ),
        (
            "POST",
            "usertoken/GetAadTokens",
            {"userId": ADA, "connectionName": "graph", "resourceUrls": "https://graph.microsoft.com"},
            400,
            "token-body",
            "resourceUrls",
        ),
        ("GET", "botsignin/GetSignInUrl", {"state": state("grpah")}, 400, "token-connection", "'grpah'"),
        ("GET", "botsignin/GetSignInUrl", {}, 400, "token-parameters", "without state"),
    ],
)  # fmt: skip
def test_what_a_correct_client_does_not_ask_is_a_violation(
    client: Client, method: str, route: str, query: dict[str, str], status: int, rule: str, detail: str
) -> None:
    reply = client.ask(method, route, **query)
    assert reply is not None
    assert reply.status == status
    assert client.broken[-1][0] == rule
    assert detail in client.broken[-1][1]
    assert "?" not in client.broken[-1][1]  # a query may hold a code


@pytest.mark.parametrize(
    ("bad", "detail"),
    [
        ("graph", "no base64 of JSON"),
        (base64.b64encode(b"[]").decode(), "no JSON object"),
        (state(""), "connectionName of the state is ''"),
        (state(conversation=None), "has no conversation"),
        (state(conversation={"channelId": "msteams", "user": {"id": ADA}}), "no reference"),
        (state(msAppId="other"), "msAppId of the state is 'other', and the bot is 'app'"),
    ],
)
def test_the_state_of_a_link_says_which_connection_bot_and_conversation_it_is_for(
    client: Client, bad: str, detail: str
) -> None:
    client.service.client_id = "app"
    reply = client.ask("GET", "botsignin/GetSignInResource", state=bad)
    assert reply is not None
    assert reply.status == 400
    assert client.broken[0][0] == "token-state"
    assert detail in client.broken[0][1]


def test_the_service_fails_as_it_is_told_to(client: Client) -> None:
    client.service.give_token(ADA, "graph")
    client.service.fail_with(503, times=2, operation="GetToken")
    assert client.exchange({"token": "x"}).status == 400
    assert [client.get_token().status for _ in range(3)] == [503, 503, 200]
    client.service.fail_with(418)
    assert client.get_token().status == 418
    client.service.fail_with(None)
    assert client.get_token().status == 200
    client.service.down = True
    assert client.ask("GET", "usertoken/GetToken", userId=ADA, connectionName="graph") is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"status": 500, "operation": "GetTokn"}, "no operation 'GetTokn'; there are: GetToken, GetAad"),
        ({"status": None, "operation": "gettoken"}, "no operation 'gettoken'"),
        ({"status": 200}, "a failure is a status from 400 to 599, not 200"),
        ({"status": 500, "times": 0}, "at least once"),
    ],
)
def test_a_failure_that_could_never_come_is_refused(
    client: Client, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        client.service.fail_with(**arguments)


def test_any_connection_exists_where_nobody_can_know_them(client: Client) -> None:
    client.service.any_connection = True
    assert client.get_token("whatever").status == 404
    assert client.broken == []
    assert client.service.connections["whatever"].sso is False


def test_what_was_asked_can_be_counted_and_shows_no_code(client: Client) -> None:
    client.get_token(code="123456")
    (asked,) = client.service.requests
    assert (asked.method, asked.operation, asked.status) == ("GET", "GetToken", 404)
    assert asked.parameters["connectionName"] == "graph"
    assert "123456" not in repr(asked)
    held = client.service.give_token(ADA, "graph")
    assert held.token not in repr(client.service.tokens)


def test_tokens_are_made_by_an_identity_provider_if_there_is_one(client: Client) -> None:
    made: list[tuple[dict[str, Any], float]] = []

    def mint(claims: dict[str, Any], lifetime: float) -> str:
        made.append((claims, lifetime))
        return f"jwt-{len(made)}"

    client.service.mint = mint
    assert client.service.give_token(ADA, "graph").token == "jwt-1"
    assert client.service.give_token(ADA, "github").token.startswith("gho_")
    client.service.sso_token(ADA, "api://botid-app", client.now)
    assert [(claims["oid"], claims["audience"], lifetime) for claims, lifetime in made] == [
        ("ada", "00000003-0000-0000-c000-000000000000", 3600.0),
        ("ada", "api://botid-app", 3600.0),
    ]


@pytest.mark.parametrize("over", ["transport", "http"])
async def test_the_api_client_of_the_sdk_reaches_it_in_process_and_over_http(
    teams: Teams, user: User, over: str
) -> None:
    teams.add_connection("graph")
    who: Any = {"user_id": user.account["id"], "connection_name": "graph", "channel_id": "msteams"}
    if over == "http":
        from cadenza.api import ApiClientSettings

        async with (
            teams.serve() as url,
            ApiClient(url, api_client_settings=ApiClientSettings(oauth_url=url)) as api,
        ):
            await use(teams, user, api, who)
    else:
        await use(
            teams, user, ApiClient("https://smba.trafficmanager.net/teams", transport=teams.transport), who
        )
    teams.check()


async def use(teams: Teams, user: User, api: ApiClient, who: Any) -> None:
    """Every call that the SDK has."""
    with pytest.raises(NotFoundError):
        await api.users.get_token(GetUserTokenParams(**who))
    signed = state(
        conversation=teams.conversation_reference(user).model_dump(by_alias=True, exclude_none=True)
    )
    resource = await api.bots.sign_in.get_resource(GetBotSignInResourceParams(state=signed))
    assert resource.sign_in_link is not None
    assert resource.token_exchange_resource is not None
    assert resource.token_exchange_resource.uri is not None
    link = await api.bots.sign_in.get_url(GetBotSignInUrlParams(state=signed))
    code = teams.token_service.visit(link, user.account["id"], teams.now())
    await api.users.get_token(GetUserTokenParams(**who, code=code))
    sso = teams.token_service.sso_token(user.account["id"], resource.token_exchange_resource.uri, teams.now())
    exchanged = await api.users.exchange_token(
        ExchangeUserTokenParams(**who, exchange_request=TokenExchangeRequest(token=sso))
    )
    assert exchanged.token == teams.token_service.token(user.account["id"], "graph", teams.now())
    urls = ["https://graph.microsoft.com"]
    assert list(await api.users.get_aad_tokens(GetUserAADTokenParams(**who, resource_urls=urls))) == urls
    (status,) = await api.users.get_token_status(
        GetUserTokenStatusParams(user_id=who["user_id"], channel_id="msteams", include_filter="graph")
    )
    assert status.has_token
    await api.users.sign_out(SignOutUserParams(**who))
    assert not user.is_signed_in("graph")


async def test_a_violation_stands_among_those_of_teams(teams: Teams, user: User) -> None:
    api = ApiClient("https://smba.trafficmanager.net/teams", transport=teams.transport)
    who = GetUserTokenParams(user_id=user.account["id"], connection_name="nope", code="123456")
    with pytest.raises(NotFoundError):
        await api.users.get_token(who)
    (violation,) = teams.violations
    assert isinstance(violation, Violation)
    assert violation.rule == "token-connection"
    assert violation.source.startswith("api-surface.md 1.9")
    assert "123456" not in teams.format_transcript()


async def test_a_service_that_is_down_breaks_every_connection(teams: Teams, user: User) -> None:
    teams.token_service.down = True
    api = ApiClient("https://smba.trafficmanager.net/teams", transport=teams.transport)
    with pytest.raises(ConnectionLostError):
        await api.users.get_token(GetUserTokenParams(user_id=user.account["id"], connection_name="graph"))


async def test_an_answer_may_take_long(teams: Teams, user: User) -> None:
    teams.add_connection("graph")
    teams.token_service.delay = 5.0
    api = ApiClient("https://smba.trafficmanager.net/teams", transport=teams.transport)
    began = teams.now()
    with pytest.raises(NotFoundError):
        await api.users.get_token(GetUserTokenParams(user_id=user.account["id"], connection_name="graph"))
    assert teams.now() - began >= 5.0
