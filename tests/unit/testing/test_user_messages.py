"""What people do with messages."""

import json
from typing import Any

import pytest
from cadenza.testing import Teams, User

from .conftest import Bot, Response, write


async def test_an_edit_is_an_update_of_the_same_message(user: User, bot: Bot) -> None:
    await user.say("helo")
    await user.edit("hello")
    said, edited = bot.got
    assert (edited["type"], edited["text"], edited["id"]) == ("messageUpdate", "hello", said["id"])
    assert edited["channelData"] == said["channelData"] | {"eventType": "editMessage"}


async def test_an_edit_in_a_group_still_mentions_the_bot(teams: Teams, bot: Bot) -> None:
    ann = teams.user("ann", "groupChat")
    await ann.say("helo")
    await ann.edit("hello")
    assert bot.last["text"] == "<at>bot</at> hello"
    assert bot.last["entities"] == bot.got[0]["entities"]


async def test_a_deletion_has_no_text_and_is_taken_back_with_the_newest_one(user: User, bot: Bot) -> None:
    first = await user.say("one")
    await user.say("two")
    await user.edit("One", first)
    await user.delete(first)
    deleted = bot.last
    assert (deleted["type"], deleted["id"]) == ("messageDelete", first.activity["id"])
    assert deleted["channelData"]["eventType"] == "softDeleteMessage"
    assert "text" not in deleted
    await user.undelete(first)
    back = bot.last
    assert (back["type"], back["id"], back["text"]) == ("messageUpdate", first.activity["id"], "One")
    assert back["channelData"]["eventType"] == "undeleteMessage"


async def test_only_ones_own_messages_can_be_edited(teams: Teams, user: User, bot: Bot) -> None:
    with pytest.raises(LookupError, match="user has not said anything yet"):
        await user.edit("hello")
    said = await teams.user("ann", conversation_id=user.conversation_id).say("mine")
    with pytest.raises(LookupError, match=f"user has not said {said.activity['id']}"):
        await user.delete(said)


async def test_a_quote_is_a_placeholder_and_an_entity(teams: Teams, user: User, bot: Bot) -> None:
    id = await write(teams, user, {"text": "Tea or coffee?"})
    await user.say("Tea", quote=user.screen.last)
    assert bot.last["text"] == f'<quoted messageId="{id}"/> Tea'
    quoted = bot.last["entities"][-1]
    assert quoted["type"] == "quotedReply"
    assert quoted["quotedReply"] == {
        "messageId": id,
        "senderId": bot.last["recipient"]["id"],
        "senderName": "bot",
        "preview": "Tea or coffee?",
        "time": id,
        "isReplyDeleted": False,
        "validatedMessageReference": True,
    }


async def test_several_messages_can_be_quoted_ones_own_too(teams: Teams, user: User, bot: Bot) -> None:
    mine = await user.say("Tea?")
    id = await write(teams, user, {"text": "Or coffee"})
    await user.say("Both", quote=[mine, id])
    first, second = (one["quotedReply"] for one in bot.last["entities"][-2:])
    assert (first["senderName"], first["preview"]) == ("user", "Tea?")
    assert (second["messageId"], second["preview"]) == (id, "Or coffee")
    assert bot.last["text"] == f'<quoted messageId="{mine.activity["id"]}"/> <quoted messageId="{id}"/> Both'
    with pytest.raises(LookupError, match="no message 17 is in"):
        await user.say("?", quote="17")


async def test_a_reaction_that_is_taken_back_disappears(teams: Teams, user: User, bot: Bot) -> None:
    id = await write(teams, user, {"text": "Hello"})
    await user.react("heart")
    await user.unreact("heart")
    assert user.screen.last.reactions == []
    assert bot.last["type"] == "messageReaction"
    assert (bot.last["reactionsRemoved"], bot.last["replyToId"]) == ([{"type": "heart"}], id)
    with pytest.raises(LookupError, match="has no reaction 'heart'"):
        await user.unreact("heart")


async def test_a_message_in_a_channel_begins_a_thread_or_continues_one(teams: Teams, bot: Bot) -> None:
    ann = teams.user("ann", "channel")
    root = await ann.say("begin")
    thread = f"{ann.conversation_id};messageid={root.activity['id']}"
    reply = await ann.say("go on", thread=root)
    await ann.say("and on", thread=reply)
    assert [one["conversation"]["id"] for one in bot.got] == [thread] * 3
    await write(teams, ann, {"text": "here"}, thread=f";messageid={root.activity['id']}")
    assert ann.screen.last.thread == root.activity["id"]
    await ann.say("thanks", thread=ann.screen.last)
    await ann.react("like")
    assert [one["conversation"]["id"] for one in bot.got[-2:]] == [thread] * 2


async def test_what_is_done_with_a_message_of_the_bot_is_in_the_thread_that_it_began(
    teams: Teams, bot: Bot
) -> None:
    ann = teams.user("ann", "channel")
    id = await write(teams, ann, {"text": "news"})
    await ann.react()
    await ann.say("thanks", thread=ann.screen.last)
    assert [one["conversation"]["id"] for one in bot.got] == [f"{ann.conversation_id};messageid={id}"] * 2


async def test_only_channels_have_threads(user: User, bot: Bot) -> None:
    with pytest.raises(ValueError, match="only a channel has threads"):
        await user.say("hi", thread="1")


async def test_a_slash_command_is_targeted_at_the_bot(teams: Teams, user: User, bot: Bot) -> None:
    ann = teams.user("ann", "groupChat")
    await ann.say("/help me", targeted=True)
    assert bot.last["recipient"]["isTargeted"] is True
    assert bot.last["text"] == "/help me"
    with pytest.raises(ValueError, match="nothing is targeted in a personal chat"):
        await user.say("/help", targeted=True)


async def test_a_targeted_message_is_on_one_screen_only(teams: Teams, bot: Bot) -> None:
    ann = teams.user("ann", "groupChat")
    bob = teams.user("bob", conversation_id=ann.conversation_id)
    await write(teams, ann, {"text": "all"})
    await write(
        teams, ann, {"text": "Ann", "recipient": {"id": ann.account["id"]}}, query="?isTargetedActivity=true"
    )
    assert ann.screen.text == "all\nAnn"
    assert bob.screen.text == "all"
    assert ann.screen.last.targeted_to == ann.account["id"]
    assert "only" in str(ann.screen)
    assert "Ann" in teams.screen(ann.conversation_id).text


async def test_expected_replies_are_on_the_screen(teams: Teams, user: User, bot: Bot) -> None:
    async def handler(activity: dict[str, Any]) -> Response:
        activities = [{"type": "typing"}, {"type": "message", "text": "Hello"}]
        return Response(body={"activities": activities})

    bot.handler = handler
    await user.say("hi", expect_replies=True)
    assert bot.last["deliveryMode"] == "expectReplies"
    assert user.screen.text == "Hello"
    teams.check()


async def test_expected_replies_that_do_not_come_are_a_violation(teams: Teams, user: User, bot: Bot) -> None:
    await user.say("hi", expect_replies=True)
    with pytest.raises(AssertionError, match=r'the body is not \{"activities": \[\.\.\.\]\}'):
        teams.check()


async def test_what_was_read_is_told_in_personal_chats(teams: Teams, user: User, bot: Bot) -> None:
    id = await write(teams, user, {"text": "Hello"})
    await user.read()
    assert (bot.last["type"], bot.last["name"]) == ("event", "application/vnd.microsoft.readReceipt")
    assert bot.last["value"] == {"lastReadMessageId": id}
    with pytest.raises(ValueError, match="personal chats only"):
        await teams.user("ann", "groupChat").read()


async def test_anything_else_can_be_sent(user: User, bot: Bot) -> None:
    await user.typing()
    await user.send_activity("endOfConversation", code="done")
    await user.event("my/event", {"a": 1})
    await user.invoke("my/invoke", [1])
    assert [one["type"] for one in bot.got] == ["typing", "endOfConversation", "event", "invoke"]
    assert (bot.got[1]["code"], bot.got[2]["value"], bot.got[3]["name"]) == ("done", {"a": 1}, "my/invoke")
    assert json.dumps(bot.got)
