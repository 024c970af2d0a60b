"""People who talk to a bot: what they send, and what they see."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from cadenza.testing import Delivery, DeliveryError, Teams, User, VirtualClock

from .conftest import CARD, Bot, Response, card, write


async def test_a_message_looks_like_one_of_teams(teams: Teams, user: User, bot: Bot) -> None:
    await user.say("hi")
    (activity,) = bot.got
    assert activity["type"] == "message"
    assert activity["text"] == "hi"
    assert activity["channelId"] == "msteams"
    assert activity["serviceUrl"] == teams.url
    assert activity["conversation"] == {
        "id": user.conversation_id,
        "conversationType": "personal",
        "tenantId": user.conversation.tenant_id,
    }
    assert activity["from"] == user.account
    assert {"id", "name", "aadObjectId"} <= set(activity["from"])
    assert activity["recipient"]["id"].startswith("28:")
    assert activity["channelData"]["tenant"]["id"] == user.conversation.tenant_id
    assert activity["timestamp"].endswith("Z")
    assert len(activity["id"]) == 13


async def test_fields_of_ones_own_are_added_to_a_message(user: User, bot: Bot) -> None:
    await user.say("hi", locale="de-DE", value={"a": 1})
    assert (bot.got[0]["locale"], bot.got[0]["value"]) == ("de-DE", {"a": 1})


async def test_each_activity_has_an_id_of_its_own(user: User, bot: Bot) -> None:
    await user.say("one")
    await user.say("two")
    assert bot.got[0]["id"] != bot.got[1]["id"]


async def test_in_a_group_the_bot_is_mentioned(teams: Teams, bot: Bot) -> None:
    ann = teams.user("ann", "groupChat")
    await ann.say("hi")
    (activity,) = bot.got
    assert activity["text"] == "<at>bot</at> hi"
    assert activity["entities"][0]["mentioned"]["id"] == activity["recipient"]["id"]
    assert activity["conversation"]["isGroup"] is True


async def test_a_channel_names_its_team(teams: Teams, bot: Bot) -> None:
    await teams.user("ann", "channel").say("hi")
    data = bot.got[0]["channelData"]
    thread = f";messageid={bot.got[0]['id']}"  # which each message of a channel begins or continues
    assert data["channel"]["id"] + thread == bot.got[0]["conversation"]["id"]
    assert "team" in data


async def test_a_conversation_may_keep_its_type_to_itself(teams: Teams, bot: Bot) -> None:
    await teams.user("ann", "groupChat", announced=False).say("hi")
    assert "conversationType" not in bot.got[0]["conversation"]


def test_a_kind_of_conversation_that_teams_has_not_is_refused(teams: Teams) -> None:
    with pytest.raises(ValueError, match="type 'group': it is one of personal, groupChat, channel"):
        teams.user("Ada", "group")  # type: ignore[arg-type]


async def test_two_people_share_a_conversation(teams: Teams, bot: Bot) -> None:
    ann = teams.user("ann", "groupChat")
    bob = teams.user("bob", conversation_id=ann.conversation_id)
    await write(teams, bob, {"text": "Hello, all"})
    assert ann.screen is bob.screen
    assert [member["name"] for member in ann.conversation.members] == ["ann", "bob"]
    assert teams.screen(ann.conversation_id) is teams.screen() is ann.screen


async def test_saying_something_returns_when_the_turn_is_over(user: User, teams: Teams) -> None:
    async def handler(activity: dict[str, Any]) -> Response:
        await asyncio.sleep(20)
        await write(teams, user, {"text": "Hello!"})
        return Response(202, {"a": 1})

    teams.connect(Bot(handler))
    delivery = await user.say("hi")
    assert user.screen.text == "Hello!"
    assert (delivery.done, delivery.answer.status, delivery.answer.body) == (True, 202, {"a": 1})


async def test_saying_something_may_return_at_once(user: User, teams: Teams) -> None:
    async def handler(activity: dict[str, Any]) -> None:
        await asyncio.sleep(20)
        await write(teams, user, {"text": "Hello!"})

    teams.connect(Bot(handler))
    delivery = await user.say("hi", wait=False)
    assert not delivery.done
    with pytest.raises(asyncio.InvalidStateError):
        _ = delivery.answer
    assert (await delivery).status == 200
    assert user.screen.text == "Hello!"


async def test_what_the_bot_raises_is_raised(user: User, teams: Teams) -> None:
    async def handler(activity: dict[str, Any]) -> None:
        raise ZeroDivisionError

    teams.connect(Bot(handler))
    with pytest.raises(ZeroDivisionError):
        await user.say("hi")
    await teams.settle()  # it has been told


async def test_a_failure_that_nobody_waited_for_is_raised_by_settle(user: User, teams: Teams) -> None:
    async def handler(activity: dict[str, Any]) -> None:
        await asyncio.sleep(5)
        raise ZeroDivisionError

    teams.connect(Bot(handler))
    await user.say("hi", wait=False)
    with pytest.raises(ZeroDivisionError):
        await teams.settle()
    await teams.settle()


async def test_a_failure_that_nobody_waited_for_is_raised_at_the_end(clock: VirtualClock) -> None:
    async def handler(activity: dict[str, Any]) -> None:
        raise ZeroDivisionError

    teams = Teams()
    teams.connect(Bot(handler))
    await teams.user().say("hi", wait=False)
    await asyncio.sleep(1)
    with pytest.raises(ZeroDivisionError):
        await teams.close()


async def test_a_turn_that_never_ends_is_cancelled_at_the_end(clock: VirtualClock) -> None:
    cancelled: list[bool] = []

    async def handler(activity: dict[str, Any]) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async with Teams() as teams:
        teams.connect(Bot(handler))
        await teams.user().say("hi", wait=False)
        await asyncio.sleep(1)
    assert cancelled == [True]


async def test_a_status_of_400_or_more_is_an_error(user: User, teams: Teams) -> None:
    async def handler(activity: dict[str, Any]) -> Response:
        return Response(401, "no")

    teams.connect(Bot(handler))
    with pytest.raises(DeliveryError, match="401") as caught:
        await user.say("hi")
    assert caught.value.answer.body == "no"
    assert caught.value.activity["text"] == "hi"


async def test_without_a_bot_nothing_can_be_said(user: User) -> None:
    with pytest.raises(RuntimeError, match="no bot is connected"):
        await user.say("hi")


async def test_sees_waits_for_a_text_or_an_informative_line(user: User, teams: Teams) -> None:
    from cadenza.testing import ServiceRequest

    path = f"/v3/conversations/{user.conversation_id}/activities"

    async def handler(activity: dict[str, Any]) -> None:
        info = {"type": "streaminfo", "streamType": "informative", "streamSequence": 1}
        await asyncio.sleep(3)
        body = {"type": "typing", "text": "Searching", "entities": [info]}
        teams.service.handle(ServiceRequest("POST", path, body=body), teams.now())
        await asyncio.sleep(3)
        await write(teams, user, {"text": "Hello!"})

    teams.connect(Bot(handler))
    began = teams.now()
    await user.say("hi", wait=False)
    assert (await user.sees("Search")).state == "streaming"
    assert teams.now() - began == pytest.approx(3)
    assert user.press_stop()
    assert (await user.sees("Hello")).text == "Hello!"
    assert teams.now() - began == pytest.approx(6)


async def test_sees_says_what_is_on_the_screen_instead(user: User, teams: Teams) -> None:
    await write(teams, user, {"text": "Good morning"})
    with pytest.raises(AssertionError, match=r"did not see 'Hello' within 5 s but:\n.*Good morning"):
        await user.sees("Hello", timeout=5)
    assert teams.service.observers == []


async def test_until_waits_for_any_condition(user: User, teams: Teams) -> None:
    async def handler(activity: dict[str, Any]) -> None:
        for text in "abc":
            await asyncio.sleep(1)
            await write(teams, user, {"text": text})

    teams.connect(Bot(handler))
    await user.say("hi", wait=False)
    await user.until(lambda screen: len(screen.messages) == 3)
    assert user.screen.text == "a\nb\nc"


async def test_a_submitted_card_sends_its_data_and_inputs(user: User, teams: Teams, bot: Bot) -> None:
    id = await card(teams, user, {"type": "Action.Submit", "title": "OK", "data": {"a": 1}})
    await user.click("OK", inputs={"comment": "fine"})
    (activity,) = bot.got
    assert (activity["type"], activity["value"]) == ("message", {"a": 1, "comment": "fine"})
    assert activity["replyToId"] == id
    assert "text" not in activity


async def test_an_executed_action_is_an_invoke(user: User, teams: Teams, bot: Bot) -> None:
    action = {"type": "Action.Execute", "title": "OK", "verb": "approve", "data": {"a": 1}}
    await card(teams, user, action)
    await user.click("OK", inputs={"comment": "fine"})
    (activity,) = bot.got
    assert (activity["type"], activity["name"]) == ("invoke", "adaptiveCard/action")
    assert activity["value"] == {
        "action": {"type": "Action.Execute", "verb": "approve", "data": {"a": 1, "comment": "fine"}},
        "trigger": "manual",
    }


async def test_the_answer_to_an_executed_action_replaces_the_card(user: User, teams: Teams) -> None:
    async def handler(activity: dict[str, Any]) -> Response:
        return Response(200, {"statusCode": 200, "type": CARD, "value": {"type": "AdaptiveCard", "new": 1}})

    teams.connect(Bot(handler))
    await card(teams, user, {"type": "Action.Execute", "title": "OK"})
    await user.click("OK")
    assert user.screen.last.cards == [{"type": "AdaptiveCard", "new": 1}]


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"type": "imBack", "value": "yes"}, {"type": "message", "text": "yes"}),
        (
            {"type": "messageBack", "text": "yes", "value": {"a": 1}},
            {"type": "message", "text": "yes", "value": {"a": 1}},
        ),
        ({"type": "invoke", "name": "go", "value": 1}, {"type": "invoke", "name": "go", "value": 1}),
        (
            {"type": "Action.Submit", "data": {"msteams": {"type": "imBack", "value": "yes"}}},
            {"type": "message", "text": "yes"},
        ),
        (
            {"type": "Action.Submit", "data": {"msteams": {"type": "task/fetch"}, "dialog_id": "d"}},
            {"type": "invoke", "name": "task/fetch"},
        ),
        ({"type": "Action.Submit", "data": "plain"}, {"type": "message", "value": "plain"}),
    ],
)
async def test_other_buttons_send_what_teams_sends(
    user: User, bot: Bot, action: dict[str, Any], expected: dict[str, Any]
) -> None:
    bot.answers["task/fetch"] = {"task": {"type": "message", "value": "no"}}
    await user.click({"title": "OK", **action})
    assert {name: bot.got[0].get(name) for name in expected} == expected


async def test_a_dialog_gets_the_data_of_its_button(user: User, bot: Bot) -> None:
    data = {"msteams": {"type": "task/fetch"}, "dialog_id": "d"}
    bot.answers["task/fetch"] = {"task": {"type": "message", "value": "no"}}
    await user.click({"type": "Action.Submit", "data": data})
    assert bot.got[0]["value"]["data"] == data


async def test_a_link_sends_nothing(user: User, bot: Bot) -> None:
    with pytest.raises(ValueError, match=r"a click on 'More', a Action\.OpenUrl, sends nothing"):
        await user.click({"type": "Action.OpenUrl", "title": "More", "url": "https://example.com"})
    assert bot.got == []


async def test_a_suggested_action_is_found_by_its_title(user: User, teams: Teams, bot: Bot) -> None:
    actions = {"actions": [{"type": "imBack", "title": "Yes", "value": "yes!"}]}
    await write(teams, user, {"text": "Sure?", "suggestedActions": actions})
    await user.click("Yes")
    assert bot.got[0]["text"] == "yes!"


async def test_the_newest_button_with_a_title_is_clicked(user: User, teams: Teams, bot: Bot) -> None:
    old = await card(teams, user, {"type": "Action.Submit", "title": "OK", "data": 1})
    new = await card(teams, user, {"type": "Action.Submit", "title": "OK", "data": 2})
    await user.click("OK")
    await user.click("OK", message=user.screen.message(old))
    assert [(activity["value"], activity["replyToId"]) for activity in bot.got] == [(2, new), (1, old)]


async def test_a_button_that_is_not_there_is_named_beside_those_that_are(user: User, teams: Teams) -> None:
    await card(teams, user, {"type": "Action.Submit", "title": "OK"})
    with pytest.raises(LookupError, match="no button 'Cancel' is on the screen; there are: OK"):
        await user.click("Cancel")


async def test_a_reaction_is_shown_and_told(user: User, teams: Teams, bot: Bot) -> None:
    id = await write(teams, user, {"text": "Hello"})
    await user.react("heart")
    (activity,) = bot.got
    assert (activity["type"], activity["reactionsAdded"]) == ("messageReaction", [{"type": "heart"}])
    assert activity["replyToId"] == id
    assert user.screen.last.reactions == ["heart"]


async def test_the_bot_reacts_to_what_a_user_said(user: User, teams: Teams, bot: Bot) -> None:
    from cadenza.testing import ServiceRequest

    delivery: Delivery = await user.say("hi")
    id = delivery.activity["id"]
    path = f"/v3/conversations/{user.conversation_id}/activities/{id}/reactions/like"
    reply = teams.service.handle(ServiceRequest("PUT", path), teams.now())
    assert reply is not None
    assert reply.status == 200
    assert user.screen.reactions == {id: ["like"]}


@pytest.fixture
async def endpoint(clock: VirtualClock) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """The messaging endpoint of a bot on the network; a text that is a number is the status it answers."""
    got: list[dict[str, Any]] = []

    async def messages(request: web.Request) -> web.Response:
        activity = await request.json()
        got.append(activity)
        if activity.get("text", "").isdigit():
            return web.Response(status=int(activity["text"]), text="not json")
        return web.json_response({"ok": True})

    application = web.Application()
    application.router.add_post("/api/messages", messages)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/messages", got
    await runner.cleanup()


async def test_activities_are_posted_to_an_endpoint(teams: Teams, user: User, endpoint: Any) -> None:
    url, got = endpoint
    teams.connect(url)
    delivery = await user.say("hi")
    assert got == [delivery.activity]
    assert delivery.answer.body == {"ok": True}


async def test_an_endpoint_that_refuses_is_an_error(teams: Teams, user: User, endpoint: Any) -> None:
    teams.connect(endpoint[0])
    with pytest.raises(DeliveryError) as caught:
        await user.say("503")
    assert (caught.value.answer.status, caught.value.answer.body) == (503, "not json")


async def test_a_reference_leads_to_the_user(teams: Teams, user: User) -> None:
    reference = teams.conversation_reference()
    assert reference.service_url == teams.url
    assert reference.conversation.id == user.conversation_id
    assert reference.conversation.conversation_type == "personal"
    assert reference.user is not None
    assert reference.user.id == user.account["id"]
    bob = teams.user("bob")
    assert teams.conversation_reference(bob).conversation.id == bob.conversation_id


async def test_the_screen_of_nobody_is_a_clear_error(clock: VirtualClock) -> None:
    with pytest.raises(LookupError, match=r"call teams\.user\(\)"):
        Teams().screen()


async def test_check_shows_the_transcript(teams: Teams, user: User) -> None:
    teams.check()
    await write_wrongly(teams, user)
    with pytest.raises(AssertionError, match=r"1 violations(.|\n)*typing(.|\n)*streaminfo-missing"):
        teams.check()


async def write_wrongly(teams: Teams, user: User) -> None:
    from cadenza.testing import ServiceRequest

    path = f"/v3/conversations/{user.conversation_id}/activities"
    body = {"type": "typing", "text": "Hello"}
    teams.service.handle(ServiceRequest("POST", path, body=body), teams.now())
