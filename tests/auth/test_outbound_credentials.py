"""By what a bot proves who it is: certificates, managed identities, federated credentials; in all clouds.

The identity platform of the emulator checks what it is sent: signature, thumbprint, audience and time of a
certificate's assertion, subject and audience of a federated one, the headers of managed identities.
"""

import asyncio
import base64
import datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from auth.outbound import SECRET, TENANT, Outbound, read
from auth.scene import CLIENT_ID, Provider
from cadenza.api import (
    CHINA,
    PUBLIC,
    US_GOV,
    US_GOV_DOD,
    CertificateCredentials,
    ClientCredentials,
    CloudEnvironment,
    FederatedIdentityCredentials,
    ManagedIdentityCredentials,
    TokenCredentials,
    with_overrides,
)
from cadenza.apps import App, InvalidCredentialsError, TokenError
from cadenza.testing import VirtualClock
from cadenza.testing.exchange import Reply
from cadenza.testing.keys import make_certificate, private_key
from cadenza.testing.managed_identity import APP_SERVICE
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

MACHINE = "00000000-0000-0000-0000-00000000000f"
CLOUDS = [PUBLIC, US_GOV, US_GOV_DOD, CHINA]
CLOUD_NAMES = ["Public", "USGov", "USGovDoD", "China"]
PASSWORD = "pass-word"
GRAPH = "https://graph.microsoft.com/.default"


def parts(name: str = "bot") -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    return private_key(f"certificate-{name}"), x509.load_pem_x509_certificate(make_certificate(name).encode())


def issued(
    name: str, key: Any, issuer: str, issuer_key: rsa.RSAPrivateKey, days: int = 30
) -> x509.Certificate:
    def of(who: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, who)])

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(of(name))
        .issuer_name(of(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=60))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(issuer_key, hashes.SHA256())
    )


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def key_pem(key: Any, password: str | None = None) -> bytes:
    how: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        how = serialization.BestAvailableEncryption(password.encode())
    written: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
    return written


async def put(path: Path, data: str | bytes) -> None:
    """Write a file, as somebody else would: not on the event loop."""
    await asyncio.to_thread(path.write_bytes, data.encode() if isinstance(data, str) else data)


@pytest.fixture
def certificate(outbound: Outbound) -> str:
    """The certificate of the bot's registration, with its key."""
    text = make_certificate("bot")
    outbound.register(certificate=text)
    return text


def sent_assertion(outbound: Outbound) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the claims of the newest assertion."""
    assertion = outbound.identity.forms[-1]["client_assertion"]
    return jwt.get_unverified_header(assertion), read(assertion)


# Certificates -------------------------------------------------------------------------------------------


async def test_a_certificate_signs_an_assertion_that_the_identity_platform_accepts(
    outbound: Outbound, certificate: str, tmp_path: Path
) -> None:
    path = tmp_path / "bot.pem"
    await put(path, certificate)
    app = outbound.app(client_certificate_path=str(path))
    assert (await outbound.claims(app))["appid"] == CLIENT_ID
    header, claims = sent_assertion(outbound)
    assert header["alg"] == "PS256"
    assert {"x5t#S256", "x5c"} <= header.keys()
    assert "x5t" not in header
    assert (claims["iss"], claims["sub"]) == (CLIENT_ID, CLIENT_ID)
    assert "client_secret" not in outbound.identity.forms[-1]
    assert app.credentials == CertificateCredentials(client_id=CLIENT_ID, certificate_path=str(path))


@pytest.mark.parametrize("kind", ["certificate first", "encrypted", "pfx", "pfx without a password"])
async def test_the_files_key_and_certificate_may_come_in_any_usual_form(
    outbound: Outbound, certificate: str, tmp_path: Path, kind: str
) -> None:
    key, own = parts()
    password: str | None = PASSWORD
    encryption: Any = serialization.BestAvailableEncryption(PASSWORD.encode())
    if kind == "certificate first":
        data, password = pem(own) + key_pem(key), None
    elif kind == "encrypted":
        data = key_pem(key, PASSWORD) + pem(own)
    elif kind == "pfx":
        data = pkcs12.serialize_key_and_certificates(b"bot", key, own, None, encryption)
    else:
        data = pkcs12.serialize_key_and_certificates(b"bot", key, own, None, serialization.NoEncryption())
        password = None
    await put(tmp_path / "bot", data)
    app = outbound.app(client_certificate_path=tmp_path / "bot", client_certificate_password=password)
    assert await outbound.token(app)
    assert PASSWORD not in repr(app.credentials)


async def test_the_certificate_of_the_key_is_sent_along_whatever_else_is_in_the_file(
    outbound: Outbound, tmp_path: Path
) -> None:
    root_key, root = parts("root")
    key = private_key("leaf")
    leaf = issued("leaf", key, "root", root_key)
    outbound.register(certificate=pem(leaf))
    path = tmp_path / "chain.pem"
    await put(path, pem(root) + key_pem(key) + pem(leaf))
    assert await outbound.token(outbound.app(client_certificate_path=path))
    header, _ = sent_assertion(outbound)
    sent = [x509.load_der_x509_certificate(base64.b64decode(one)) for one in header["x5c"]]
    assert sent == [leaf]


async def test_a_certificate_that_was_renewed_in_its_place_is_taken_up_without_a_restart(
    outbound: Outbound, certificate: str, tmp_path: Path
) -> None:
    path = tmp_path / "bot.pem"
    await put(path, make_certificate("old"))
    app = outbound.app(client_certificate_path=path)
    with pytest.raises(TokenError, match=r"AADSTS700027.*upload its public half"):
        await outbound.token(app)
    await put(path, certificate)
    assert await app.token_provider.get_app_token(GRAPH)
    old, new = (form["client_assertion"] for form in outbound.identity.forms)
    assert jwt.get_unverified_header(old)["x5t#S256"] != jwt.get_unverified_header(new)["x5t#S256"]


async def test_a_certificate_that_stays_the_same_costs_one_request_a_token(
    outbound: Outbound, certificate: str, tmp_path: Path
) -> None:
    await put(tmp_path / "bot.pem", certificate)
    app = outbound.app(client_certificate_path=tmp_path / "bot.pem")
    await outbound.token(app)
    before = len(outbound.provider.fetched)
    await app.token_provider.get_app_token(GRAPH)
    assert len(outbound.provider.fetched) == before + 1


def bad_files() -> dict[str, tuple[bytes | None, str | None, str]]:
    key, own = parts()
    elliptic = ec.generate_private_key(ec.SECP256R1())
    encrypted = key_pem(key, PASSWORD) + pem(own)
    store = pkcs12.serialize_key_and_certificates(
        b"bot", key, own, None, serialization.BestAvailableEncryption(PASSWORD.encode())
    )
    return {
        "not there": (None, None, r"cannot be read: No such file"),
        "no key": (pem(own), None, "holds no private key"),
        "no certificate": (key_pem(key), None, "no certificate that can be read"),
        "another's certificate": (key_pem(key) + pem(parts("other")[1]), None, "none is that of its key"),
        "no password": (encrypted, None, "is encrypted: give client_certificate_password"),
        "a wrong password": (encrypted, "wrong", "the password is wrong"),
        "a PFX without its password": (store, None, "it has a password"),
        "a PFX with a wrong password": (store, "wrong", "the password is wrong"),
        "no RSA key": (key_pem(elliptic) + pem(own), None, "no RSA key"),
        "expired": (key_pem(key) + pem(issued("bot", key, "bot", key, days=-1)), None, "has expired on 20"),
        "something else": (b"hello", None, "neither a PEM nor a PFX file"),
    }


@pytest.mark.parametrize("name", bad_files())
async def test_a_certificate_that_cannot_be_used_stops_the_start_and_says_why(
    outbound: Outbound, tmp_path: Path, name: str
) -> None:
    data, password, complaint = bad_files()[name]
    path = tmp_path / "bot.pem"
    if data is not None:
        await put(path, data)
    app = outbound.app(client_certificate_path=path, client_certificate_password=password)
    with pytest.raises(InvalidCredentialsError, match=complaint) as caught:
        await app.initialize()
    assert str(path) in str(caught.value)
    assert password == "wrong" or not password or password not in str(caught.value)
    with pytest.raises(
        InvalidCredentialsError, match=complaint
    ):  # who sends without starting is told the same
        await app.send("a:1", "hello")


async def test_a_password_that_the_file_does_not_need_does_no_harm(
    outbound: Outbound, certificate: str, tmp_path: Path
) -> None:
    await put(tmp_path / "bot.pem", certificate)
    options = {"client_certificate_path": tmp_path / "bot.pem", "client_certificate_password": PASSWORD}
    assert await outbound.token(outbound.app(**options))


async def test_on_a_developers_machine_the_certificate_need_not_be_there(outbound: Outbound) -> None:
    app = outbound.app(client_certificate_path="nowhere", dangerously_allow_unauthenticated_requests=True)
    await app.initialize()


async def test_the_certificate_may_come_from_the_environment(
    outbound: Outbound, certificate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, own = parts()
    await put(tmp_path / "bot.pem", key_pem(key, PASSWORD) + pem(own))
    monkeypatch.setenv("CLIENT_CERTIFICATE_PATH", str(tmp_path / "bot.pem"))
    monkeypatch.setenv("CLIENT_CERTIFICATE_PASSWORD", PASSWORD)
    assert await outbound.token(outbound.app())


# Managed identities -------------------------------------------------------------------------------------


async def test_a_bot_that_is_a_managed_identity_asks_its_machine(outbound: Outbound) -> None:
    outbound.register(managed_identity=CLIENT_ID)
    app = outbound.app(managed_identity_client_id=CLIENT_ID)
    claims = await outbound.claims(app)
    assert (claims["aud"], claims["appid"]) == ("https://api.botframework.com", CLIENT_ID)
    (url,) = outbound.provider.fetched
    assert url.startswith("http://169.254.169.254/metadata/identity/oauth2/token?")
    assert "resource=https%3A%2F%2Fapi.botframework.com&" in url
    assert app.credentials == ManagedIdentityCredentials(client_id=CLIENT_ID)


async def test_on_app_service_the_platform_is_asked_where_its_variables_say(
    outbound: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in APP_SERVICE.items():
        monkeypatch.setenv(name, value)
    outbound.register(managed_identity=CLIENT_ID)
    assert await outbound.token(outbound.app(managed_identity_client_id=CLIENT_ID))
    assert outbound.provider.fetched[0].startswith(APP_SERVICE["IDENTITY_ENDPOINT"])


async def test_a_managed_identity_that_the_machine_does_not_have_is_named(outbound: Outbound) -> None:
    outbound.register(managed_identity="another")
    said = rf"managed identity {CLIENT_ID} .*: invalid_request: Identity not found\. This machine does not"
    with pytest.raises(TokenError, match=said):
        await outbound.app(managed_identity_client_id=CLIENT_ID).send("a:1", "hello")


async def test_off_azure_the_error_says_that_nobody_answers(outbound: Outbound) -> None:
    outbound.identity.down = True
    with pytest.raises(TokenError, match=r"managed identity .*no route to host"):
        await outbound.app(managed_identity_client_id=CLIENT_ID).send("a:1", "hello")


async def test_a_machine_that_is_being_updated_is_asked_again(outbound: Outbound) -> None:
    outbound.identity.forced["/metadata/identity/oauth2/token"] = Reply(410, {"error": "gone"})
    with pytest.raises(TokenError, match="answered 410: gone"):
        await outbound.app(managed_identity_client_id=CLIENT_ID).send("a:1", "hello")
    assert len(outbound.provider.fetched) == 2


@pytest.mark.parametrize("machine", ["system", "System", MACHINE])
async def test_a_federated_bot_shows_the_token_of_the_managed_identity_that_it_trusts(
    outbound: Outbound, machine: str
) -> None:
    outbound.register(managed_identity=machine.lower(), tenant_id=TENANT)
    app = outbound.app(managed_identity_client_id=machine, tenant_id=TENANT)
    assert (await outbound.claims(app))["appid"] == CLIENT_ID
    _, shown = sent_assertion(outbound)
    assert shown["aud"] == "api://AzureADTokenExchange"
    kind = "system" if machine.lower() == "system" else "user"
    assert app.credentials == FederatedIdentityCredentials(
        client_id=CLIENT_ID,
        managed_identity_type="system" if kind == "system" else "user",
        managed_identity_client_id=None if kind == "system" else machine,
        tenant_id=TENANT,
    )


async def test_the_token_of_the_managed_identity_is_kept_too(outbound: Outbound, clock: VirtualClock) -> None:
    outbound.register(managed_identity="system")
    app = outbound.app(managed_identity_client_id="system")
    await outbound.token(app)
    await clock.sleep(3600)
    await outbound.token(app)
    assert outbound.asked == 2
    assert len([url for url in outbound.provider.fetched if "169.254" in url]) == 1


async def test_a_managed_identity_that_is_not_trusted_is_the_errors_point(outbound: Outbound) -> None:
    outbound.register(managed_identity=MACHINE)
    app = outbound.app(managed_identity_client_id="system")
    with pytest.raises(TokenError, match="managed identity of the system"):
        await app.send("a:1", "hello")


# Clouds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cloud", CLOUDS, ids=CLOUD_NAMES)
@pytest.mark.parametrize("how", ["secret", "certificate", "managed", "federated"])
async def test_each_cloud_is_asked_at_its_own_hosts_for_its_own_scope_and_no_other(
    cloud: CloudEnvironment, how: str, tmp_path: Path, clock: VirtualClock
) -> None:
    outbound = Outbound(Provider(cloud))
    options: dict[str, Any] = {"client_secret": SECRET}
    if how == "certificate":
        path = tmp_path / "bot.pem"
        await put(path, make_certificate("bot"))
        options = {"client_certificate_path": path}
    elif how != "secret":
        options = {"managed_identity_client_id": CLIENT_ID if how == "managed" else "system"}
    outbound.register(
        client_secret=SECRET,
        certificate=make_certificate("bot"),
        managed_identity=options.get("managed_identity_client_id"),
        cloud=cloud,
    )
    host = next(host for host in cloud.service_hosts if not host.startswith("*"))
    app = outbound.app(cloud=CLOUD_NAMES[CLOUDS.index(cloud)], service_url=f"https://{host}/x", **options)
    claims = await outbound.claims(app)
    assert claims["aud"] == cloud.bot_scope.removesuffix("/.default")
    token = await app.token_provider.get_app_token(cloud.graph_scope, TENANT)
    assert token is not None
    assert read(token)["aud"] == cloud.graph_scope.removesuffix("/.default")
    hosts = {url.split("/")[2] for url in outbound.provider.fetched}
    assert hosts <= {cloud.login_endpoint.removeprefix("https://"), "169.254.169.254"}
    if how == "federated":
        assert sent_assertion(outbound)[1]["aud"] == cloud.token_exchange_resource
    await app.stop()


async def test_an_identity_platform_on_this_machine_may_speak_http(
    outbound: Outbound, tmp_path: Path
) -> None:
    await put(tmp_path / "bot.pem", make_certificate("bot"))
    local = with_overrides(PUBLIC, login_endpoint="http://127.0.0.1:5000")
    outbound.register(certificate=make_certificate("bot"), cloud=local)
    app = outbound.app(cloud=local, client_certificate_path=tmp_path / "bot.pem")
    assert await outbound.token(app)
    assert {url.split("/")[0] for url in outbound.provider.fetched} == {"http:"}


# Choosing -----------------------------------------------------------------------------------------------


def token(scope: str | list[str], tenant: str | None) -> str:
    return "token"


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        ({}, {}, None),
        ({"client_id": None}, {"CLIENT_SECRET": "s"}, None),
        ({"client_secret": "s"}, {}, ClientCredentials(client_id=CLIENT_ID, client_secret="s")),
        ({}, {"CLIENT_SECRET": "s"}, ClientCredentials(client_id=CLIENT_ID, client_secret="s")),
        ({"token": token}, {"CLIENT_SECRET": "s"}, TokenCredentials(client_id=CLIENT_ID, token=token)),
        (
            {"managed_identity_client_id": "system"},
            {"CLIENT_SECRET": "s", "CLIENT_CERTIFICATE_PATH": "x"},
            FederatedIdentityCredentials(client_id=CLIENT_ID, managed_identity_type="system"),
        ),
        (
            {},
            {"MANAGED_IDENTITY_CLIENT_ID": "other", "TENANT_ID": "t"},
            FederatedIdentityCredentials(
                client_id=CLIENT_ID,
                managed_identity_type="user",
                managed_identity_client_id="other",
                tenant_id="t",
            ),
        ),
    ],
)
def test_the_apps_credentials_say_what_was_chosen(
    options: dict[str, Any], environ: dict[str, str], expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    given = {"client_id": CLIENT_ID, "transport": Provider(), **options}
    assert App(**given).credentials == expected


@pytest.mark.parametrize(
    ("options", "environ", "complaint"),
    [
        ({"client_secret": "s", "token": token}, {}, "token and client_secret are both given"),
        (
            {"client_certificate_path": "x", "managed_identity_client_id": "system"},
            {},
            "client_certificate_path and managed_identity_client_id are both given",
        ),
        (
            {},
            {"CLIENT_SECRET": "s", "MANAGED_IDENTITY_CLIENT_ID": "system"},
            "CLIENT_SECRET and MANAGED_IDENTITY_CLIENT_ID are both given",
        ),
        ({"client_certificate_password": "p"}, {}, "client_certificate_password is given without"),
        ({}, {"CLIENT_CERTIFICATE_PASSWORD": "p"}, "CLIENT_CERTIFICATE_PASSWORD is given without"),
        ({"client_id": None, "token": token}, {}, "token is given without client_id"),
        (
            {"client_id": None, "client_secret": "s"},
            {},
            r"client_secret is given without client_id \(or CLIENT",
        ),
        (
            {"client_secret": "s", "token": token, "managed_identity_client_id": "system"},
            {},
            "token, client_secret and managed_identity_client_id are all given",
        ),
    ],
)
def test_what_cannot_be_chosen_from_is_refused_by_name(
    options: dict[str, Any], environ: dict[str, str], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=complaint):
        App(**{"client_id": CLIENT_ID, **options})


def test_a_token_that_is_text_is_refused_without_being_repeated() -> None:
    wrong: Any = "eyJhbGciOi"
    with pytest.raises(TypeError, match="token is of type str, but must be a function") as caught:
        App(client_id=CLIENT_ID, token=wrong)
    assert wrong not in str(caught.value)
