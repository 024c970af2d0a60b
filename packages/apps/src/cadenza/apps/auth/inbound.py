"""Who may speak to the bot: what vouches for a request to the messaging endpoint.

The tokens of the Bot Framework are checked by the rules of teams-protocol.md section 8, by their numbers
there:

    before the body is read, else 401     1 bearer scheme
                                          2 issuer: the one of the cloud
                                          3 audience: the bot's app id, perhaps with api:// or api://botid-
                                          4 time: exp, which is required, and nbf, give or take 5 minutes
                                          5 signature: RS256, by a key of the cloud's service
    by what the activity says, else 403   6 its serviceUrl is the one that the token was made for, and one
                                            that the cloud trusts (`CloudEnvironment.trusts`: https to a host
                                            on its list; or this machine, for the emulator)
                                          7 its channelId is one that the key vouches for

An activity without serviceUrl is answered at the token's, and one without channelId is taken for one of Teams
(msteams), here too. A key that says nothing of channels vouches for all, as in botbuilder.

Apps of Entra ID may post activities if they are listed (`allowed_callers`): entra.py has the rules 2 to 7 of
their tokens, which the log calls "Entra rule 6" and so on. Those say nothing of a service URL or a channel,
so that of rule 6 above the list of hosts remains.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from cadenza.api import CloudEnvironment, Transport
from cadenza.api.clouds import has_plain_path, is_loopback_url

from .bearer import Token, bearer, check_claims, read_token
from .entra import EntraIssuer, audiences_of, check_calling_app
from .keys import SigningKeys
from .refusals import ForbiddenError, RefusedError, shown
from .token_memory import TokenMemory

__all__ = [
    "AdmitAll",
    "BotFrameworkTokens",
    "Caller",
    "Doorkeeper",
    "ForbiddenError",
    "RefuseAll",
    "RefusedError",
    "doorkeeper",
]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. This one vouches for whatever it sends."""

    service_url: str | None = None
    """The one that the token was made for; None if nothing says."""

    def check(self, service_url: str | None, channel_id: str | None) -> None:
        """Raises `ForbiddenError` if the caller may not send an activity that names these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamsCaller(Caller):
    """The service of a cloud, by a token of the Bot Framework."""

    cloud: CloudEnvironment
    endorsements: frozenset[str] | None
    """The channels that the token's key vouches for; None: it says nothing of that."""

    def check(self, service_url: str | None, channel_id: str | None) -> None:
        """Rules 6 and 7."""
        if service_url and self.service_url is None:
            raise ForbiddenError("rule 6: the activity names a serviceUrl, and the token has none")
        if service_url and self.service_url and _comparable(service_url) != _comparable(self.service_url):
            raise ForbiddenError(
                f"rule 6: the token is for {shown(self.service_url)}, the activity says {shown(service_url)}"
            )
        _check_host(self.cloud, service_url or self.service_url)
        if self.endorsements is not None and channel_id not in self.endorsements:
            raise ForbiddenError(
                f"rule 7: the token's key does not vouch for the channel {shown(channel_id)} (channelId)"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AppCaller(Caller):
    """An app of Entra ID that may post activities."""

    cloud: CloudEnvironment
    app_id: str

    def check(self, service_url: str | None, channel_id: str | None) -> None:
        """Of rule 6 what does not need the token. This machine must vouch for itself, too: whoever chooses a
        port of it would be sent the bot's token."""
        _check_host(self.cloud, service_url)
        if service_url and is_loopback_url(service_url) and not is_loopback_url(self.cloud.login_endpoint):
            raise ForbiddenError(f"rule 6: {shown(service_url)} is on this machine, and the token is not")


class Doorkeeper(Protocol):
    """Decides on a request from its Authorization header alone."""

    async def start(self) -> None:
        """Have ready what the first request would wait for."""
        ...

    async def admit(self, authorization: str | None) -> Caller:
        """Raises `RefusedError`, and nothing else."""
        ...

    async def close(self) -> None:
        """End what runs behind."""
        ...


class AdmitAll:
    """For work on one machine: anybody may speak."""

    async def start(self) -> None: ...

    async def admit(self, authorization: str | None) -> Caller:
        return Caller()

    async def close(self) -> None: ...


class RefuseAll:
    """Without credentials nobody can be checked, so that nobody may speak."""

    async def start(self) -> None: ...

    async def admit(self, authorization: str | None) -> Caller:
        raise RefusedError(
            "the bot has no credentials. Set CLIENT_ID (and CLIENT_SECRET), or, for work on this machine "
            "only, DANGEROUSLY_ALLOW_UNAUTHENTICATED_REQUESTS=true"
        )

    async def close(self) -> None: ...


class BotFrameworkTokens:
    """Admits who shows a token that the Bot Framework has made for this bot, or Entra ID for this bot and a
    listed app. A token that was let in once is remembered until it expires (token_memory.py)."""

    def __init__(
        self,
        client_id: str,
        cloud: CloudEnvironment,
        transport: Transport,
        *,
        allowed_callers: Collection[str] = (),
        logger: logging.Logger,
    ) -> None:
        self._audiences = audiences_of(client_id)
        self._cloud = cloud
        self._callers = frozenset(app_id.lower() for app_id in allowed_callers)
        self._keys = SigningKeys(
            cloud.openid_metadata_url, transport, issuer=cloud.token_issuer, logger=logger
        )
        self._entra = EntraIssuer(cloud, transport, logger=logger) if self._callers else None
        self._memory = TokenMemory[Caller]()

    async def start(self) -> None:
        if "jwt" not in sys.modules:
            # It loads cryptography: a tenth of a second, in which nobody would be served.
            await asyncio.to_thread(import_module, "jwt")

    async def admit(self, authorization: str | None) -> Caller:
        text = bearer(authorization)
        known = self._memory.recall(text, time.time())
        if known is not None:
            return known
        token = read_token(text)
        # What the token says of itself chooses who is asked for the key; it is checked again afterwards.
        if self._entra is not None and self._entra.issues(token.claims.get("iss")):
            return await self._admit_app(token, self._entra)
        return await self._admit_teams(token)

    async def close(self) -> None:
        await self._keys.close()
        if self._entra is not None:
            await self._entra.keys.close()

    async def _admit_teams(self, token: Token) -> Caller:
        issuers = (self._cloud.token_issuer,)
        if token.claims.get("iss") not in issuers:  # no reason to ask for a key
            raise RefusedError(f"rule 2: the issuer (iss) is {shown(token.claims.get('iss'))}")
        key = await self._keys.find(token.key_id)
        claims = token.verified(key)
        check_claims(claims, issuers=issuers, audiences=self._audiences, now=time.time())
        caller = TeamsCaller(
            service_url=_service_url(claims), cloud=self._cloud, endorsements=key.endorsements
        )
        self._memory.remember(token.text, caller, claims["exp"], key, self._keys)
        return caller

    async def _admit_app(self, token: Token, entra: EntraIssuer) -> Caller:
        # Of any tenant: that the app is listed says who it is, and Entra ID lets nobody else be it.
        verified = await entra.verify(token, self._audiences)
        caller = AppCaller(cloud=self._cloud, app_id=check_calling_app(verified, self._callers))
        self._memory.remember(token.text, caller, verified.claims["exp"], verified.key, entra.keys)
        return caller


def doorkeeper(
    client_id: str | None,
    allow_unauthenticated: bool,
    cloud: CloudEnvironment,
    transport: Transport,
    *,
    allowed_callers: Collection[str] = (),
    logger: logging.Logger,
) -> Doorkeeper:
    """The one for an App with these settings."""
    if allow_unauthenticated:
        return AdmitAll()
    if client_id is None:
        return RefuseAll()
    return BotFrameworkTokens(client_id, cloud, transport, allowed_callers=allowed_callers, logger=logger)


def _service_url(claims: Mapping[str, Any]) -> str | None:
    """Lower case in every token that was seen; the documentation writes it with a capital."""
    value = claims.get("serviceurl", claims.get("serviceUrl"))
    return value if isinstance(value, str) and value else None


def _check_host(cloud: CloudEnvironment, service_url: str | None) -> None:
    if not service_url:
        return
    if not cloud.trusts(service_url):
        raise ForbiddenError(
            f"rule 6: {shown(service_url)} is not https, or no host of this cloud. If it is yours, add it to "
            "service_hosts of the cloud: App(cloud=with_overrides(PUBLIC, service_hosts=(...)))"
        )
    if not has_plain_path(service_url):
        raise ForbiddenError(
            f"rule 6: {shown(service_url)} is no service URL: it has a query, a fragment or '..'"
        )


def _comparable(url: str) -> str:
    """The last slash counts for nothing, nor does case: the service writes both in more than one way."""
    return url.rstrip("/").lower()
