"""`"deliveryMode": "expectReplies"`: the answer of the request holds what the turn sends."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cadenza.api import (
    Activity,
    ActivityInput,
    HttpStatusError,
    InvokeResponse,
    MessageActivity,
    MessageActivityInput,
    TypingActivityInput,
)
from cadenza.apps import ActivityContext, App, HttpRequest, HttpResponse, StreamDeliveryError
from cadenza.state import SQLiteState
from cadenza.testing import Teams, User

MakeApp = Callable[..., App]
EXPECT: dict[str, Any] = {"deliveryMode": "expectReplies"}


def texts(body: Any) -> list[str]:
    return [activity["text"] for activity in body["activities"]]


class OneRoute:
    """A server adapter without a server: `post` is what a request would be answered."""

    port = None

    def __init__(self) -> None:
        self.routes: dict[str, Any] = {}

    def register_route(self, path: str, handler: Any) -> None:
        self.routes[path] = handler

    async def start(self, host: str, port: int) -> None: ...

    async def stop_listening(self) -> None: ...

    async def stop(self) -> None: ...

    async def post(self, activity: dict[str, Any]) -> tuple[int, Any]:
        async def read(limit: int) -> bytes:
            return json.dumps(activity).encode()

        request = HttpRequest("POST", "/api/messages", {}, read)
        answer: HttpResponse = await self.routes["/api/messages"](request)
        return answer.status, json.loads(answer.body) if answer.body else None


async def test_what_a_turn_sends_comes_in_the_answer_and_nothing_is_posted(
    app: App, teams: Teams, user: User
) -> None:
    ids: list[str | None] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.typing()
        first = await ctx.send("one")
        second = await ctx.reply(MessageActivityInput(text="two").add_ai_generated())
        third = await ctx.api.conversations.create_activity(
            ctx.activity.conversation.id, MessageActivityInput(text="three")
        )
        ids.extend([first.id, second.id, third.id])

    delivery = await user.say("hi", **EXPECT)
    assert delivery.answer.status == 200
    activities = delivery.answer.body["activities"]
    asked = delivery.activity["id"]
    assert texts(delivery.answer.body) == ["one", f'<quoted messageId="{asked}"/> two', "three"]
    assert [activity["id"] for activity in activities] == ids
    assert len(set(ids)) == 3
    assert {activity["replyToId"] for activity in activities} == {asked}
    assert activities[0]["from"]["id"] == delivery.activity["recipient"]["id"]
    assert activities[1]["entities"][0]["additionalType"] == ["AIGeneratedContent"]
    assert teams.transcript == []


async def test_the_sender_sees_what_came_in_the_answer(app: App, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(MessageActivityInput(text="one").add_feedback())
        ctx.stream.emit("two")

    await user.say("hi", expect_replies=True)
    assert [message.text for message in user.screen.messages] == ["one", "two"]
    assert user.screen.messages[0].feedback == "default"


async def test_a_streamed_answer_comes_as_one_message(app: App, teams: Teams, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.update("Thinking...")
        for word in ("a ", "streamed ", "answer"):
            ctx.stream.emit(word)
            await asyncio.sleep(2)
        await ctx.stream.close()
        assert ctx.stream.statistics().posts == 1
        ctx.stream.emit("and another")

    delivery = await user.say("hi", **EXPECT)
    assert texts(delivery.answer.body) == ["a streamed answer", "and another"]
    assert {activity["type"] for activity in delivery.answer.body["activities"]} == {"message"}
    assert "entities" not in delivery.answer.body["activities"][0]
    assert teams.transcript == []


async def test_what_was_collected_can_be_edited_and_deleted(app: App, teams: Teams, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        sent = [await ctx.send(text) for text in ("one", "two", "three")]
        assert sent[0].id
        assert sent[1].id
        edited = await ctx.send(MessageActivityInput(text="uno").with_id(sent[0].id))
        assert edited.id == sent[0].id
        await ctx.api.conversations.delete_activity(ctx.activity.conversation.id, sent[1].id)

    delivery = await user.say("hi", **EXPECT)
    assert texts(delivery.answer.body) == ["uno", "three"]
    assert teams.transcript == []


async def test_what_is_for_others_or_from_before_goes_to_the_service(
    app: App, teams: Teams, user: User
) -> None:
    other = teams.user("other")
    kept: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        if not kept:
            sent = await ctx.send("before")
            assert sent.id
            kept.append(sent.id)
            return
        await ctx.send("elsewhere", teams.conversation_reference(other))
        await ctx.send(MessageActivityInput(text="changed").with_id(kept[0]))
        await ctx.send("here")

    await user.say("hi")
    delivery = await user.say("hi", **EXPECT)
    assert texts(delivery.answer.body) == ["here"]
    assert (user.screen.text, other.screen.text) == ("changed", "elsewhere")


async def test_neither_a_service_url_nor_a_token_is_needed(
    make_app: MakeApp, teams: Teams, user: User
) -> None:
    async def no_token(scope: str, tenant: str | None) -> str:
        raise AssertionError("nobody needs a token")

    app = make_app(client_id="bot", token=no_token)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("sent")
        ctx.stream.emit("streamed")

    for url in (None, "urn:botframework:nowhere", "http://untrusted.example"):
        delivery = await user.say("hi", serviceUrl=url, **EXPECT)
        assert texts(delivery.answer.body) == ["sent", "streamed"]


async def test_a_turn_that_sends_nothing_answers_with_no_activities(app: App, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> str:
        return "what a handler of a message returns matters to nobody"

    delivery = await user.say("hi", **EXPECT)
    assert (delivery.answer.status, delivery.answer.body) == (200, {"activities": []})


async def test_an_error_reply_comes_in_the_answer_too(app: App, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("so far")
        ctx.stream.emit("half of it")
        raise LookupError("no such thing")

    delivery = await user.say("hi", **EXPECT)
    assert delivery.answer.status == 200
    so_far, half, sorry = texts(delivery.answer.body)
    assert (so_far, half) == ("so far", "half of it")
    assert "went wrong" in sorry


async def test_the_body_of_an_invoke_stands_beside_what_its_turn_sent(
    app: App, teams: Teams, invoke: Callable[..., dict[str, Any]]
) -> None:
    @app.on_invoke
    async def answer(ctx: ActivityContext[Activity]) -> InvokeResponse[dict[str, str]]:
        await ctx.send("by the way")
        ctx.stream.emit("streamed")
        return InvokeResponse(202, {"token": "abc"})

    response = await app.process(invoke("custom/thing", **EXPECT))
    assert response.status == 202
    assert response.body is not None
    assert texts(response.body) == ["by the way", "streamed"]
    assert response.body["body"] == {"token": "abc"}
    assert teams.transcript == []


async def test_an_invoke_that_nobody_handles_is_501_all_the_same(
    app: App, invoke: Callable[..., dict[str, Any]]
) -> None:
    response = await app.process(invoke("custom/thing", **EXPECT))
    assert response.status == 501
    assert response.body is not None
    assert response.body["activities"] == []
    assert response.body["body"]["error"]["code"] == "NotImplemented"


async def test_reactions_and_other_activities_are_collected_typing_is_not(
    app: App, teams: Teams, user: User
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(TypingActivityInput())
        await ctx.send(ActivityInput(type="messageReaction"))

    delivery = await user.say("hi", **EXPECT)
    assert [activity["type"] for activity in delivery.answer.body["activities"]] == ["messageReaction"]


async def test_ask_cannot_wait_where_the_question_would_come_with_the_answer(app: App, user: User) -> None:
    refused: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        with pytest.raises(RuntimeError, match="expectReplies"):
            await ctx.ask("Who are you?")
        refused.append("once")

    delivery = await user.say("hi", **EXPECT)
    assert refused == ["once"]
    assert delivery.answer.body == {"activities": []}


async def test_what_comes_after_the_answer_is_refused_and_raised(
    app: App, user: User, event: Callable[..., dict[str, Any]]
) -> None:
    contexts: list[ActivityContext[MessageActivity]] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        contexts.append(ctx)

    await user.say("hi", **EXPECT)
    with pytest.raises(HttpStatusError, match="reaches nobody") as caught:
        await contexts[0].send("late")
    assert (caught.value.status, caught.value.code) == (410, "RepliesOver")


async def test_the_endpoint_waits_for_the_turn_and_answers_with_its_replies(
    make_app: MakeApp, user: User, event: Callable[..., dict[str, Any]]
) -> None:
    server = OneRoute()
    app = make_app(http_server_adapter=server)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await asyncio.sleep(5)
        ctx.stream.emit("after five seconds")

    await app.initialize()
    status, body = await server.post(event("message", text="hi", **EXPECT))
    assert (status, texts(body)) == (200, ["after five seconds"])
    status, body = await server.post(event("message", text="hi"))
    assert (status, body) == (200, None)
    await app.stop()


async def test_a_turn_that_takes_too_long_is_504_with_what_it_has_sent_and_its_rest_is_raised(
    make_app: MakeApp,
    user: User,
    event: Callable[..., dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = OneRoute()
    app = make_app(http_server_adapter=server, invoke_seconds=3)
    raised: list[Exception] = []
    failed: list[Exception] = []
    app.on_error(lambda ctx, error: failed.append(error))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("in time")
        await asyncio.sleep(5)
        with pytest.raises(HttpStatusError) as caught:
            await ctx.send("too late")
        raised.append(caught.value)
        ctx.stream.emit("too late as well")

    await app.initialize()
    with caplog.at_level(logging.ERROR):
        status, body = await server.post(event("message", text="hi", **EXPECT))
        assert (status, body["error"]["code"], texts(body)) == (504, "Timeout", ["in time"])
        assert "was not over within 3 s" in caplog.text
    await asyncio.sleep(10)
    assert len(raised) == 1
    (undelivered,) = failed
    assert isinstance(undelivered, StreamDeliveryError)
    assert undelivered.undelivered == "too late as well"
    await app.stop()


async def test_a_turn_that_waits_behind_another_for_too_long_is_504_and_not_a_silent_200(
    make_app: MakeApp, event: Callable[..., dict[str, Any]]
) -> None:
    server = OneRoute()
    app = make_app(http_server_adapter=server, invoke_seconds=3)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await asyncio.sleep(10)

    await app.initialize()
    assert await server.post(event("message", text="first")) == (200, None)
    status, body = await server.post(event("message", text="second", **EXPECT))
    assert (status, body["error"]["code"], body["activities"]) == (504, "Timeout", [])
    await app.stop()


async def test_a_late_invoke_is_504_as_ever(make_app: MakeApp, invoke: Callable[..., dict[str, Any]]) -> None:
    server = OneRoute()
    app = make_app(http_server_adapter=server, invoke_seconds=3)

    @app.on_invoke
    async def answer(ctx: ActivityContext[Activity]) -> None:
        await ctx.send("in time")
        await asyncio.sleep(5)

    await app.initialize()
    status, body = await server.post(invoke("custom/thing", **EXPECT))
    assert (status, body["error"]["code"], texts(body)) == (504, "Timeout", ["in time"])
    await app.stop()


@pytest.mark.parametrize("durable", [False, True])
async def test_a_repeated_delivery_gets_the_same_answer(
    make_app: MakeApp, event: Callable[..., dict[str, Any]], durable: bool, tmp_path: Path
) -> None:
    app = make_app(state=SQLiteState(tmp_path / "bot.db") if durable else None)
    turns: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        turns.append(ctx.activity.id)
        await asyncio.sleep(1)
        await ctx.send("once")

    message = event("message", text="hi", **EXPECT)
    first, second = await asyncio.gather(app.process(dict(message)), app.process(dict(message)))
    third = await app.process(dict(message))
    assert first == second == third
    assert texts(first.body) == ["once"]
    assert len(turns) == 1
    await app.stop()


async def test_what_a_shutdown_has_cut_off_is_answered_by_the_process_that_runs_it_again(
    make_app: MakeApp, event: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await asyncio.sleep(20)
        await ctx.send("once")

    message = event("message", text="hi", **EXPECT)
    first = make_app(state=SQLiteState(tmp_path / "bot.db"))
    first.on_message(answer)
    asked = asyncio.create_task(first.process(dict(message)))
    await asyncio.sleep(1)
    await first.stop()
    assert (await asked).status == 503

    second = make_app(state=SQLiteState(tmp_path / "bot.db"), invoke_seconds=60)
    second.on_message(answer)
    response = await second.process(dict(message))
    assert (response.status, texts(response.body)) == (200, ["once"])
    await second.stop()
