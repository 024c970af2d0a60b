"""Threads of channels, and writing into them unasked (api-surface.md 1.14)."""

from collections.abc import Callable
from typing import Any

import pytest
from cadenza.api import (
    AgenticIdentity,
    ConversationReference,
    HandlerTransport,
    MessageActivity,
    MessageActivityInput,
    Request,
    Response,
)
from cadenza.apps import ActivityContext, App, to_threaded_conversation_id
from cadenza.testing import Teams, User

CHANNEL = "19:abc@thread.tacv2"
ROOT = "1728640934763"


@pytest.fixture
def member(teams: Teams) -> User:
    return teams.user(conversation_type="channel")


def test_a_thread_is_named_by_its_channel_and_the_message_at_its_root() -> None:
    assert to_threaded_conversation_id(CHANNEL, ROOT) == f"{CHANNEL};messageid={ROOT}"
    assert to_threaded_conversation_id(f"{CHANNEL};messageid=5;more=6", "7") == f"{CHANNEL};messageid=7"


@pytest.mark.parametrize("message_id", ["", "0", "abc", "1a", " 1", "-1", "¹", "٣", None, 5])
def test_what_is_no_id_of_a_message_makes_no_thread(message_id: Any) -> None:
    with pytest.raises(ValueError, match="no id of a message"):
        to_threaded_conversation_id(CHANNEL, message_id)


@pytest.mark.parametrize("conversation_id", ["", ";messageid=5", None])
def test_a_thread_needs_a_channel(conversation_id: Any) -> None:
    with pytest.raises(ValueError, match="no conversation's id"):
        to_threaded_conversation_id(conversation_id, ROOT)


async def test_reply_writes_into_the_thread_of_a_message(app: App, teams: Teams, member: User) -> None:
    sent = await app.reply(member.conversation_id, ROOT, "in the thread", service_url=teams.url)
    thread = f"{member.conversation_id};messageid={ROOT}"
    assert sent.id == member.screen.last.id
    assert teams.transcript[-1].body["conversation"]["id"] == thread
    card = {"type": "AdaptiveCard", "version": "1.5", "body": []}
    await app.reply(thread, "1728640934999", card, service_url=teams.url)
    assert (
        teams.transcript[-1].body["conversation"]["id"] == f"{member.conversation_id};messageid=1728640934999"
    )
    teams.check()


async def test_reply_with_two_arguments_sends(app: App, teams: Teams, member: User, user: User) -> None:
    await app.reply(f"{member.conversation_id};messageid={ROOT}", "in the thread", service_url=teams.url)
    await app.reply(user.conversation_id, MessageActivityInput(text="in the chat"), service_url=teams.url)
    assert teams.transcript[0].body["conversation"]["id"].endswith(f";messageid={ROOT}")
    assert (member.screen.text, user.screen.text) == ("in the thread", "in the chat")


async def test_reply_without_a_message_id_sends(app: App, teams: Teams, user: User) -> None:
    await app.reply(user.conversation_id, activity="in the chat", service_url=teams.url)
    assert user.screen.text == "in the chat"
    with pytest.raises(TypeError, match="what to send"):
        await app.reply(user.conversation_id)  # type: ignore[call-overload]
    for nothing in ((ROOT, None), (None, None), (None,)):
        with pytest.raises(TypeError, match="not told what to send"):
            await app.reply(user.conversation_id, *nothing)


async def test_reply_takes_a_reference_and_leaves_it_as_it_was(app: App, teams: Teams, member: User) -> None:
    ref = teams.conversation_reference(member)
    before = ref.to_wire()
    await app.reply(ref, ROOT, "in the thread")
    assert teams.transcript[-1].body["conversation"] == {
        **before["conversation"],
        "id": f"{member.conversation_id};messageid={ROOT}",
    }
    assert ref.to_wire() == before


async def test_reply_to_what_is_no_message_sends_nothing(app: App, teams: Teams, member: User) -> None:
    with pytest.raises(ValueError, match="no id of a message"):
        await app.reply(member.conversation_id, "0", "lost")
    assert teams.transcript == []


async def test_a_kept_reference_to_a_channel_serves_its_threads(
    make_app: Callable[..., App], teams: Teams, member: User
) -> None:
    app = make_app(keep_references=True, service_url="https://elsewhere.example")

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None: ...

    channel = member.conversation_id.partition(";")[0]
    await member.say("hi")
    await member.say("hi again")  # two threads, and one channel to write to
    assert [ref.conversation.id async for ref in app.references.all()] == [channel]
    await app.reply(channel, ROOT, "one")
    await app.send(f"{channel};messageid={ROOT}", "two")
    for exchange in teams.transcript:
        assert exchange.body["conversation"]["id"] == f"{channel};messageid={ROOT}"
        assert exchange.body["conversation"]["conversationType"] == "channel"
    assert [message.text for message in member.screen.messages] == ["one", "two"]
    kept = await app.references.get(channel)
    assert kept is not None
    assert kept.conversation.id == channel


async def test_a_handler_may_answer_in_another_thread(app: App, teams: Teams, member: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ref = ctx.conversation_ref
        thread = to_threaded_conversation_id(ref.conversation.id, ROOT)
        place = ref.conversation.model_copy(update={"id": thread})
        await ctx.send("there", ref.model_copy(update={"conversation": place}))

    await member.say("hi")
    assert teams.transcript[-1].body["conversation"]["id"].endswith(f";messageid={ROOT}")


async def test_send_names_what_an_agentic_identity_needs(app: App, user: User) -> None:
    identity = AgenticIdentity(agentic_app_blueprint_id="blueprint", agentic_app_id="agent")
    with pytest.raises(ValueError, match="agentic identity 'agent': the App has no credentials"):
        await app.send(user.conversation_id, "hi", agentic_identity=identity)


async def test_what_is_written_as_an_agentic_identity_carries_its_token(teams: Teams, user: User) -> None:
    signed: list[str | None] = []

    async def record(request: Request) -> Response:
        signed.append(request.headers.get("Authorization"))
        return await teams.transport.send(request)

    app = App(
        agentic_token=lambda identity: f"token of {identity.agentic_app_id}",
        transport=HandlerTransport(record),
        service_url=teams.url,
    )
    agent = AgenticIdentity(agentic_app_blueprint_id="blueprint", agentic_app_id="agent")
    await app.send(user.conversation_id, "as the agent", agentic_identity=agent)
    await app.send(user.conversation_id, "as the bot")
    assert signed == ["Bearer token of agent", None]
    await app.stop()


def test_a_reference_is_plain_data(teams: Teams, user: User) -> None:
    ref = teams.conversation_reference(user)
    assert ConversationReference.received(ref.to_wire()) == ref
