"""Who vouches for the load: signs tokens, and publishes the key to check them by: `identity.py PORT COUNT`.

Stands in for the Bot Framework's provider (teams-protocol.md section 8), over HTTP on loopback:

    GET /v1/.well-known/openidconfiguration    metadata
    GET /v1/.well-known/keys                   one RSA key of 2048 bits, endorsed for Teams
    GET /tokens                                a JSON list of COUNT tokens, of which no two are alike

Needs aiohttp and PyJWT with cryptography, which the environment of Cadenza has. Serves until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from posts import BOT_ID, SERVICE_URL

__all__ = ["METADATA", "TOKENS", "sign"]

METADATA = "/v1/.well-known/openidconfiguration"
KEYS = "/v1/.well-known/keys"
TOKENS = "/tokens"
ISSUER = "https://api.botframework.com"
KEY_ID = "Zk8oMbQmJ3uXb0yq1nV5cE2tS9w"
"""As long as one of the Bot Framework."""
HOUR = 3600


def sign(count: int) -> tuple[list[str], dict[str, Any]]:
    """So many tokens as Teams sends them, each valid for an hour and from another second on; and the key."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = int(time.time())
    tokens = [
        jwt.encode(
            {
                "serviceurl": SERVICE_URL,
                "nbf": now - second,
                "exp": now - second + HOUR,
                "iss": ISSUER,
                "aud": BOT_ID,
            },
            key,
            algorithm="RS256",
            headers={"kid": KEY_ID, "x5t": KEY_ID},
        )
        for second in range(count)
    ]
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return tokens, {**public, "kid": KEY_ID, "x5t": KEY_ID, "use": "sig", "endorsements": ["msteams"]}


async def main(port: int, count: int) -> None:
    from aiohttp import web

    tokens, key = sign(count)
    documents: dict[str, Any] = {
        METADATA: {
            "issuer": ISSUER,
            "authorization_endpoint": "https://invalid.botframework.com",
            "jwks_uri": f"http://127.0.0.1:{port}{KEYS}",
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        },
        KEYS: {"keys": [key]},
        TOKENS: tokens,
    }

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(documents[request.path])

    app = web.Application()
    for path in documents:
        app.router.add_get(path, answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
