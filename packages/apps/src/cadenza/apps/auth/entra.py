"""Tokens of Microsoft Entra ID that were made for this bot's app: those of the users of its tabs, and those
of apps that may post activities.

Rules, by the numbers that the log names them with, as "Entra rule 6" (api-surface.md 1.3; Microsoft identity
platform, "Access tokens" and "Claims validation"): 1 bearer scheme, 2 issuer `{login}/{tid}/v2.0` or
`https://sts.windows.net/{tid}/` of the token's own `tid`, 3 audience, 4 time (exp is required), 5 signature
(RS256, a key of the login endpoint, published for that issuer), 6 tenant, 7 who it is: for a tab function a
user, named by `oid`, not an app; for the messaging endpoint an app that is listed, not a user.
"""

import logging
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from cadenza.api import CloudEnvironment, Transport

from .bearer import Token, bearer, check_claims, read_token
from .key_documents import SigningKey
from .keys import SigningKeys
from .refusals import ForbiddenError, RefusedError, shown
from .token_memory import TokenMemory

_V1_ISSUERS = {"https://login.partner.microsoftonline.cn": "https://sts.chinacloudapi.cn"}
"""By login endpoint; everywhere else it is sts.windows.net."""
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EntraToken:
    """A token that has been checked by rules 2 to 6."""

    claims: Mapping[str, Any] = field(repr=False)
    tenant_id: str
    app_id: str | None
    """The app that asked for the token (`appid` in tokens of version 1, `azp` in those of version 2)."""
    key: SigningKey


@dataclass(frozen=True, slots=True)
class EntraUser:
    """The user that a token was made for."""

    user_id: str
    """The Entra object id."""
    tenant_id: str
    user_name: str
    """Empty if the token does not tell it."""
    app_id: str | None
    """The app that asked for the token (`appid` in tokens of version 1, `azp` in those of version 2)."""


class EntraIssuer:
    """The login endpoint of a cloud: its keys, and the issuers that it has, one or two for each tenant."""

    def __init__(
        self,
        cloud: CloudEnvironment,
        transport: Transport,
        *,
        tenant_id: str | None = None,
        logger: logging.Logger,
    ) -> None:
        """`tenant_id`: the only tenant whose tokens are taken; None: those of any."""
        self._tenant_id = tenant_id
        self._login = cloud.login_endpoint.rstrip("/")
        self._v1 = _V1_ISSUERS.get(self._login, "https://sts.windows.net")
        tenant = tenant_id if tenant_id and _GUID.fullmatch(tenant_id) else "common"
        self.keys = SigningKeys(
            f"{self._login}/{tenant}/v2.0/.well-known/openid-configuration", transport, logger=logger
        )

    def issues(self, issuer: object) -> bool:
        """Whether this is an issuer of this cloud."""
        if not isinstance(issuer, str):
            return False
        for prefix, suffix in ((f"{self._login}/", "/v2.0"), (f"{self._v1}/", "/")):
            if issuer.startswith(prefix) and issuer.endswith(suffix):
                return _GUID.fullmatch(issuer[len(prefix) : -len(suffix)]) is not None
        return False

    async def verify(self, token: Token, audiences: Collection[str]) -> EntraToken:
        """Check rules 2 to 6. Raises `RefusedError`."""
        tenant_id = self._tenant(token.claims)
        v2, v1 = f"{self._login}/{tenant_id}/v2.0", f"{self._v1}/{tenant_id}/"
        try:
            key = await self.keys.find(token.key_id)
            if key.issuer is not None and key.issuer.replace("{tenantid}", tenant_id) not in (v2, v1):
                raise RefusedError(f"rule 5: the key {shown(token.key_id)} is for {shown(key.issuer)} only")
            claims = token.verified(key)
            check_claims(claims, issuers=(v2, v1), audiences=audiences, now=time.time())
        except RefusedError as refusal:
            raise RefusedError(f"Entra {refusal}") from refusal
        return EntraToken(
            claims, tenant_id, _text(claims.get("azp" if claims["iss"] == v2 else "appid")), key
        )

    def _tenant(self, claims: Mapping[str, Any]) -> str:
        """What the token says of itself; the issuer, which is checked afterwards, must be of this tenant."""
        tenant_id = claims.get("tid")
        if not isinstance(tenant_id, str) or not _GUID.fullmatch(tenant_id):
            raise RefusedError(f"Entra rule 6: the token's tid is {shown(tenant_id)}, which is no tenant")
        if self._tenant_id is not None and tenant_id.lower() != self._tenant_id.lower():
            raise RefusedError(
                f"Entra rule 6: the token is of tenant {tenant_id}, the bot is of {self._tenant_id!r}"
            )
        return tenant_id


class EntraTokens:
    """Reads the tokens that Entra has made for the users of the bot's tabs."""

    def __init__(
        self,
        client_id: str | None,
        tenant_id: str | None,
        cloud: CloudEnvironment,
        transport: Transport,
        *,
        application_id_uri: str | None = None,
        logger: logging.Logger,
    ) -> None:
        """`tenant_id`: the only tenant whose users may call; None: those of any tenant."""
        self._client_id = client_id
        self._tenant_id = tenant_id
        self._audiences = [
            *audiences_of(client_id or ""),
            *([application_id_uri] if application_id_uri else []),
        ]
        self._issuer = EntraIssuer(cloud, transport, tenant_id=tenant_id, logger=logger)
        self._memory = TokenMemory[EntraUser]()

    def warning(self) -> str | None:
        """What whoever runs the bot should know of these settings; None: nothing."""
        if self._client_id is None:
            return "The App has no client_id, so that every call of a tab function will be refused with 401."
        if self._tenant_id is None:
            return (
                "Tab functions take calls from users of any tenant: the App has no tenant_id. If your bot "
                "serves one tenant, set TENANT_ID; if not, look at ctx.tenant_id in every function."
            )
        if not _GUID.fullmatch(self._tenant_id):
            return (
                f"tenant_id is {self._tenant_id!r}, and tokens name tenants by GUID, so that every call of "
                "a tab function will be refused with 401. Set TENANT_ID to the tenant's GUID."
            )
        return None

    async def admit(self, authorization: str | None) -> EntraUser:
        """The user whose token an Authorization header holds. Raises `RefusedError`, and nothing else."""
        text = bearer(authorization)
        if self._client_id is None:
            raise RefusedError("Entra rule 3: the bot has no client id, for which there could be a token")
        user = self._memory.recall(text, time.time())
        if user is None:
            token = await self._issuer.verify(read_token(text), self._audiences)
            user = _calling_user(token)
            self._memory.remember(text, user, token.claims["exp"], token.key, self._issuer.keys)
        return user

    async def close(self) -> None:
        """Stop fetching keys."""
        await self._issuer.keys.close()


def check_calling_app(token: EntraToken, allowed: Collection[str]) -> str:
    """Rule 7 of the messaging endpoint: the app that sends must be listed, by its app id in lower case, and
    must speak for itself. Else a user who is signed in to it could write as anybody. Returns its id; raises
    `ForbiddenError`."""
    app_id, claims = token.app_id, token.claims
    if app_id is None or app_id.lower() not in allowed:
        raise ForbiddenError(f"Entra rule 7: the token is of the app {shown(app_id)}, not in allowed_callers")
    kind, object_id = _kind(claims), _text(claims.get("oid"))
    # In an app's own token both of the others are its service principal.
    own = kind == "app" if kind is not None else object_id is not None and claims.get("sub") == object_id
    if not own or "scp" in claims:
        raise ForbiddenError(
            f"Entra rule 7: the token of the app {shown(app_id)} is a user's, not the app's own: it has a "
            "scope (scp), or its idtyp is not app, or it has no idtyp, and its sub is not its oid"
        )
    return app_id


def _calling_user(token: EntraToken) -> EntraUser:
    """Rule 7 of tab functions. Raises `RefusedError`."""
    claims = token.claims
    user_id = _text(claims.get("oid"))
    if user_id is None:
        raise RefusedError("Entra rule 7: the token names no user (it has no oid)")
    # What a user lets an app do in their name is a scope; an app's own token has roles at most.
    if not (_text(claims.get("scp")) or "").strip():
        raise RefusedError("Entra rule 7: the token has no scope (scp): it is an app's, not a user's")
    if _kind(claims) not in (None, "user"):
        raise RefusedError(f"Entra rule 7: the token is of the type {shown(claims['idtyp'])}, not a user's")
    name = next(filter(None, map(_text, map(claims.get, ("name", "preferred_username", "upn")))), "")
    return EntraUser(user_id, token.tenant_id, name, token.app_id)


def _kind(claims: Mapping[str, Any]) -> object:
    """What the token is of, "user" or "app" in lower case; None if it does not say: the claim is optional."""
    kind = claims.get("idtyp")
    return kind.lower() if isinstance(kind, str) else kind


def audiences_of(client_id: str) -> tuple[str, ...]:
    """How a token may name the app that it was made for (teams-protocol.md section 8, rule 3)."""
    return (client_id, f"api://{client_id}", f"api://botid-{client_id}")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
