"""Tokens that the bot's author gets: the option `token`, a function or a provider object."""

import asyncio
import inspect
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

from .app_tokens import AppTokens
from .token_errors import MissingCredentialsError, TokenError

THREADS = 8
"""How many plain functions may be under way at once; each is for another scope, tenant or identity. Ours."""


@dataclass(frozen=True, slots=True)
class GivenToken:
    """What a provider gave."""

    token: str = field(repr=False)
    expires_on: float | None = None
    """In seconds since 1970; None where nobody knows."""


class ProviderTokens:
    """Asks a provider for each request, and once for all who ask for the same while it is busy.

    A coroutine function is called on the event loop. A plain function is called in a thread, since users'
    functions block; what it returns may be awaited, on the loop.
    """

    def __init__(self, provider: Any, tokens: AppTokens) -> None:
        self._provider = provider
        self._tokens = tokens
        self._threads: ThreadPoolExecutor | None = None

    async def app(self, scope: str, tenant_id: str | None) -> GivenToken:
        """The app's token. Raises `TokenError` if the provider gives none, and what the provider raises."""
        method = getattr(self._provider, "get_app_token", self._provider)
        return await self._ask(method, scope, tenant_id)

    async def agentic_app(self, scope: str, app_id: str, tenant_id: str | None) -> GivenToken:
        """The token of an agentic app. Raises as `app` does."""
        return await self._ask(self._method("get_agentic_app_token"), scope, app_id, tenant_id)

    async def agentic_user(self, scope: str, app_id: str, user_id: str, tenant_id: str | None) -> GivenToken:
        """The token of an agentic user. Raises as `app` does."""
        return await self._ask(self._method("get_agentic_user_token"), scope, app_id, user_id, tenant_id)

    def close(self) -> None:
        """Let the threads end."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)

    def _method(self, name: str) -> Any:
        method = getattr(self._provider, name, None)
        if method is None:
            raise MissingCredentialsError(
                f"The option token is a {type(self._provider).__name__}, which has no {name}: it cannot give "
                "tokens of agentic identities, and the bot's own would be those of another. Give it that "
                "method, or the App the option agentic_token."
            )
        return method

    async def _ask(self, function: Callable[..., Any], *args: str | None) -> GivenToken:
        name = getattr(function, "__name__", "")

        async def ask() -> GivenToken:
            given = await self._call(function, *args)
            return _given(given, f"{name or 'the function given as token'} gave no token for {args[0]}")

        return await self._tokens.share((name, *args), ask)

    async def _call(self, function: Callable[..., Any], *args: str | None) -> Any:
        if _is_async(function):
            return await function(*args)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="cadenza-token")
        loop = asyncio.get_running_loop()
        given = await loop.run_in_executor(self._threads, copy_context().run, function, *args)
        return await given if inspect.isawaitable(given) else given


def _is_async(function: Any) -> bool:
    # Objects that can be called, too.
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004  # its function is looked at, not called
    )


def _given(value: object, missing: str) -> GivenToken:
    """The token in what a provider gave: text, or an object that has one. Texts are taken as they are."""
    from cadenza.api import TokenProtocol

    expires_on: object = None
    token: object = value
    if value is not None and not isinstance(value, str):
        for name in ("token", "access_token"):
            found = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
            if isinstance(found, str):
                token, expires_on = found, getattr(value, "expires_on", None)
                break
        else:
            if not isinstance(value, TokenProtocol):
                raise TokenError(
                    f"{missing}: it is a {type(value).__name__}, and neither text nor has it a token."
                )
            token = str(value)
            expires_on = None if value.expiration is None else value.expiration / 1000
    if not isinstance(token, str) or not token:
        what = "None" if value is None else "an empty one"
        raise TokenError(f"{missing}: it is {what}.")
    if isinstance(expires_on, bool) or not isinstance(expires_on, int | float):
        return GivenToken(token)
    return GivenToken(token, max(float(expires_on), time.time()))
