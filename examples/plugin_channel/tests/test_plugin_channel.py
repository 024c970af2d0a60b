"""The bot in both of its channels, which are reached as their users reach them."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from aiohttp import ClientSession, WSServerHandshakeError
from cadenza.api import (
    Account,
    ConversationAccount,
    ConversationReference,
    MessageActivityInput,
    TypingActivityInput,
)
from cadenza.apps import App, PluginStartEvent
from cadenza.cli import load_app
from cadenza.testing import VirtualClock
from local_channels import ConsoleChannel, WebChannel, room_id

from .readers import KEY, Tty, open_page, read

FIRST = 'You wrote "hello" in the channel "{}". Each of these words came by itself. '
ChannelT = TypeVar("ChannelT")
SECOND = "And this is a second message, on the same stream."


class Typist:
    """Somebody at the keyboard: lines, until there are no more."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str] = asyncio.Queue()

    def __aiter__(self) -> Typist:
        return self

    async def __anext__(self) -> str:
        return await self._lines.get()

    def type(self, line: str) -> None:
        self._lines.put_nowait(line)


@pytest.fixture
def typist() -> Typist:
    return Typist()


@pytest.fixture
def out() -> io.StringIO:
    return Tty()


@pytest.fixture
async def app(
    clock: VirtualClock, typist: Typist, out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[App]:
    """The bot of main.py, whose console is the test's, and whose page is at any free port."""
    monkeypatch.setenv("WEB_PORT", "0")
    app = load_app(Path(__file__).parents[1])
    console = channel_of(app, ConsoleChannel)
    monkeypatch.setattr(console, "_lines", typist)
    monkeypatch.setattr(console.terminal, "_out", out)
    async with app.lifespan():
        yield app


@pytest.fixture
def web(app: App) -> WebChannel:
    return channel_of(app, WebChannel)


def channel_of(app: App, kind: type[ChannelT]) -> ChannelT:
    return next(plugin for plugin in app.plugins if isinstance(plugin, kind))


def reference(channel: str, room: str) -> ConversationReference:
    return ConversationReference(
        channel_id=channel, conversation=ConversationAccount(id=room), bot=Account(id="bot")
    )


async def until(check: Callable[[], object]) -> None:
    """Wait, in virtual time, until something is so."""
    async with asyncio.timeout(60):
        while not check():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


# The console


async def test_in_the_console_an_answer_grows_with_a_card_between_two_messages(
    app: App, typist: Typist, out: io.StringIO
) -> None:
    typist.type("hello")
    await until(lambda: "Thinking" in out.getvalue())
    await until(lambda: out.getvalue().endswith("You wrote "))
    await until(lambda: out.getvalue().endswith("same stream.\n"))
    first, second = read(out.getvalue())
    assert (first.text, first.final) == (FIRST.format("console"), True)
    assert "Words: 14" in "\n".join(first.attachments)
    assert (second.text, second.final) == (SECOND, True)


async def test_in_the_console_stop_ends_the_turn(app: App, typist: Typist, out: io.StringIO) -> None:
    typist.type("hello")
    await until(lambda: out.getvalue().endswith("You wrote "))
    typist.type("/stop")
    await until(lambda: "stopped" in out.getvalue())
    await asyncio.sleep(10)
    [stopped] = read(out.getvalue())
    assert (stopped.text, stopped.final) == ("You wrote ", False)
    typist.type("hello")
    await until(lambda: out.getvalue().endswith("same stream.\n"))
    assert [message.final for message in read(out.getvalue())] == [False, True, True]


async def test_a_pipe_gets_the_messages_alone(
    app: App, typist: Typist, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(channel_of(app, ConsoleChannel).terminal, "_out", pipe)
    typist.type("hello")
    await until(lambda: pipe.getvalue().endswith("same stream.\n"))
    assert pipe.getvalue().startswith("bot: You wrote ")
    assert "\x1b" not in pipe.getvalue()


async def test_no_text_can_command_the_terminal(app: App, typist: Typist, out: io.StringIO) -> None:
    typist.type("\x1b[2Jhello\x07")
    await until(lambda: out.getvalue().endswith("same stream.\n"))
    assert '"[2Jhello"' in out.getvalue()
    assert "\x07" not in out.getvalue()


# The page


async def test_in_the_page_an_answer_grows_with_a_card_between_two_messages(web: WebChannel) -> None:
    async with open_page(web) as page:
        await page.say("1", "hello")
        await until(lambda: any(one.get("line") for one in page.messages.values()))
        await until(lambda: ("You wrote ", "growing") in page.shown)
        await until(lambda: (SECOND, "final") in page.shown)
        assert page.shown == [("hello", ""), (FIRST.format("web"), "final"), (SECOND, "final")]
        assert [one.get("cards") for one in page.messages.values()] == [
            None,
            [["What this answer took", "Words: 14", "Model: none"]],
            [],
        ]


async def test_in_the_page_stop_ends_the_turn(web: WebChannel) -> None:
    async with open_page(web) as page:
        await page.say("1", "hello")
        await until(lambda: ("You wrote ", "growing") in page.shown)
        await page.press_stop()
        await until(lambda: page.shown[-1][1] == "stopped")
        await asyncio.sleep(10)
        assert [state for _, state in page.shown] == ["", "stopped"]
        await page.say("2", "hello")
        await until(lambda: (SECOND, "final") in page.shown)


async def test_a_page_that_was_away_in_the_middle_is_shown_all_of_it(web: WebChannel) -> None:
    async with open_page(web) as page:
        await page.say("1", "hello")
        await until(lambda: ("You wrote ", "growing") in page.shown)
    async with open_page(web) as page:
        await until(lambda: len(page.shown) == 2)
        assert page.shown[1][1] == "growing", "it is on the page at once, and goes on there"
        await until(lambda: (SECOND, "final") in page.shown)
        assert page.shown == [("hello", ""), (FIRST.format("web"), "final"), (SECOND, "final")]


async def test_an_answer_goes_on_while_nobody_looks(web: WebChannel) -> None:
    async with open_page(web) as page:
        await page.say("1", "hello")
        await until(lambda: page.shown)
    await asyncio.sleep(60)
    async with open_page(web) as page:
        await until(lambda: len(page.shown) == 3)
        assert page.shown == [("hello", ""), (FIRST.format("web"), "final"), (SECOND, "final")]


async def test_a_page_that_comes_back_is_not_shown_what_was_taken_back(app: App, web: WebChannel) -> None:
    stream = app.stream(reference("web", room_id(KEY)))
    stream.update("Thinking")
    async with open_page(web) as page:
        await until(lambda: ("", "growing") in page.shown)
    assert await stream.close() is None
    async with open_page(web) as page:
        await asyncio.sleep(1)
        assert page.shown == []


async def test_what_a_page_says_again_is_handled_once(web: WebChannel) -> None:
    async with open_page(web) as page:
        await page.say("1", "hello")
        await page.say("1", "hello")
    async with open_page(web) as page:
        await page.say("1", "hello")
        await asyncio.sleep(10)
        assert len(page.shown) == 3


async def test_two_pages_of_one_room_see_the_same_and_another_room_nothing(web: WebChannel) -> None:
    async with open_page(web) as one, open_page(web) as other, open_page(web, "f" * 32) as stranger:
        await one.say("1", "hello")
        await until(lambda: (SECOND, "final") in other.shown)
        assert one.shown == other.shown
        assert stranger.shown == []


@pytest.mark.parametrize(
    "nonsense", ["{", "[]", "1", '{"type": "say"}', '{"type": "say", "id": 1, "text": " "}']
)
async def test_nonsense_of_a_page_is_ignored(web: WebChannel, nonsense: str) -> None:
    async with open_page(web) as page:
        await page.say_raw(nonsense)
        await page.say("1", "hello")
        await until(lambda: (SECOND, "final") in page.shown)
        assert len(page.shown) == 3


async def test_the_page_is_served_and_needs_nothing_from_elsewhere(web: WebChannel) -> None:
    async with ClientSession() as session, session.get(f"http://{web.host}:{web.port}/") as response:
        text = await response.text()
    assert response.status == 200
    assert response.content_type == "text/html"
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "src=" not in text


@pytest.mark.parametrize(
    ("key", "origin", "status"), [(KEY, "https://elsewhere.example", 403), ("short", None, 404)]
)
async def test_the_socket_is_for_the_page_alone(
    web: WebChannel, key: str, origin: str | None, status: int
) -> None:
    async with ClientSession() as session:
        with pytest.raises(WSServerHandshakeError) as refused:
            await session.ws_connect(f"http://{web.host}:{web.port}/socket/{key}", origin=origin)
    assert refused.value.status == status


async def test_a_bot_that_stops_ends_its_answer_and_takes_leave_of_its_pages(
    app: App, web: WebChannel
) -> None:
    async with open_page(web) as page:
        await page.say("1", "hello")
        await until(lambda: ("You wrote ", "growing") in page.shown)
        await app.stop()
        await page.reading
        assert page.shown[-1][1] == "final", "what there was of it, finalized"


async def test_what_is_said_to_a_bot_that_stops_is_not_shown_as_taken(
    app: App, web: WebChannel, typist: Typist, out: io.StringIO
) -> None:
    async with open_page(web) as page:
        await page.say("1", "hello")
        await until(lambda: ("You wrote ", "growing") in page.shown)
        stopping = asyncio.create_task(app.stop())
        await asyncio.sleep(0.01)
        await page.say("2", "too late")
        typist.type("too late")
        await until(lambda: ("too late", "refused") in page.shown)
        await until(lambda: "not taken: it is stopping" in out.getvalue())
        await stopping
    assert [frame["id"] for frame in web.room(room_id(KEY)).frames()][:2] == ["", "1"]
    assert "2" not in web.room(room_id(KEY))


async def test_a_port_of_the_page_that_is_taken_is_named_with_its_variable(web: WebChannel) -> None:
    second = WebChannel(port=web.port)
    with pytest.raises(OSError, match=rf"port {web.port} \(WEB_PORT\)"):
        await second.on_start(PluginStartEvent(None))
    await second.on_stop()


# The plugin's other ways


async def test_what_is_sent_unasked_replaces_the_message_of_its_id(app: App, web: WebChannel) -> None:
    ref = reference("web", room_id(KEY))
    sent = await app.send(ref, "One tea.")
    async with open_page(web) as page:
        await until(lambda: page.shown)
        await app.send(ref, TypingActivityInput())
        await app.send(ref, MessageActivityInput(text="Two teas.").with_id(sent.id))
        await until(lambda: page.shown != [("One tea.", "final")])
        assert page.shown == [("Two teas.", "final")]


async def test_what_is_sent_while_an_answer_grows_is_written_beside_it(
    app: App, typist: Typist, out: io.StringIO
) -> None:
    typist.type("hello")
    await until(lambda: out.getvalue().endswith("You wrote "))
    ref = reference("console", "console")
    await app.send(ref, "Tea is ready.")
    await until(lambda: out.getvalue().endswith("same stream.\n"))
    assert "bot: You wrote \nbot: Tea is ready.\nbot again: You wrote " in out.getvalue()
