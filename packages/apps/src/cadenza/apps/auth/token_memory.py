"""`TokenMemory`: who showed a token that was checked before, so that it need not be checked again."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Generic, Protocol, TypeVar

from .key_documents import SigningKey

MAX_REMEMBERED = 2000
"""Ours. The Bot Framework uses a token for about an hour, for all that it sends to a bot."""

T = TypeVar("T")


class KnownKeys(Protocol):
    """The keys of a provider, as far as they are known."""

    def known(self, key_id: str) -> SigningKey | None:
        """The key with this id, one object as long as it is the same key; None if it does not count now."""
        ...


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    holder: T
    expires: float
    key: SigningKey
    keys: KnownKeys


class TokenMemory(Generic[T]):
    """Of a token only its digest is kept. It counts until the token expires, without any leeway, and while
    its key is still published and not too old. The oldest ones go first."""

    def __init__(self, size: int = MAX_REMEMBERED) -> None:
        self._size = size
        self._entries: dict[bytes, _Entry[T]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def recall(self, token: str, now: float) -> T | None:
        """Whose token it is; None if it has to be checked. `now` is in seconds since 1970."""
        digest = _digest(token)
        entry = self._entries.get(digest)
        if entry is None:
            return None
        if now >= entry.expires or entry.keys.known(entry.key.key_id) is not entry.key:
            del self._entries[digest]
            return None
        return entry.holder

    def remember(self, token: str, holder: T, expires: float, key: SigningKey, keys: KnownKeys) -> None:
        """`key` is the one of `keys` that has signed the token; `expires` is in seconds since 1970."""
        while len(self._entries) >= self._size:
            del self._entries[next(iter(self._entries))]
        self._entries[_digest(token)] = _Entry(holder, expires, key, keys)


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
