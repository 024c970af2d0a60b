"""`UserTokens`: what one turn knows of its user's tokens, and all that it asks of the token service.

A 404 is the token service's way to say that the user is not signed in. Nothing else means that: an outage is
an error, here and wherever the answer is looked at later in the turn (api-surface.md 3.3, P13 and P15).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cadenza import api as teams
from cadenza.api import ConnectionLostError, HttpStatusError, NotFoundError, RequestTimeoutError
from cadenza.api.telemetry.names import ALL_CONNECTIONS, OAuthOperation, OAuthResult
from cadenza.state import StateError

from .flow import key_of
from .operations import observed
from .options import SignInOptions

if TYPE_CHECKING:
    from cadenza.api import (
        Activity,
        ActivityInput,
        ApiClient,
        ConversationReference,
        InvokeResponse,
        TokenResponse,
        TokenStatus,
    )
    from msgraph import GraphServiceClient

    from .connections import Connections
    from .pending import PendingSignIn

__all__ = ["UserTokens", "refuses"]

FETCH_SECONDS = 4.0
"""The longest that a turn waits for the user's token before its handlers run. Ours: an invoke has 10 s."""

RETRY_SECONDS = 4.0
"""How long a request that an invoke waits for is repeated. Ours: the invoke has 10 s for all of it."""

REFUSALS = frozenset({400, 404, 412})
"""What the token service answers to a code or a token that it does not take (api-surface.md 1.7)."""


class UserTokens:
    """The tokens of the sender of `inbound`."""

    def __init__(self, inbound: Activity, api: ApiClient, connections: Connections) -> None:
        self._inbound = inbound
        self._api = api
        self._connections = connections
        self._known: dict[str, TokenResponse | Exception | None] = {}
        """By connection: what the token service has said last. None: the user is not signed in."""
        self._graph: tuple[str, GraphServiceClient] | None = None
        self.answer: InvokeResponse[Any] | None = None
        """What an invoke of signing in has come to, whatever the bot's own handlers made of it."""
        self.failure: Exception | None = None
        """What it was that kept an invoke of signing in from coming to anything."""

    # What is known

    def known(self) -> TokenResponse | None:
        """The user's token for the default connection; None if they are not signed in. Asks nobody: raises
        RuntimeError if nobody has asked in this turn, and the error of who has asked in vain."""
        name, flows = self._connections.default, self._connections.flows
        if name is None:
            raise RuntimeError(
                f"This bot has several OAuth flows ({self._connections.listed}) and no "
                "default_connection_name: ask the one that you mean, as in `await flow.is_signed_in(ctx)`."
            )
        try:
            known = self._known[key_of(name)]
        except KeyError:
            ask = "`await flow.is_signed_in(ctx)` of its flow" if name in flows else ""
            ask = ask or "`await ctx.get_user_token()` or `ctx.sign_in()`"
            raise RuntimeError(
                f"Nobody has asked in this turn whether the user is signed in to {name!r}: {ask} first, or "
                "let the App ask before each turn (its options default_connection_name and fetch_user_token)."
            ) from None
        if isinstance(known, Exception):
            raise known
        return known

    def learn(self, connection_name: str, response: TokenResponse | Exception | None) -> None:
        self._known[key_of(connection_name)] = response

    # What is asked

    async def fetch(self) -> None:
        """Ask for the token of the default connection, for some seconds, so that it is known. Raises nothing:
        who wants to know is told what went wrong."""
        name = self._connections.default
        if name is None:
            return  # who wants to know is told so
        try:
            async with asyncio.timeout(FETCH_SECONDS) as limit:
                await self.find(name, urgent=True)
        except Exception as error:
            late = TimeoutError(f"The token service did not answer within {FETCH_SECONDS:g} s.")
            self.learn(name, late if limit.expired() else error)

    async def find(self, connection_name: str, *, urgent: bool = False) -> TokenResponse | None:
        """The user's token; None (404) if they are not signed in. Raises all else that can go wrong."""
        try:
            response = await self._get(connection_name, urgent=urgent)
        except NotFoundError:
            response = None
        except Exception as error:
            self.learn(connection_name, error)
            raise
        self.learn(connection_name, response)
        return response

    async def get(self, connection_name: str) -> TokenResponse | None:
        """What a handler asks for: `find`."""
        with observed(OAuthOperation.GET_TOKEN, self._spelled(connection_name)) as done:
            response = await self.find(connection_name)
            done.result = OAuthResult.MISS if response is None else OAuthResult.HIT
        return response

    async def exchange(self, connection_name: str, token: str) -> TokenResponse:
        """The user's token in exchange for that of single sign-on."""
        params = teams.ExchangeUserTokenParams(
            **self._who(connection_name), exchange_request=teams.TokenExchangeRequest(token=token)
        )
        response = await self._urgent().users.exchange_token(params)
        self.learn(connection_name, response)
        return response

    async def redeem(self, connection_name: str, code: str) -> TokenResponse | None:
        """The user's token by `code`; None if the token service does not take the code for this connection.
        Raises all else that it raises.

        The token service gives a token that it has, whatever the code: so that it gives one proves the code
        only where the user had none before (`find`).
        """
        try:
            response = await self._get(connection_name, code, urgent=True)
        except HttpStatusError as error:
            if not refuses(error):
                raise
            return None
        self.learn(connection_name, response)
        return response

    async def sign_out(self, connection_name: str) -> None:
        with observed(OAuthOperation.SIGN_OUT, self._spelled(connection_name)) as done:
            await self._api.users.sign_out(teams.SignOutUserParams(**self._who(connection_name)))
            self.learn(connection_name, None)
            done.result = OAuthResult.SUCCESS

    async def status(self) -> list[TokenStatus]:
        """For all connections of the bot. Where the service's list, which lags behind, has no token
        for a flow, that flow is asked for alone."""
        with observed(OAuthOperation.CONNECTION_STATUS, ALL_CONNECTIONS) as done:
            statuses = await self._status()
            done.result = OAuthResult.SUCCESS
        return statuses

    async def _status(self) -> list[TokenStatus]:
        flows = self._connections.flows
        who = self._who("")
        params = teams.GetUserTokenStatusParams(user_id=who["user_id"], channel_id=who["channel_id"])
        statuses = await self._api.users.get_token_status(params)
        places = {key_of(status.connection_name): place for place, status in enumerate(statuses)}
        for flow in flows.values():
            name = flow.connection_name
            place = places.get(key_of(name))
            if place is not None and statuses[place].has_token:
                continue
            has_token = await self.find(name) is not None
            if place is None:
                statuses.append(
                    teams.TokenStatus(channel_id=who["channel_id"], connection_name=name, has_token=has_token)
                )
            else:
                statuses[place] = statuses[place].model_copy(update={"has_token": has_token})
        return statuses

    async def sign_in(
        self,
        options: SignInOptions,
        *,
        ref: ConversationReference,
        app_id: str | None,
        send: Callable[[ActivityInput], Awaitable[object]],
    ) -> TokenResponse | None:
        """The user's token, or None: then they were asked to sign in, by an activity that `send` has sent."""
        name = self._connections.meant(options.connection_name)
        with observed(OAuthOperation.SIGN_IN, self._spelled(name)) as done:
            response = await self._sign_in(name, options, ref, app_id, send)
            done.result = OAuthResult.CARD_SENT if response is None else OAuthResult.CACHED
        return response

    async def _sign_in(
        self,
        name: str,
        options: SignInOptions,
        ref: ConversationReference,
        app_id: str | None,
        send: Callable[[ActivityInput], Awaitable[object]],
    ) -> TokenResponse | None:
        flows, pending = self._connections.flows, self._connections.pending
        response = await self.find(name)
        if response is not None:
            return response
        from .cards import encoded_state, sign_in_activity

        state = encoded_state(name, ref, self._inbound.relates_to, app_id or "")
        try:
            params = teams.GetBotSignInResourceParams(state=state)
            resource = await self._api.bots.sign_in.get_resource(params)
        except HttpStatusError as error:
            if refuses(error):
                error.hint = (
                    f"That was the link to sign in to the OAuth connection {name!r}: if the bot's Azure Bot "
                    "resource has none of this name, add the OAuth connection in Azure."
                )
            raise
        activity = await sign_in_activity(self._inbound, name, resource, options, flows.get(name))
        # Before it is sent: a client may complete the sign-in before the answer to the card is read.
        sign_in: PendingSignIn | None = None
        try:
            sign_in = await pending.begin(self._inbound, name)
        except StateError:
            self._connections.warn_of_state()
        try:
            await send(activity)
        except (ConnectionLostError, RequestTimeoutError):
            raise  # the user may see the card all the same
        except Exception:
            await self._withdraw(sign_in)
            raise
        return None

    async def _withdraw(self, sign_in: PendingSignIn | None) -> None:
        try:
            if sign_in is not None:
                await self._connections.pending.withdraw(self._inbound, sign_in)
        except StateError:
            self._connections.warn_of_state()

    def graph(self) -> GraphServiceClient:
        """A client of Microsoft Graph with the token of the default connection. Raises ValueError if the user
        is not signed in, and as `known`."""
        response, name = self.known(), self._connections.meant()
        if response is None:
            raise ValueError(
                f"The user is not signed in to {name!r}, so that nothing can be asked of Microsoft Graph in "
                "their name: `await ctx.sign_in()` first."
            )
        if self._graph is None or self._graph[0] != response.token:
            params = teams.GetUserTokenParams(**self._who(name))
            api = self._connections.api
            from ..graph import UserTokenSource

            source = UserTokenSource(response, lambda: api().users.get_token(params))
            self._graph = (response.token, self._connections.new_graph(source))
        return self._graph[1]

    def _spelled(self, connection_name: str) -> str:
        return self._connections.flows.spelled(connection_name)

    async def _get(self, connection_name: str, code: str | None = None, *, urgent: bool) -> TokenResponse:
        api = self._urgent() if urgent else self._api
        return await api.users.get_token(teams.GetUserTokenParams(**self._who(connection_name), code=code))

    def _urgent(self) -> ApiClient:
        """A client for what an invoke waits for, or a message that somebody has just written."""
        api = self._api.through(self._api.transport)
        api.retry = replace(api.retry, deadline=RETRY_SECONDS)
        return api

    def _who(self, connection_name: str) -> dict[str, str]:
        user_id = self._inbound.from_.id
        if not user_id:
            raise ValueError("This activity does not say who sent it, so that there is nobody to sign in.")
        return {
            "user_id": user_id,
            "connection_name": connection_name,
            "channel_id": self._inbound.channel_id or "msteams",
        }


def refuses(error: HttpStatusError) -> bool:
    """Whether the token service is well, and does not take what it was given."""
    return error.status in REFUSALS
