"""Who calls a tab function: tokens of Microsoft Entra ID, which the tab page gets from Teams for its user.

Rules, by the numbers that the log names them with (api-surface.md 1.3; Microsoft identity platform, "Access
tokens" and "Claims validation"): 1 bearer scheme, 2 issuer `{login}/{tid}/v2.0` or
`https://sts.windows.net/{tid}/` of the token's own `tid`, 3 audience, 4 time (exp is required), 5 signature
(RS256, a key of the login endpoint, published for that issuer), 6 tenant, 7 a user, named by `oid`: not an
app.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cadenza.api import CloudEnvironment, Transport

from .inbound import LEEWAY_SECONDS, RefusedError, bearer, rule_of
from .keys import SigningKeys

_V1_ISSUERS = {"https://login.partner.microsoftonline.cn": "https://sts.chinacloudapi.cn"}
"""By login endpoint; everywhere else it is sts.windows.net."""
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


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


class EntraTokens:
    """Reads the tokens that Entra has made for this bot's app."""

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
        login = cloud.login_endpoint.rstrip("/")
        self._client_id = client_id
        self._tenant_id = tenant_id
        self._login = login
        self._v1_issuer = _V1_ISSUERS.get(login, "https://sts.windows.net")
        self._audiences = [
            *(f"{prefix}{client_id}" for prefix in ("", "api://", "api://botid-")),
            *([application_id_uri] if application_id_uri else []),
        ]
        tenant = tenant_id if tenant_id and _GUID.fullmatch(tenant_id) else "common"
        self._keys = SigningKeys(
            f"{login}/{tenant}/v2.0/.well-known/openid-configuration", transport, logger=logger
        )

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
        import jwt

        token = bearer(authorization)
        if self._client_id is None:
            raise RefusedError("rule 3: the bot has no client id, for which a token could have been made")
        try:
            header = jwt.get_unverified_header(token)
            unverified = jwt.decode(token, options={"verify_signature": False})
        except Exception as error:
            raise RefusedError("rule 5: what the Authorization header holds is no token") from error
        tenant_id = self._tenant(unverified)
        jwk = await self._keys.find(header.get("kid"))
        if jwk is None:
            raise RefusedError(f"rule 5: Entra has no key {header.get('kid')!r}")
        issuers = [f"{self._login}/{tenant_id}/v2.0", f"{self._v1_issuer}/{tenant_id}/"]
        published_for = jwk.get("issuer")
        if isinstance(published_for, str) and published_for.replace("{tenantid}", tenant_id) not in issuers:
            raise RefusedError(f"rule 5: the key {header.get('kid')!r} is for {published_for!r} only")
        return _user(self._decode(token, jwk, issuers), tenant_id)

    def _tenant(self, claims: Mapping[str, Any]) -> str:
        """What the token says of itself; the issuer, which is checked afterwards, must be of this tenant."""
        tenant_id = claims.get("tid")
        if not isinstance(tenant_id, str) or not _GUID.fullmatch(tenant_id):
            raise RefusedError(f"rule 6: the token's tid is {tenant_id!r}, which is no tenant")
        if self._tenant_id is not None and tenant_id.lower() != self._tenant_id.lower():
            raise RefusedError(
                f"rule 6: the token is of tenant {tenant_id}, the bot is of {self._tenant_id!r}"
            )
        return tenant_id

    def _decode(self, token: str, jwk: Mapping[str, Any], issuers: list[str]) -> dict[str, Any]:
        import jwt

        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                jwt.PyJWK(dict(jwk), algorithm="RS256"),
                algorithms=["RS256"],
                audience=self._audiences,
                issuer=issuers,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except Exception as error:
            raise RefusedError(f"{rule_of(error)}: {error}") from error
        return claims


def _user(claims: Mapping[str, Any], tenant_id: str) -> EntraUser:
    user_id = claims.get("oid")
    if not isinstance(user_id, str) or not user_id:
        raise RefusedError("rule 7: the token names no user (it has no oid)")
    # An app's own token has an oid too, its service principal's; there, sub is the same.
    if claims.get("idtyp") == "app" or ("scp" not in claims and claims.get("sub") == user_id):
        raise RefusedError("rule 7: the token is an app's, not a user's")
    return EntraUser(
        user_id,
        tenant_id,
        _text(claims.get("name"))
        or _text(claims.get("preferred_username"))
        or _text(claims.get("upn"))
        or "",
        _text(claims.get("appid")) or _text(claims.get("azp")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
