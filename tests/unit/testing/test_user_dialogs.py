"""Buttons, dialogs and feedback."""

import json
from typing import Any

import pytest
from aiohttp import web
from cadenza.testing import AnswerError, Teams, User

from .conftest import CARD, Bot, Response, card, write

FORM = {
    "type": "AdaptiveCard",
    "body": [
        {"type": "Input.Text", "id": "name", "isRequired": True, "errorMessage": "Who are you?"},
        {"type": "Input.Text", "id": "team", "value": "Blue"},
        {"type": "Input.Toggle", "id": "agree"},
    ],
    "actions": [
        {"type": "Action.Submit", "title": "Save", "data": {"action": "save"}},
        {"type": "Action.Submit", "title": "Skip", "data": {"action": "skip"}, "associatedInputs": "none"},
    ],
}
OPEN = {
    "type": "Action.Submit",
    "title": "Open",
    "data": {"msteams": {"type": "task/fetch"}, "dialog_id": "f"},
}


def show(card: dict[str, Any] = FORM, **fields: Any) -> dict[str, Any]:
    value = {"title": "Form", "card": {"contentType": CARD, "content": card}, **fields}
    return {"task": {"type": "continue", "value": value}}


def tell(text: str) -> dict[str, Any]:
    return {"task": {"type": "message", "value": text}}


@pytest.fixture
async def message_id(teams: Teams, user: User, bot: Bot) -> str:
    bot.answers["task/fetch"] = show(width="medium", height=300)
    return await card(teams, user, OPEN)


async def test_a_button_opens_a_dialog(teams: Teams, user: User, bot: Bot, message_id: str) -> None:
    await user.click("Open")
    assert (bot.last["name"], bot.last["replyToId"]) == ("task/fetch", message_id)
    assert bot.last["value"] == {"data": OPEN["data"], "context": {"theme": "default"}}
    dialog = user.dialog
    assert dialog is not None
    assert (dialog.title, dialog.card, dialog.url, dialog.width, dialog.height) == (
        "Form", FORM, None, "medium", 300,
    )  # fmt: skip
    assert dialog.buttons == ["Save", "Skip"]
    assert dialog.message is user.screen.last
    teams.check()


async def test_a_submitted_dialog_has_the_data_of_its_button_and_its_inputs(
    teams: Teams, user: User, bot: Bot, message_id: str
) -> None:
    await user.click("Open")
    bot.answers["task/submit"] = tell("Thanks")
    await user.submit_dialog({"name": "Ann"})
    data = {"action": "save", "name": "Ann", "team": "Blue", "agree": "false"}
    assert (bot.last["name"], bot.last["replyToId"]) == ("task/submit", message_id)
    assert bot.last["value"] == {"data": data, "context": {"theme": "default"}}
    assert (user.dialog, user.notice) == (None, "Thanks")
    teams.check()


async def test_another_button_of_a_dialog_is_named(user: User, bot: Bot, message_id: str) -> None:
    await user.click("Open")
    await user.submit_dialog(action="Skip")
    assert bot.last["value"]["data"] == {"action": "skip"}
    assert (user.dialog, user.notice) == (None, "")


async def test_a_dialog_may_be_followed_by_another(user: User, bot: Bot, message_id: str) -> None:
    await user.click("Open")
    page = {"title": "Next", "url": "https://example.com/form"}
    bot.answers["task/submit"] = {"task": {"type": "continue", "value": page}}
    await user.submit_dialog({"name": "Ann"})
    assert user.dialog is not None
    assert (user.dialog.title, user.dialog.card, user.dialog.url) == ("Next", None, page["url"])
    with pytest.raises(LookupError, match="whose buttons nobody knows"):
        await user.submit_dialog({"a": 1}, "Save")
    await user.submit_dialog({"a": 1})
    assert bot.last["value"]["data"] == {"a": 1}
    assert "https://example.com/form" in str(user.dialog)


async def test_mistakes_in_a_dialog_are_told(user: User, bot: Bot, message_id: str) -> None:
    with pytest.raises(LookupError, match="no dialog is open"):
        await user.submit_dialog()
    with pytest.raises(LookupError, match="no dialog is open"):
        user.close_dialog()
    await user.click("Open")
    count = len(bot.got)
    with pytest.raises(ValueError, match=r"not sent: Who are you\? \(its input 'name' is required\)"):
        await user.submit_dialog({"team": "Red"})
    with pytest.raises(LookupError, match="no input 'nme'; there are: name, team, agree"):
        await user.submit_dialog({"nme": "Ann"})
    with pytest.raises(LookupError, match=r"no Action.Submit 'Send'; there are: Save, Skip"):
        await user.submit_dialog({"name": "Ann"}, "Send")
    assert len(bot.got) == count
    user.close_dialog()
    assert user.dialog is None
    assert len(bot.got) == count


@pytest.mark.parametrize("body", [None, {}, {"task": None}, {"card": {}}, {"task": {"type": "open"}}])
async def test_an_answer_that_opens_no_dialog_is_a_violation(
    teams: Teams, user: User, bot: Bot, message_id: str, body: Any
) -> None:
    bot.answers["task/fetch"] = body
    with pytest.raises(AnswerError, match="Teams cannot use the answer to task/fetch"):
        await user.click("Open")
    assert user.dialog is None
    with pytest.raises(AssertionError, match=r"the answer to task/fetch: .* \(api-surface.md 1.7\)"):
        teams.check()


async def test_a_dialog_stays_open_if_the_answer_to_it_is_none(user: User, bot: Bot, message_id: str) -> None:
    await user.click("Open")
    bot.answers["task/submit"] = show(width="huge")
    with pytest.raises(AnswerError, match=r"task\.value\.width is 'huge'"):
        await user.submit_dialog({"name": "Ann"})
    assert user.dialog is not None


async def test_a_click_brings_the_values_that_a_card_gives_its_inputs(
    teams: Teams, user: User, bot: Bot
) -> None:
    await write(teams, user, {"attachments": [{"contentType": CARD, "content": FORM}]})
    await user.click("Save", inputs={"name": "Ann", "agree": True})
    assert bot.last["value"] == {"action": "save", "name": "Ann", "team": "Blue", "agree": "true"}


async def test_the_text_of_a_card_actions_answer_is_shown(teams: Teams, user: User, bot: Bot) -> None:
    await card(teams, user, {"type": "Action.Execute", "title": "Go", "verb": "go"})
    answer = {"statusCode": 200, "type": "application/vnd.microsoft.activity.message", "value": "Gone"}
    bot.answers["adaptiveCard/action"] = answer
    await user.click("Go")
    assert user.notice == "Gone"
    teams.check()


async def test_what_a_card_action_says_of_its_error_is_shown(teams: Teams, user: User, bot: Bot) -> None:
    await card(teams, user, {"type": "Action.Execute", "title": "Go", "verb": "go"})
    error = {"code": "BadRequest", "message": "days: how many?"}
    answer = {"statusCode": 400, "type": "application/vnd.microsoft.error", "value": error}
    bot.answers["adaptiveCard/action"] = answer
    await user.click("Go")
    assert user.notice == "days: how many?"
    teams.check()


async def test_a_card_action_without_an_answer_is_a_violation(teams: Teams, user: User, bot: Bot) -> None:
    await card(teams, user, {"type": "Action.Execute", "title": "Go", "verb": "go"})
    await user.click("Go")
    with pytest.raises(AssertionError, match="the answer to adaptiveCard/action: the body is empty"):
        teams.check()


async def test_a_suggested_submit_is_an_invoke(teams: Teams, user: User, bot: Bot) -> None:
    action = {"type": "Action.Submit", "title": "Yes", "value": {"choice": "yes"}}
    id = await write(teams, user, {"text": "Sure?", "suggestedActions": {"to": [], "actions": [action]}})
    assert user.screen.last.chips == ["Yes"]
    await user.click("Yes")
    assert (bot.last["type"], bot.last["name"]) == ("invoke", "suggestedActions/submit")
    assert (bot.last["value"], bot.last["replyToId"]) == ({"choice": "yes"}, id)
    teams.check()


async def test_feedback_goes_to_the_message_that_asks_for_it(teams: Teams, user: User, bot: Bot) -> None:
    with pytest.raises(LookupError, match="no message on the screen asks for feedback"):
        await user.give_feedback()
    id = await write(teams, user, {"text": "42", "channelData": {"feedbackLoop": {"type": "default"}}})
    await write(teams, user, {"text": "Anything else?"})
    await user.give_feedback("dislike", "Why?")
    assert (bot.last["name"], bot.last["replyToId"]) == ("message/submitAction", id)
    value = bot.last["value"]
    assert (value["actionName"], value["actionValue"]["reaction"]) == ("feedback", "dislike")
    assert json.loads(value["actionValue"]["feedback"]) == {"feedbackText": "Why?"}
    with pytest.raises(LookupError, match="does not ask for feedback"):
        await user.give_feedback(message=user.screen.last)


async def test_a_feedback_form_of_the_bot_is_a_dialog(teams: Teams, user: User, bot: Bot) -> None:
    id = await write(teams, user, {"text": "42", "channelData": {"feedbackLoop": {"type": "custom"}}})
    bot.answers["message/fetchTask"] = show()
    with pytest.raises(ValueError, match="a feedback form of its own"):
        await user.give_feedback("like", "Great")
    await user.give_feedback("like")
    assert bot.last["value"] == {"data": {"actionName": "feedback", "actionValue": {"reaction": "like"}}}
    await user.submit_dialog({"name": "Ann"})
    assert (bot.last["name"], bot.last["replyToId"]) == ("message/submitAction", id)
    assert bot.last["value"]["actionValue"]["reaction"] == "like"
    assert json.loads(bot.last["value"]["actionValue"]["feedback"])["name"] == "Ann"
    assert user.dialog is None
    teams.check()


async def test_the_settings_of_a_bot_are_a_dialog(teams: Teams, bot: Bot) -> None:
    ann = teams.user("ann", "groupChat")
    bot.answers["config/fetch"] = {"responseType": "config", "config": show()["task"]}
    bot.answers["config/submit"] = {"responseType": "config", "config": tell("Saved")["task"]}
    await ann.open_config()
    assert ann.dialog is not None
    await ann.submit_dialog({"name": "x"})
    assert (bot.last["name"], bot.last["value"]["data"]["name"]) == ("config/submit", "x")
    assert ann.notice == "Saved"
    teams.check()


async def test_a_dialog_opens_without_waiting_for_it(user: User, bot: Bot, message_id: str) -> None:
    delivery = await user.click("Open", wait=False)
    assert user.dialog is None
    await delivery
    assert user.dialog is not None


async def test_an_invoke_with_another_status_than_200_is_a_violation(
    teams: Teams, user: User, bot: Bot
) -> None:
    async def handler(activity: dict[str, Any]) -> Response:
        return Response(202)

    bot.handler = handler
    await user.invoke("my/invoke")
    with pytest.raises(
        AssertionError, match="the answer to my/invoke: the status is 202, and Teams takes 200"
    ):
        teams.check()


async def test_a_dialog_is_opened_by_a_bot_behind_http(teams: Teams, user: User) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(show())

    application = web.Application()
    application.router.add_post("/api/messages", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    teams.connect(f"http://127.0.0.1:{runner.addresses[0][1]}/api/messages")
    await user.click(OPEN)
    assert user.dialog is not None
    assert user.dialog.card == FORM
    teams.check()
    await runner.cleanup()
