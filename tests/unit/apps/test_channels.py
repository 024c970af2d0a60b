"""Channels that plugins bring: the bot's handlers work there as they do in Teams."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from threading import Thread
from typing import Annotated, Any, cast

import pytest
from cadenza.api import (
    Account,
    ActivityInput,
    ConversationReference,
    GetUserTokenParams,
    MessageActivity,
    MessageActivityInput,
    RequestTimeoutError,
    SentActivity,
    TypingActivityInput,
)
from cadenza.api.telemetry import names
from cadenza.apps import (
    ActivityContext,
    App,
    ChannelStream,
    DeliveryUnknownError,
    EventMetadata,
    HttpStream,
    LogFields,
    NoServiceError,
    Plugin,
    PluginActivitySentEvent,
    PluginBase,
    StreamCancelledError,
    StreamDeliveryError,
    StreamerProtocol,
    StreamError,
)
from cadenza.apps.plugins.channel import ChannelOutlet
from cadenza.apps.stream import AbortReason
from cadenza.state import SQLiteState
from cadenza.testing import Teams, User, VirtualClock
from cadenza.testing.contracts import StreamerContract
from called_server import CalledServer
from contract.teams_screen import TeamsScreen, screen_of
from opentelemetry import trace
from recorded_spans import recording
from unit.apps.sharing import Process, Processes

MakeApp = Callable[..., App]
Wire = Callable[..., dict[str, Any]]


class Board:
    """A streamer whose user sees each word at once."""

    def __init__(self, wall: "Wall") -> None:
        self.wall = wall
        self.canceled = self.closed = False
        self.count = self.sequence = 0
        self.message: dict[str, Any] | None = None
        self.chunk: list[Any] = []
        self.ended: list[Any] = []
        self.tell_stop: Callable[[], object] | None = None
        self.closings = 0

    def on_chunk(self, handler: Any) -> None:
        self.chunk.append(handler)

    def on_close(self, handler: Any) -> None:
        self.ended.append(handler)

    def emit(self, activity: MessageActivityInput | TypingActivityInput | str) -> None:
        if isinstance(activity, TypingActivityInput):
            return self.update(activity.text or "")
        text = activity if isinstance(activity, str) else activity.text or ""
        message = self._now()
        if self.wall.refuses and self.wall.refuses in text:
            raise ConnectionError("the board is gone")
        message["text"] += text
        if not isinstance(activity, str):
            message["attachments"] += activity.attachments or []
        return None

    def update(self, text: str) -> None:
        self._now()["line"] = text

    def clear_text(self) -> None:
        self._now()["text"] = ""

    def _now(self) -> dict[str, Any]:
        if self.canceled:
            raise StreamCancelledError("stopped")
        if self.message is None:
            self.closed = False
            self.message = self.wall.begin()
        return self.message

    def press_stop(self) -> None:
        self.canceled = True
        if self.message is not None:
            self.message["state"] = "stopped"
        if self.tell_stop is not None:
            self.tell_stop()

    async def close(self) -> SentActivity | None:
        self.closings += 1
        if self.wall.hangs:
            await asyncio.sleep(self.wall.hangs)
        if self.wall.breaks:
            raise self.wall.breaks
        message, self.message = self.message, None
        if self.canceled or message is None:
            self.canceled = False
            return None
        self.closed = True
        message["state"] = "final"
        sent = SentActivity(message["id"], MessageActivityInput(text=message["text"]))
        for handler in self.ended:
            await handler(sent)
        return sent


class ToldBoard(Board):
    """One that says at once that its user pressed Stop."""

    def on_stop(self, callback: Callable[[], object]) -> None:
        self.tell_stop = callback


@Plugin(name="wall")
class Wall(PluginBase):
    """A channel whose users have a wall that all can read."""

    channel_id = "Wall"
    bring: Annotated[Callable[..., Awaitable[Any]], EventMetadata("activity")]

    def __init__(self, streamer: type[Board] = ToldBoard) -> None:
        self.streamer = streamer
        self.messages: list[dict[str, Any]] = []
        self.refs: list[ConversationReference] = []
        self.boards: list[Board] = []
        self.hangs = 0.0
        self.refuses = ""
        self.breaks: Exception | None = None

    async def send(self, activity: ActivityInput, ref: ConversationReference) -> SentActivity:
        self.refs.append(ref)
        if self.hangs:
            await asyncio.sleep(self.hangs)
        if self.refuses:
            raise ConnectionError("the wall is gone")
        if activity.type == "typing":
            self.messages.append({"id": "", "text": "", "state": "typing"})
            return SentActivity("", cast(TypingActivityInput, activity))
        message = next((known for known in self.messages if known["id"] == activity.id), None)
        message = self.begin() if message is None else message
        assert isinstance(activity, MessageActivityInput)
        message |= {"text": activity.text or "", "state": "sent", "reply_to": activity.reply_to_id}
        return SentActivity(message["id"], activity)

    def create_stream(self, ref: ConversationReference) -> Board:
        self.refs.append(ref)
        board = self.streamer(self)
        self.boards.append(board)
        return board

    def begin(self) -> dict[str, Any]:
        message: dict[str, Any] = {
            "id": f"w{len(self.messages)}",
            "text": "",
            "state": "open",
            "line": None,
            "attachments": [],
        }
        self.messages.append(message)
        return message

    async def say(self, text: str, **fields: Any) -> Any:
        said = {"text": text, "from": {"id": "ann"}, "conversation": {"id": "room"}}
        return await self.bring({**said, **fields})

    @property
    def texts(self) -> list[tuple[str, str]]:
        return [(message["state"], message["text"]) for message in self.messages]


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def app(make_app: MakeApp, wall: Wall) -> App:
    return make_app(plugins=[wall])


# Speaking there


async def test_a_handler_sends_replies_edits_types_and_streams_as_it_does_in_teams(
    app: App, wall: Wall
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.typing()
        sent = await ctx.send("one")
        await ctx.reply("two")
        await ctx.send(MessageActivityInput(id=sent.id, text="ONE"))
        assert isinstance(ctx.stream, ChannelStream)
        ctx.stream.update("Thinking...")
        ctx.stream.emit("thr")
        ctx.stream.emit(MessageActivityInput(text="ee"))

    response = await wall.say("hi", id="17")
    assert response.status == 200
    assert wall.texts == [("typing", ""), ("sent", "ONE"), ("sent", "two"), ("final", "three")]
    assert wall.messages[2]["reply_to"] == "17"
    assert wall.messages[3]["line"] == "Thinking..."
    assert {(ref.channel_id, ref.conversation.id) for ref in wall.refs} == {("Wall", "room")}


async def test_an_activity_with_next_to_nothing_in_it_is_a_message_of_the_channel(
    app: App, wall: Wall
) -> None:
    seen: list[MessageActivity] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(ctx.activity)
        await ctx.send("yes")

    for given in ({}, {"text": "a dict"}, '{"text": "JSON"}', b"{}", MessageActivity(text="a model")):
        await wall.bring(given)
    assert [activity.text for activity in seen] == ["", "a dict", "JSON", "", "a model"]
    assert {activity.channel_id for activity in seen} == {"Wall"}
    assert len(wall.messages) == 5
    with pytest.raises(ValueError, match="brings activities of the channel 'Wall', not of 'msteams'"):
        await wall.bring({"channelId": "msteams"})
    with pytest.raises(TypeError, match="A plugin brings an activity as JSON"):
        await wall.bring(7)


async def test_a_stream_is_told_to_those_who_listen(make_app: MakeApp, wall: Wall) -> None:
    heard: list[str] = []

    @Plugin()
    class Listens(PluginBase):
        async def on_activity_sent(self, event: PluginActivitySentEvent) -> None:
            assert event.conversation_ref.channel_id == "Wall"
            assert isinstance(event.activity.activity_params, MessageActivityInput)
            heard.append(event.activity.activity_params.text or "")

    app = make_app(plugins=[wall, Listens()])

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("sent")
        ctx.stream.emit("streamed")

    await wall.say("hi")
    assert heard == ["sent", "streamed"]


async def test_a_stream_is_piped_and_opened_again_and_used_as_a_block(app: App, wall: Wall) -> None:
    async def source() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        sent = await ctx.stream.pipe(source())
        assert sent is not None
        assert sent is await ctx.stream.close()
        assert ctx.stream.closed
        async with ctx.stream as stream:
            stream.emit("second")
            assert not stream.closed
        assert wall.boards[0].closings == 2

    await wall.say("hi")
    assert wall.texts == [("final", "ab"), ("final", "second")]


async def test_a_channel_has_no_rest_service_and_says_so(
    app: App, wall: Wall, user: User, teams: Teams
) -> None:
    refused: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        with pytest.raises(NoServiceError, match="the channel 'Wall' belongs to a plugin") as info:
            await ctx.api.conversations.get_members("room")
        refused.append(str(info.value))
        with pytest.raises(NoServiceError, match="GET /api/usertoken/GetToken: the channel") as info:
            await ctx.api.users.get_token(
                GetUserTokenParams(user_id="ann", connection_name="graph", code="123456")
            )
        assert "123456" not in str(info.value)
        with pytest.raises(NoServiceError):
            await ctx.get_user_token("graph")
        await ctx.send("to Teams", teams.conversation_reference(user))

    await wall.say("hi")
    assert len(refused) == 1
    assert user.screen.text == "to Teams"


async def test_a_turn_in_teams_and_the_bot_itself_write_to_the_channel(
    app: App, wall: Wall, user: User
) -> None:
    room = ConversationReference.received({"channelId": "wall", "conversation": {"id": "room"}})

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("from Teams", room)
        await ctx.send("here")

    await user.say("hi")
    assert user.screen.text == "here"
    await app.send(room, "news")
    async with app.stream(room) as stream:
        stream.emit("more")
    assert wall.texts == [("sent", "from Teams"), ("sent", "news"), ("final", "more")]


async def test_references_of_a_channel_are_kept_and_take_no_place_of_those_of_teams(
    make_app: MakeApp, wall: Wall, user: User, teams: Teams
) -> None:
    app = make_app(plugins=[wall], keep_references=True)
    await user.say("hi")
    there = teams.conversation_reference(user)
    assert there.user is not None
    await wall.say("me too")
    forged = {"id": there.conversation.id, "conversationType": "personal"}
    await wall.say("I am them", conversation=forged, **{"from": {"id": there.user.id}})
    for known in (
        await app.references.get(there.conversation.id),
        await app.references.of_user(there.user.id),
    ):
        assert known is not None
        assert known.channel_id == "msteams"
    assert sorted([ref.channel_id async for ref in app.references.all()]) == ["Wall", "Wall", "msteams"]
    room = await app.references.get("room", channel_id="wall")
    ann = await app.references.of_user(there.user.id, channel_id="Wall")
    assert (room and room.channel_id, ann and ann.channel_id) == ("Wall", "Wall")
    await app.references.forget("room")
    assert await app.references.get("room", channel_id="Wall") == room
    await app.references.forget("room", channel_id="Wall")
    assert await app.references.get("room", channel_id="Wall") is None


# Who may bring its activities


@pytest.mark.parametrize("channel_id", ["Wall", "wall", "WALL"])
async def test_nobody_but_the_plugin_brings_activities_of_its_channel(
    app: App, wall: Wall, event: Wire, channel_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []
    app.on_message(seen.append)
    message = event("message", text="let me in", channelId=channel_id)
    assert (await app.process(message, token="")).status == 403
    server = CalledServer()
    posted = App(
        plugins=[Wall()], http_server_adapter=server, dangerously_allow_unauthenticated_requests=True
    )
    posted.on_message(seen.append)
    await posted.initialize()
    assert (await server.post(json.dumps(message).encode())).status == 403
    await posted.stop()
    assert not seen
    assert "belongs to a plugin, which alone may bring its activities" in caplog.text


def channel(name: str, channel_id: Any) -> Any:
    return Plugin(name=name)(type(name, (Wall,), {"channel_id": channel_id}))()


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (("Desk", "desk"), "Two plugins have the channel 'desk'"),
        (("MSTeams",), "'MSTeams': channel_id is a name of its own"),
        (("",), "'': channel_id"),
        ((" desk",), "' desk': channel_id"),
        ((7,), "is 7: channel_id"),
    ],
)
def test_a_channel_has_an_id_of_its_own(ids: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        App(plugins=[channel(f"Plugin{number}", id_) for number, id_ in enumerate(ids)])


async def test_a_plugin_brings_nothing_to_the_channel_of_another(make_app: MakeApp, wall: Wall) -> None:
    @Plugin()
    class Other(PluginBase):
        bring: Annotated[Callable[..., Awaitable[Any]], EventMetadata("activity")]

    other = Other()
    make_app(plugins=[wall, other])
    with pytest.raises(ValueError, match="'WALL' belongs to another plugin than 'Other'"):
        await other.bring({"type": "message", "channelId": "WALL"})


# Turns


async def test_messages_of_a_conversation_are_handled_in_order_and_once(
    app: App, wall: Wall, clock: VirtualClock
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        count = ctx.state.conversation["count"] = ctx.state.conversation.get("count", 0) + 1
        await asyncio.sleep(10 if ctx.activity.text == "slow" else 0)
        await ctx.send(f"{ctx.activity.text} {count}")

    slow = asyncio.create_task(wall.say("slow", id="1"))
    await asyncio.sleep(1)
    await asyncio.gather(
        wall.say("fast", id="2"), wall.say("fast", id="2"), wall.say("away", conversation={"id": "den"}), slow
    )
    assert [text for _, text in wall.texts] == ["away 1", "slow 1", "fast 2"]


async def test_a_turn_asks_and_the_next_message_is_the_answer(app: App, wall: Wall) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        name = await ctx.ask("Who are you?")
        await ctx.send(f"Hello {name.text}!")

    asking = asyncio.create_task(wall.say("hi"))
    await asyncio.sleep(1)
    await wall.say("Ann")
    await asking
    assert [text for _, text in wall.texts] == ["Who are you?", "Hello Ann!"]


@pytest.mark.parametrize("told", [True, False])
async def test_stop_ends_the_turn_quietly_and_nothing_more_is_shown(make_app: MakeApp, told: bool) -> None:
    wall = Wall(ToldBoard if told else Board)
    app = make_app(plugins=[wall])
    errors: list[Exception] = []
    cancelled: list[str] = []
    app.on_error(lambda ctx, error: errors.append(error))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        try:
            for number in range(100):
                ctx.stream.emit(f"{number} ")
                await asyncio.sleep(1)
        except BaseException as error:
            cancelled.append(type(error).__name__)
            raise

    saying = asyncio.create_task(wall.say("hi"))
    await asyncio.sleep(1.5)
    wall.boards[0].press_stop()
    await saying
    assert wall.texts == [("stopped", "0 1 ")]
    assert cancelled == ["CancelledError" if told else "StreamCancelledError"]
    assert errors == []
    assert not wall.boards[0].canceled


async def test_a_streamer_says_stop_by_what_its_emit_raises_even_if_the_handler_does_not_care(
    make_app: MakeApp, clock: VirtualClock
) -> None:
    class SaysSoWhenAsked(Board):
        def emit(self, activity: MessageActivityInput | TypingActivityInput | str) -> None:
            raise StreamCancelledError("stopped")

    wall = Wall(SaysSoWhenAsked)
    app = make_app(plugins=[wall])

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        with suppress(StreamCancelledError):
            ctx.stream.emit("text")
        await asyncio.sleep(100)
        await ctx.send("never said")

    began = clock.now()
    await wall.say("hi")
    assert clock.now() - began < 10
    assert wall.texts == []


async def test_a_failing_send_is_the_handlers_error_and_the_user_is_told_by_the_channel(
    app: App, wall: Wall
) -> None:
    errors: list[Exception] = []

    @app.on_error
    async def failed(ctx: ActivityContext[Any], error: Exception) -> None:
        errors.append(error)
        wall.refuses = ""

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        wall.refuses = "x"
        await ctx.send("hello")

    await wall.say("hi")
    assert [str(error) for error in errors] == ["the wall is gone"]
    assert [text for _, text in wall.texts] == [
        "Sorry, something went wrong while answering. Please try again."
    ]


@pytest.mark.parametrize("how", ["emit", "close", "thread"])
async def test_a_streamer_that_fails_is_an_error_of_its_turn(app: App, wall: Wall, how: str) -> None:
    errors: list[Exception] = []

    @app.on_error
    async def failed(ctx: ActivityContext[Any], error: Exception) -> None:
        errors.append(error)
        wall.refuses, wall.breaks = "", None

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        stream = ctx.stream
        stream.emit("good ")
        if how == "close":
            wall.breaks = ConnectionError("the board is gone")
        elif how == "emit":
            wall.refuses = "bad"
            stream.emit("bad")
        else:
            wall.refuses = "bad"
            thread = Thread(target=stream.emit, args=("bad",))
            thread.start()
            thread.join()

    await wall.say("hi")
    [error] = errors
    if how == "emit":
        assert isinstance(error, ConnectionError)
        assert wall.texts[0] == ("final", "good ")
    else:
        assert isinstance(error, StreamDeliveryError)
        assert isinstance(error.__cause__, ConnectionError)
        assert "the board is gone" not in str(error)
    assert "something went wrong" in wall.texts[-1][1]


async def test_what_another_thread_emits_arrives_in_order(app: App, wall: Wall) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        stream = ctx.stream
        await asyncio.to_thread(lambda: [stream.emit(f"{number} ") for number in range(50)])

    await wall.say("hi")
    assert wall.texts == [("final", "".join(f"{number} " for number in range(50)))]


async def test_a_handler_that_emits_after_its_turn_is_told_that_it_is_over(app: App, wall: Wall) -> None:
    late: list[BaseException] = []
    tasks: list[asyncio.Task[None]] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        async def linger() -> None:
            await asyncio.sleep(30)
            try:
                ctx.stream.emit("too late")
            except StreamError as error:
                late.append(error)

        tasks.append(asyncio.create_task(linger()))
        ctx.stream.emit("in time")

    await wall.say("hi")
    await asyncio.gather(*tasks)
    assert "This turn is over" in str(late[0])
    assert wall.texts == [("final", "in time")]


@pytest.mark.parametrize("where", ["handler", "after"])
async def test_a_streamer_that_hangs_in_close_does_not_hold_up_the_end(
    app: App, wall: Wall, clock: VirtualClock, where: str
) -> None:
    errors: list[Exception] = []
    app.on_error(lambda ctx, error: errors.append(error))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("text")
        wall.hangs = 1e6
        if where == "handler":
            await ctx.stream.close()

    saying = asyncio.create_task(wall.say("hi"))
    await asyncio.sleep(1)
    began = clock.now()
    await app.stop()
    assert clock.now() - began <= 30
    await saying
    assert [type(error) for error in errors] == [StreamDeliveryError]
    assert "did not finalize its message within 8 s" in str(errors[0])


async def test_a_channel_that_never_answers_is_given_up_after_a_minute(
    app: App, wall: Wall, clock: VirtualClock
) -> None:
    errors: list[Exception] = []

    @app.on_error
    async def failed(ctx: ActivityContext[Any], error: Exception) -> None:
        errors.append(error)
        wall.hangs = 0

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        wall.hangs = 1e6
        if ctx.activity.text == "send":
            await ctx.send("hello")
        else:
            ctx.stream.emit("hello")

    for text in ("send", "stream"):
        began = clock.now()
        await wall.say(text)
        assert 60 <= clock.now() - began < 62
    assert [type(error) for error in errors] == [RequestTimeoutError, StreamDeliveryError]


async def test_a_proactive_stream_is_finalized_when_the_app_stops(app: App, wall: Wall) -> None:
    await app.initialize()
    stream = app.stream(ConversationReference(channel_id="Wall"))
    stream.emit("half")
    await app.stop()
    assert wall.texts == [("final", "half")]
    assert (await wall.say("too late")).status == 503
    with pytest.raises(RuntimeError, match="has been stopped"):
        await app.send(ConversationReference(channel_id="Wall"), "too late")


async def test_a_message_that_only_its_sender_may_see_answered_is_not_streamed_to_all(
    app: App, wall: Wall
) -> None:
    refused: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        with pytest.raises(
            RuntimeError, match="cannot stream an answer that one person alone may see"
        ) as info:
            ctx.stream.emit("secret")
        refused.append(str(info.value))
        sent = await ctx.send("for you")
        assert isinstance(sent.activity_params, MessageActivityInput)
        assert sent.activity_params.recipient is not None
        assert sent.activity_params.recipient.is_targeted

    conversation = {"id": "room", "conversationType": "groupChat"}
    await wall.say("psst", conversation=conversation, recipient={"id": "bot", "isTargeted": True})
    assert len(refused) == 1
    assert [text for _, text in wall.texts] == ["for you"]


async def test_a_stream_takes_what_a_stream_of_teams_takes(app: App, wall: Wall) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        stream: Any = ctx.stream
        with pytest.raises(TypeError, match="emit\\(\\) takes a str"):
            stream.emit(7)
        with pytest.raises(TypeError, match="update\\(\\) takes a str"):
            stream.update(7)
        only = Account(id="ann", is_targeted=True)
        with pytest.raises(ValueError, match="for 'ann' alone"):
            stream.emit(MessageActivityInput(text="psst", recipient=only))
        message = MessageActivityInput(text="one")
        stream.emit(TypingActivityInput(text="Reading..."))
        stream.emit(message)
        message.text = "changed"
        assert stream.statistics().emits == 1
        assert (stream.undelivered, stream.count, stream.sequence) == ("", 0, 0)

    await wall.say("hi")
    assert wall.texts == [("final", "one")]


async def test_what_waits_for_the_streamer_when_its_user_presses_stop_is_never_shown(wall: Wall) -> None:
    stream = ChannelStream(SlowlyAdmitted(wall, None), ConversationReference())
    stream.update("Searching")
    stream.emit("text")
    assert await stream.finish(AbortReason.STOP) is None
    assert wall.texts == []
    assert wall.boards[0].closings == 1


async def test_a_close_is_told_if_something_that_has_to_come_first_was_cancelled(wall: Wall) -> None:
    stream = ChannelStream(NeverAdmitted(wall, None), ConversationReference())
    stream.emit("text")
    async with asyncio.timeout(5):
        with pytest.raises(StreamDeliveryError):
            await stream.close()
    assert (wall.texts, stream.count) == ([], 0)


async def test_what_a_thread_emits_after_a_close_is_finalized_too(app: App, wall: Wall) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("a")
        await ctx.stream.close()
        thread = Thread(target=ctx.stream.emit, args=("b",))
        thread.start()
        thread.join()
        assert not ctx.stream.closed
        assert ctx.stream.count == 1

    await wall.say("hi")
    assert wall.texts == [("final", "a"), ("final", "b")]


class KeywordBoard(Board):
    def update(self, text: str, *, text_format: str | None = None) -> None:
        self._now()["line"] = (text, text_format)


class OtherBoard(Board):
    def update(self, text: str, final: bool = False) -> None:
        self._now()["line"] = (text, final)


@pytest.mark.parametrize(("board", "line"), [(KeywordBoard, "markdown"), (OtherBoard, False)])
async def test_a_streamer_is_told_the_format_of_a_line_if_it_has_a_parameter_of_that_name(
    make_app: MakeApp, board: type[Board], line: object
) -> None:
    wall = Wall(board)
    app = make_app(plugins=[wall])

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.update("Thinking", "markdown")
        ctx.stream.emit("text")

    await wall.say("hi")
    assert wall.messages[0]["line"] == ("Thinking", line)


async def test_a_create_stream_that_returns_no_streamer_is_an_error_that_says_so(
    app: App, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wall, "create_stream", lambda ref: None)
    errors: list[Exception] = []
    app.on_error(lambda ctx, error: errors.append(error))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("text")

    await wall.say("hi")
    assert "of the channel 'Wall' must return a StreamerProtocol, and NoneType has no emit" in str(errors[0])


class Nonsense(Board):
    async def close(self) -> Any:
        await super().close()
        return "nonsense"


async def test_a_close_that_returns_something_else_is_an_error(make_app: MakeApp) -> None:
    wall = Wall(Nonsense)
    app = make_app(plugins=[wall])

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("text")
        with pytest.raises(StreamDeliveryError, match="must return a SentActivity or None, not str"):
            await ctx.stream.close()

    assert (await wall.say("hi")).status == 200


async def test_a_streamer_is_called_in_the_context_of_its_turn(make_app: MakeApp) -> None:
    seen: list[str] = []

    class Reading(Board):
        def emit(self, activity: Any) -> None:
            record = logging.LogRecord("x", 20, "", 1, "", (), None)
            LogFields().filter(record)
            seen.append(record.__dict__["activity_id"])
            super().emit(activity)

    wall = Wall(Reading)
    app = make_app(plugins=[wall])

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        Thread(target=ctx.stream.emit, args=("text",)).start()
        await asyncio.sleep(1)

    await wall.say("hi", id="17")
    assert seen == ["17"]


async def test_a_stream_of_a_stopped_app_takes_nothing_more(
    app: App, wall: Wall, teams: Teams, user: User
) -> None:
    await app.initialize()
    streams = [
        app.stream(ConversationReference(channel_id="Wall")),
        app.stream(teams.conversation_reference(user)),
    ]
    for stream in streams:
        stream.emit("in time")
    await app.stop()
    for stream in streams:
        with pytest.raises(StreamError, match="This App has been stopped"):
            stream.emit("too late")
        await stream.close()
    assert wall.texts == [("final", "in time")]
    assert user.screen.text == "in time"


# Where the state outlives the process


async def test_with_a_durable_state_all_is_the_same(make_app: MakeApp, wall: Wall, tmp_path: Path) -> None:
    app = make_app(plugins=[wall], state=SQLiteState(tmp_path / "bot.db"))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("one ")
        ctx.stream.emit("two")
        await ctx.stream.close()
        ctx.stream.emit("three")
        await ctx.send("four")

    await wall.say("hi")
    assert sorted(wall.texts) == [("final", "one two"), ("final", "three"), ("sent", "four")]
    await app.stop()


@pytest.fixture
async def processes(teams: Teams, clock: VirtualClock) -> AsyncIterator[Processes]:
    processes = Processes(teams, clock.now)
    yield processes
    await processes.stop()


async def test_a_turn_whose_process_died_is_told_by_the_plugin_of_the_next(processes: Processes) -> None:
    begun: list[str] = []

    def start(wall: Wall) -> Process:
        process = processes.start(plugins=[wall])

        @process.app.on_message
        async def answer(ctx: ActivityContext[MessageActivity]) -> None:
            begun.append(ctx.activity.text)
            if ctx.activity.text == "streamed":
                ctx.stream.emit("half of ")
            await asyncio.sleep(100)
            await ctx.send("done")

        return process

    first, second = Wall(), Wall()
    dying = start(first)
    saying = [
        asyncio.create_task(first.say("streamed", conversation={"id": "a"})),
        asyncio.create_task(first.say("silent", conversation={"id": "b"})),
    ]
    await asyncio.sleep(1)
    dying.cut_off = True
    await start(second).app.initialize()
    await asyncio.sleep(250)
    assert sorted(begun) == ["silent", "silent", "streamed"]
    assert sorted(second.texts) == [
        ("sent", "Sorry, I was interrupted while answering, and cannot go on. Please ask again."),
        ("sent", "done"),
    ]
    assert first.texts == [("open", "half of ")]  # whose turn it is not any more shows nothing
    await asyncio.gather(*saying)


async def test_a_handler_whose_turn_is_lost_finalizes_nothing(processes: Processes) -> None:
    first, second = Wall(), Wall()
    dying, living = processes.start(plugins=[first]), processes.start(plugins=[second])
    closed: list[BaseException] = []

    @dying.app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("half ")
        try:
            await asyncio.sleep(300)
        except asyncio.CancelledError:
            try:
                await ctx.stream.close()
            except StreamDeliveryError as error:
                closed.append(error)

    @living.app.on_turn_lost
    async def lost(ctx: ActivityContext[Any]) -> None:
        ctx.stream.emit("again")

    saying = asyncio.create_task(first.say("hi"))
    await asyncio.sleep(1)
    dying.cut_off = True
    await living.app.initialize()
    await asyncio.sleep(250)
    assert (first.texts, second.texts) == ([("open", "half ")], [("final", "again")])
    assert "TurnLostError" in str(closed[0])
    await saying


async def test_what_another_process_has_left_is_taken_over_when_the_plugins_have_started(
    processes: Processes,
) -> None:
    log: list[str] = []

    @Plugin(name="late")
    class Late(Wall):
        async def on_start(self, event: object) -> None:
            await asyncio.sleep(8)
            log.append("on_start")

    first = Wall()
    dying, living = processes.start(plugins=[first]), processes.start(plugins=[Late()])
    dying.app.on_message(lambda ctx: asyncio.sleep(1000))
    living.app.on_message(lambda ctx: log.append("revived"))
    saying = asyncio.create_task(first.say("hi"))
    await asyncio.sleep(1)
    dying.cut_off = True
    await asyncio.sleep(200)
    async with living.app.lifespan():
        await asyncio.sleep(30)
    assert log == ["on_start", "revived"]
    await saying


async def test_an_on_turn_lost_handler_streams_to_the_channel(processes: Processes) -> None:
    first, second = Wall(), Wall()
    dying, living = processes.start(plugins=[first]), processes.start(plugins=[second])

    @dying.app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("begun")
        await asyncio.sleep(1000)

    @living.app.on_turn_lost
    async def lost(ctx: ActivityContext[Any]) -> None:
        ctx.stream.emit(f"Where were we? {ctx.activity.text}")

    saying = asyncio.create_task(first.say("hi"))
    await asyncio.sleep(1)
    dying.cut_off = True
    await living.app.initialize()
    await asyncio.sleep(120)
    assert second.texts == [("final", "Where were we? hi")]
    await saying


async def test_an_activity_of_a_channel_that_is_gone_is_given_up(
    processes: Processes, caplog: pytest.LogCaptureFixture
) -> None:
    wall = Wall()
    dying = processes.start(plugins=[wall])

    @dying.app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await asyncio.sleep(1000)

    saying = asyncio.create_task(wall.say("hi"))
    await asyncio.sleep(1)
    dying.cut_off = True
    await processes.start().app.initialize()
    await asyncio.sleep(120)
    assert "An activity of the inbox cannot be handled: it is given up." in caplog.text
    assert "of the channel 'Wall', and no plugin has that" in caplog.text
    await saying


# Spans

TURN = names.Span.TURN
STREAM = names.Span.STREAM
OUTCOME = names.Attribute.OUTCOME
EMITS = names.Attribute.STREAM_EMITS


async def test_what_a_bot_sends_and_streams_has_spans(app: App, wall: Wall) -> None:
    model = trace.get_tracer("a model")

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("hello")
        ctx.stream.update("Searching")
        with model.start_as_current_span("chat"):
            ctx.stream.emit("one ")
            ctx.stream.emit("two")
        await ctx.stream.close()
        ctx.stream.emit("three")

    with recording() as recorded:
        await wall.say("hi")
    assert recorded.tree("channel.id", OUTCOME, EMITS) == dedent(
        """\
        microsoft.teams.activity.process id=Wall outcome=handled
            microsoft.teams.state.load
            microsoft.teams.handler outcome=handled
                cadenza.channel.send id=Wall
                chat
            cadenza.stream outcome=sent emits=2 -> chat
            cadenza.stream outcome=sent emits=1 -> microsoft.teams.handler"""
    )
    assert recorded.metrics()["cadenza.stream.count"] == {"sent": 2}
    sent = recorded.one(names.Span.CHANNEL_SEND).attributes
    assert sent == {"channel.id": "Wall", "conversation.id": "room", "activity.type": "message"}
    assert recorded.one(names.Span.STATE_LOAD)


@pytest.mark.parametrize(
    ("way", "outcome", "error"),
    [
        ("break", "failed", "cadenza.apps.stream.errors.StreamDeliveryError"),
        ("unknown", "unknown", "cadenza.apps.stream.errors.DeliveryUnknownError"),
        ("hang", "failed", "cadenza.apps.stream.errors.StreamDeliveryError"),
        ("stop", "stopped", None),
        ("stop and hang", "stopped", None),
        ("cancelled", "stopped", None),
        ("nothing", "nothing", None),
    ],
)
async def test_the_span_of_an_answer_says_how_it_ended(
    app: App, wall: Wall, way: str, outcome: str, error: str | None
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("a private answer")
        match way:
            case "break":
                wall.breaks = ConnectionError("private")
            case "unknown":
                wall.breaks = DeliveryUnknownError("private")
            case "hang":
                wall.hangs = 1e6
            case "cancelled":
                wall.breaks = StreamCancelledError("private")
            case "stop" | "stop and hang":
                wall.hangs = 1e6 if way == "stop and hang" else 0
                wall.boards[0].press_stop()
                await asyncio.sleep(100)
            case _:
                wall.boards[0].message = None

    with recording() as recorded:
        await wall.say("hi")
        wall.hangs = 0
    [span] = recorded.named(STREAM)
    assert span.attributes is not None
    assert (span.attributes[OUTCOME], span.attributes.get("error.type")) == (outcome, error)
    assert span.status.is_ok == (error is None)
    assert "private" not in recorded.texts()
    assert recorded.metrics()["cadenza.stream.count"] == {outcome: 1}


async def test_a_send_that_failed_has_the_type_of_its_error(app: App, wall: Wall) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        wall.refuses = "all"
        with suppress(ConnectionError):
            await ctx.send("hello")
        wall.refuses = ""

    with recording() as recorded:
        await wall.say("hi")
    span = recorded.one(names.Span.CHANNEL_SEND)
    assert span.attributes is not None
    assert (span.status.is_ok, span.attributes["error.type"]) == (False, "ConnectionError")


async def test_what_a_streamer_does_for_an_answer_lies_under_its_span(make_app: MakeApp) -> None:
    client = trace.get_tracer("a client")

    class Instrumented(Board):
        def emit(self, activity: Any) -> None:
            with client.start_as_current_span("emit"):
                super().emit(activity)

        async def close(self) -> SentActivity | None:
            with client.start_as_current_span("close"):
                return await super().close()

    wall = Wall(Instrumented)
    app = make_app(plugins=[wall])

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("text")
        wall.hangs = 1
        closing = asyncio.create_task(ctx.stream.close())
        await asyncio.sleep(0.5)
        ctx.stream.emit("and more")  # has to wait for that
        await closing

    with recording() as recorded:
        await wall.say("hi")
    streams = [span.context for span in recorded.named(STREAM)]
    assert [span.parent for span in recorded.named("emit")] == streams
    assert [span.parent for span in recorded.named("close")] == streams


@pytest.mark.parametrize(
    ("closed", "outcomes"), [(False, ["stopped"]), (True, ["sent"])], ids=["open", "closed"]
)
async def test_a_turn_that_is_lost_ends_the_span_of_an_answer_that_is_open(
    processes: Processes, closed: bool, outcomes: list[str]
) -> None:
    first, second = Wall(), Wall()
    dying, living = processes.start(plugins=[first]), processes.start(plugins=[second])

    @dying.app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("half ")
        if closed:
            await ctx.stream.close()
        await asyncio.sleep(300)

    with recording() as recorded:
        saying = asyncio.create_task(first.say("hi"))
        await asyncio.sleep(1)
        dying.cut_off = True
        await living.app.initialize()
        await asyncio.sleep(250)
        await saying
        await processes.stop()
    assert recorded.metrics()["cadenza.stream.count"] == dict.fromkeys(outcomes, 1)
    assert [(span.attributes or {})[OUTCOME] for span in recorded.named(STREAM)] == outcomes


# The laws of a stream


@Plugin()
class StreamedElsewhere(PluginBase):
    """A channel whose streamer keeps all laws: one of Teams."""

    channel_id = "elsewhere"

    def __init__(self, streamer: StreamerProtocol) -> None:
        self._streamer = streamer

    async def send(self, activity: ActivityInput, ref: ConversationReference) -> SentActivity:
        raise NotImplementedError

    def create_stream(self, ref: ConversationReference) -> StreamerProtocol:
        return self._streamer


class SlowlyAdmitted(ChannelOutlet):
    """As in a turn whose intent takes its time to be recorded."""

    open = False

    async def before(self) -> None:
        if not self.open:
            await asyncio.sleep(0.02)
            self.open = True


class NeverAdmitted(ChannelOutlet):
    """As where the client of a state has cancelled what is awaited."""

    open = False

    async def before(self) -> None:
        dead = asyncio.get_running_loop().create_future()
        dead.cancel()
        await dead


@pytest.mark.parametrize("outlet", [ChannelOutlet, SlowlyAdmitted])
class TestAChannelStream(StreamerContract):
    @pytest.fixture
    async def backend(self, outlet: type[ChannelOutlet]) -> AsyncIterator[TeamsScreen]:
        async for screen in screen_of(HttpStream):
            channel = outlet(StreamedElsewhere(screen.streamer), None)
            stream: Any = ChannelStream(channel, ConversationReference())
            screen.streamer = stream
            yield screen
