"""The token endpoint of the emulated Entra: who an app is, what it may have, and Entra's words if not.

Sources: Microsoft identity platform, "OAuth 2.0 client credentials flow", "Certificate credentials", "Error
codes"; "Workload identity federation"; "Agent identity": "Agent's user account flow" (fmi_path, user_fic).
What msal 1.39 sends is what the tests of this module let it send.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from cadenza.api import CloudEnvironment
from cadenza.testing.clouds import CLOUDS, PUBLIC
from cadenza.testing.exchange import Reply
from cadenza.testing.identity import InvalidTokenError, resource_of
from cadenza.testing.keys import base64url, certificate_of, thumbprints
from cadenza.testing.managed_identity import principal_of

if TYPE_CHECKING:
    from cadenza.testing.identity import IdentityProvider
    from cadenza.testing.registration import Registration

__all__ = ["TokenRequest", "refusal"]

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SKEW_SECONDS = 300
"""How far the clocks may be apart ("Certificate credentials": nbf and exp)."""

ALGORITHMS = ("PS256", "RS256")
AGENTIC_SUBJECT = "/eid1/"
"""How the subject of an assertion begins that a blueprint has got by fmi_path."""


class RefusedRequestError(Exception):
    """Carries the refusal out of wherever it is decided."""

    def __init__(self, status: int, error: str, code: int, description: str) -> None:
        super().__init__(description)
        self.status, self.error, self.code, self.description = status, error, code, description


class TokenRequest:
    """One request for a token. `base` is the login endpoint, `form` the decoded body."""

    def __init__(
        self,
        identity: IdentityProvider,
        base: str,
        tenant: str,
        form: Mapping[str, str],
        headers: Mapping[str, str],
        now: float,
    ) -> None:
        self._identity = identity
        self._base = base
        self._tenant = tenant
        self._form = form
        self._headers = headers
        self._now = now
        self._cloud = _cloud_of(base, identity.cloud)
        self._exchange = self._cloud.token_exchange_resource
        """For whom a token is made that is to be shown to Entra again ("Workload identity federation")."""
        self._parent: str | None = None
        """The blueprint of the agentic identity that asks."""

    def answer(self) -> Reply:
        """A token, or what Entra objects to."""
        try:
            return Reply(200, self._grant(), {"cache-control": "no-store"})
        except RefusedRequestError as error:
            return refusal(error.status, error.error, error.code, error.description, self._now, self._headers)

    def _grant(self) -> dict[str, Any]:
        identity = self._identity
        if identity.find_tenant(self._tenant) is None:
            raise RefusedRequestError(400, "invalid_request", 90002, f"Tenant '{self._tenant}' not found.")
        grant = self._require("grant_type")
        client_id, secret = self._credentials()
        match grant:
            case "client_credentials":
                self._authenticate(client_id, secret)
                return self._for_app(client_id)
            case "user_fic":
                self._authenticate(client_id, secret)
                return self._for_user(client_id)
        words = f"The app requested an unsupported grant type '{grant}'."
        raise RefusedRequestError(400, "unsupported_grant_type", 70003, words)

    def _credentials(self) -> tuple[str, str | None]:
        scheme, _, basic = self._headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                name, _, secret = base64.b64decode(basic).decode().partition(":")
            except ValueError:
                raise RefusedRequestError(
                    400, "invalid_request", 9000410, "Malformed Authorization header."
                ) from None
            return unquote_plus(name), unquote_plus(secret)
        return self._require("client_id"), self._form.get("client_secret")

    def _require(self, name: str) -> str:
        value = self._form.get(name)
        if not value:
            words = f"The request body must contain the following parameter: '{name}'."
            raise RefusedRequestError(400, "invalid_request", 900144, words)
        return value

    # -- who asks

    def _authenticate(self, client_id: str, secret: str | None) -> None:
        registration = self._find(client_id)
        assertion = self._form.get("client_assertion")
        if registration is None and client_id in self._identity.registrations:
            raise self._unknown(client_id)  # in this tenant
        if assertion is not None:
            if self._form.get("client_assertion_type") != ASSERTION_TYPE:
                words = f"The parameter 'client_assertion_type' must be '{ASSERTION_TYPE}'."
                raise RefusedRequestError(400, "invalid_request", 50027, words)
            self._check_assertion(client_id, registration, assertion)
        elif registration is None:
            raise self._unknown(client_id)
        elif secret is None:
            raise RefusedRequestError(
                401,
                "invalid_client",
                7000218,
                "The request body must contain the following parameter: 'client_assertion' or "
                "'client_secret'.",
            )
        elif registration.client_secret is None or secret != registration.client_secret:
            raise RefusedRequestError(
                401,
                "invalid_client",
                7000215,
                "Invalid client secret provided. Ensure the secret being sent in the request is the client "
                f"secret value, not the client secret ID, for a secret added to app '{client_id}'.",
            )

    def _find(self, client_id: str) -> Registration | None:
        """The registration of an app that this tenant knows."""
        found = self._identity.registrations.get(client_id)
        if found is None or found.tenant_id is None:
            return found
        tenant_id = self._identity.tenant_id
        return found if tenant_id(found.tenant_id) == tenant_id(self._tenant) else None

    def _unknown(self, client_id: str) -> RefusedRequestError:
        return RefusedRequestError(
            400,
            "unauthorized_client",
            700016,
            f"Application with identifier '{client_id}' was not found in the directory '{self._tenant}'. "
            "This can happen if the application has not been installed by the administrator of the tenant "
            "or consented to by any user in the tenant.",
        )

    def _check_assertion(self, client_id: str, registration: Registration | None, assertion: str) -> None:
        import jwt

        try:
            header = jwt.get_unverified_header(assertion)
            claims: dict[str, Any] = jwt.decode(assertion, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError):
            raise RefusedRequestError(
                401, "invalid_client", 50027, "JWT token is invalid or malformed."
            ) from None
        # An agentic identity has no registration of its own: its blueprint vouches for it.
        agentic = str(claims.get("sub")).startswith(AGENTIC_SUBJECT)
        if registration is None and not agentic:
            raise self._unknown(client_id)
        if registration is not None and claims.get("iss") in (client_id, claims.get("sub")):
            self._check_certificate(client_id, registration, assertion, header, claims)
        else:
            self._check_federated(client_id, registration, assertion, claims)

    def _check_certificate(
        self,
        client_id: str,
        registration: Registration,
        assertion: str,
        header: Mapping[str, Any],
        claims: Mapping[str, Any],
    ) -> None:
        """An assertion of the app's own, signed with its certificate."""
        import jwt

        if claims.get("iss") != client_id or claims.get("sub") != client_id:
            words = "Client assertion application identifier doesn't match 'client_id' parameter."
            raise RefusedRequestError(401, "invalid_client", 700021, words)
        named = header.get("x5t#S256") or header.get("x5t")
        certificate = None if registration.certificate is None else certificate_of(registration.certificate)
        if not isinstance(named, str) or certificate is None or not _names(header, thumbprints(certificate)):
            raise RefusedRequestError(
                401,
                "invalid_client",
                700027,
                "The certificate with identifier used to sign the client assertion is not registered on "
                "application. [Reason - The key was not found., "
                f"Thumbprint of key used by client: '{named}']",
            )
        try:
            jwt.decode(
                assertion,
                certificate.public_key(),  # type: ignore[arg-type] # of whatever kind: PyJWT looks
                algorithms=list(ALGORITHMS),
                options={"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.PyJWTError:
            raise RefusedRequestError(
                401, "invalid_client", 700027, "Client assertion failed signature validation."
            ) from None
        self._check_audience(claims)
        self._check_times(claims)

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        names = {self._tenant, self._identity.tenant_id(self._tenant)}
        endings = ("/oauth2/v2.0/token", "/oauth2/token", "/v2.0")
        bases = {self._base, self._base.replace("http://", "https://", 1)}  # msal speaks of https alone
        if claims.get("aud") not in {
            f"{one}/{name}{end}" for one in bases for name in names for end in endings
        }:
            raise RefusedRequestError(
                401,
                "invalid_client",
                700023,
                f"Client assertion audience claim does not match Realm issuer. It was {claims.get('aud')!r}.",
            )

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        expires, begins = claims.get("exp"), claims.get("nbf", 0)
        numbers = isinstance(expires, (int, float)) and isinstance(begins, (int, float))
        if numbers and float(begins) - SKEW_SECONDS <= self._now < float(expires or 0) + SKEW_SECONDS:
            return
        words = "Client assertion is not within its valid time range."
        raise RefusedRequestError(401, "invalid_client", 700024, words)

    def _check_federated(
        self, client_id: str, registration: Registration | None, assertion: str, claims: Mapping[str, Any]
    ) -> None:
        """An assertion that somebody else has made: a managed identity, or the blueprint of an agent."""
        try:
            self._identity.verify(assertion)
        except InvalidTokenError as error:
            raise RefusedRequestError(
                401, "invalid_client", 7002132, f"The presented assertion cannot be verified: {error}."
            ) from None
        subject = str(claims.get("sub"))
        if claims.get("aud") == self._exchange:
            blueprint = str(claims.get("azp"))
            if subject.startswith(AGENTIC_SUBJECT):
                if subject.rpartition("/")[2] == client_id:
                    self._parent = blueprint
                    return
            elif (
                registration is not None
                and registration.managed_identity not in (None, client_id)
                and subject == principal_of(registration.managed_identity or "")
            ):
                return
        raise RefusedRequestError(
            401,
            "invalid_client",
            700213,
            "No matching federated identity record found for presented assertion subject "
            f"'{subject}' with issuer '{claims.get('iss')}' and audience '{claims.get('aud')}'.",
        )

    # -- what it gets

    def _for_app(self, client_id: str) -> dict[str, Any]:
        resource = self._resource()
        path = self._form.get("fmi_path")
        claims: dict[str, Any] = {}
        if path is not None:
            if resource != self._exchange:
                words = f"The parameter 'fmi_path' needs the scope {self._exchange}/.default."
                raise RefusedRequestError(400, "invalid_request", 900023, words)
            tenant = self._identity.tenant_id(self._tenant)
            where = base64url(uuid.UUID(tenant).bytes_le)
            claims["sub"] = f"/eid1/c/pub/t/{where}/a/{base64url(client_id.encode())}/{path}"
        if self._parent is not None:
            claims["xms_par_app_azp"] = self._parent
        token = self._identity.app_token(client_id, resource, self._tenant, cloud=self._where(), **claims)
        return self._token(token)

    def _for_user(self, client_id: str) -> dict[str, Any]:
        if self._parent is None:
            words = (
                "The grant 'user_fic' is for agentic identities, which show an assertion of their blueprint."
            )
            raise RefusedRequestError(400, "unauthorized_client", 700016, words)
        use = self._form.get("requested_token_use", "on_behalf_of")
        if use != "on_behalf_of":
            words = f"The value '{use}' of the parameter 'requested_token_use' is not supported."
            raise RefusedRequestError(400, "invalid_request", 900023, words)
        shown = self._require("user_federated_identity_credential")
        try:
            claims = self._identity.verify(shown)
        except InvalidTokenError as error:
            raise RefusedRequestError(
                400, "invalid_grant", 50013, f"Assertion failed signature validation: {error}."
            ) from None
        if claims.get("aud") != self._exchange or client_id not in (
            claims.get("azp"),
            claims.get("appid"),
        ):
            raise RefusedRequestError(
                400, "invalid_grant", 500131, "Assertion audience or app does not match the agentic identity."
            )
        user, name = self._form.get("user_id"), self._form.get("username")
        if not user and not name:
            words = "The request body must contain the following parameter: 'user_id' or 'username'."
            raise RefusedRequestError(400, "invalid_request", 900144, words)
        oid = user or str(uuid.uuid5(uuid.NAMESPACE_URL, str(name)))
        token = self._identity.app_token(
            client_id,
            self._resource(of_user=True),
            self._tenant,
            cloud=self._where(),
            oid=oid,
            sub="pairwise",
            idtyp="user",
            scp="Bot.Send",
            upn=name,
            xms_par_app_azp=self._parent,
        )
        tenant = self._identity.tenant_id(self._tenant)
        info = base64url(json.dumps({"uid": oid, "utid": tenant}).encode())
        return self._token(token) | {"scope": self._form.get("scope", ""), "client_info": info}

    def _where(self) -> CloudEnvironment:
        """The cloud, at the login endpoint that was asked."""
        from dataclasses import replace

        return replace(self._cloud, login_endpoint=self._base)

    def _resource(self, *, of_user: bool = False) -> str:
        """What a token is asked for. Scopes of users may end in something else than .default."""
        scope = self._form.get("resource") or self._require("scope")
        for one in scope.split():
            if one in ("openid", "profile", "offline_access", "email"):  # msal asks for these besides
                continue
            if not of_user and "resource" not in self._form and not one.endswith("/.default"):
                raise RefusedRequestError(
                    400,
                    "invalid_scope",
                    1002012,
                    f"The provided value for scope {scope} is not valid. Client credential flows must have a "
                    "scope value with /.default suffixed to the resource identifier (application ID URI).",
                )
            resource = resource_of(one.rpartition("/")[0] + "/.default" if of_user else one)
            if self._identity.knows_resource(resource, self._cloud):
                return resource
            raise RefusedRequestError(
                400,
                "invalid_resource",
                500011,
                f"The resource principal named {resource} was not found in the tenant named {self._tenant}.",
            )
        raise RefusedRequestError(
            400,
            "invalid_scope",
            70011,
            f"The provided value for the input parameter 'scope' is not valid: {scope}",
        )

    def _token(self, token: str) -> dict[str, Any]:
        left = self._identity.lifetime - 1  # Entra says 3599, and so that nobody counts on round numbers
        return {"token_type": "Bearer", "expires_in": left, "ext_expires_in": left, "access_token": token}


def refusal(
    status: int, error: str, code: int, description: str, now: float, headers: Mapping[str, str]
) -> Reply:
    """An answer in Entra's error form."""
    at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    trace, correlation = str(uuid.uuid4()), headers.get("client-request-id") or str(uuid.uuid4())
    ids = f"Trace ID: {trace} Correlation ID: {correlation} Timestamp: {at}"
    return Reply(
        status,
        {
            "error": error,
            "error_description": f"AADSTS{code}: {description} {ids}",
            "error_codes": [code],
            "timestamp": at,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={code}",
        },
    )


def _names(header: Mapping[str, Any], known: tuple[str, str]) -> bool:
    """Whether an assertion names the certificate with these thumbprints; msal leaves the padding in."""
    sha1, sha256 = known
    given = {name: str(header[name]).rstrip("=") for name in ("x5t", "x5t#S256") if name in header}
    return given.get("x5t#S256", sha256) == sha256 and given.get("x5t", sha1) == sha1


def _cloud_of(base: str, own: CloudEnvironment) -> CloudEnvironment:
    """The cloud whose login endpoint is asked; the bot's own at the emulator's URL."""
    if base == own.login_endpoint:  # of the two that share one, too
        return own
    return next(
        (cloud for cloud in CLOUDS if cloud.login_endpoint == base), own if "127.0.0.1" in base else PUBLIC
    )
