from cadenza.state import Inbox, MemoryInbox


async def test_an_accepted_activity_is_held_until_it_is_done() -> None:
    inbox = MemoryInbox()
    first = await inbox.accept({"id": "1"}, "conversation")
    second = await inbox.accept({"id": "2"}, None)
    assert list(inbox.entries) == [first, second]
    assert (first.lane, first.activity, second.lane) == ("conversation", {"id": "1"}, None)
    await inbox.done(first)
    assert list(inbox.entries) == [second]


async def test_done_twice_changes_nothing() -> None:
    inbox = MemoryInbox()
    entry = await inbox.accept({}, "a")
    other = await inbox.accept({}, "a")
    await inbox.done(entry)
    await inbox.done(entry)
    assert list(inbox.entries) == [other]


async def test_numbers_grow_and_are_never_given_twice() -> None:
    inbox: Inbox = MemoryInbox()
    numbers = []
    for _ in range(3):
        entry = await inbox.accept({}, "a")
        numbers.append(entry.number)
        await inbox.done(entry)
    assert numbers == sorted(set(numbers))
