"""`Store`: values by key, with versions, compare-and-set and expiry."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Item", "Store"]


@dataclass(frozen=True, slots=True)
class Item:
    """A value, and its version: a positive number that no other value of this key ever had or will have."""

    value: bytes
    version: int


class Store(Protocol):
    """Bytes by key. The laws, which `cadenza.testing.contracts` checks:

    - What `put` returned from is what the next `get` of any process finds, until it is replaced, deleted or
      expired. Each key stands alone: nothing is promised across keys.
    - With `expected`, a write or deletion happens only if the key is at that version (0: does not exist) at
      that moment; else `ConflictError` is raised and nothing has changed. Of any number of writers that
      expect the same version exactly one succeeds.
    - A version is never used twice for a key, not even after it was deleted or has expired.
    - A value with `seconds` is gone that long after the `put`, as if deleted; a `put` without them keeps it
      for good, whatever was said before.
    - Any str that is not empty is a key, and any bytes are a value, the empty ones included.

    Every method raises `StateUnavailableError` where the backend cannot be reached.
    """

    async def get(self, key: str) -> Item | None:
        """The value of `key`; None if there is none."""
        ...

    async def get_many(self, keys: Iterable[str]) -> dict[str, Item]:
        """The values of those of `keys` that there are. Not one moment's picture of them all."""
        ...

    async def put(
        self, key: str, value: bytes, *, expected: int | None = None, seconds: float | None = None
    ) -> int:
        """Write, and return the new version. `expected`: the version that must be there, 0 for none, None
        for whatever is there. `seconds`: how long it is kept; None for good."""
        ...

    async def delete(self, key: str, *, expected: int | None = None) -> None:
        """Delete. A key that does not exist is no error, unless `expected` says that it should."""
        ...

    def keys(self, prefix: str) -> AsyncIterator[str]:
        """The keys that begin with `prefix`, in no order, each once. Keys that come or go meanwhile may be
        missing or present."""
        ...
