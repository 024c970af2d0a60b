"""To write as an agentic identity: an agentic app that was made from the bot's registration, or its user."""

import asyncio
from typing import Any

import jwt
import pytest
from auth.outbound import SECRET, TENANT, Outbound, read
from auth.scene import CLIENT_ID, message
from cadenza.api import (
    CHINA,
    AgenticAppTokenProviderProtocol,
    AgenticIdentity,
    AgenticUserTokenProviderProtocol,
    MessageActivity,
)
from cadenza.apps import ActivityContext, App, MissingCredentialsError, TokenError
from cadenza.testing import VirtualClock

AGENT = "00000000-0000-0000-0000-0000000000a1"
AGENTS_USER = "00000000-0000-0000-0000-0000000000a2"
EXCHANGE = "api://AzureADTokenExchange/.default"
USER = AgenticIdentity(
    agentic_app_blueprint_id=CLIENT_ID, agentic_app_id=AGENT, agentic_user_id=AGENTS_USER, tenant_id=TENANT
)
APP = AgenticIdentity(agentic_app_blueprint_id=CLIENT_ID, agentic_app_id=AGENT, tenant_id=TENANT)


async def test_an_agentic_user_writes_with_a_token_that_its_app_got_by_that_of_the_bot(
    outbound: Outbound,
) -> None:
    app = outbound.with_secret()
    claims = await outbound.claims(app, agentic_identity=USER)
    assert (claims["oid"], claims["tid"], claims["idtyp"]) == (AGENTS_USER, TENANT, "user")
    assert (claims["aud"], claims["appid"]) == ("https://botapi.skype.com", AGENT)
    proof, credential, user = outbound.identity.forms
    assert (proof["client_id"], proof["scope"], proof["fmi_path"]) == (CLIENT_ID, EXCHANGE, AGENT)
    assert proof["client_secret"] == SECRET
    assert (credential["client_id"], credential["scope"]) == (AGENT, EXCHANGE)
    assert (user["grant_type"], user["client_id"], user["user_id"]) == ("user_fic", AGENT, AGENTS_USER)
    assert user["requested_token_use"] == "on_behalf_of"
    assert user["client_assertion"] == credential["client_assertion"]
    assert read(user["user_federated_identity_credential"])["azp"] == AGENT
    assert {url.split("/")[3] for url in outbound.provider.fetched} == {TENANT}


async def test_an_agentic_app_writes_for_itself_where_no_user_is_named(outbound: Outbound) -> None:
    claims = await outbound.claims(outbound.with_secret(), agentic_identity=APP)
    assert (claims["aud"], claims["appid"], claims["idtyp"]) == ("https://botapi.skype.com", AGENT, "app")
    assert outbound.asked == 2


async def test_each_step_is_kept_and_shared(outbound: Outbound, clock: VirtualClock) -> None:
    app = outbound.with_secret()
    outbound.identity.delay = 1
    other = AgenticIdentity(
        agentic_app_blueprint_id=CLIENT_ID, agentic_app_id=AGENT, agentic_user_id="other", tenant_id=TENANT
    )
    await asyncio.gather(*(app.send("a:1", "hi", agentic_identity=who) for who in (USER, other, USER)))
    await app.send("a:1", "hi", agentic_identity=USER)
    assert outbound.asked == 4
    await clock.sleep(3700)
    await app.send("a:1", "hi", agentic_identity=USER)
    assert outbound.asked == 7


async def test_the_bots_own_tokens_are_not_mixed_up_with_those_of_its_agents(outbound: Outbound) -> None:
    app = outbound.with_secret(tenant_id=TENANT)
    await outbound.token(app, agentic_identity=USER)
    claims = await outbound.claims(app)
    assert (claims["appid"], claims["aud"]) == (CLIENT_ID, "https://api.botframework.com")


async def test_two_agents_of_a_bot_prove_who_they_are_each_by_itself_in_the_apps_tenant(
    outbound: Outbound,
) -> None:
    app = outbound.with_secret(tenant_id=TENANT)
    second = AGENT.replace("a1", "b1")
    for agent in (AGENT, second):
        identity = AgenticIdentity(agentic_app_blueprint_id=CLIENT_ID, agentic_app_id=agent)
        claims = await outbound.claims(app, agentic_identity=identity)
        assert (claims["appid"], claims["tid"]) == (agent, TENANT)
    assert [form.get("fmi_path") for form in outbound.identity.forms] == [AGENT, None, second, None]


async def test_a_bot_with_a_federated_credential_has_agents_too_also_in_another_cloud(
    outbound: Outbound,
) -> None:
    outbound.register(managed_identity="system", cloud=CHINA)
    host = CHINA.service_hosts[0]
    app = outbound.app(managed_identity_client_id="system", cloud=CHINA, service_url=f"https://{host}/x")
    identity = app.get_agentic_identity(AGENT, AGENTS_USER, tenant_id=TENANT)
    assert await app.token_provider.get_agentic_user_token(CHINA.bot_scope, AGENT, AGENTS_USER, TENANT)
    assert outbound.identity.forms[-2]["scope"] == "api://AzureADTokenExchangeChina/.default"
    assert identity == USER


async def test_what_is_written_to_an_agent_is_answered_as_that_agent(outbound: Outbound) -> None:
    app = outbound.with_secret()

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("hello")

    agent = {
        "id": f"8:orgid:{AGENTS_USER}",
        "role": "agenticUser",
        "agenticAppBlueprintId": CLIENT_ID,
        "agenticAppId": AGENT,
        "agenticUserId": AGENTS_USER,
        "tenantId": TENANT,
    }
    assert (await app.process(message(recipient=agent))).status == 200
    assert (await app.process(message(id="2"))).status == 200
    as_agent, as_bot = (read(one.headers["Authorization"][7:]) for one in outbound.provider.sent)
    assert (as_agent["oid"], as_agent["appid"]) == (AGENTS_USER, AGENT)
    assert as_bot["appid"] == CLIENT_ID


async def test_an_agent_that_there_is_no_token_for_is_not_answered_as_the_bot(outbound: Outbound) -> None:
    app = outbound.app(token=lambda scope, tenant: "the-bots")
    errors: list[Exception] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        try:
            await ctx.send("hello")
        except ValueError as error:
            errors.append(error)

    await app.process(
        message(recipient={"id": "a", "agenticAppBlueprintId": CLIENT_ID, "agenticAppId": AGENT})
    )
    assert "it names no tenant_id" in str(errors[0])
    assert outbound.provider.sent == []


@pytest.mark.parametrize(
    ("options", "identity", "missing"),
    [
        ({"client_secret": SECRET}, AgenticIdentity(agentic_app_blueprint_id="b"), "names no agentic_app_id"),
        (
            {"client_secret": SECRET},
            AgenticIdentity(agentic_app_blueprint_id="b", agentic_app_id=AGENT),
            "names no tenant_id",
        ),
        ({}, USER, "the App has no credentials"),
        ({"client_id": None}, USER, "the App has no credentials"),
        ({"managed_identity_client_id": CLIENT_ID}, USER, "the bot is a managed identity"),
        ({"token": lambda scope, tenant: "t"}, USER, "has no get_agentic_user_token"),
        ({"token": lambda scope, tenant: "t"}, APP, "has no get_agentic_app_token"),
    ],
)
async def test_what_is_missing_to_write_as_an_agent_is_said(
    outbound: Outbound, options: dict[str, Any], identity: AgenticIdentity, missing: str
) -> None:
    app = outbound.app(**options)
    with pytest.raises(MissingCredentialsError, match=missing) as caught:
        await app.send("a:1", "hello", agentic_identity=identity)
    assert isinstance(caught.value, ValueError)
    assert outbound.provider.sent == []


async def test_a_refusal_on_the_way_is_told_with_its_words(outbound: Outbound) -> None:
    outbound.register(client_secret="another")
    with pytest.raises(TokenError, match=r"AADSTS7000215"):
        await outbound.app(client_secret=SECRET).send("a:1", "hi", agentic_identity=USER)


class Provider(AgenticAppTokenProviderProtocol, AgenticUserTokenProviderProtocol):
    """A provider of the bot author's."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, ...]] = []

    def get_app_token(self, scope: str, tenant_id: str | None) -> str:
        self.asked.append((scope, tenant_id))
        return "app"

    async def get_agentic_app_token(self, scope: str, agentic_app_id: str, tenant_id: str | None) -> str:
        self.asked.append((scope, agentic_app_id, tenant_id))
        return "agentic-app"

    async def get_agentic_user_token(
        self, scope: str, agentic_app_id: str, agentic_user_id: str, tenant_id: str | None
    ) -> str:
        self.asked.append((scope, agentic_app_id, agentic_user_id, tenant_id))
        return "agentic-user"


async def test_a_provider_object_gives_the_tokens_of_agents(outbound: Outbound) -> None:
    provider = Provider()
    app = outbound.app(token=provider)
    scope = "https://botapi.skype.com/.default"
    assert await outbound.token(app, agentic_identity=USER) == "agentic-user"
    assert await outbound.token(app, agentic_identity=APP) == "agentic-app"
    assert await outbound.token(app) == "app"
    assert provider.asked == [
        (scope, AGENT, AGENTS_USER, TENANT),
        (scope, AGENT, TENANT),
        ("https://api.botframework.com/.default", None),
    ]


async def test_the_option_agentic_token_goes_before_the_credentials(outbound: Outbound) -> None:
    app = outbound.with_secret(agentic_token=lambda who: f"for {who.agentic_app_id}")
    assert await outbound.token(app, agentic_identity=USER) == f"for {AGENT}"
    assert outbound.asked == 0


def test_an_identity_is_of_the_apps_own_tenant_and_registration_unless_it_is_said() -> None:
    app = App(client_id=CLIENT_ID, tenant_id=TENANT)
    assert app.get_agentic_identity(AGENT, AGENTS_USER) == USER
    assert app.get_agentic_identity(AGENT) == APP
    other = app.get_agentic_identity(AGENT, tenant_id="t", agentic_app_blueprint_id="b")
    assert (other.tenant_id, other.agentic_app_blueprint_id) == ("t", "b")
    with pytest.raises(ValueError, match="tenant_id"):
        App(client_id=CLIENT_ID).get_agentic_identity(AGENT)
    with pytest.raises(ValueError, match="agentic_app_blueprint_id"):
        App(tenant_id=TENANT).get_agentic_identity(AGENT)


async def answered(app: App, outbound: Outbound, **fields: Any) -> dict[str, Any]:
    """The claims of the token that an activity to such an agent is answered with."""

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("hello")

    agent = {
        "id": f"8:orgid:{AGENTS_USER}",
        "agenticAppBlueprintId": CLIENT_ID,
        "agenticAppId": AGENT,
        "agenticUserId": AGENTS_USER,
        "tenantId": TENANT,
    }
    assert (await app.process(message(recipient={**agent, **fields}))).status == 200
    return read(outbound.provider.sent[-1].headers["Authorization"][7:])


FOREIGN = TENANT.replace("bb", "cc")


@pytest.mark.parametrize(
    ("options", "fields", "reason"),
    [
        ({}, {"tenantId": "../../x/y"}, "'../../x/y' is no tenant"),
        ({}, {"tenantId": "a?b="}, "'a?b=' is no tenant"),
        ({"tenant_id": TENANT}, {"tenantId": FOREIGN}, f"its tenant '{FOREIGN}' is not the bot's tenant_id"),
        ({"tenant_id": TENANT}, {"tenantId": "attacker.onmicrosoft.com"}, "is not the bot's tenant_id"),
        (
            {"tenant_id": "own.example"},
            {"tenantId": "attacker.onmicrosoft.com"},
            "is not the bot's tenant_id",
        ),
        ({}, {"agenticAppBlueprintId": FOREIGN}, f"its blueprint '{FOREIGN}' is not the bot's client_id"),
    ],
)
async def test_an_activity_for_an_agent_that_is_not_the_bots_own_is_answered_as_the_bot(
    outbound: Outbound,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
    fields: dict[str, str],
    reason: str,
) -> None:
    app = outbound.with_secret(**options)
    claims = await answered(app, outbound, **fields)
    assert (claims["appid"], claims["aud"]) == (CLIENT_ID, "https://api.botframework.com")
    (said,) = (record.message for record in caplog.records if record.levelname == "WARNING")
    assert said.startswith("An activity for an agentic identity is handled as one for the bot itself: ")
    assert reason in said
    assert not any(str(fields.get("tenantId")) in url for url in outbound.provider.fetched)


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"tenant_id": TENANT}, {"tenantId": TENANT.upper()}),
        ({"tenant_id": TENANT}, {"tenantId": None}),
        ({}, {"agenticAppBlueprintId": CLIENT_ID.upper()}),
    ],
)
async def test_an_agent_of_the_bots_own_is_known_in_whatever_case(
    outbound: Outbound, options: dict[str, Any], fields: dict[str, str | None]
) -> None:
    claims = await answered(outbound.with_secret(**options), outbound, **fields)
    assert (claims["oid"], claims["appid"]) == (AGENTS_USER, AGENT)


async def test_a_bot_whose_tenant_is_given_by_its_domain_asks_there_and_not_where_the_activity_says(
    outbound: Outbound,
) -> None:
    asked: list[AgenticIdentity] = []

    def give(identity: AgenticIdentity) -> str:
        asked.append(identity)
        return jwt.encode({}, "key" * 20)

    app = outbound.with_secret(tenant_id="own.example", agentic_token=give)
    await answered(app, outbound, tenantId=FOREIGN)
    assert [one.tenant_id for one in asked] == ["own.example"]


async def test_where_anybody_may_speak_no_token_of_an_agent_is_got_for_an_activity(
    outbound: Outbound,
) -> None:
    app = outbound.with_secret(
        dangerously_allow_unauthenticated_requests=True, service_url="http://127.0.0.1:3979/v3"
    )

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("hello")

    agent = {
        "id": "a",
        "agenticAppBlueprintId": CLIENT_ID,
        "agenticAppId": AGENT,
        "agenticUserId": AGENTS_USER,
        "tenantId": TENANT,
    }
    for url in ("http://127.0.0.1:3979/v3", "http://127.0.0.1:6379/"):
        await app.process(message(recipient=agent, serviceUrl=url, id=url))
    assert all("fmi_path" not in form for form in outbound.identity.forms)
    own, foreign = outbound.provider.sent
    assert read(own.headers["Authorization"][7:])["appid"] == CLIENT_ID
    assert "Authorization" not in foreign.headers


async def test_what_the_bots_own_code_names_may_be_of_another_tenant(outbound: Outbound) -> None:
    app = outbound.with_secret(tenant_id=FOREIGN)
    assert (await outbound.claims(app, agentic_identity=USER))["tid"] == TENANT
