import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from cadenza.api import InvokeActivity, MessageActivity, MessageReactionActivity
from cadenza.apps import (
    ActivityContext,
    App,
    ErrorEvent,
    InvokeResponse,
    StreamCancelledError,
    StreamDeliveryError,
)
from cadenza.testing import Teams, User, VirtualClock, each, reset, status, throttle

Wire = Callable[..., dict[str, Any]]
MakeApp = Callable[..., App]


async def test_messages_of_one_conversation_run_one_after_the_other_in_order(app: App, user: User) -> None:
    seen: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(f"{ctx.activity.text} begins")
        await asyncio.sleep(10)
        seen.append(f"{ctx.activity.text} ends")

    for text in ("a", "b", "c"):
        await user.say(text, wait=False)
    await user.teams.settle()
    assert seen == ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]


async def test_conversations_do_not_wait_for_one_another(
    app: App, teams: Teams, user: User, clock: VirtualClock
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await asyncio.sleep(10)

    await user.say("hi", wait=False)
    await teams.user("other").say("hi", wait=False)
    await teams.settle()
    assert clock.elapsed == 10


async def test_invokes_typing_and_reactions_pass_beside_a_message_that_is_being_handled(
    app: App, teams: Teams, user: User, invoke: Wire, event: Wire
) -> None:
    seen: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await asyncio.sleep(10)
        seen.append("message")

    @app.on_activity
    async def other(ctx: ActivityContext[Any]) -> None:
        seen.append(ctx.activity.type)

    await user.say("hi", wait=False)
    for activity in (invoke(), event("typing"), event("messageReaction")):
        await app.process(activity)
    await teams.settle()
    assert seen == ["invoke", "typing", "messageReaction", "message"]


async def test_a_conversation_update_waits_in_its_lane(app: App, user: User, event: Wire) -> None:
    seen: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await asyncio.sleep(10)
        seen.append("message")

    @app.on_conversation_update
    async def update(ctx: ActivityContext[Any]) -> None:
        seen.append("update")

    await user.say("hi", wait=False)
    await asyncio.sleep(1)
    await app.process(event("conversationUpdate"))
    assert seen == ["message", "update"]


async def test_an_activity_is_held_in_the_inbox_until_its_turn_is_over(make_app: MakeApp, user: User) -> None:
    app = make_app()
    held: list[int] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        held.append((await app.state.inbox.statistics()).held)

    await user.say("a")
    held.append((await app.state.inbox.statistics()).held)
    assert held == [1, 0]


async def test_one_that_failed_is_not_kept_in_the_inbox(make_app: MakeApp, user: User) -> None:
    app = make_app()

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        raise ValueError

    await user.say("a")
    assert (await app.state.inbox.statistics()).held == 0


# A handler that raises


async def test_the_user_is_told_when_a_handler_raises_and_the_service_is_not(app: App, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        raise ValueError("secret detail")

    delivery = await user.say("hi")
    assert delivery.answer.status == 200
    assert user.screen.text == "Sorry, something went wrong while answering. Please try again."


async def test_s10_a_stream_is_finalized_with_what_it_has_when_its_handler_raises(
    app: App, teams: Teams, user: User
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("half of ")
        await asyncio.sleep(5)
        ctx.stream.emit("the answer")
        raise ValueError

    await user.say("hi")
    streamed, told = user.screen.messages
    assert (streamed.text, streamed.state) == ("half of the answer", "final")
    assert told.state == "message"
    teams.check()


async def test_on_error_and_the_error_event_learn_of_an_error_once_the_stream_is_finalized(
    app: App, user: User
) -> None:
    told: list[tuple[str, str, str]] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("half")
        await asyncio.sleep(1)
        raise ValueError("broken")

    @app.on_error
    async def failed(ctx: ActivityContext[Any], error: Exception) -> None:
        told.append(("on_error", str(error), user.screen.messages[0].state))

    @app.event
    async def watch(event: ErrorEvent) -> None:
        assert event.activity is not None
        told.append(("event", str(event.error), event.activity.type))

    await user.say("hi")
    assert told == [("on_error", "broken", "final"), ("event", "broken", "message")]


async def test_an_on_error_handler_that_raises_keeps_nobody_else_from_being_told(
    app: App, user: User
) -> None:
    told: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        raise ValueError

    @app.on_error
    async def broken(ctx: ActivityContext[Any], error: Exception) -> None:
        raise RuntimeError

    @app.on_error
    async def sound(ctx: ActivityContext[Any], error: Exception) -> None:
        told.append("sound")

    await user.say("hi")
    assert told == ["sound"]
    assert len(user.screen.messages) == 1


async def test_the_lane_goes_on_after_a_handler_that_raised(app: App, user: User) -> None:
    seen: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(ctx.activity.text)
        raise ValueError

    await user.say("a", wait=False)
    await user.say("b")
    assert seen == ["a", "b"]


@pytest.mark.parametrize(
    ("reply", "locale", "seen"),
    [
        ("Oops", "en-US", ["Oops"]),
        (False, "en-US", []),
        ({"de": "Huch", "": "Oops"}, "de-CH", ["Huch"]),
        ({"de": "Huch", "de-ch": "Hoppla", "": "Oops"}, "de-CH", ["Hoppla"]),
        ({"de": "Huch", "": "Oops"}, "fr-FR", ["Oops"]),
        ({"de": "Huch"}, "fr-FR", []),
        (lambda ctx, error: f"{ctx.activity.text}: {error}", "en-US", ["hi: broken"]),
        (lambda ctx, error: None, "en-US", []),
    ],
)
async def test_what_the_user_is_told_can_be_chosen_translated_and_switched_off(
    make_app: MakeApp, user: User, reply: Any, locale: str, seen: list[str]
) -> None:
    app = make_app(error_reply=reply)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        raise ValueError("broken")

    await user.say("hi", locale=locale)
    assert [message.text for message in user.screen.messages] == seen


async def test_nobody_is_told_of_an_error_who_has_not_asked_anything(
    app: App, user: User, event: Wire
) -> None:
    @app.on_message_reaction
    async def reacted(ctx: ActivityContext[MessageReactionActivity]) -> None:
        raise ValueError

    assert (await app.process(event("messageReaction"))).status == 200
    assert user.screen.messages == []


async def test_an_invoke_whose_handler_raises_is_answered_with_500(
    app: App, user: User, invoke: Wire
) -> None:
    @app.on_invoke
    async def fetch(ctx: ActivityContext[InvokeActivity]) -> None:
        raise ValueError("secret detail")

    response = await app.process(invoke())
    assert response == InvokeResponse(
        500, {"error": {"code": "InternalError", "message": "The bot failed to handle this invoke."}}
    )
    assert user.screen.messages == []


async def test_p20_on_error_chooses_the_response_to_an_invoke_that_failed(app: App, invoke: Wire) -> None:
    @app.on_invoke
    async def fetch(ctx: ActivityContext[InvokeActivity]) -> None:
        raise ValueError

    @app.on_error
    async def failed(ctx: ActivityContext[Any], error: Exception) -> dict[str, Any]:
        return {"task": {"type": "message", "value": "Not now"}}

    response = await app.process(invoke())
    assert response == InvokeResponse(200, {"task": {"type": "message", "value": "Not now"}})


async def test_an_invoke_that_is_answered_with_something_json_cannot_hold_has_failed(
    app: App, invoke: Wire
) -> None:
    told: list[Exception] = []

    @app.on_invoke
    async def fetch(ctx: ActivityContext[InvokeActivity]) -> object:
        return object()

    app.on_error(lambda ctx, error: told.append(error))
    assert (await app.process(invoke())).status == 500
    assert isinstance(told[0], TypeError)


async def test_a_handler_that_is_cancelled_by_what_it_awaits_has_failed(app: App, user: User) -> None:
    told: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        task = asyncio.create_task(asyncio.sleep(10))
        task.cancel()
        await task

    app.on_error(lambda ctx, error: told.append(type(error).__name__))
    await user.say("hi")
    assert told == ["HandlerBrokenError"]


# The end of the stream


async def test_the_app_closes_the_stream_that_a_handler_left_open(app: App, teams: Teams, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.update("Thinking...")
        await asyncio.sleep(1)
        ctx.stream.emit("42")

    await user.say("hi")
    (message,) = user.screen.messages
    assert (message.text, message.state) == ("42", "final")
    teams.check()


async def test_text_that_could_not_be_delivered_is_in_the_error_that_on_error_gets(
    app: App, teams: Teams, user: User
) -> None:
    lost: list[str] = []
    teams.fault(each(status(400)))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("the answer")

    @app.on_error
    async def failed(ctx: ActivityContext[Any], error: Exception) -> None:
        assert isinstance(error, StreamDeliveryError)
        lost.append(error.undelivered)

    delivery = await user.say("hi")
    assert delivery.answer.status == 200
    assert lost == ["the answer"]


async def test_a_handler_that_deals_with_an_undelivered_text_itself_has_not_failed(
    app: App, teams: Teams, user: User
) -> None:
    told: list[Exception] = []
    dealt_with: list[str] = []
    teams.fault(each(status(400)))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("the answer")
        try:
            await ctx.stream.close()
        except StreamDeliveryError as error:
            dealt_with.append(error.undelivered)

    app.on_error(lambda ctx, error: told.append(error))
    await user.say("hi")
    assert dealt_with == ["the answer"]
    assert told == []


async def test_an_undelivered_text_that_the_handler_did_not_wait_to_learn_of_is_reported(
    app: App, teams: Teams, user: User
) -> None:
    lost: list[str] = []
    teams.fault(each(throttle()))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("the answer")
        with suppress(TimeoutError):
            await asyncio.wait_for(ctx.stream.close(), 1)
        await asyncio.sleep(100)

    app.on_error(lambda ctx, error: lost.append(getattr(error, "undelivered", "")))
    await user.say("hi")
    assert lost == ["the answer"]


async def test_an_undelivered_text_that_escapes_the_handler_is_reported_once(
    app: App, teams: Teams, user: User
) -> None:
    told: list[Exception] = []
    teams.fault(each(status(400)))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("the answer")
        await ctx.stream.close()

    app.on_error(lambda ctx, error: told.append(error))
    await user.say("hi")
    assert [type(error) for error in told] == [StreamDeliveryError]


async def test_a_handler_that_raises_and_a_stream_that_cannot_be_finalized_are_both_reported(
    app: App, teams: Teams, user: User
) -> None:
    told: list[Exception] = []
    teams.fault(each(status(400)))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("the answer")
        raise ValueError

    app.on_error(lambda ctx, error: told.append(error))
    await user.say("hi")
    assert [type(error) for error in told] == [ValueError, StreamDeliveryError]


async def test_a_service_that_is_out_of_reach_raises_in_the_handler_and_breaks_nothing(
    app: App, teams: Teams, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Exception] = []
    teams.fault(each(reset(applied=False)))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("hello")

    app.on_error(lambda ctx, error: told.append(error))
    assert (await user.say("hi")).answer.status == 200
    assert len(told) == 1
    assert "The user could not be told" in caplog.text


# Stop


async def test_stop_cancels_the_handler_once_and_nothing_more_is_sent(
    app: App, teams: Teams, user: User
) -> None:
    cleaned_up: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        try:
            for number in range(100):
                ctx.stream.emit(f"{number} ")
                await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            cleaned_up.append("once")
            raise

    told: list[Exception] = []
    app.on_error(lambda ctx, error: told.append(error))
    delivery = await user.say("count", wait=False)
    await user.sees("5 ")
    user.press_stop()
    asked = len(teams.transcript)
    assert (await delivery).status == 200
    assert cleaned_up == ["once"]
    assert told == []
    # The request by which the bot learned of it, and none after.
    assert len(teams.transcript) == asked + 1
    assert [message.state for message in user.screen.messages] == ["stopped"]
    teams.check()


async def test_s14_stream_cancelled_error_that_escapes_a_handler_is_no_error(app: App, user: User) -> None:
    told: list[Exception] = []
    ended: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        while True:
            ctx.stream.emit("a")
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                ended.append("cancelled")

    app.on_error(lambda ctx, error: told.append(error))
    delivery = await user.say("hi", wait=False)
    await user.sees("a")
    user.press_stop()
    assert (await delivery).status == 200
    assert ended == ["cancelled"]
    assert told == []
    assert [message.state for message in user.screen.messages] == ["stopped"]


async def test_the_stop_of_a_stream_that_is_not_the_turns_own_is_no_error_either(
    app: App, teams: Teams, user: User
) -> None:
    told: list[Exception] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        stream = app.stream(ctx.conversation_ref)
        while True:
            stream.emit("a")
            await asyncio.sleep(0.5)

    app.on_error(lambda ctx, error: told.append(error))
    delivery = await user.say("hi", wait=False)
    await user.sees("a")
    user.press_stop()
    assert (await delivery).status == 200
    assert told == []
    assert [message.state for message in user.screen.messages] == ["stopped"]


async def test_after_stop_the_next_message_is_answered_as_ever(app: App, teams: Teams, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        for _ in range(20):
            ctx.stream.emit(f"{ctx.activity.text} ")
            await asyncio.sleep(0.3)

    await user.say("one", wait=False)
    await user.sees("one one")
    user.press_stop()
    await user.say("two")
    assert [message.state for message in user.screen.messages] == ["stopped", "final"]
    assert user.screen.last.text == "two " * 20
    teams.check()


async def test_a_handler_that_does_not_stop_is_left_behind_after_5_s_and_can_send_nothing(
    app: App, teams: Teams, user: User, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    refused: list[str] = []

    @app.on_message_pattern("stubborn")
    async def stubborn(ctx: ActivityContext[MessageActivity]) -> None:
        stream = ctx.stream
        for number in range(60):
            try:
                stream.emit(f"{number} ")
            except StreamCancelledError:
                refused.append("emit")
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                refused.append("cancelled")
        try:
            await ctx.send("still here")
        except StreamCancelledError:
            refused.append("send")

    @app.on_message_pattern("next")
    async def following(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("next one")

    first = await user.say("stubborn", wait=False)
    await user.sees("3 ")
    user.press_stop()
    stopped_at = clock.now()
    await user.say("next")
    assert 5 <= clock.now() - stopped_at <= 8
    await first
    await asyncio.sleep(60)
    assert refused.count("cancelled") == 1
    assert refused[-1] == "send"
    assert [message.state for message in user.screen.messages] == ["stopped", "message"]
    assert "went on for 5 s after it was cancelled" in caplog.text
    teams.check()


async def test_an_error_while_cleaning_up_after_stop_is_logged_and_nothing_is_sent(
    app: App, teams: Teams, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        try:
            for number in range(100):
                ctx.stream.emit(f"{number} ")
                await asyncio.sleep(0.2)
        finally:
            raise ValueError("while closing the database")

    delivery = await user.say("count", wait=False)
    await user.sees("3 ")
    user.press_stop()
    await delivery
    assert [message.state for message in user.screen.messages] == ["stopped"]
    assert "raised while it was cleaning up" in caplog.text


async def test_logs_of_a_failed_turn_hold_no_message_text(
    app: App, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="cadenza")

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        raise ConnectionError

    await user.say("my password is hunter2")
    assert "ConnectionError" in caplog.text
    assert "hunter2" not in caplog.text


async def test_an_assertion_of_a_test_in_a_handler_reaches_the_test(app: App, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        pytest.fail("as it should")

    with pytest.raises(pytest.fail.Exception, match="as it should"):
        await user.say("hi")
