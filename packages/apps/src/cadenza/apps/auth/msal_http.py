"""msal without its network: every request that it wants to make goes through a `Transport`.

msal blocks, so that it runs in a thread; but no thread waits for the network here. When msal wants to make a
request whose answer is not there yet, it is stopped by an exception, the request is made on the event loop,
and msal is run again from the start with all answers so far. So a thread is busy for milliseconds, whatever
the identity platform does, and nothing is left hanging when the loop stops. What msal is asked to do must
therefore do the same when it is done again: it is given caches that keep nothing.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlencode, urlsplit

from cadenza.api import Request, Response, Transport, TransportError
from cadenza.api.clouds import origin
from cadenza.api.errors import retry_after_seconds

from .token_errors import TokenError, refusal

REQUEST_SECONDS = 10.0
"""How long one request to the identity platform may take. Ours."""

ATTEMPTS = 2
"""How often a request is sent that was not answered, or with one of `REPEATED`. Ours."""

PAUSE_SECONDS = 0.5
"""Time between the two. Ours."""

LONGEST_PAUSE_SECONDS = 3.0
"""If the identity platform asks for a longer one, the request is not sent again now. Ours."""

REPEATED = frozenset({408, 410, 429, 500, 502, 503, 504})
"""410 is of the managed identity of a machine while it is updated
(https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token)."""

MOST_REQUESTS = 8
"""How many requests getting one token may take: metadata, a challenge, the token. Ours."""

T = TypeVar("T")


class _UnansweredError(BaseException):
    """msal wants to make a request. No `Exception`: msal must not take it for a broken network."""


class _Exchange:
    """The answers that one run of msal is given, and the request that it came to beyond them."""

    def __init__(self, answers: Iterable[tuple[Request, Response]]) -> None:
        self.answers = iter(answers)
        self.wanted: Request | None = None
        self.strayed: str | None = None
        """What was wrong with a request that is not made: it is not the one which was answered, or goes
        elsewhere."""

    def refuse(self, reason: str) -> NoReturn:
        self.strayed = reason
        raise _UnansweredError

    def answer(self, request: Request) -> Response:
        made, answer = next(self.answers, (request, None))
        if (request.method, request.url) != (made.method, made.url):
            self.refuse(
                f"msal did not do the same again: {_named(request)} was asked for where {_named(made)} was "
                "before"
            )
        if answer is None:
            self.wanted = request
            raise _UnansweredError
        return answer


_EXCHANGE: ContextVar[_Exchange] = ContextVar("exchange")


class MsalAnswer:
    """A `Response` as msal reads it."""

    def __init__(self, response: Response) -> None:
        self.status_code = response.status
        self.headers = dict(response.headers)
        self.text = response.body.decode(errors="replace")

    def raise_for_status(self) -> None:
        """Raises ValueError for a status of 400 or more."""
        if self.status_code >= 400:
            raise ValueError(f"answered with status {self.status_code}")


class MsalHttp:
    """The `http_client` of msal. With `only`, a URL, it asks nobody but its origin: the metadata of the
    identity platform name the endpoints, and msal would send the secret to whatever they name. With `plain`,
    the origin of an identity platform on this machine that speaks http, msal is told that it speaks https: it
    takes no other."""

    def __init__(self, only: str | None = None, plain: str | None = None) -> None:
        self._only = only
        self._plain = plain

    def get(
        self, url: str, params: Mapping[str, str] | None = None, headers: Any = None, **_: Any
    ) -> MsalAnswer:
        return self._ask("GET", url, params, headers, None)

    def post(
        self, url: str, params: Any = None, data: Any = None, headers: Any = None, **_: Any
    ) -> MsalAnswer:
        body = data if isinstance(data, str) else urlencode(data or {})
        form = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self._ask("POST", url, params, form, body.encode())

    def close(self) -> None:
        """Do nothing: the transport is the App's."""

    def shown(self, url: str) -> str:
        """The URL as msal is told it."""
        return url.replace(self._plain, _https(self._plain)) if self._plain else url

    def sent(self, url: str) -> str:
        """The URL as it is."""
        return url.replace(_https(self._plain), self._plain) if self._plain else url

    def _ask(self, method: str, url: str, params: Any, headers: Any, body: bytes | None) -> MsalAnswer:
        url = self.sent(url)
        if params:
            url += ("&" if "?" in url else "?") + urlencode(params)
        named = {name: str(value) for name, value in (headers or {}).items() if value is not None}
        exchange = _EXCHANGE.get()
        if self._only is not None and ((asked := origin(url)) is None or asked != origin(self._only)):
            exchange.refuse(
                f"its metadata name an endpoint at {_host(url)!r}, which is not {_host(self._only)}, the "
                "login endpoint of the cloud: nothing was sent there"
            )
        answer = MsalAnswer(exchange.answer(Request(method, url, named, body)))
        answer.text = self.shown(answer.text)
        return answer


class MsalRunner:
    """Runs what uses msal, and makes its requests. The threads are its own: others may be busy for long."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._threads: ThreadPoolExecutor | None = None

    async def run(self, what: str, call: Callable[[], T]) -> T:
        """What `call` returns, which runs in a thread, perhaps several times. `what` begins the error: "No
        token for ...". Raises `TokenError`."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(2, thread_name_prefix="cadenza-msal")
        loop = asyncio.get_running_loop()
        answers: list[tuple[Request, Response]] = []
        while len(answers) <= MOST_REQUESTS:
            try:
                exchange, result = await loop.run_in_executor(
                    self._threads, copy_context().run, _attempt, call, tuple(answers)
                )
            except TokenError:
                raise
            except Exception as error:  # ValueError mostly; what it repeats of an answer may be too much
                _refused(what, error, answers)
            if exchange.strayed is not None:
                raise TokenError(f"{what}: {exchange.strayed}.")
            if exchange.wanted is None:
                return result  # type: ignore[return-value]  # it is what `call` returned
            answers.append((exchange.wanted, await self._send(what, exchange.wanted)))
        raise TokenError(f"{what}: more than {MOST_REQUESTS} requests would be needed.")

    def close(self) -> None:
        """Let the threads end."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)

    async def _send(self, what: str, request: Request) -> Response:
        host = urlsplit(request.url).netloc
        attempt = 1
        while True:
            pause: float | None = None
            try:
                async with asyncio.timeout(REQUEST_SECONDS) as limit:
                    response = await self._transport.send(request)
            except TimeoutError as error:
                if not limit.expired():
                    raise
                failure = TokenError(f"{what}: {host} did not answer within {REQUEST_SECONDS:g} s.")
                failure.__cause__ = error
            except TransportError as error:
                bare = Request(request.method, request.url)  # what people log must not hold the secret
                error.request = bare
                error.args = (str(error), bare)
                failure = TokenError(f"{what}: {error}.")
                failure.__cause__ = error
            else:
                if response.status not in REPEATED:
                    return _checked(what, host, response)
                pause = retry_after_seconds(response.headers)
                failure = refusal(f"{what}: {host} answered {response.status}", *_said(response))
                failure.retry_after = pause
            if attempt >= ATTEMPTS or (pause is not None and pause > LONGEST_PAUSE_SECONDS):
                raise failure
            attempt += 1
            await asyncio.sleep(max(PAUSE_SECONDS, pause or 0.0))


def _attempt(
    call: Callable[[], T], answers: tuple[tuple[Request, Response], ...]
) -> tuple[_Exchange, T | None]:
    """In the thread: what `call` returns, or the exchange with the next request that msal wants to make."""
    exchange = _Exchange(answers)
    _EXCHANGE.set(exchange)
    try:
        return exchange, call()
    except _UnansweredError:
        return exchange, None
    except Exception:
        if exchange.wanted is None and exchange.strayed is None:
            raise
        return exchange, None  # msal has made something else of it


def _host(url: str) -> str:
    """Where a URL leads, for errors: without userinfo, and not at any length."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2][:100]
    except ValueError:
        return ""


def _named(request: Request) -> str:
    """A request without its query, which may say more than is for logs."""
    return f"{request.method} {request.url.partition('?')[0]}"


def _checked(what: str, host: str, response: Response) -> Response:
    """The answer, if msal can read it: of what it cannot read it logs all of it."""
    if response.status == 401 and "www-authenticate" in response.headers:
        return response  # the challenge of Azure Arc is no JSON
    try:
        readable = isinstance(response.json(), dict)
    except ValueError:
        readable = False
    if not readable:
        raise TokenError(
            f"{what}: {host} answered {response.status} with {len(response.body)} bytes that are no JSON "
            "object. Is there a proxy in between?"
        )
    return response


def _said(response: Response) -> tuple[object, object]:
    """The error of an answer, and its description; None for what it does not say."""
    try:
        body = response.json()
    except ValueError:
        return None, None
    if not isinstance(body, dict):
        return None, None
    error = body.get("error")
    return error if isinstance(error, str) else None, body.get("error_description") or body.get("message")


def _refused(what: str, error: Exception, answers: list[tuple[Request, Response]]) -> NoReturn:
    if answers and (last := answers[-1][1]).status >= 400:
        raise refusal(what, *_said(last)) from error
    raise TokenError(f"{what}: {error}") from error


def _https(origin: str | None) -> str:
    return f"https{(origin or '').removeprefix('http')}"
