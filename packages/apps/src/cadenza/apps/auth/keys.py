"""`SigningKeys`: the public keys that a provider signs its tokens with, fetched when needed and kept."""

import asyncio
import logging
from dataclasses import dataclass, replace

from cadenza.api import Request, Transport
from cadenza.api.clients.streaming import open_response
from cadenza.api.clouds import is_loopback_url

from .key_documents import MAX_DOCUMENT_BYTES, SigningKey, read_keys, read_metadata

REFRESH_SECONDS = 24 * 3600.0
"""Age at which keys are fetched anew (teams-protocol.md section 8, key cache: botbuilder, one day)."""

MAX_AGE_SECONDS = 5 * 24 * 3600.0
"""Age beyond which keys are not used, though nothing newer can be had (the same section: "5 days")."""

COOL_DOWN_SECONDS = 60.0
"""Time from one fetch to the next: a token with a made-up key id must not cause a request each."""

RETRY_SECONDS = 2.0
"""The same after a fetch that failed; doubled with each further one, up to `COOL_DOWN_SECONDS`."""

FETCH_SECONDS = 8.0
"""How long a fetch may take, both documents: ours, well below what the service waits for an answer."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """When keys may be used, and when they may be fetched. Times are seconds of one clock."""

    fetched_at: float | None = None
    """When the last fetch that succeeded was over."""
    tried_at: float | None = None
    """When the last fetch was over, whatever came of it."""
    failures: int = 0
    """Fetches that have failed since."""

    def usable(self, now: float) -> bool:
        return self._age(now) <= MAX_AGE_SECONDS

    def stale(self, now: float) -> bool:
        return self._age(now) > REFRESH_SECONDS

    def may_fetch(self, now: float) -> bool:
        if self.tried_at is None:
            return True
        wait = COOL_DOWN_SECONDS
        if self.failures:
            # Beyond some tens of failures the power would only be a needlessly large number.
            wait = min(COOL_DOWN_SECONDS, RETRY_SECONDS * 2 ** min(self.failures - 1, 16))
        return now - self.tried_at >= wait

    def after_success(self, now: float) -> "Freshness":
        return Freshness(now, now)

    def after_failure(self, now: float) -> "Freshness":
        return replace(self, tried_at=now, failures=self.failures + 1)

    def _age(self, now: float) -> float:
        return float("inf") if self.fetched_at is None else now - self.fetched_at


class SigningKeys:
    """The keys that an OpenID metadata document points to, by key id.

    Who asks for a key that is known and not too old does not wait: keys that are due are fetched anew behind.
    A fetch is shared by all who wait for it, and holds up nobody else. When it fails, the keys known so far
    go on being used until they are too old.
    """

    def __init__(
        self,
        metadata_url: str,
        transport: Transport,
        *,
        logger: logging.Logger,
        issuer: str | None = None,
    ) -> None:
        """`issuer`: the one whose tokens are taken. Where the metadata names another one, a warning says so;
        what a token must say does not change by that."""
        self._metadata_url = metadata_url
        self._transport = transport
        self._logger = logger
        self._issuer = issuer
        self._keys: dict[str, SigningKey] = {}
        self._freshness = Freshness()
        self._fetch: asyncio.Task[None] | None = None

    def known(self, key_id: str) -> SigningKey | None:
        """The key with this id if it can be used now; waits for nothing. Between two fetches that brought the
        same key it is one object."""
        now = _now()
        if not self._freshness.usable(now):
            return None
        if self._freshness.stale(now):
            self._refresh(now)
        return self._keys.get(key_id)

    async def find(self, key_id: str) -> SigningKey | None:
        """The key with this id; None if the provider has none, or cannot be asked now."""
        key = self.known(key_id)
        if key is None:
            fetch = self._refresh(_now())
            if fetch is not None:
                # Not awaited itself: who waits may be cancelled, and the others still need it.
                await asyncio.wait({fetch})
                key = self.known(key_id)
        return key

    async def close(self) -> None:
        """Stop fetching."""
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.wait({self._fetch})

    def _refresh(self, now: float) -> asyncio.Task[None] | None:
        """The fetch that is under way, or a new one if it is time for one."""
        if self._fetch is None and self._freshness.may_fetch(now):
            self._fetch = asyncio.create_task(self._fetch_keys(), name="cadenza: signing keys")
        return self._fetch

    async def _fetch_keys(self) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                metadata = read_metadata(self._metadata_url, await self._get(self._metadata_url))
                keys, complaints = read_keys(metadata.keys_url, await self._get(metadata.keys_url))
        except Exception as error:  # whatever it is, the next one is tried, and nobody else fails for it
            reason = f"no answer within {FETCH_SECONDS:g} s" if isinstance(error, TimeoutError) else error
            self._freshness = self._freshness.after_failure(_now())
            self._logger.error("The keys of %s cannot be fetched: %s", self._metadata_url, reason)
        else:
            before = self._keys
            self._keys = {
                key_id: before[key_id] if before.get(key_id) == key else key for key_id, key in keys.items()
            }
            self._freshness = self._freshness.after_success(_now())
            if complaints:
                self._logger.warning(
                    "%d keys of %s are passed over: %s",
                    len(complaints),
                    metadata.keys_url,
                    "; ".join(complaints[:5]),
                )
            if self._issuer is not None and metadata.issuer != self._issuer:
                self._logger.warning(
                    "%s is about the issuer %.120r, and only tokens of %r are taken. If they are refused, "
                    "set token_issuer of your CloudEnvironment.",
                    self._metadata_url,
                    metadata.issuer,
                    self._issuer,
                )
        finally:
            self._fetch = None

    async def _get(self, url: str) -> bytes:
        if not url.startswith("https://") and not is_loopback_url(url):
            raise ValueError(f"{url} is not https")
        body = bytearray()
        async with open_response(
            self._transport, Request("GET", url, {"accept": "application/json"})
        ) as response:
            if response.status != 200:
                raise ValueError(f"{url} was answered with status {response.status}")
            async for chunk in response.chunks():
                body += chunk
                if len(body) > MAX_DOCUMENT_BYTES:
                    break  # it is refused for its length, and the rest need not come
        return bytes(body)


def _now() -> float:
    return asyncio.get_running_loop().time()
