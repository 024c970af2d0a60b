"""Who may speak to the bot: what vouches for a request to the messaging endpoint.

The tokens of the Bot Framework are checked by the rules of teams-protocol.md section 8, by their numbers
there: 1 bearer scheme, 2 issuer, 3 audience, 4 time (exp is required), 5 signature (RS256, a key of the
service), 6 the service URL that the activity names. Everything but 6 is checked before the body is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cadenza.api import CadenzaError, CloudEnvironment

from .keys import SigningKeys

LEEWAY_SECONDS = 300
"""How far the clocks of the service and the bot may be apart (rule 4)."""


class RefusedError(CadenzaError):
    """A request that nobody vouches for. The text says which rule refused it, and holds no token."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. `service_url` is the one that the token was made for; None if nothing says."""

    service_url: str | None = None
    verified: bool = False

    def check_service_url(self, claimed: str | None) -> None:
        """Rule 6: an activity that names a service URL must name the token's. Raises `RefusedError`."""
        if not self.verified or claimed is None:
            return
        if self.service_url is None:
            raise RefusedError("rule 6: the activity names a serviceUrl, and the token has none")
        if _comparable(claimed) != _comparable(self.service_url):
            raise RefusedError(
                f"rule 6: the token is for {self.service_url!r}, the activity says {claimed!r}"
            )


class Doorkeeper(Protocol):
    """Decides on a request from its Authorization header alone."""

    async def admit(self, authorization: str | None) -> Caller:
        """Raises `RefusedError`."""
        ...


class AdmitAll:
    """For work on one machine: anybody may speak."""

    async def admit(self, authorization: str | None) -> Caller:
        return Caller()


class RefuseAll:
    """Without credentials nobody can be checked, so that nobody may speak."""

    async def admit(self, authorization: str | None) -> Caller:
        raise RefusedError(
            "the bot has no credentials. Set CLIENT_ID (and CLIENT_SECRET), or, for work on this machine "
            "only, DANGEROUSLY_ALLOW_UNAUTHENTICATED_REQUESTS=true"
        )


class BotFrameworkTokens:
    """Admits who shows a token that the Bot Framework has made for this bot."""

    def __init__(self, client_id: str, cloud: CloudEnvironment, keys: SigningKeys) -> None:
        self._audiences = [client_id, f"api://{client_id}", f"api://botid-{client_id}"]
        self._issuer = cloud.token_issuer
        self._keys = keys

    async def admit(self, authorization: str | None) -> Caller:
        import jwt  # it loads cryptography: only bots that have credentials need it

        token = bearer(authorization)
        try:
            header = jwt.get_unverified_header(token)
        except Exception as error:  # bytes that are no UTF-8, nesting without end: it is the sender's choice
            raise RefusedError("rule 5: what the Authorization header holds is no token") from error
        jwk = await self._keys.find(header.get("kid"))
        if jwk is None:
            raise RefusedError(f"rule 5: the service has no key {header.get('kid')!r}")
        claims = self._decode(token, jwk)
        service_url = claims.get("serviceurl")
        return Caller(service_url if isinstance(service_url, str) else None, verified=True)

    def _decode(self, token: str, jwk: Mapping[str, Any]) -> dict[str, Any]:
        import jwt

        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                jwt.PyJWK(dict(jwk), algorithm="RS256"),
                algorithms=["RS256"],
                audience=self._audiences,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except Exception as error:
            raise RefusedError(f"{rule_of(error)}: {error}") from error
        return claims


def doorkeeper(
    client_id: str | None, allow_unauthenticated: bool, cloud: CloudEnvironment, keys: SigningKeys
) -> Doorkeeper:
    """The one for an App with these settings."""
    if allow_unauthenticated:
        return AdmitAll()
    if client_id is None:
        return RefuseAll()
    return BotFrameworkTokens(client_id, cloud, keys)


def bearer(authorization: str | None) -> str:
    if not authorization:
        raise RefusedError("rule 1: there is no Authorization header")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise RefusedError("rule 1: the Authorization header holds no bearer token")
    return token.strip()


def rule_of(error: Exception) -> str:
    import jwt

    if isinstance(error, jwt.InvalidIssuerError):
        return "rule 2"
    if isinstance(error, jwt.InvalidAudienceError):
        return "rule 3"
    if isinstance(error, (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError, jwt.InvalidIssuedAtError)):
        return "rule 4"
    if isinstance(error, jwt.MissingRequiredClaimError):
        return "rules 2 to 4"
    return "rule 5"


def _comparable(url: str) -> str:
    return url.rstrip("/").lower()
