"""Tokens that the bot's author gets: the option `token`, a function or a provider object."""

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..routing.parameters import name_of
from .app_tokens import AppTokens
from .token_errors import MissingCredentialsError, TokenError

THREADS = 16
"""How many plain functions may be waited for at once; each is for another scope, tenant or identity. Ours."""

MOST_ABANDONED = 64
"""How many more may be under way that nobody waits for any more, each in its thread. Ours."""

MOST_SAID = 500
"""How many characters of a function's own error are repeated. Ours."""


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
        self._threads = CallThreads()

    async def app(self, scope: str, tenant_id: str | None) -> GivenToken:
        """The app's token. Raises `TokenError` if the provider gives none, or raises something itself."""
        method = getattr(self._provider, "get_app_token", self._provider)
        return await self._ask(method, scope, tenant_id)

    async def agentic_app(self, scope: str, app_id: str, tenant_id: str | None) -> GivenToken:
        """The token of an agentic app. Raises as `app` does."""
        return await self._ask(self._method("get_agentic_app_token"), scope, app_id, tenant_id)

    async def agentic_user(self, scope: str, app_id: str, user_id: str, tenant_id: str | None) -> GivenToken:
        """The token of an agentic user. Raises as `app` does."""
        return await self._ask(self._method("get_agentic_user_token"), scope, app_id, user_id, tenant_id)

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
        name = name_of(function)

        async def ask() -> GivenToken:
            try:
                given = await self._call(function, *args)
            except TokenError:
                raise
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                raise _raised(function, args[0], error) from error
            except Exception as error:
                raise _raised(function, args[0], error) from error
            return _given(given, f"{name} gave no token for {args[0]}")

        return await self._tokens.share((name, *args), ask)

    async def _call(self, function: Callable[..., Any], *args: str | None) -> Any:
        if _is_async(function):
            return await function(*args)
        given = await self._threads.call(function, *args)
        return await given if inspect.isawaitable(given) else given


class CallThreads:
    """Threads for functions of users, which may block for ever. The end of the process waits for none."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places = asyncio.Semaphore(THREADS)
        self._abandoned = 0
        self._lock = threading.Lock()
        self._daemons = _Daemons()

    async def call(self, function: Callable[..., Any], *args: str | None) -> Any:
        """What the function returns or raises, called in a thread of its own. Raises `TokenError` in place of
        what cannot go through a coroutine, and if too many calls have not come back that nobody waits for any
        more."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a semaphore belongs to one
            self._loop, self._places = loop, asyncio.Semaphore(THREADS)
        async with self._places:
            if self._abandoned >= MOST_ABANDONED:
                raise TokenError(
                    f"No token for {args[0]}: {self._abandoned} calls of {name_of(function)} have not come "
                    "back. Give what it asks a time-out."
                )
            call = _Call(self.count, copy_context(), partial(function, *args))
            try:
                given, error = await loop.run_in_executor(self._daemons, call.run)
            except asyncio.CancelledError:
                call.abandon()
                raise
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            raise error
        if error is not None:
            raise _raised(function, args[0], error) from error
        return given

    def count(self, change: int) -> None:
        """Count one more call, or one less, that nobody waits for."""
        with self._lock:
            self._abandoned += change


class _Daemons(Executor):
    """Starts a thread for each call. Those of a ThreadPoolExecutor are waited for when the process ends."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # it cannot be taken back: `_Call` counts on it

        def run() -> None:
            try:
                future.set_result(call(*args, **options))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, name="cadenza-token", daemon=True).start()
        return future


class _Call:
    """One call of a function, which may be given up before it comes back."""

    def __init__(self, count: Callable[[int], None], context: Context, function: Callable[[], Any]) -> None:
        self._count = count
        self._context = context
        self._function = function
        self._lock = threading.Lock()
        self._given: Any = None
        self._is_over = False
        self._is_abandoned = False

    def run(self) -> tuple[Any, BaseException | None]:
        """In the thread: what the function returned, or raised."""
        given: Any = None
        error: BaseException | None = None
        try:
            given = self._context.run(self._function)
        except BaseException as raised:  # no future can hold a StopIteration, and no exit is for the loop
            error = raised
        with self._lock:
            self._given, self._is_over = given, True
            if self._is_abandoned:
                self._count(-1)
                _discard(given)
        return given, error

    def abandon(self) -> None:
        """Nobody waits for it any more."""
        with self._lock:
            self._is_abandoned = True
            if self._is_over:
                _discard(self._given)
            else:
                self._count(1)


def _discard(given: object) -> None:
    """Close a coroutine that nobody will await."""
    if inspect.iscoroutine(given):
        given.close()


def _raised(function: Callable[..., Any], scope: str | None, error: BaseException) -> TokenError:
    said = " ".join(str(error).split())[:MOST_SAID]
    reason = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return TokenError(f"No token for {scope}: {name_of(function)} raised {reason}.")


def _is_async(function: Any) -> bool:
    # Objects that can be called, too.
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004  # its function is looked at, not called
    )


def _given(value: object, missing: str) -> GivenToken:
    """The token in what a provider gave: text, or an object that has one. Texts are taken as they are."""
    from cadenza.api import TokenProtocol

    if inspect.isawaitable(value):
        _discard(value)
        raise TokenError(f"{missing}: it is a {type(value).__name__}, which was not awaited.")
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
                    f"{missing}: it is of type {type(value).__name__}, and neither text nor has it a token."
                )
            token = str(value)
            expires_on = None if value.expiration is None else value.expiration / 1000
    if not isinstance(token, str) or not token:
        what = "None" if value is None else "an empty one"
        raise TokenError(f"{missing}: it is {what}.")
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise TokenError(f"{missing}: {_unfit(token)}.")
    if isinstance(expires_on, bool) or not isinstance(expires_on, int | float):
        return GivenToken(token)
    return GivenToken(token, max(float(expires_on), time.time()))


def _unfit(token: str) -> str:
    """What keeps a text from being a token in a header."""
    if token[:7].lower() == "bearer ":
        return 'it begins with "Bearer ", which is put before it anyway: give what comes after that'
    if token.strip() != token:
        return "it has blanks or line ends at its ends: strip it"
    return "it has blanks, line ends or characters beyond ASCII, which no token has"
