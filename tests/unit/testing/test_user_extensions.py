"""What people do with message extensions."""

from typing import Any

import pytest
from cadenza.testing import AnswerError, Teams, User

from .conftest import CARD, Bot, write

THUMBNAIL = "application/vnd.microsoft.card.thumbnail"
PAGE: dict[str, Any] = {"type": "AdaptiveCard", "body": [{"type": "TextBlock", "text": "Green tea"}]}
FORM: dict[str, Any] = {
    "type": "AdaptiveCard",
    "body": [{"type": "Input.Text", "id": "name"}],
    "actions": [{"type": "Action.Submit", "title": "Create", "data": {"step": 1}}],
}


def found(*attachments: dict[str, Any]) -> dict[str, Any]:
    extension = {"type": "result", "attachmentLayout": "list", "attachments": list(attachments)}
    return {"composeExtension": extension}


def item(title: str, tap: Any = None) -> dict[str, Any]:
    preview: dict[str, Any] = {"title": title}
    if tap is not None:
        preview["tap"] = {"type": "invoke", "value": tap}
    return {
        "contentType": CARD,
        "content": PAGE,
        "preview": {"contentType": THUMBNAIL, "content": preview},
    }


def form() -> dict[str, Any]:
    card = {"contentType": CARD, "content": FORM}
    return {"task": {"type": "continue", "value": {"title": "New", "card": card}}}


async def test_a_search_gives_its_results(teams: Teams, user: User, bot: Bot) -> None:
    bot.answers["composeExtension/query"] = found(item("Tea"), {"contentType": CARD, "content": PAGE})
    answer = await user.query("find", text="tea", count=10)
    assert (bot.last["type"], bot.last["name"]) == ("invoke", "composeExtension/query")
    assert bot.last["value"] == {
        "commandId": "find",
        "parameters": [{"name": "text", "value": "tea"}],
        "queryOptions": {"skip": 0, "count": 10},
    }
    assert (answer.type, answer.layout) == ("result", "list")
    assert [result.title for result in answer.results] == ["Tea", "Green tea"]
    assert [result.card for result in answer.results] == [PAGE, PAGE]
    teams.check()


async def test_parameters_may_have_any_name(user: User, bot: Bot) -> None:
    bot.answers["composeExtension/query"] = found()
    await user.query("find", {"count": "3"}, state="abc")
    assert bot.last["value"]["parameters"] == [{"name": "count", "value": "3"}]
    assert bot.last["value"]["state"] == "abc"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (None, "the body is empty"),
        ({"results": []}, "there is no composeExtension, but results"),
        ({"composeExtension": {"type": "list"}}, "composeExtension.type is 'list'"),
        (found({"contentType": CARD}), r"composeExtension.attachments\[0\].content is None"),
        (found({**item("x"), "preview": {}}), r"composeExtension.attachments\[0\].preview is no attachment"),
        ({"composeExtension": {"type": "auth"}}, "needs suggestedActions.actions"),
        ({"composeExtension": {"type": "message"}}, "composeExtension.text of a message is None"),
    ],
)
async def test_an_answer_that_is_no_list_of_results_is_a_violation(
    teams: Teams, user: User, bot: Bot, body: Any, problem: str
) -> None:
    bot.answers["composeExtension/query"] = body
    with pytest.raises(AnswerError, match=problem):
        await user.query("find")
    with pytest.raises(AssertionError, match=problem):
        teams.check()


async def test_a_search_may_ask_for_a_sign_in(teams: Teams, user: User, bot: Bot) -> None:
    button = {"type": "openUrl", "title": "Sign in", "value": "https://example.com"}
    bot.answers["composeExtension/query"] = {
        "composeExtension": {"type": "auth", "suggestedActions": {"actions": [button]}}
    }
    answer = await user.query("find")
    assert (answer.type, answer.actions, answer.results) == ("auth", [button], [])
    teams.check()


async def test_a_result_is_selected_by_the_value_of_its_tap(teams: Teams, user: User, bot: Bot) -> None:
    bot.answers["composeExtension/query"] = found(item("Tea", {"id": 7}), item("Mate"))
    bot.answers["composeExtension/selectItem"] = found({"contentType": CARD, "content": PAGE})
    tea, mate = (await user.query("find", text="t")).results
    answer = await user.select_item(tea)
    assert (bot.last["name"], bot.last["value"]) == ("composeExtension/selectItem", {"id": 7})
    assert answer.results[0].card == PAGE
    with pytest.raises(ValueError, match="the preview of 'Mate' has no tap"):
        await user.select_item(mate)
    teams.check()


async def test_a_link_becomes_a_card_or_stays_a_link(teams: Teams, user: User, bot: Bot) -> None:
    bot.answers["composeExtension/queryLink"] = found(item("Tea"))
    assert (await user.query_link("https://example.com/tea")).results[0].title == "Tea"
    assert bot.last["value"] == {"url": "https://example.com/tea"}
    assert (await user.anonymous_query_link("https://example.com/tea")).type == ""
    assert bot.last["name"] == "composeExtension/anonymousQueryLink"
    teams.check()


async def test_the_settings_of_a_message_extension(teams: Teams, user: User, bot: Bot) -> None:
    button = {"type": "openUrl", "value": "https://example.com/settings"}
    extension = {"type": "config", "suggestedActions": {"actions": [button]}}
    bot.answers["composeExtension/querySettingUrl"] = {"composeExtension": extension}
    answer = await user.query_setting_url("find")
    assert (answer.type, answer.actions) == ("config", [button])
    await user.configure("blue")
    assert (bot.last["name"], bot.last["value"]) == ("composeExtension/setting", {"state": "blue"})
    await user.configure()
    assert bot.last["value"] == {"state": "CancelledByUser"}
    await user.click_card_button({"a": 1})
    assert (bot.last["name"], bot.last["value"]) == ("composeExtension/onCardButtonClicked", {"a": 1})
    teams.check()


async def test_a_command_opens_a_dialog_whose_answer_is_a_card(teams: Teams, user: User, bot: Bot) -> None:
    bot.answers["composeExtension/fetchTask"] = form()
    bot.answers["composeExtension/submitAction"] = found({"contentType": CARD, "content": PAGE})
    await user.open_command("create")
    value = {"commandId": "create", "commandContext": "compose", "context": {"theme": "default"}}
    assert (bot.last["name"], bot.last["value"]) == ("composeExtension/fetchTask", value)
    assert user.dialog is not None
    await user.submit_dialog({"name": "Tea"})
    assert bot.last["name"] == "composeExtension/submitAction"
    assert bot.last["value"] == value | {"data": {"step": 1, "name": "Tea"}}
    assert user.dialog is None
    assert user.extension is not None
    assert user.extension.results[0].card == PAGE
    teams.check()


async def test_a_command_from_the_menu_of_a_message_brings_the_message(
    teams: Teams, user: User, bot: Bot
) -> None:
    bot.answers["composeExtension/fetchTask"] = form()
    mine = await user.say("Buy tea")
    id = await write(teams, user, {"text": "<b>Done</b>", "textFormat": "xml", "importance": "high"})
    await user.open_command("task", "message")
    payload = bot.last["value"]["messagePayload"]
    assert (payload["id"], payload["importance"]) == (id, "high")
    assert payload["body"] == {"contentType": "html", "content": "<b>Done</b>"}
    assert payload["from"]["application"]["displayName"] == "bot"
    await user.open_command("task", "message", message=mine)
    payload = bot.last["value"]["messagePayload"]
    assert (payload["id"], payload["body"]["content"]) == (mine.activity["id"], "Buy tea")
    assert payload["from"]["user"]["displayName"] == "user"
    with pytest.raises(ValueError, match="opened from 'compose' is about no message"):
        await user.open_command("task", message=mine)


async def test_a_command_with_its_parameters_in_the_manifest_opens_nothing(
    teams: Teams, user: User, bot: Bot
) -> None:
    await user.submit_command("create", {"name": "Tea"}, "commandbox")
    assert bot.last["name"] == "composeExtension/submitAction"
    assert bot.last["value"]["data"] == {"name": "Tea"}
    assert bot.last["value"]["commandContext"] == "commandbox"
    assert (user.dialog, user.extension) == (None, None)
    teams.check()


async def test_the_preview_of_a_message_is_edited_and_sent(teams: Teams, user: User, bot: Bot) -> None:
    preview = {"type": "message", "attachments": [{"contentType": CARD, "content": PAGE}]}
    extension = {"type": "botMessagePreview", "activityPreview": preview}
    bot.answers["composeExtension/submitAction"] = {"composeExtension": extension}
    with pytest.raises(LookupError, match="no preview of a message is shown"):
        await user.send_preview()
    await user.submit_command("create", {"name": "Tea"})
    assert user.extension is not None
    assert user.extension.preview == preview
    bot.answers["composeExtension/submitAction"] = form()
    await user.edit_preview()
    value = bot.last["value"]
    assert (value["botMessagePreviewAction"], value["botActivityPreview"]) == ("edit", [preview])
    assert user.dialog is not None
    bot.answers["composeExtension/submitAction"] = {"composeExtension": extension}
    await user.submit_dialog({"name": "Coffee"})
    assert "botMessagePreviewAction" not in bot.last["value"]
    bot.answers["composeExtension/submitAction"] = None
    await user.send_preview()
    assert bot.last["value"]["botMessagePreviewAction"] == "send"
    assert bot.last["value"]["commandId"] == "create"
    assert user.extension is None
    teams.check()


async def test_a_command_without_an_answer_is_a_violation(user: User, bot: Bot) -> None:
    with pytest.raises(AnswerError, match="the body is empty"):
        await user.open_command("create")
    bot.answers["composeExtension/fetchTask"] = {"type": "result"}
    with pytest.raises(AnswerError, match="there is neither a task nor a composeExtension, but type"):
        await user.open_command("create")
