"""The token endpoint and the endpoints of managed identities, asked by the real msal."""

import re
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlencode

import jwt
import msal  # type: ignore[import-untyped]
import pytest
from cadenza.api import CHINA, PUBLIC, US_GOV, US_GOV_DOD, CloudEnvironment, Request
from cadenza.testing import IdentityProvider, InvalidTokenError, Registration, Reply, make_certificate
from cadenza.testing.managed_identity import APP_SERVICE
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1

BOT = "00000000-0000-0000-0000-00000000b07a"
AGENT = "00000000-0000-0000-0000-0000000a9e47"
ADA = "00000000-0000-0000-0000-00000000ada0"
TENANT = "00000000-0000-0000-0000-0000000000bb"
EXCHANGE = "api://AzureADTokenExchange/.default"


class Answer:
    def __init__(self, reply: Reply) -> None:
        self.status_code, self.headers = reply.status, reply.headers
        self.text = reply.encode().decode()

    def raise_for_status(self) -> None:
        if self.status_code >= 400:
            raise RuntimeError(self.text)


class Http:
    """What msal takes for `requests.Session`, over an identity provider."""

    def __init__(self, identity: IdentityProvider) -> None:
        self.identity = identity

    def get(
        self, url: str, params: Mapping[str, Any] | None = None, headers: Any = None, **_: object
    ) -> Answer:
        target = f"{url}?{urlencode(params)}" if params else url
        return Answer(self.identity.answer(Request("GET", target, headers or {})))

    def post(self, url: str, headers: Any = None, data: Any = None, **_: object) -> Answer:
        return Answer(self.identity.answer(Request("POST", url, headers or {}, urlencode(data).encode())))

    def close(self) -> None: ...


def app(
    identity: IdentityProvider, credential: Any, client_id: str = BOT, authority: str = "", **options: Any
) -> Any:
    return msal.ConfidentialClientApplication(
        client_id,
        client_credential=credential,
        authority=authority or f"https://login.microsoftonline.com/{TENANT}",
        http_client=Http(identity),
        **options,
    )


def bot_token(app: Any, scope: str = PUBLIC.bot_scope, **options: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", app.acquire_token_for_client([scope], **options))


def claims_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    assert "access_token" in answer, answer
    return jwt.decode(answer["access_token"], options={"verify_signature": False})


def assert_refused(answer: Mapping[str, Any], error: str, code: int, says: str) -> None:
    assert answer["error"] == error
    assert answer["error_codes"] == [code]
    assert answer["error_description"].startswith(f"AADSTS{code}: ")
    assert re.search(says, answer["error_description"])
    assert answer["correlation_id"] in answer["error_description"]


def ask(identity: IdentityProvider, tenant: str = TENANT, **form: str) -> tuple[int, dict[str, Any]]:
    url = f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
    reply = identity.answer(Request("POST", url, {}, urlencode(form).encode()))
    assert isinstance(reply.body, dict)
    return reply.status, reply.body


# Client secrets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cloud", [PUBLIC, US_GOV, US_GOV_DOD, CHINA], ids=["public", "gov", "dod", "china"])
def test_msal_gets_a_bot_token_by_a_secret_in_every_cloud(cloud: CloudEnvironment) -> None:
    identity = IdentityProvider(Registration(BOT, "secret", cloud=cloud))
    authority = f"{cloud.login_endpoint}/{cloud.login_tenant}"
    answer = bot_token(app(identity, "secret", authority=authority), cloud.bot_scope)
    claims = claims_of(answer)
    assert (claims["aud"], claims["appid"], claims["ver"]) == (
        cloud.bot_scope.removesuffix("/.default"),
        BOT,
        "1.0",
    )
    assert answer["expires_in"] == 3599
    assert identity.verify(answer["access_token"]) == claims
    assert identity.find_problem(f"Bearer {answer['access_token']}") is None


def test_the_tenant_of_the_bot_framework_has_its_real_id() -> None:
    identity = IdentityProvider(Registration(BOT, "secret"))
    claims = claims_of(
        bot_token(app(identity, "secret", authority="https://login.microsoftonline.com/botframework.com"))
    )
    assert claims["tid"] == "d6d49420-f39b-4df7-a1dc-d59a935871db"
    assert claims["iss"] == f"https://sts.windows.net/{claims['tid']}/"


def test_a_wrong_secret_is_refused_and_never_repeated() -> None:
    identity = IdentityProvider(Registration(BOT, "secret"))
    answer = bot_token(app(identity, "wrong-secret"))
    assert_refused(answer, "invalid_client", 7000215, "Invalid client secret provided")
    assert "wrong-secret" not in str(answer)
    assert ask(identity, client_id=BOT, grant_type="client_credentials", client_secret="x")[0] == 401


def test_an_app_that_the_tenant_does_not_know_is_refused() -> None:
    identity = IdentityProvider(Registration(BOT, "secret", tenant_id=TENANT))
    assert_refused(bot_token(app(identity, "secret", AGENT)), "unauthorized_client", 700016, AGENT)
    elsewhere = app(identity, "secret", authority="https://login.microsoftonline.com/botframework.com")
    assert_refused(bot_token(elsewhere), "unauthorized_client", 700016, "was not found in the directory")
    assert "access_token" in bot_token(app(identity, "secret"))


@pytest.mark.parametrize("proof", ["certificate", "managed identity", "malformed"])
def test_who_is_not_in_the_tenant_is_told_so_whatever_it_shows(
    proof: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in APP_SERVICE:
        monkeypatch.delenv(name, raising=False)
    pem = make_certificate()
    identity = IdentityProvider(
        Registration(BOT, tenant_id=TENANT, certificate=pem, managed_identity="system")
    )
    made = managed(identity).acquire_token_for_client(resource=EXCHANGE[:-9])["access_token"]
    credential = {
        "certificate": certificate_credential(pem),
        "managed identity": {"client_assertion": lambda: made},
        "malformed": {"client_assertion": lambda: "no token"},
    }[proof]
    elsewhere = app(identity, credential, authority="https://login.microsoftonline.com/botframework.com")
    assert_refused(bot_token(elsewhere), "unauthorized_client", 700016, "was not found in the directory")


def test_a_tenant_that_is_none_is_not_found() -> None:
    identity = IdentityProvider(Registration(BOT, "secret"))
    with pytest.raises(ValueError, match="Unable to get authority configuration"):
        bot_token(app(identity, "secret", authority="https://login.microsoftonline.com/nowhere"))
    status, answer = ask(identity, "nowhere", grant_type="client_credentials", client_id=BOT)
    assert status == 400
    assert_refused(answer, "invalid_request", 90002, "Tenant 'nowhere' not found")


@pytest.mark.parametrize(
    ("scope", "error", "code"),
    [
        ("https://api.botframework.com", "invalid_scope", 1002012),
        (US_GOV.bot_scope, "invalid_resource", 500011),
    ],
)
def test_a_scope_that_is_none_is_refused(scope: str, error: str, code: int) -> None:
    answer = bot_token(app(IdentityProvider(Registration(BOT, "secret")), "secret"), scope)
    assert_refused(answer, error, code, re.escape(scope.removesuffix("/.default")))


def test_a_resource_may_be_added() -> None:
    identity = IdentityProvider(Registration(BOT, "secret"))
    identity.resources.add("https://vault.azure.net")
    claims = claims_of(bot_token(app(identity, "secret"), "https://vault.azure.net/.default"))
    assert claims["aud"] == "https://vault.azure.net"


def test_what_is_missing_from_a_form_is_named() -> None:
    identity = IdentityProvider(Registration(BOT, "secret"))
    form = {"grant_type": "client_credentials", "client_id": BOT, "client_secret": "secret"}
    for name, code in (("grant_type", 900144), ("client_id", 900144), ("client_secret", 7000218)):
        status, answer = ask(identity, **{key: value for key, value in form.items() if key != name})
        assert status == (401 if name == "client_secret" else 400)
        assert_refused(answer, answer["error"], code, f"'{name}'")
    assert_refused(
        ask(identity, **(form | {"grant_type": "password"}))[1], "unsupported_grant_type", 70003, "password"
    )


# Certificates ---------------------------------------------------------------------------------------------


def certificate_credential(pem: str, **changes: Any) -> dict[str, Any]:
    return {"private_key": pem, "public_certificate": pem[pem.index("-----BEGIN CERT") :], **changes}


def sha1(pem: str) -> str:
    return x509.load_pem_x509_certificate(pem.encode()).fingerprint(SHA1()).hex()


def test_msal_gets_a_bot_token_by_a_certificate_named_by_either_thumbprint() -> None:
    pem = make_certificate()
    identity = IdentityProvider(Registration(BOT, certificate=pem))
    for credential in (
        certificate_credential(pem),  # PS256 with x5t#S256
        certificate_credential(pem, thumbprint=sha1(pem)),  # RS256 with x5t
        {"private_key": pem, "thumbprint": sha1(pem)},
    ):
        assert claims_of(bot_token(app(identity, credential)))["appid"] == BOT


def test_a_certificate_that_is_not_registered_is_refused() -> None:
    identity = IdentityProvider(Registration(BOT, certificate=make_certificate()))
    answer = bot_token(app(identity, certificate_credential(make_certificate("other"))))
    assert_refused(answer, "invalid_client", 700027, "is not registered on application")


def test_the_thumbprint_of_another_key_than_the_one_that_signed_is_refused() -> None:
    pem = make_certificate()
    identity = IdentityProvider(Registration(BOT, certificate=pem))
    credential = {"private_key": make_certificate("other"), "thumbprint": sha1(pem)}
    assert_refused(
        bot_token(app(identity, credential)), "invalid_client", 700027, "failed signature validation"
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"sub": AGENT}, 700021),
        ({"aud": "https://login.microsoftonline.com/other/oauth2/v2.0/token"}, 700023),
        ({"exp": 1_000_000_000}, 700024),
        ({"exp": None}, 700024),
    ],
)
def test_an_assertion_that_claims_something_else_is_refused(change: dict[str, Any], code: int) -> None:
    pem = make_certificate()
    identity = IdentityProvider(Registration(BOT, certificate=pem))
    good = {
        "iss": BOT,
        "sub": BOT,
        "aud": f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token",
        "exp": identity.wall() + 60,
    }
    for claims, expected in ((good, None), (good | change, code)):
        x5t = certificate_x5t(pem)
        kept = {name: value for name, value in claims.items() if value is not None}
        assertion = jwt.encode(kept, pem[: pem.index("-----BEGIN CERT")], "RS256", {"x5t": x5t})
        status, answer = ask(
            identity,
            grant_type="client_credentials",
            client_id=BOT,
            scope=PUBLIC.bot_scope,
            client_assertion=assertion,
            client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        )
        if expected is None:
            assert status == 200, answer
        else:
            assert status == 401
            assert_refused(answer, "invalid_client", expected, "assertion")


def certificate_x5t(pem: str) -> str:
    from cadenza.testing.keys import base64url

    return base64url(bytes.fromhex(sha1(pem)))


# Managed and federated identities -------------------------------------------------------------------------


def managed(identity: IdentityProvider, client_id: str | None = None) -> Any:
    which = (
        msal.SystemAssignedManagedIdentity()
        if client_id is None
        else msal.UserAssignedManagedIdentity(client_id=client_id)
    )
    return msal.ManagedIdentityClient(which, http_client=Http(identity))


@pytest.fixture(params=["virtual machine", "App Service"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in APP_SERVICE.items():
        if request.param == "App Service":
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.delenv(name, raising=False)
    return str(request.param)


@pytest.mark.usefixtures("machine")
def test_a_bot_that_is_a_managed_identity_gets_its_token_from_the_machine() -> None:
    identity = IdentityProvider(Registration(BOT, managed_identity=BOT))
    answer = managed(identity, BOT).acquire_token_for_client(resource="https://api.botframework.com")
    assert claims_of(answer)["appid"] == BOT
    assert identity.find_problem(f"Bearer {answer['access_token']}") is None
    assert 86_390 < answer["expires_in"] < 86_401


def test_a_machine_does_not_know_other_identities(machine: str) -> None:
    identity = IdentityProvider(Registration(BOT, managed_identity=BOT))
    for client_id in (AGENT, None):
        answer = managed(identity, client_id).acquire_token_for_client(resource=PUBLIC.bot_scope[:-9])
        if machine == "App Service":  # where msal knows no better name for any error
            assert answer["error"] == "invalid_scope"
            assert "No User Assigned or Delegated Managed Identity found" in answer["error_description"]
        else:
            assert answer == {"error": "invalid_request", "error_description": "Identity not found"}


def test_a_machine_wants_its_header_and_a_resource() -> None:
    identity = IdentityProvider(Registration(BOT, managed_identity="system"))
    imds = "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01"
    for url, headers in ((f"{imds}&resource=https://api.botframework.com", {}), (imds, {"Metadata": "true"})):
        reply = identity.answer(Request("GET", url, headers))
        assert (reply.status, cast("Any", reply.body)["error"]) == (400, "invalid_request")
    url = f"{APP_SERVICE['IDENTITY_ENDPOINT']}?resource=https://api.botframework.com&api-version=2019-08-01"
    assert identity.answer(Request("GET", url, {"X-IDENTITY-HEADER": "guessed"})).status == 401


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("which", [None, AGENT], ids=["system", "user-assigned"])
def test_the_token_of_a_managed_identity_is_a_federated_credential(which: str | None) -> None:
    identity = IdentityProvider(Registration(BOT, managed_identity=which or "system"))

    def assertion() -> str:
        answer = managed(identity, which).acquire_token_for_client(resource=EXCHANGE[:-9])
        return str(answer["access_token"])

    answer = bot_token(app(identity, {"client_assertion": assertion}))
    assert claims_of(answer)["appid"] == BOT


def test_an_assertion_that_nobody_has_trusted_is_refused() -> None:
    identity = IdentityProvider(Registration(BOT, "secret"), Registration(AGENT, managed_identity="system"))
    made = managed(identity).acquire_token_for_client(resource=EXCHANGE[:-9])["access_token"]
    of_another = {"client_assertion": lambda: made}
    assert_refused(
        bot_token(app(identity, of_another)), "invalid_client", 700213, "No matching federated identity"
    )
    for_another = managed(identity).acquire_token_for_client(resource=PUBLIC.bot_scope[:-9])["access_token"]
    answer = bot_token(app(identity, {"client_assertion": lambda: for_another}, AGENT))
    assert_refused(answer, "invalid_client", 700213, re.escape(PUBLIC.bot_scope[:-9]))
    own = IdentityProvider(Registration(BOT, managed_identity=BOT))
    made = managed(own, BOT).acquire_token_for_client(resource=EXCHANGE[:-9])["access_token"]
    answer = bot_token(app(own, {"client_assertion": lambda: made}))
    assert_refused(answer, "invalid_client", 700213, "No matching federated identity")
    foreign = identity.sign({"iss": "x", "sub": "y", "aud": EXCHANGE[:-9], "exp": identity.wall() + 60})
    answer = bot_token(app(identity, {"client_assertion": lambda: foreign}, AGENT))
    assert_refused(answer, "invalid_client", 7002132, "cannot be verified")
    answer = bot_token(app(identity, {"client_assertion": lambda: "no token"}))
    assert_refused(answer, "invalid_client", 50027, "malformed")


# Agentic identities ---------------------------------------------------------------------------------------


def agent_of(identity: IdentityProvider, blueprint: Any) -> Any:
    def assertion() -> str:
        answer = bot_token(blueprint, EXCHANGE, fmi_path=AGENT)
        assert "access_token" in answer, answer
        return str(answer["access_token"])

    return app(identity, {"client_assertion": assertion}, AGENT)


def test_an_agentic_identity_gets_its_own_token_and_its_users_by_its_blueprint() -> None:
    identity = IdentityProvider(Registration(BOT, "secret", tenant_id=TENANT))
    agent = agent_of(identity, app(identity, "secret"))
    own = bot_token(agent, PUBLIC.agent_bot_scope)
    claims = claims_of(own)
    assert (claims["appid"], claims["xms_par_app_azp"], claims["idtyp"]) == (AGENT, BOT, "app")
    shown = bot_token(agent, EXCHANGE)["access_token"]
    answer = agent.acquire_token_by_user_federated_identity_credential(
        [PUBLIC.agent_bot_scope], shown, user_object_id=ADA
    )
    claims = claims_of(answer)
    assert (claims["oid"], claims["appid"], claims["idtyp"]) == (ADA, AGENT, "user")
    assert claims["aud"] == "https://botapi.skype.com"
    for one in (own, answer):
        assert identity.find_problem(f"Bearer {one['access_token']}") is None


def test_an_agentic_identity_needs_its_own_assertion() -> None:
    identity = IdentityProvider(Registration(BOT, "secret"))
    for_another = bot_token(app(identity, "secret"), EXCHANGE, fmi_path=ADA)["access_token"]
    answer = bot_token(app(identity, {"client_assertion": lambda: for_another}, AGENT))
    assert_refused(answer, "invalid_client", 700213, "No matching federated identity")
    answer = bot_token(app(identity, "secret"), PUBLIC.bot_scope, fmi_path=AGENT)
    assert_refused(answer, "invalid_request", 900023, "fmi_path")


def test_a_user_is_acted_for_only_with_the_token_of_the_same_agent() -> None:
    identity = IdentityProvider(Registration(BOT, "secret"))
    blueprint = app(identity, "secret")
    agent = agent_of(identity, blueprint)
    of_bot = bot_token(blueprint, EXCHANGE)["access_token"]
    answer = agent.acquire_token_by_user_federated_identity_credential(
        [PUBLIC.agent_bot_scope], of_bot, username="ada@contoso.com"
    )
    assert_refused(answer, "invalid_grant", 500131, "does not match")
    answer = blueprint.acquire_token_by_user_federated_identity_credential(
        [PUBLIC.agent_bot_scope], of_bot, user_object_id=ADA
    )
    assert_refused(answer, "unauthorized_client", 700016, "agentic")


# What the service takes -----------------------------------------------------------------------------------


def test_a_token_expires_by_the_clock_on_the_wall() -> None:
    now = 1_800_000_000.0
    identity = IdentityProvider(Registration(BOT, "secret"), wall=lambda: now)
    token = identity.app_token(BOT, "https://api.botframework.com", TENANT)
    assert identity.verify(token)["exp"] == now + 3600
    now += 3600
    with pytest.raises(InvalidTokenError, match="has expired"):
        identity.verify(token)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (None, "no bearer token"),
        ("Basic x", "no bearer token"),
        ("Bearer x", "this is no token"),
    ],
)
def test_the_service_says_what_is_wrong_with_a_header(header: str | None, says: str) -> None:
    assert says in str(IdentityProvider(Registration(BOT)).find_problem(header))


def test_the_service_takes_the_token_of_the_bot_alone_and_for_itself_alone() -> None:
    identity = IdentityProvider(Registration(BOT))
    bot, other = PUBLIC.bot_scope[:-9], "https://graph.microsoft.com"
    for token, says in (
        (identity.app_token(AGENT, bot, TENANT), "which is not the bot"),
        (identity.app_token(BOT, other, TENANT), "is for 'https://graph.microsoft.com'"),
        (identity.app_token(BOT, "https://botapi.skype.com", TENANT), "not for https://api.botframework.com"),
        (identity.app_token(BOT, bot, TENANT, exp=1), "has expired"),
        (identity.app_token(BOT, bot, TENANT, exp=None), "has expired"),
        (identity.bot_token(), "no such key"),
        (
            identity.sign({"aud": bot, "appid": BOT}, key=identity.stranger, ring=identity.entra_keys),
            "no token",
        ),
    ):
        assert says in str(identity.find_problem(f"Bearer {token}"))
        assert token not in str(identity.find_problem(f"Bearer {token}"))


def test_the_service_takes_the_token_of_the_bots_tenant_if_it_is_in_one() -> None:
    resource = PUBLIC.bot_scope[:-9]
    identity = IdentityProvider(Registration(BOT, tenant_id=TENANT))
    assert identity.find_problem(f"Bearer {identity.app_token(BOT, resource, TENANT)}") is None
    foreign = identity.app_token(BOT, resource, "foo.bar")
    assert f"the bot is in {TENANT!r}" in str(identity.find_problem(f"Bearer {foreign}"))
    of_all = IdentityProvider(Registration(BOT))
    assert of_all.find_problem(f"Bearer {of_all.app_token(BOT, resource, TENANT)}") is None


def test_an_opaque_token_counts_if_the_registration_names_it() -> None:
    problem = str(IdentityProvider(Registration(BOT)).find_problem("Bearer opaque-text"))
    assert "but opaque; if it is the bot's own, name it: Registration(token=...)" in problem
    assert "opaque-text" not in problem
    registration = Registration(BOT, token="opaque-text")
    assert "opaque-text" not in repr(registration)
    identity = IdentityProvider(registration)
    assert identity.find_problem("Bearer opaque-text") is None
    assert "but opaque" in str(identity.find_problem("Bearer opaque"))


def test_replies_may_be_forced_and_the_lifetime_set() -> None:
    identity = IdentityProvider(Registration(BOT, "secret"))
    identity.lifetime = 600
    asking = app(identity, "secret")
    assert bot_token(asking)["expires_in"] == 599
    asking.remove_tokens_for_client()
    identity.forced["/oauth2/v2.0/token"] = Reply(503, {"error": "temporarily_unavailable"})
    with pytest.raises(Exception, match="503"):
        bot_token(asking)
    assert [form["client_id"] for form in identity.forms] == [BOT, BOT]
    login = f"https://login.microsoftonline.com/{TENANT}"
    assert identity.fetched[0] == f"{login}/v2.0/.well-known/openid-configuration"
    assert identity.fetched[-1] == f"{login}/oauth2/v2.0/token"
