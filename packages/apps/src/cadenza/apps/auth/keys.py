"""`SigningKeys`: the public keys that the service signs its tokens with, fetched when needed and kept."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from cadenza.api import ApiError, Request, Transport

REFRESH_SECONDS = 24 * 3600.0
"""Age at which keys are fetched anew (teams-protocol.md section 8, key cache: botbuilder, one day)."""

MAX_AGE_SECONDS = 5 * 24 * 3600.0
"""Age beyond which keys are not used, though nothing newer can be had (the same section: "5 days")."""

COOL_DOWN_SECONDS = 60.0
"""Least time between two attempts to fetch: a token with a made-up key id must not cause a request each."""

Key: TypeAlias = Mapping[str, Any]
"""A JSON Web Key as the service publishes it."""


class SigningKeys:
    """The keys that an OpenID metadata document points to, by key id.

    Fetching is shared by all who wait, and blocks nobody else. When it fails, the keys known so far go on
    being used, until they are too old.
    """

    def __init__(
        self,
        metadata_url: str,
        transport: Transport,
        *,
        logger: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metadata_url = metadata_url
        self._transport = transport
        self._logger = logger
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetch: asyncio.Task[None] | None = None

    async def find(self, key_id: object) -> Key | None:
        """The key with this id; None if the service has none, or cannot be asked now."""
        if not isinstance(key_id, str):
            return None
        if key_id not in self._keys or self._age() > REFRESH_SECONDS:
            await self._refresh()
        return self._keys.get(key_id) if self._age() <= MAX_AGE_SECONDS else None

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock() - self._fetched_at

    async def _refresh(self) -> None:
        if self._fetch is None:
            now = self._clock()
            if self._tried_at is not None and now - self._tried_at < COOL_DOWN_SECONDS:
                return
            self._tried_at = now
            self._fetch = asyncio.create_task(self._fetch_keys())
        # Shielded: whoever waits may be cancelled, the others still need the answer.
        await asyncio.shield(self._fetch)

    async def _fetch_keys(self) -> None:
        try:
            metadata = await self._get(self._metadata_url)
            document = await self._get(str(metadata["jwks_uri"]))
            keys = {key["kid"]: key for key in document["keys"] if isinstance(key.get("kid"), str)}
        except (ApiError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._logger.error("The keys of %s cannot be fetched: %r", self._metadata_url, error)
        else:
            self._keys = keys
            self._fetched_at = self._clock()
        finally:
            self._fetch = None

    async def _get(self, url: str) -> dict[str, Any]:
        response = await self._transport.send(Request("GET", url, {"accept": "application/json"}))
        if response.status != 200:
            raise ValueError(f"{url} was answered with status {response.status}")
        document = json.loads(response.body)
        if not isinstance(document, dict):
            raise ValueError(f"{url} is not a JSON object")
        return document
