"""The journal of a stream: what another process needs to go on, noted down around each request."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from cadenza.apps import App, StreamDeliveryError
from cadenza.apps.stream import AbortReason, HttpStream
from cadenza.testing import Teams, User, VirtualClock, each, status, throttle, when

OpenStream = Callable[..., HttpStream]


class Journal:
    """Notes down which request was under way, and how many the service had seen by then."""

    def __init__(self, teams: Teams) -> None:
        self.teams = teams
        self.notes: list[tuple[str | None, int]] = []
        self.refuses = 0
        self.hangs = False

    async def __call__(self, snapshot: dict[str, Any]) -> None:
        request = snapshot["machine"]["in_flight"]
        if self.refuses:
            self.refuses -= 1
            raise OSError("the disk is full of secrets")
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        self.notes.append((None if request is None else request["step"], len(self.teams.transcript)))


async def test_it_is_told_before_each_request_and_after_each_answer(
    open_stream: OpenStream, teams: Teams
) -> None:
    journal = Journal(teams)
    stream = open_stream(journal=journal)
    stream.update("Searching...")
    await asyncio.sleep(2)
    stream.emit("Hello")
    await asyncio.sleep(2)
    await stream.close()
    assert journal.notes == [("START", 0), (None, 1), ("CHUNK", 1), (None, 2), ("FINAL", 2), (None, 3)]


async def test_it_is_told_of_an_answer_that_refuses_too(open_stream: OpenStream, teams: Teams) -> None:
    teams.service.add_fault(when(lambda exchange: exchange.kind == "start", throttle(2), times=1))
    journal = Journal(teams)
    stream = open_stream(journal=journal)
    stream.emit("Hello")
    await asyncio.sleep(5)
    await stream.close()
    assert journal.notes[:4] == [("START", 0), (None, 1), ("START", 1), (None, 2)]


async def test_a_request_that_cannot_be_noted_down_is_made_later(
    open_stream: OpenStream, teams: Teams, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(teams)
    journal.refuses = 2
    stream = open_stream(journal=journal)
    stream.emit("Hello")
    await asyncio.sleep(0.1)
    assert teams.transcript == []
    await asyncio.sleep(5)
    sent = await stream.close()
    assert sent is not None
    assert [message.text for message in user.screen.messages] == ["Hello"]
    assert stream.statistics().orphans == 0
    assert "(OSError): the request was not made" in caplog.text
    assert "secrets" not in caplog.text


async def test_a_message_that_cannot_be_noted_down_at_all_is_not_delivered(
    open_stream: OpenStream, teams: Teams
) -> None:
    journal = Journal(teams)
    journal.refuses = 1_000
    stream = open_stream(journal=journal)
    stream.emit("Hello")
    with pytest.raises(StreamDeliveryError) as raised:
        await stream.close()
    assert raised.value.undelivered == "Hello"
    assert teams.transcript == []


async def test_a_journal_that_hangs_holds_a_request_up_for_ten_seconds(
    open_stream: OpenStream, teams: Teams, user: User, clock: VirtualClock
) -> None:
    journal = Journal(teams)
    journal.hangs = True
    stream = open_stream(journal=journal)
    stream.emit("Hello")
    await asyncio.sleep(9)
    journal.hangs = False
    await asyncio.sleep(3)
    await stream.close()
    assert user.screen.text == "Hello"


async def test_an_answer_that_cannot_be_noted_down_ends_nothing(
    open_stream: OpenStream, teams: Teams, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(teams)
    stream = open_stream(journal=journal)
    stream.emit("Hello")
    teams.service.observers.append(lambda _: setattr(journal, "refuses", 1))
    await asyncio.sleep(0.5)
    teams.service.observers.clear()
    stream.emit(", world")
    await stream.close()
    assert user.screen.text == "Hello, world"
    assert "its answer was not noted down" in caplog.text


async def test_what_it_was_told_last_is_enough_to_go_on(
    open_stream: OpenStream, teams: Teams, user: User
) -> None:
    saved: list[dict[str, Any]] = []

    async def journal(snapshot: dict[str, Any]) -> None:
        saved.append(snapshot)

    teams.service.add_fault(each(status(503), kind="final"))
    stream = open_stream(journal=journal)
    stream.emit("Hello")
    await asyncio.sleep(2)
    assert (stream.text, stream.closing) == ("Hello", False)
    stream.emit(", world")
    closing = asyncio.ensure_future(stream.close())
    await asyncio.sleep(2)
    assert stream.closing
    await stream.finish(AbortReason.LOST)
    await closing
    teams.service.clear_faults()
    other = HttpStream.resume(stream._sender._api, stream.ref, saved[-1])
    assert other.closing
    sent = await other.close()
    assert sent is not None
    assert [(message.id, message.text) for message in user.screen.messages] == [(sent.id, "Hello, world")]


async def test_an_app_that_stops_leaves_such_a_stream_as_it_is(teams: Teams, user: User) -> None:
    async def journal(snapshot: dict[str, Any]) -> None: ...

    app = App(transport=teams.transport, dangerously_allow_unauthenticated_requests=True)
    streams = [app.stream(teams.conversation_reference(user), journal=journal)]
    streams[0].emit("Hello")
    await asyncio.sleep(0.5)
    assert app.statistics().streams == 1
    await app.stop()
    assert [message.state for message in user.screen.messages] == ["streaming"]
