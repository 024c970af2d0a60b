"""The emulated identity platform: who vouches for the service, for people, and for the bot.

It stands for the Bot Framework's OpenID provider (teams-protocol.md section 8), for Microsoft Entra ID
("Microsoft identity platform": OpenID Connect discovery, client credentials flow, certificate credentials,
workload identity federation; "Agent identity": fmi_path and user_fic) and for the endpoints of managed
identities (`managed_identity.py`), in all clouds. The keys are real, and so are the signatures.

`IdentityProvider.answer` is pure: it is handed a request and gives a reply. The time is that of the **wall**,
even where a `VirtualClock` runs: PyJWT and msal read the clock on the wall, and a token is good or not by
that one.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from cadenza.api import CadenzaError, CloudEnvironment
from cadenza.testing import answers
from cadenza.testing.clouds import CHINA, CLOUDS, PUBLIC, documented
from cadenza.testing.exchange import Reply
from cadenza.testing.keys import KeyRing, SigningKey, encode_token
from cadenza.testing.registration import Registration
from cadenza.testing.service import HOME_TENANT

if TYPE_CHECKING:
    from cadenza.api import Request
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["IdentityProvider", "InvalidTokenError", "concerns"]

LIFETIME_SECONDS = 3600
"""How long a token is good (Entra: 60 to 90 minutes; the Bot Framework: one hour)."""

OPENID_HOSTS = frozenset(urlsplit(cloud.openid_metadata_url).netloc for cloud in CLOUDS)
LOGIN_HOSTS = frozenset(urlsplit(cloud.login_endpoint).netloc for cloud in CLOUDS) | {
    "login.windows.net",
    "login.microsoft.com",
    "sts.windows.net",
}
LINK_LOCAL = "169.254."
"""Where machines of Azure ask for what concerns them: 169.254.169.254 (IMDS), and another for App Service."""

V1_ISSUERS = {CHINA.login_endpoint: "https://sts.chinacloudapi.cn"}
TENANTS = {  # those of the Bot Framework (teams-protocol.md section 8)
    "botframework.com": "d6d49420-f39b-4df7-a1dc-d59a935871db",
    "microsoftservices.onmicrosoft.us": "cab8a31a-1906-4287-a0d8-4eef66b95f6e",
}
ANY_TENANT = frozenset(("common", "organizations", "consumers"))
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

_PATHS = re.compile(
    r"/v1/\.well-known/(openidconfiguration|keys)"
    r"|/[^/]+(/v2\.0)?/\.well-known/openid-configuration"
    r"|/[^/]+/discovery/(v2\.0/)?keys|/common/discovery/instance"
    r"|/[^/]+/oauth2/(v2\.0/)?token"
    r"|/metadata/identity/oauth2/token|/msi/token/?",
    re.IGNORECASE,
)

NOT_FOUND = answers.error(404, "NotFound", "There is no such resource.")


class InvalidTokenError(CadenzaError):
    """A token that is not good. The text says why, and does not hold it."""


class IdentityProvider:
    """Signs tokens, publishes its keys, and gives tokens to apps that prove who they are.

    The switches are for tests: `down`: nobody answers; `delay`: seconds until an answer comes; `lifetime`:
    seconds that a token is good; `endorsements`: the channels for which the Bot Framework's keys vouch (None:
    they do not say); `key_issuer`: for whom Entra's keys vouch, with "{login}" for the login endpoint (None:
    they do not say); `resources`: what apps may ask tokens for, besides what belongs to a bot; `forced`:
    replies by the end of a path ("/oauth2/v2.0/token"), given instead of the real ones.

    `fetched` are the URLs that were asked for, in order, `forms` what the token endpoint was sent.
    """

    def __init__(
        self,
        *registrations: Registration,
        service_url: Callable[[], str | None] = lambda: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`service_url`: the one that tokens of the service are made for, unless said otherwise. `wall`: the
        time, in seconds since 1970."""
        self.registrations: dict[str, Registration] = {}
        self.bot: Registration | None = None
        """The bot under test."""
        self.bot_keys = KeyRing("bot-key")
        """The Bot Framework's."""
        self.entra_keys = KeyRing("entra-key")
        self.down = False
        self.delay = 0.0
        self.lifetime = LIFETIME_SECONDS
        self.endorsements: list[str] | None = ["msteams"]
        self.key_issuer: str | None = "{login}/{tenantid}/v2.0"
        self.resources: set[str] = set()
        self.forced: dict[str, Reply] = {}
        self.fetched: list[str] = []
        self.forms: list[dict[str, str]] = []
        self.wall = wall
        self._service_url = service_url
        self._delivery: tuple[tuple[object, ...], str, float] | None = None
        self._read: dict[str, dict[str, Any]] = {}
        for registration in registrations:
            self.register(registration)

    # -- apps

    def register(self, registration: Registration) -> Registration:
        """Make an app known. The first one is `bot`, unless that is set."""
        self.registrations[registration.client_id] = registration
        self.bot = self.bot or registration
        return registration

    @property
    def cloud(self) -> CloudEnvironment:
        """The bot's, as it is documented (`clouds.py`); the public one if there is no bot."""
        return PUBLIC if self.bot is None else documented(self.bot.cloud)

    # -- signing

    def bot_token(
        self,
        audience: str | None = None,
        service_url: str | None = None,
        *,
        algorithm: str = "RS256",
        key: SigningKey | RSAPrivateKey | bytes | None = None,
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token of the Bot Framework, as a delivery carries it: for the bot, and for one service URL.

        A claim given as None is left out. The others are as for `sign`.
        """
        now = int(self.wall())
        good: dict[str, Any] = {
            "serviceurl": service_url or self._service_url(),
            "nbf": now,
            "exp": now + self.lifetime,
            "iss": self.cloud.token_issuer,
        }
        if "aud" not in claims:
            good["aud"] = audience or self._client_id()
        return self.sign({**good, **claims}, algorithm=algorithm, key=key, headers=headers)

    def entra_token(
        self,
        audience: str | None = None,
        *,
        version: str = "2.0",
        cloud: CloudEnvironment | None = None,
        algorithm: str = "RS256",
        key: SigningKey | RSAPrivateKey | bytes | None = None,
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token of Entra for a person, as a tab page gets it: for the bot (`audience`), of version "2.0" or
        "1.0". A claim given as None is left out. The others are as for `sign`.

        Made for an app instead of a person it has neither `scp` nor `name`, and `idtyp="app"`.
        """
        tenant = claims.get("tid") or (self.bot and self.bot.tenant_id) or HOME_TENANT
        person: dict[str, Any] = {
            "oid": str(uuid.uuid5(uuid.NAMESPACE_URL, "user")),
            "sub": "pairwise",
            "name": "user",
            "scp": "access_as_user",
        }
        app = "1fec8e78-bce4-4aaf-ab1b-5451cc387264"  # Teams, on a desktop and on a telephone
        good = self._entra_claims(documented(cloud or self.cloud), str(tenant), app, version)
        if "aud" not in claims:
            good["aud"] = audience or self._client_id()
        return self.sign(
            {**good, **person, **claims},
            algorithm=algorithm,
            key=key,
            headers=headers,
            ring=self.entra_keys,
        )

    def sign(
        self,
        claims: Mapping[str, Any] | bytes,
        *,
        algorithm: str = "RS256",
        key: SigningKey | RSAPrivateKey | bytes | None = None,
        headers: Mapping[str, Any] | None = None,
        ring: KeyRing | None = None,
    ) -> str:
        """Sign anything. Claims, and headers, that are None are left out; `claims` may be bytes as well.

        `key` is by default the one in use of `ring` (the Bot Framework's); it may be one that the header does
        not name, such as `stranger`. For "none" there is no key, and for HS256 it is the public key as PEM,
        which some take for a secret.
        """
        current = key if isinstance(key, SigningKey) else (ring or self.bot_keys).current
        material: RSAPrivateKey | bytes | None
        if isinstance(key, SigningKey) or key is None:
            material = current.public_pem if algorithm.startswith("HS") else current.private
        else:
            material = key
        if not isinstance(claims, bytes):
            claims = {name: value for name, value in claims.items() if value is not None}
        named = {"kid": current.kid, "x5t": current.kid, **(headers or {})}
        named = {name: value for name, value in named.items() if value is not None}
        return encode_token(claims, named, algorithm, material)

    @property
    def stranger(self) -> RSAPrivateKey:
        """A key that nobody has published: a token that it signs names another key."""
        return SigningKey("stranger").private

    def delivery_token(self, service_url: str | None) -> str:
        """The token of a delivery to the bot: the same one for most of its life, as the service does it."""
        now = self.wall()
        about = (service_url, self._client_id(), self.bot_keys.current, self.lifetime)
        if self._delivery is None or self._delivery[0] != about or self._delivery[2] <= now:
            self._delivery = about, self.bot_token(service_url=service_url), now + self.lifetime / 2
        return self._delivery[1]

    def app_token(
        self,
        client_id: str,
        resource: str,
        tenant: str,
        *,
        cloud: CloudEnvironment | None = None,
        **claims: Any,
    ) -> str:
        """A token of Entra for an app itself, as the token endpoint gives it. The resources of bots take
        those of version 1."""
        cloud = documented(cloud or self.cloud)
        version = "2.0" if resource == cloud.token_exchange_resource or GUID.fullmatch(resource) else "1.0"
        good = self._entra_claims(cloud, self.tenant_id(tenant), client_id, version)
        principal = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{good['tid']}/{client_id}"))
        good |= {"aud": resource, "oid": principal, "sub": principal, "idtyp": "app"}
        return self.sign({**good, **claims}, ring=self.entra_keys)

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token that Entra, as it is emulated here, has made, and that is good still.

        A key that is published no more is as good as any. Raises `InvalidTokenError`.
        """
        claims = self._read.get(token)
        if claims is None:
            claims = self._verify(token)
            if len(self._read) >= 1_000:
                self._read.clear()
            self._read[token] = claims
        expires = claims.get("exp")
        if not isinstance(expires, (int, float)) or expires <= self.wall():
            raise InvalidTokenError(f"the token has expired (exp is {expires!r})")
        return claims

    def _verify(self, token: str) -> dict[str, Any]:
        import jwt

        try:
            if token.count(".") != 2:
                raise InvalidTokenError(
                    "this is no token of the identity provider but opaque; if it is the bot's own, name it: "
                    "Registration(token=...)"
                )
            key = self.entra_keys.find(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise InvalidTokenError("the token is not of this identity provider: it has no such key")
            claims: dict[str, Any] = jwt.decode(
                token,
                key.private.public_key(),
                algorithms=["RS256"],
                options={"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise InvalidTokenError(f"this is no token of the identity provider: {error}") from None
        return claims

    def find_problem(self, authorization: str | None) -> str | None:
        """What the service objects to in the Authorization header of a request of the bot's, if anything."""
        bot = self.bot
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return "the request carries no bearer token"
        if bot is not None and bot.token is not None and token.strip() == bot.token:
            return None
        try:
            claims = self.verify(token.strip())
        except InvalidTokenError as error:
            return str(error)
        cloud = self.cloud
        app, parent = claims.get("appid") or claims.get("azp"), claims.get("xms_par_app_azp")
        agentic = bot is not None and parent == bot.client_id
        if bot is None or not (app == bot.client_id or agentic):
            return f"the token is of the app {app!r}, which is not the bot"
        if bot.tenant_id is not None and not agentic and claims.get("tid") != self.tenant_id(bot.tenant_id):
            return f"the token is of the tenant {claims.get('tid')!r}, and the bot is in {bot.tenant_id!r}"
        scopes = (cloud.bot_scope, cloud.agent_bot_scope) if agentic else (cloud.bot_scope,)
        audiences = [resource_of(scope) for scope in scopes]
        if str(claims.get("aud")).rstrip("/") not in audiences:
            return f"the token is for {claims.get('aud')!r}, not for {' or '.join(audiences)}"
        return None

    # -- keys

    def rotate_keys(self, *, keep: bool = False) -> None:
        """Sign with new keys from now on; the old ones are published no more, unless `keep`."""
        self.bot_keys.rotate(keep=keep)
        self.entra_keys.rotate(keep=keep)

    def publish(self, kid: str) -> None:
        """Publish a key of the past again. KeyError if there was none with that id."""
        self._ring_of(kid).publish(kid)

    def withdraw(self, kid: str) -> None:
        """Publish a key no more, though it may still sign. KeyError if it is not published."""
        self._ring_of(kid).withdraw(kid)

    def _ring_of(self, kid: str) -> KeyRing:
        return self.bot_keys if self.bot_keys.find(kid) else self.entra_keys

    # -- answering

    def answer(self, request: Request, now: float | None = None) -> Reply:
        """What is answered to a request, at a time of the wall (by default now). `concerns` tells which."""
        self.fetched.append(request.url)
        now = self.wall() if now is None else now
        url = urlsplit(request.url)
        base, query = f"{url.scheme}://{url.netloc}", dict(parse_qsl(url.query))
        segments = url.path.strip("/").split("/")
        form: dict[str, str] = {}
        if segments[-1] == "token" and request.method == "POST":
            form = dict(parse_qsl((request.body or b"").decode(errors="replace")))
            self.forms.append(form)
        for ending, reply in self.forced.items():
            if url.path.endswith(ending):
                return reply
        match request.method, segments:
            case "GET", ["v1", ".well-known", "openidconfiguration"]:
                return self._openid(base)
            case "GET", ["v1", ".well-known", "keys"]:
                return Reply(200, {"keys": [self._bot_key(key) for key in self.bot_keys.published.values()]})
            case "GET", ["common", "discovery", "instance"]:
                return _discover(base, query)
            case "GET", [tenant, *version, ".well-known", "openid-configuration"]:
                return self._metadata(base, tenant, "/".join(version))
            case "GET", [_, "discovery", *_, "keys"]:
                keys = self.entra_keys.published.values()
                return Reply(200, {"keys": [self._entra_key(key, base) for key in keys]})
            case "POST", [tenant, "oauth2", *_, "token"]:
                from cadenza.testing.token_endpoint import TokenRequest

                return TokenRequest(self, base, tenant, form, _lower(request.headers), now).answer()
            case "GET", ["metadata", "identity", "oauth2", "token"]:
                from cadenza.testing import managed_identity

                return managed_identity.answer_machine(self, query, _lower(request.headers), now)
            case "GET", [msi, "token"] if msi.lower() == "msi":
                from cadenza.testing import managed_identity

                return managed_identity.answer_app_service(self, query, _lower(request.headers), now)
        return NOT_FOUND

    def _openid(self, base: str) -> Reply:
        issuers = {urlsplit(cloud.openid_metadata_url).netloc: cloud.token_issuer for cloud in CLOUDS}
        return Reply(
            200,
            {
                "issuer": issuers.get(urlsplit(base).netloc, self.cloud.token_issuer),
                "authorization_endpoint": "https://invalid.botframework.com",
                "jwks_uri": f"{base}/v1/.well-known/keys",
                "id_token_signing_alg_values_supported": ["RS256"],
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            },
        )

    def _metadata(self, base: str, tenant: str, version: str) -> Reply:
        known = self.find_tenant(tenant)
        if known is None:
            from cadenza.testing.token_endpoint import refusal

            return refusal(400, "invalid_tenant", 90002, f"Tenant '{tenant}' not found.", self.wall(), {})
        name = "{tenantid}" if tenant in ANY_TENANT else known
        where = tenant if tenant in ANY_TENANT else known
        dash = f"/{version}" if version else ""
        return Reply(
            200,
            {
                "token_endpoint": f"{base}/{where}/oauth2{dash}/token",
                "token_endpoint_auth_methods_supported": [
                    "client_secret_post",
                    "private_key_jwt",
                    "client_secret_basic",
                ],
                "jwks_uri": f"{base}/{where}/discovery{dash}/keys",
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "issuer": f"{base}/{name}/v2.0" if version else f"{_v1_issuer(base)}/{name}/",
                "authorization_endpoint": f"{base}/{where}/oauth2{dash}/authorize",
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
            },
        )

    def _bot_key(self, key: SigningKey) -> dict[str, Any]:
        endorsements = {} if self.endorsements is None else {"endorsements": list(self.endorsements)}
        return key.to_jwk() | endorsements

    def _entra_key(self, key: SigningKey, base: str) -> dict[str, Any]:
        if self.key_issuer is None:
            return key.to_jwk()
        return key.to_jwk() | {"issuer": self.key_issuer.replace("{login}", base)}

    # -- tenants and resources

    def tenant_id(self, tenant: str) -> str:
        """The GUID of a tenant that may be named by a domain."""
        if GUID.fullmatch(tenant):
            return tenant.lower()
        domain = tenant.lower()
        return TENANTS.get(domain) or str(uuid.uuid5(uuid.NAMESPACE_DNS, domain))

    def find_tenant(self, tenant: str) -> str | None:
        """The GUID of a tenant, or what stands for any; None for what can be no tenant's name."""
        if tenant in ANY_TENANT:
            return tenant
        return self.tenant_id(tenant) if GUID.fullmatch(tenant) or "." in tenant else None

    def knows_resource(self, resource: str, cloud: CloudEnvironment) -> bool:
        """Whether there is something of that name that tokens are made for."""
        scopes = (cloud.bot_scope, cloud.agent_bot_scope, cloud.graph_scope)
        known = {*map(resource_of, scopes), cloud.token_exchange_resource, *self.resources, *self._apps()}
        return resource.rstrip("/") in known

    def _apps(self) -> Iterator[str]:
        for client_id in self.registrations:
            yield client_id
            yield f"api://{client_id}"
            yield f"api://botid-{client_id}"

    def _client_id(self) -> str:
        if self.bot is None:
            raise ValueError("no bot is registered: give an audience, or call teams.register(client_id=...)")
        return self.bot.client_id

    def _entra_claims(
        self, cloud: CloudEnvironment, tenant: str, client_id: str, version: str
    ) -> dict[str, Any]:
        """What every token of Entra holds."""
        now = int(self.wall())
        login = cloud.login_endpoint.rstrip("/")
        by_version = (
            {"iss": f"{login}/{tenant}/v2.0", "azp": client_id, "azpacr": "1", "ver": "2.0"}
            if version == "2.0"
            else {"iss": f"{_v1_issuer(login)}/{tenant}/", "appid": client_id, "appidacr": "1", "ver": "1.0"}
        )
        times = {"iat": now, "nbf": now, "exp": now + self.lifetime}
        return {**by_version, **times, "tid": tenant, "uti": uuid.uuid4().hex[:22]}


def concerns(url: str, *, served: bool = False) -> bool:
    """Whether a URL is of the identity platform: by its host or, where the emulator is `served`, its path."""
    parts = urlsplit(url)
    if parts.netloc in OPENID_HOSTS or parts.netloc in LOGIN_HOSTS or parts.netloc.startswith(LINK_LOCAL):
        return True
    return served and _PATHS.fullmatch(parts.path) is not None


def resource_of(scope: str) -> str:
    """What a scope such as `https://graph.microsoft.com/.default` asks a token for."""
    return scope.removesuffix("/.default").rstrip("/")


def _v1_issuer(login: str) -> str:
    return V1_ISSUERS.get(login, "https://sts.windows.net")


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _discover(base: str, query: Mapping[str, str]) -> Reply:
    asked = urlsplit(query.get("authorization_endpoint", ""))
    if asked.netloc not in LOGIN_HOSTS and f"{asked.scheme}://{asked.netloc}" != base:
        from cadenza.testing.token_endpoint import refusal

        words = "Invalid instance: the authority is not known."
        return refusal(400, "invalid_instance", 50049, words, time.time(), {})
    tenant = asked.path.strip("/").partition("/")[0] or "common"
    hosts = [
        ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"],
        ["login.microsoftonline.us"],
        ["login.partner.microsoftonline.cn"],
    ]
    return Reply(
        200,
        {
            "tenant_discovery_endpoint": (
                f"{asked.scheme}://{asked.netloc}/{tenant}/v2.0/.well-known/openid-configuration"
            ),
            "api-version": "1.1",
            "metadata": [
                {"preferred_network": names[0], "preferred_cache": names[-1], "aliases": names}
                for names in hosts
            ],
        },
    )
