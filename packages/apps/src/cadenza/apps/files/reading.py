"""Reading a URL that somebody else has chosen: https only, streamed, and no token to strangers.

Nothing is read of this machine or of private networks, as far as the URL itself says where it leads: names
are not looked up. What guards those is https: the server must have a certificate for that name.
"""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import quote, urljoin

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
from cadenza.api.clouds import is_loopback_url, origin

MOST_REDIRECTS = 5
REDIRECTS = frozenset((301, 302, 303, 307, 308))

_ANYBODY = with_overrides(PUBLIC, service_hosts=("*",))  # says yes to https anywhere, and to this machine
_URL_CHARACTERS = "%:/?#[]@!$&'()*+,;=~"
LONGEST_ERROR = 4096
"""Bytes of an error's body that are read."""


def checked_url(api: ApiClient, url: str, before: str | None = None) -> str:
    """`url`, if it may be read from or written to: https, and not this machine or a private network.

    Where the service that `api` speaks to is on this machine (an emulator), those may be too, and plain http
    to this machine, unless an https URL led there (`before`). Raises UntrustedHostError.
    """
    try:
        quoted = quote(url, safe=_URL_CHARACTERS)  # spaces and letters beyond ASCII, as browsers send them
        where = origin(quoted)
        local = where is None or _is_private(where[1])
    except ValueError:  # halves of characters, or what only looks like an address
        raise _refusal(ascii(url), "it is no URL") from None
    at_home = is_loopback_url(f"{api.service_url}/")
    downgraded = before is not None and before[:6].lower() == "https:" and quoted[:6].lower() != "https:"
    if not _ANYBODY.trusts(quoted) or downgraded or (quoted[:6].lower() != "https:" and not at_home):
        raise _refusal(quoted, "a file must come from an https URL")
    if local and not at_home:
        raise _refusal(quoted, "a file must come from the internet, not from this machine or its network")
    return quoted


def _refusal(url: str, why: str) -> UntrustedHostError:
    return UntrustedHostError(
        f"{bare(url)!r} is not read from: {why}. Nothing was sent", Request("GET", bare(url))
    )


_LOCAL_NAMES = (".localhost", ".local", ".internal", ".home.arpa")
_METADATA = frozenset({"168.63.129.16"})  # Azure's own server for its machines, though the address is public


def _is_private(host: str) -> bool:
    """Whether a host is on this machine or in its network, as its name or address says. Raises ValueError for
    brackets without an address."""
    address: IPv4Address | IPv6Address
    host = host.rstrip(".")
    if host.startswith("["):
        address = ip_address(host[1:-1])
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address.sixtofour or address
    else:
        try:
            # As resolvers read it: 127.1, 0x7f.1 and 2130706433 are all this machine.
            address = IPv4Address(socket.inet_aton(host))
        except OSError:
            return "." not in host or host.endswith(_LOCAL_NAMES)
    return not address.is_global or address.is_multicast or str(address) in _METADATA


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
    at, before, first = url, None, origin(checked_url(api, url))
    for _ in range(MOST_REDIRECTS + 1):
        request = Request("GET", checked_url(api, at, before), {"Accept": "*/*"})
        if as_bot and origin(request.url) == first:
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
        try:
            at, before = urljoin(at, location), at
        except ValueError:
            raise _refusal(location, f"{bare(at)} leads there, and it is no URL") from None
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
