"""When a turn is over, nothing of it goes on: no late text, no open bubble, no dropped stream."""

import asyncio
import gc
import weakref
from typing import Any

import pytest
from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App, HttpStream, StreamCancelledError, StreamError
from cadenza.testing import Teams, User


async def test_a_task_that_a_handler_leaves_behind_cannot_open_its_stream_again(app: App, user: User) -> None:
    late: list[BaseException] = []
    tasks = []

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

    await user.say("hi")
    await asyncio.gather(*tasks)
    assert "This turn is over" in str(late[0])
    assert user.screen.text == "in time"


async def test_a_stream_that_is_first_asked_for_after_the_turn_takes_nothing(app: App, user: User) -> None:
    contexts: list[ActivityContext[Any]] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        contexts.append(ctx)

    await user.say("hi")
    with pytest.raises(StreamError, match="This turn is over"):
        contexts[0].stream.emit("too late")


async def test_after_stop_a_handler_that_cleans_up_cannot_stream_on(app: App, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("one ")
        try:
            await asyncio.sleep(1)
            user.press_stop()
            ctx.stream.emit("two ")
            await asyncio.sleep(60)
        finally:
            await ctx.stream.close()
            with pytest.raises(StreamCancelledError):
                ctx.stream.emit("I was stopped")

    await user.say("hi")
    assert [(message.state, message.text) for message in user.screen.messages] == [("stopped", "one ")]


async def test_a_proactive_stream_that_its_caller_dropped_is_finalized_at_the_end(
    app: App, teams: Teams, user: User
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        app.stream(ctx.conversation_ref).emit("dropped")
        await asyncio.sleep(2)
        gc.collect()

    await user.say("hi")
    await app.stop()
    assert [(message.state, message.text) for message in user.screen.messages] == [("final", "dropped")]


async def test_a_stopped_app_sends_nothing_more(app: App, teams: Teams, user: User) -> None:
    ref = teams.conversation_reference(user)
    await app.stop()
    with pytest.raises(RuntimeError, match="has been stopped"):
        app.stream(ref)
    with pytest.raises(RuntimeError, match="has been stopped"):
        await app.send(ref, "hello")


async def test_turns_that_only_look_at_their_stream_leave_nothing_behind(app: App, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        assert not ctx.stream.canceled

    def streams() -> int:
        gc.collect()
        return sum(isinstance(thing, HttpStream) for thing in gc.get_objects())

    before = streams()  # those that other tests have kept
    for _ in range(50):
        await user.say("hi")
    assert streams() <= before + 1


async def test_text_that_comes_while_the_turn_is_being_closed_is_refused_and_opens_nothing(
    app: App, teams: Teams, user: User
) -> None:
    refused: list[StreamError] = []
    tasks = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        async def later() -> None:
            await asyncio.sleep(0.5)  # while the final waits for its interval
            try:
                ctx.stream.emit("late")
            except StreamError as error:
                refused.append(error)

        tasks.append(asyncio.create_task(later()))
        ctx.stream.emit("now")
        await asyncio.sleep(0.1)

    await user.say("hi")
    await asyncio.gather(*tasks)
    assert len(refused) == 1
    assert [(message.state, message.text) for message in user.screen.messages] == [("final", "now")]


async def test_a_turn_that_is_over_needs_no_garbage_collector(app: App, user: User) -> None:
    streams: list[weakref.ref[Any]] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("Hello")
        streams.append(weakref.ref(ctx.stream))

    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            await user.say("hi")
        await asyncio.sleep(2)
        assert [stream() for stream in streams] == [None] * 3
    finally:
        gc.enable()
