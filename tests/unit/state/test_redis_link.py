"""`RedisLink` without a server: no call is forgotten, and none waits for ever."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from cadenza.state import StateError, StateUnavailableError
from cadenza.state.redis_link import FLIGHTS, RedisLink, Script


async def test_a_call_by_whom_the_last_flights_have_just_answered_is_carried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link = RedisLink("redis://127.0.0.1:1", client=None, prefix="test", cluster=False, patience=1.0)
    link._client = object()  # type: ignore[assignment]  # never asked: `_execute` stands in
    gate = asyncio.Event()

    async def execute(commands: Sequence[Any]) -> list[Any]:
        await gate.wait()
        return [b"done"] * len(commands)

    monkeypatch.setattr(link, "_execute", execute)

    async def ask(times: int) -> list[Any]:
        return [await link.run(Script("return 1"), [], []) for _ in range(times)]

    asking = []
    for times in [2, *[1] * (FLIGHTS - 1)]:
        asking.append(asyncio.ensure_future(ask(times)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # each is on a flight of its own; all land in the same step of the loop
    gate.set()
    async with asyncio.timeout(0.9):
        assert await asyncio.gather(*asking) == [[b"done"] * 2, *[[b"done"]] * (FLIGHTS - 1)]


@pytest.fixture
async def silent_server() -> AsyncIterator[tuple[str, list[asyncio.StreamWriter]]]:
    """Takes connections, and never answers. Its URL, and those that it has taken."""
    taken: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: taken.append(writer), "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", taken
    for writer in taken:
        writer.close()
    server.close()


async def test_a_connection_that_does_not_answer_is_given_up_for_another(
    silent_server: tuple[str, list[asyncio.StreamWriter]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, taken = silent_server
    monkeypatch.setattr("cadenza.state.redis_link.ANSWER_SECONDS", 0.05)
    link = RedisLink(url, client=None, prefix="test", cluster=False, patience=0.5)
    await link.start()
    assert len(taken) == 1
    with pytest.raises(StateUnavailableError, match=r"0\.5 s \(Timeout reading from 127\.0\.0\.1"):
        await link.run(Script("return 1"), [], [])
    assert len(taken) > 2
    await link.close()


async def test_the_patience_ends_while_an_answer_is_waited_for(
    silent_server: tuple[str, list[asyncio.StreamWriter]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = silent_server
    monkeypatch.setattr("cadenza.state.redis_link.ANSWER_SECONDS", 0.3)
    link = RedisLink(url, client=None, prefix="test", cluster=False, patience=0.05)
    await link.start()
    with pytest.raises(StateUnavailableError, match=r"0\.05 s \(it is connected, and silent\)"):
        await link.run(Script("return 1"), [], [])
    await link.close()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("localhost:6379", "'localhost:6379'"),
        ("me:secret@localhost:6379", "'localhost:6379'"),
        ("redis://:sec/ret@localhost:6379", "'redis://localhost:6379'"),
        ("redis://me:secret", "'redis://me:...'"),
        ("http://localhost?password=secret", "'http://localhost'"),
    ],
)
async def test_what_is_no_url_is_named_without_its_password(url: str, shown: str) -> None:
    link = RedisLink(url, client=None, prefix="test", cluster=False, patience=1)
    with pytest.raises(StateError, match=r"such as redis://localhost:6379: ") as caught:
        await link.start()
    assert shown in str(caught.value)
    assert "sec" not in str(caught.value)


async def test_why_a_server_cannot_be_reached_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link = RedisLink("redis://127.0.0.1:1", client=None, prefix="test", cluster=False, patience=0.1)
    link._client = object()  # type: ignore[assignment]  # never asked: `_execute` stands in

    async def execute(commands: Sequence[Any]) -> list[Any]:
        raise ConnectionError("Error 111 connecting to 127.0.0.1:1.")

    monkeypatch.setattr(link, "_execute", execute)
    with pytest.raises(
        StateUnavailableError, match=r"for 0\.1 s \(Error 111 connecting to 127\.0\.0\.1:1\)\.$"
    ):
        await link.run(Script("return 1"), [], [])
