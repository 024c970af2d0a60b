"""Reading a URL that somebody else has chosen: https only, streamed, and no token to strangers."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import quote, urljoin, urlsplit

from cadenza.api import (
    PUBLIC,
    ApiClient,
    ApiError,
    Request,
    RequestTimeoutError,
    Response,
    TransportError,
    UnauthorizedError,
    UntrustedHostError,
    status_error,
    with_overrides,
)
from cadenza.api.clients.streaming import StreamedResponse, open_response

MOST_REDIRECTS = 5
REDIRECTS = frozenset((301, 302, 303, 307, 308))

_ANYBODY = with_overrides(PUBLIC, service_hosts=("*",))  # says yes to https anywhere, and to this machine
_URL_CHARACTERS = "%:/?#[]@!$&'()*+,;=~"
LONGEST_ERROR = 4096
"""Bytes of an error's body that are read."""


def checked_url(url: str, before: str | None = None) -> str:
    """`url`, if it may be read from: https, or plain http to this machine, where `before` (the URL that led
    there) is on this machine too. Raises UntrustedHostError."""
    url = quote(url, safe=_URL_CHARACTERS)  # spaces and letters beyond ASCII, as browsers send them
    downgraded = before is not None and before[:6].lower() == "https:" and url[:6].lower() != "https:"
    if not _ANYBODY.trusts(url) or downgraded:
        raise UntrustedHostError(
            f"{bare(url)!r} is not read from: a file must come from an https URL. Nothing was sent",
            Request("GET", bare(url)),
        )
    return url


def bare(url: str) -> str:
    """`url` without its query and fragment: what may be shown."""
    return url.partition("#")[0].partition("?")[0]


@asynccontextmanager
async def reading(
    api: ApiClient, url: str, *, as_bot: bool, refused: Callable[[int], Exception | None]
) -> AsyncIterator[StreamedResponse]:
    """The answer to a GET of `url`, with status 200, while the block lasts.

    Redirects are followed to https only, and a token that was sent (`as_bot`, to hosts that the cloud lists)
    goes to no other host with them. Failures before the body are tried again by the client's retry policy.
    `refused` gives the exception for a status, or None for the usual one. Raises `ApiError`.
    """
    async with AsyncExitStack() as stack:
        response = await _opened(stack, api, url, as_bot, refused)
        try:
            yield response
        except TransportError as error:
            raise without_key(error, url) from None


async def _opened(
    stack: AsyncExitStack, api: ApiClient, url: str, as_bot: bool, refused: Callable[[int], Exception | None]
) -> StreamedResponse:
    loop = asyncio.get_running_loop()
    began, attempt, fresh = loop.time(), 1, False
    while True:
        try:
            return await _once(stack, api, url, as_bot, fresh, refused)
        except ApiError as failure:
            if as_bot and not fresh and isinstance(failure, UnauthorizedError):
                fresh = True
                continue
            delay = api.retry.delay(failure, attempt, loop.time() - began, random.random())
            if delay is None:
                raise
        attempt += 1
        await asyncio.sleep(delay)


async def _once(
    stack: AsyncExitStack,
    api: ApiClient,
    url: str,
    as_bot: bool,
    fresh: bool,
    refused: Callable[[int], Exception | None],
) -> StreamedResponse:
    at, before = url, None
    for _ in range(MOST_REDIRECTS + 1):
        request = Request("GET", checked_url(at, before), {"Accept": "*/*"})
        if as_bot and _host(at) == _host(url):
            request = await api.signed(request, fresh=fresh)
        try:
            async with AsyncExitStack() as attempt:
                response = await attempt.enter_async_context(open_response(api.transport, request))
                if response.status == 200:
                    stack.push_async_exit(attempt.pop_all())
                    return response
                location = response.headers.get("location")
                if response.status not in REDIRECTS or not location:
                    raise await _failure(response, at, refused, retry=as_bot and not fresh)
        except TransportError as error:
            raise without_key(error, at) from None
        at, before = urljoin(at, location), at
    raise status_error(Request("GET", bare(url)), Response(310, {}, b"too many redirects"))


async def _failure(
    response: StreamedResponse, url: str, refused: Callable[[int], Exception | None], *, retry: bool
) -> Exception:
    if not (retry and response.status == 401):  # else a fresh token is tried first
        error = refused(response.status)
        if error is not None:
            return error
    body = bytearray()
    async for chunk in response.chunks():
        body += chunk[: LONGEST_ERROR - len(body)]
        if len(body) >= LONGEST_ERROR:
            break
    return status_error(Request("GET", bare(url)), Response(response.status, response.headers, bytes(body)))


def without_key(error: TransportError, url: str) -> TransportError:
    """The same error, of a request that may be logged."""
    request = Request("GET", bare(error.request.url))
    text = str(error).replace(error.request.url, request.url).replace(url, bare(url))
    return type(error)(text, request)


def too_slow(url: str, seconds: float) -> RequestTimeoutError:
    return RequestTimeoutError(
        f"GET {bare(url)}: not read to its end within {seconds:g} s", Request("GET", bare(url))
    )


def _host(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
