"""A bot as it is registered: by what it proves who it is, and where."""

from __future__ import annotations

from dataclasses import dataclass, field

from cadenza.api import PUBLIC, CloudEnvironment
from cadenza.testing import clouds

__all__ = ["Registration"]


@dataclass(frozen=True, slots=True)
class Registration:
    """A bot that the identity provider knows.

    `tenant_id`: the one tenant that the app is in; None: it is a multi-tenant app, which every tenant knows.
    `certificate`: PEM; a private key in it is not looked at. `managed_identity`: the client id of the managed
    identity of the machine that the bot runs on, or "system"; if it is not the bot's own client id, it is a
    federated credential of the bot. `token`: a text that counts as a good token of the bot, besides those
    that the identity provider gives it: for a bot that is given opaque ones by a provider of its own.
    """

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    tenant_id: str | None = None
    certificate: str | bytes | None = field(default=None, repr=False)
    managed_identity: str | None = None
    cloud: CloudEnvironment = PUBLIC
    token: str | None = field(default=None, repr=False)

    @property
    def service_url(self) -> str | None:
        """A service URL of its cloud, as activities carry it; None if the cloud lists no host."""
        hosts = clouds.documented(self.cloud).service_hosts
        host = next((one for one in hosts if not one.startswith("*")), None)
        if host is None:
            return None
        return f"https://{host}/{'emea' if host in clouds.PUBLIC.service_hosts else 'teams'}/"
