"""`IdentityPlatform`: Microsoft's identity platform, and the managed identity of the machine, by way of msal.

It keeps no tokens; `AppTokens` does.
"""

import asyncio
from collections.abc import Mapping
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cadenza.api import CloudEnvironment, Transport
from cadenza.api.clouds import is_loopback_url

from .app_tokens import Grant
from .certificate import Certificate, CertificateFile
from .msal_http import MsalHttp, MsalRunner
from .tenants import check_tenant
from .token_errors import TokenError, refusal

if TYPE_CHECKING:
    from msal import ConfidentialClientApplication  # type: ignore[import-untyped]

ASSUMED_SECONDS = 300.0
"""The lifetime of a token that came without one. Ours."""

MOST_CLIENTS = 256
"""How many clients of msal are kept: one for each tenant, and for each agentic app. Ours."""


class _Assertion:
    """What msal asks for the assertion that was got for the client."""

    def __init__(self) -> None:
        self.text = ""

    def __call__(self) -> str:
        return self.text


class _Client:
    """One client id at one authority."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.lock = asyncio.Lock()
        self.application: ConfidentialClientApplication | None = None
        self.certificate: Certificate | None = None
        """That of `application`."""
        self.assertion = _Assertion()


class IdentityPlatform:
    """Asks for tokens. Blocks nobody: msal works in threads, and its requests go through `transport`."""

    def __init__(self, cloud: CloudEnvironment, transport: Transport) -> None:
        self._login = cloud.login_endpoint.rstrip("/")
        login = urlsplit(self._login)
        plain = login.scheme == "http" and is_loopback_url(self._login)
        self._http = MsalHttp(self._login, f"http://{login.netloc}" if plain else None)
        # Where to, Azure says: by a fixed address, or by environment variables.
        self._machine_http = MsalHttp()
        self._runner = MsalRunner(transport)
        self._clients: dict[tuple[str, str], _Client] = {}

    def authority(self, tenant: str) -> str:
        """The authority of a tenant. Raises `InvalidCredentialsError` for what is none."""
        check_tenant(tenant)
        return f"{self._login}/{tenant}"

    async def app_token(
        self,
        authority: str,
        client_id: str,
        scope: str,
        *,
        secret: str | None = None,
        certificate: CertificateFile | None = None,
        assertion: str | None = None,
        fmi_path: str | None = None,
    ) -> Grant:
        """A token of an app for a scope. It proves itself by a secret, by a certificate, which is read anew,
        or by an assertion, the token of somebody it trusts. Raises `TokenError`."""
        what = f"No token for client id {client_id} from {authority} ({scope})"
        shown = None if certificate is None else await self._runner.run(what, certificate.read)
        client = await self._client(
            what, authority, client_id, secret=secret, certificate=shown, assertion=assertion
        )
        more = {} if fmi_path is None else {"fmi_path": fmi_path}
        try:
            answer = await self._runner.run(
                what, lambda: _application(client).acquire_token_for_client([scope], **more)
            )
            return _grant(what, answer)
        except TokenError as error:
            raise _without(error, secret) from error.__cause__

    async def user_token(
        self, authority: str, client_id: str, scope: str, *, user_id: str, assertion: str, credential: str
    ) -> Grant:
        """A token of an agentic user, by the grant user_fic: `assertion` proves the agentic app `client_id`,
        `credential` is its token. Raises `TokenError`."""
        what = f"No token for the agentic user {user_id} of {client_id} from {authority} ({scope})"
        client = await self._client(what, authority, client_id, assertion=assertion)

        def ask() -> Mapping[str, Any]:
            answer: Mapping[str, Any] = _application(
                client
            ).acquire_token_by_user_federated_identity_credential(
                [scope],
                assertion=credential,
                user_object_id=user_id,
                data={"requested_token_use": "on_behalf_of"},
            )
            return answer

        return _grant(what, await self._runner.run(what, ask))

    async def managed_identity_token(self, resource: str, client_id: str | None) -> Grant:
        """A token of the managed identity of this machine with that client id; None: its own, assigned by
        the system. Raises `TokenError`."""
        whose = "of the system" if client_id is None else client_id
        what = f"No token for the managed identity {whose} ({resource})"

        def ask() -> Mapping[str, Any]:
            import msal

            identity = (
                msal.SystemAssignedManagedIdentity()
                if client_id is None
                else msal.UserAssignedManagedIdentity(client_id=client_id)
            )
            client = msal.ManagedIdentityClient(
                identity, http_client=self._machine_http, token_cache=_empty_cache(), http_cache=_NoAnswers()
            )
            answer: Mapping[str, Any] = client.acquire_token_for_client(resource=resource)
            return answer

        return _grant(what, await self._runner.run(what, ask))

    def close(self) -> None:
        """Let the threads end."""
        self._runner.close()

    async def _client(
        self,
        what: str,
        authority: str,
        client_id: str,
        *,
        secret: str | None = None,
        certificate: Certificate | None = None,
        assertion: str | None = None,
    ) -> _Client:
        client = self._clients.get((authority, client_id))
        if client is None or client.loop is not asyncio.get_running_loop():  # its lock may be held for ever
            if len(self._clients) >= MOST_CLIENTS:
                del self._clients[next(iter(self._clients))]
            client = self._clients[authority, client_id] = _Client()
        if assertion is not None:
            client.assertion.text = assertion  # who else asks with this client may use the newer one, too
        async with client.lock:
            if client.application is None or client.certificate != certificate:
                credential: Any = secret
                if certificate is not None:
                    # msal names it by its SHA-256 thumbprint, and sends it along (x5c).
                    credential = {"private_key": certificate.key, "public_certificate": certificate.public}
                elif secret is None:
                    credential = {"client_assertion": client.assertion}
                client.application = await self._runner.run(
                    what, lambda: self._new_application(authority, client_id, credential)
                )
                client.certificate = certificate
        return client

    def _new_application(
        self, authority: str, client_id: str, credential: Any
    ) -> "ConfidentialClientApplication":
        import msal  # it loads requests: not needed before the first token is

        return msal.ConfidentialClientApplication(
            client_id,
            client_credential=credential,
            authority=self._http.shown(authority),
            # The cloud says where its identity platform is; nobody is asked whether that is true.
            instance_discovery=False,
            azure_region=False,  # nor by MSAL_FORCE_REGION: regions are other hosts
            http_client=self._http,
            token_cache=_empty_cache(),
            http_cache=_NoAnswers(),
        )


class _NoAnswers(dict[Any, Any]):
    """An `http_cache` of msal that keeps nothing: it would repeat old refusals for a minute."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


def _empty_cache() -> Any:
    return _empty_cache_type()()


@cache
def _empty_cache_type() -> Any:
    import msal

    class EmptyCache(msal.TokenCache):  # type: ignore[misc]  # msal has no types
        """A `token_cache` of msal that keeps nothing: whoever asks it wants a new one."""

        def add(self, *_: Any, **__: Any) -> None:
            pass

    return EmptyCache


def _application(client: _Client) -> Any:
    return client.application


def _grant(what: str, answer: Mapping[str, Any]) -> Grant:
    token = answer.get("access_token")
    if not isinstance(token, str) or not token:
        raise refusal(what, answer.get("error"), answer.get("error_description"))
    try:
        lifetime = float(answer["expires_in"])
    except (KeyError, TypeError, ValueError):
        lifetime = ASSUMED_SECONDS
    if lifetime <= 0:
        raise TokenError(f"{what}: the token that came has expired already (expires_in is {lifetime:g}).")
    return Grant(token, lifetime if isfinite(lifetime) else ASSUMED_SECONDS)


def _without(error: TokenError, secret: str | None) -> TokenError:
    """The error without the secret, should somebody have repeated it."""
    if secret and secret in str(error):
        clean = type(error)(str(error).replace(secret, "***"))
        clean.retry_after = error.retry_after
        return clean
    return error
