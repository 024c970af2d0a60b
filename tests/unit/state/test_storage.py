import pytest
from cadenza.state import LocalStorage, Storage


def test_a_missing_key_reads_as_none_and_can_be_deleted() -> None:
    storage: LocalStorage[str, int] = LocalStorage()
    assert storage.get("nobody") is None
    storage.delete("nobody")


def test_what_is_set_is_read_until_it_is_deleted() -> None:
    storage = LocalStorage({"a": 1})
    storage.set("b", 2)
    storage.set("a", 3)
    assert (storage.get("a"), storage.get("b"), len(storage)) == (3, 2, 2)
    storage.delete("a")
    assert storage.get("a") is None
    assert "a" not in storage


def test_over_its_maximum_the_entry_used_longest_ago_goes() -> None:
    storage = LocalStorage({"a": 1, "b": 2}, max=2)
    storage.get("a")
    storage.set("c", 3)
    assert storage.keys == ["a", "c"]


def test_initial_data_over_the_maximum_keeps_the_last_entries() -> None:
    assert LocalStorage({"a": 1, "b": 2, "c": 3}, max=2).keys == ["b", "c"]


def test_a_maximum_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="max must be at least 1"):
        LocalStorage(max=0)


async def test_the_awaitable_twins_reach_the_same_entries() -> None:
    storage: Storage[str, int] = LocalStorage()
    await storage.async_set("a", 1)
    assert storage.get("a") == 1
    assert await storage.async_get("a") == 1
    await storage.async_delete("a")
    assert storage.get("a") is None
