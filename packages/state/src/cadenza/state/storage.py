"""`Storage`: the key-value contract that a bot's own data goes through; `LocalStorage` keeps it in memory."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

K = TypeVar("K")
V = TypeVar("V")
KeyT_contra = TypeVar("KeyT_contra", contravariant=True)


class Storage(Protocol[KeyT_contra, V]):
    """A key-value store, in a blocking and an awaitable form.

    The `async_` methods are the ones to use in handlers: a store on a disk or a network must not block the
    event loop in them. A missing key is `None` on `get` and no error on `delete`.
    """

    def get(self, key: KeyT_contra) -> V | None: ...

    def set(self, key: KeyT_contra, value: V) -> None: ...

    def delete(self, key: KeyT_contra) -> None: ...

    async def async_get(self, key: KeyT_contra) -> V | None: ...

    async def async_set(self, key: KeyT_contra, value: V) -> None: ...

    async def async_delete(self, key: KeyT_contra) -> None: ...


class LocalStorage(Generic[K, V]):
    """A `Storage` in this process's memory: gone with the process, and not shared with others.

    With `max` set, the entry that was read or written longest ago makes room for a new one; without, it
    grows without bound. Values are kept as they are, not copied: change one and the store holds the change.
    For use from one thread.
    """

    def __init__(self, data: Mapping[K, V] | None = None, *, max: int | None = None) -> None:
        if max is not None and max < 1:
            raise ValueError(f"LocalStorage(max={max}): max must be at least 1, or None for no limit.")
        self._max = max
        self._entries: OrderedDict[K, V] = OrderedDict()
        for key, value in (data or {}).items():
            self.set(key, value)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    @property
    def keys(self) -> list[K]:
        """All keys, the one used longest ago first."""
        return list(self._entries)

    def get(self, key: K) -> V | None:
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key]

    def set(self, key: K, value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if self._max is not None and len(self._entries) > self._max:
            self._entries.popitem(last=False)

    def delete(self, key: K) -> None:
        self._entries.pop(key, None)

    async def async_get(self, key: K) -> V | None:
        return self.get(key)

    async def async_set(self, key: K, value: V) -> None:
        self.set(key, value)

    async def async_delete(self, key: K) -> None:
        self.delete(key)
