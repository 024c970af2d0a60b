"""The whole way: what people do reaches the handlers of an App as typed activities, and its answers them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from cadenza.api import (
    ConversationUpdateActivity,
    FileConsentInvokeActivity,
    MeetingParticipantJoinEventActivity,
    MeetingStartEventActivity,
    MessageActivity,
    MessageActivityInput,
    MessageDeleteActivity,
    MessageExtensionQueryInvokeActivity,
    MessageReactionActivity,
    MessageSubmitActionInvokeActivity,
    MessageUpdateActivity,
    SearchInvokeActivity,
    SuggestedActionSubmitInvokeActivity,
    TaskFetchInvokeActivity,
    TaskSubmitInvokeActivity,
)
from cadenza.apps import ActivityContext, App
from cadenza.testing import Teams, User

from .conftest import CARD

FORM = {
    "type": "AdaptiveCard",
    "body": [{"type": "Input.Text", "id": "name"}],
    "actions": [{"type": "Action.Submit", "title": "Save", "data": {"action": "save"}}],
}


@pytest.fixture
async def app(teams: Teams) -> AsyncIterator[App]:
    app = App(transport=teams.transport, dangerously_allow_unauthenticated_requests=True)
    teams.connect(app)
    yield app
    await app.stop()


async def test_edits_deletions_and_reactions(app: App, teams: Teams, user: User) -> None:
    seen: list[Any] = []

    @app.on_message
    async def said(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.reply("Hello")

    @app.on_edit_message
    async def edited(ctx: ActivityContext[MessageUpdateActivity]) -> None:
        seen.append(ctx.activity.text)

    @app.on_soft_delete_message
    async def deleted(ctx: ActivityContext[MessageDeleteActivity]) -> None:
        seen.append("deleted")

    @app.on_undelete_message
    async def undeleted(ctx: ActivityContext[MessageUpdateActivity]) -> None:
        seen.append("undeleted")

    @app.on_message_reaction
    async def reacted(ctx: ActivityContext[MessageReactionActivity]) -> None:
        removed = ctx.activity.reactions_removed or []
        seen.append([reaction.type for reaction in removed])

    said_by_user = await user.say("hi")
    assert user.screen.last.quotes == [said_by_user.activity["id"]]
    await user.edit("hey")
    await user.delete()
    await user.undelete()
    await user.react("heart")
    await user.unreact("heart")
    assert seen == ["hey", "deleted", "undeleted", [], ["heart"]]
    teams.check()


async def test_quotes_and_targeted_messages(app: App, teams: Teams) -> None:
    ann = teams.user("ann", "groupChat")
    bob = teams.user("bob", conversation_id=ann.conversation_id)
    quoted: list[str | None] = []

    @app.on_message
    async def said(ctx: ActivityContext[MessageActivity]) -> None:
        quoted.extend(entity.quoted_reply.preview for entity in ctx.activity.get_quoted_messages())
        await ctx.send("Hello")

    await ann.say("/hi", targeted=True)
    assert ann.screen.last.targeted_to == ann.account["id"]
    assert bob.screen.messages == []
    await bob.say("what?", quote=ann.screen.last)
    assert quoted == ["Hello"]
    teams.check()


async def test_dialogs(app: App, teams: Teams, user: User) -> None:
    @app.on_message
    async def said(ctx: ActivityContext[MessageActivity]) -> None:
        data = {"msteams": {"type": "task/fetch"}, "dialog_id": "form"}
        button = {"type": "Action.Submit", "title": "Open", "data": data}
        await ctx.send(MessageActivityInput().add_card({"type": "AdaptiveCard", "actions": [button]}))

    @app.on_dialog_open("form")
    async def opened(ctx: ActivityContext[TaskFetchInvokeActivity]) -> dict[str, Any]:
        card = {"contentType": CARD, "content": FORM}
        return {"task": {"type": "continue", "value": {"title": "Form", "card": card}}}

    @app.on_dialog_submit("save")
    async def submitted(ctx: ActivityContext[TaskSubmitInvokeActivity]) -> dict[str, Any]:
        return {"task": {"type": "message", "value": f"Hello, {ctx.activity.value.data['name']}"}}

    await user.say("hi")
    await user.click("Open")
    assert user.dialog is not None
    await user.submit_dialog({"name": "Ann"})
    assert user.notice == "Hello, Ann"
    teams.check()


async def test_searches_feedback_and_chips(app: App, teams: Teams, user: User) -> None:
    seen: list[Any] = []

    @app.on_message
    async def said(ctx: ActivityContext[MessageActivity]) -> None:
        chip = {"type": "Action.Submit", "title": "More", "value": {"more": True}}
        await ctx.send(
            MessageActivityInput.model_validate(
                {"text": "42", "suggestedActions": {"to": [], "actions": [chip]}}
            ).add_feedback()
        )

    @app.on_message_ext_query
    async def queried(ctx: ActivityContext[MessageExtensionQueryInvokeActivity]) -> dict[str, Any]:
        parameters = ctx.activity.value.parameters or []
        seen.append({parameter.name: parameter.value for parameter in parameters})
        found = [{"contentType": CARD, "content": FORM}]
        return {"composeExtension": {"type": "result", "attachmentLayout": "list", "attachments": found}}

    @app.on_card_search
    async def searched(ctx: ActivityContext[SearchInvokeActivity]) -> dict[str, Any]:
        results = [{"title": "Tea", "value": ctx.activity.value.query_text}]
        type_ = "application/vnd.microsoft.search.searchResponse"
        return {"statusCode": 200, "type": type_, "value": {"results": results}}

    @app.on_message_submit_feedback
    async def rated(ctx: ActivityContext[MessageSubmitActionInvokeActivity]) -> None:
        seen.append(ctx.activity.value.action_value.reaction)

    @app.on_suggested_action_submit
    async def chosen(ctx: ActivityContext[SuggestedActionSubmitInvokeActivity]) -> None:
        seen.append(ctx.activity.value)

    await user.say("hi")
    assert user.screen.last.feedback == "default"
    await user.give_feedback("dislike", "Why?")
    await user.click("More")
    answer = await user.query("find", text="te")
    assert len(answer.results) == 1
    (choice,) = await user.search("te", "drinks")
    assert choice.value == "te"
    assert seen == ["dislike", {"more": True}, {"text": "te"}]
    teams.check()


async def test_files(app: App, teams: Teams, user: User) -> None:
    contents: list[bytes] = []

    @app.on_message
    async def said(ctx: ActivityContext[MessageActivity]) -> None:
        contents.extend([(await file.download()).bytes for file in await ctx.files.list()])
        await ctx.files.request_upload("report.txt", 3)

    @app.on_file_consent
    async def consented(ctx: ActivityContext[FileConsentInvokeActivity]) -> None:
        if ctx.activity.value.action == "accept":
            await ctx.files.upload(b"tea")
            await ctx.files.send_info()

    teams.files.redirects = 1
    await user.say("Look", files={"notes.txt": b"milk"}, images={"cup.png": b"png"})
    assert sorted(contents) == [b"milk", b"png"]
    await user.accept_file()
    assert teams.files.uploaded == {"report.txt": b"tea"}
    assert [file.name for file in user.screen.last.files] == ["report.txt"]
    teams.check()


async def test_threads_meetings_and_members(app: App, teams: Teams) -> None:
    seen: list[Any] = []

    @app.on_message
    async def said(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("Hello")

    @app.on_meeting_start
    async def started(ctx: ActivityContext[MeetingStartEventActivity]) -> None:
        seen.append(ctx.activity.value.title)
        details = (await ctx.api.meetings.get_by_id(ctx.activity.value.id)).details
        assert details is not None
        seen.append(details.title)

    @app.on_meeting_participant_join
    async def joined(ctx: ActivityContext[MeetingParticipantJoinEventActivity]) -> None:
        seen.append([member.meeting.role for member in ctx.activity.value.members])

    @app.on_conversation_update
    async def updated(ctx: ActivityContext[ConversationUpdateActivity]) -> None:
        added = ctx.activity.members_added or []
        seen.append([account.name for account in added])

    channel = teams.user("ann", "channel")
    root = await channel.say("hi")
    assert channel.screen.last.thread == root.activity["id"]
    group = teams.user("ann", "groupChat")
    await group.meeting.start("Tea time")
    await group.meeting.join(role="Presenter")
    await group.add_members("bob")
    assert seen == ["Tea time", "Tea time", ["Presenter"], ["bob"]]
    teams.check()


async def test_expected_replies(app: App, teams: Teams, user: User) -> None:
    @app.on_message
    async def said(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("one")
        await ctx.send("two")

    await user.say("hi", expect_replies=True)
    assert user.screen.text == "one\ntwo"
    assert teams.transcript == []
    teams.check()


async def test_a_screen_and_a_dialog_written_out_show_what_their_cards_say_and_ask(
    user: User, teams: Teams
) -> None:
    card = {
        "type": "AdaptiveCard",
        "body": [
            {"type": "TextBlock", "text": "Two days are left."},
            {"type": "Input.Number", "id": "days", "label": "How many?", "value": 1},
        ],
        "actions": [{"type": "Action.Submit", "title": "Ask", "data": {"msteams": {"type": "task/fetch"}}}],
    }
    outline = ["    Two days are left.", "    How many?: [1___________]  (days)", "    [ Ask ]"]
    app = App(transport=teams.transport, dangerously_allow_unauthenticated_requests=True)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(card)

    @app.on_dialog_open
    async def open_dialog(ctx: ActivityContext[TaskFetchInvokeActivity]) -> dict[str, Any]:
        content = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
        return {"task": {"type": "continue", "value": {"title": "Holiday", "card": content}}}

    teams.connect(app)
    await user.say("hi")
    assert str(user.screen).splitlines()[1:] == outline
    await user.click("Ask")
    assert str(user.dialog).splitlines() == ["[dialog 'Holiday']", *outline]
    await app.stop()
