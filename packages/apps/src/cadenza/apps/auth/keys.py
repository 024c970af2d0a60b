"""`SigningKeys`: the public keys that a provider signs its tokens with, fetched when needed and kept."""

import asyncio
import logging

from cadenza.api import Request, Transport
from cadenza.api.clients.streaming import open_response
from cadenza.api.clouds import is_loopback_url

from ..tasks import runs_here
from .freshness import Freshness
from .key_documents import MAX_DOCUMENT_BYTES, SigningKey, read_keys, read_metadata
from .refusals import RefusedError, shown

FETCH_SECONDS = 8.0
"""How long a fetch may take, both documents: ours, well below what the service waits for an answer."""


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

    async def find(self, key_id: str) -> SigningKey:
        """The key with this id. Raises `RefusedError` (rule 5) if the provider has none, or none can be had.

        Both are a 401. Without keys nobody can be believed, and a 5xx instead would do harm: what answers so
        again and again is sent nothing for hours (api-surface.md 3.3, P1), also when there are keys again.
        After a 401 the next activity comes as ever.
        """
        key = self.known(key_id)
        if key is None:
            fetch = self._refresh(_now())
            if fetch is not None:
                # Not awaited itself: who waits may be cancelled, and the others still need it.
                await asyncio.wait({fetch})
                key = self.known(key_id)
        if key is not None:
            return key
        if self._freshness.usable(_now()):
            raise RefusedError(f"rule 5: the keys of {self._metadata_url} have no key {shown(key_id)}")
        raise RefusedError(f"rule 5: the keys of {self._metadata_url} cannot be had, so nobody is let in")

    async def close(self) -> None:
        """Stop fetching."""
        fetch = self._fetch
        if fetch is not None and runs_here(fetch):
            fetch.cancel()
            await asyncio.wait({fetch})

    def _refresh(self, now: float) -> asyncio.Task[None] | None:
        """The fetch that is under way, or a new one if it is time for one."""
        if not runs_here(self._fetch):
            if not self._freshness.may_fetch(now):
                return None
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
