"""What the tests of outbound tokens need: bots that speak to the identity platform and a service."""

from typing import Any

import jwt
from auth.scene import CLIENT_ID, Provider
from cadenza.apps import App
from cadenza.apps.sending import as_activity
from cadenza.testing.registration import Registration

as_activity("pydantic reads its plugins from the disk when a model is used for the first time")

SECRET = "hush-hush"
TENANT = "00000000-0000-0000-0000-0000000000bb"


class Outbound:
    """A registered bot that writes to a conversation, and what its requests carry."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.identity = provider.identity
        self.apps: list[App] = []

    def register(self, **registration: Any) -> None:
        self.identity.bot = None
        self.identity.register(Registration(CLIENT_ID, **registration))

    def app(self, **options: Any) -> App:
        """A bot with a client id, which is stopped when the test is over."""
        self.apps.append(App(**{"client_id": CLIENT_ID, "transport": self.provider, **options}))
        return self.apps[-1]

    def with_secret(self, **options: Any) -> App:
        """A bot that gets its tokens with the right secret."""
        self.register(client_secret=SECRET)
        return self.app(client_secret=SECRET, **options)

    async def token(self, app: App, **options: Any) -> str:
        """The token that a message of the bot's carries."""
        await app.send("a:1", "hello", **options)
        scheme, _, token = self.provider.sent[-1].headers["Authorization"].partition(" ")
        assert scheme == "Bearer"
        return token

    async def claims(self, app: App, **options: Any) -> dict[str, Any]:
        return read(await self.token(app, **options))

    @property
    def asked(self) -> int:
        """How many tokens the identity platform was asked for."""
        return len(self.identity.forms)


def read(token: str) -> dict[str, Any]:
    """The claims of a token, whoever has signed it."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims
