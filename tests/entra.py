"""Microsoft Entra ID, as far as tab functions need it: it signs tokens for real, and publishes its keys."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from cadenza.api import ConnectError, Request, Response, Transport
from cryptography.hazmat.primitives.asymmetric import rsa

LOGIN = "https://login.microsoftonline.com"
CLIENT_ID = "00000000-0000-0000-0000-0000000000aa"
TENANT = "00000000-0000-0000-0000-0000000000bb"
OTHER_TENANT = "00000000-0000-0000-0000-0000000000cc"
PAGE_APP = "1fec8e78-bce4-4aaf-ab1b-5451cc387264"
ADA = "00000000-0000-0000-0000-00000000ada0"

PRIVATE_KEYS = {kid: rsa.generate_private_key(65537, 2048) for kid in ("one", "two")}


def token(kid: str = "one", algorithm: str = "RS256", key: Any = None, **claims: Any) -> str:
    """A good token of version 2, but for the claims given; one that is None is left out."""
    tenant = claims.get("tid", TENANT)
    good = {
        "iss": f"{LOGIN}/{tenant}/v2.0",
        "aud": CLIENT_ID,
        "exp": time.time() + 3600,
        "nbf": time.time() - 60,
        "tid": tenant,
        "oid": ADA,
        "sub": "pairwise",
        "name": "Ada",
        "scp": "access_as_user",
        "azp": PAGE_APP,
        "ver": "2.0",
    }
    payload = {name: value for name, value in {**good, **claims}.items() if value is not None}
    return jwt.encode(payload, key or PRIVATE_KEYS[kid], algorithm, headers={"kid": kid})


@dataclass
class Entra:
    """A `Transport` that answers for the login endpoint, and hands everything else on to `others`."""

    others: Transport
    login: str = LOGIN
    key_issuer: str | None = f"{LOGIN}/{{tenantid}}/v2.0"
    fetched: list[str] = field(default_factory=list)
    down: bool = False

    async def send(self, request: Request) -> Response:
        if not request.url.startswith(self.login):
            return await self.others.send(request)
        self.fetched.append(request.url)
        if self.down:
            raise ConnectError("no route to host", request)
        tenant = request.url.removeprefix(f"{self.login}/").partition("/")[0]
        keys_url = f"{self.login}/{tenant}/discovery/v2.0/keys"
        document: dict[str, Any] = {"issuer": f"{self.login}/{{tenantid}}/v2.0", "jwks_uri": keys_url}
        if request.url == keys_url:
            document = {"keys": [self._public("one")]}
        return Response(200, {}, json.dumps(document).encode())

    async def close(self) -> None:
        await self.others.close()

    def _public(self, kid: str) -> dict[str, Any]:
        public = PRIVATE_KEYS[kid].public_key()
        jwk: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
        issuer = {} if self.key_issuer is None else {"issuer": self.key_issuer}
        return {**jwk, "kid": kid, "use": "sig", **issuer}
