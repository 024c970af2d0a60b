"""Signing in: what clients do by themselves about an OAuth card, and what people do with it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from cadenza.api import (
    ApiClient,
    ExchangeUserTokenParams,
    GetBotSignInResourceParams,
    GetUserTokenParams,
    HttpStatusError,
    TokenExchangeRequest,
)
from cadenza.apps import ActivityContext, App
from cadenza.apps.events import SignInEvent, SignInFailureEvent
from cadenza.testing import DeliveryError, Rules, Teams, User, VirtualClock
from cadenza.testing.conversation import ConversationType
from cadenza.testing.registration import Registration
from cadenza.testing.rules import Verdict

from .conftest import Bot, Response, write
from .test_token_service import state

OAUTH = "application/vnd.microsoft.card.oauth"
SIGN_IN = "application/vnd.microsoft.card.signin"


class SignInBot(Bot):
    """A bot by hand that asks everybody to sign in to the connection whose name they say."""

    def __init__(self, teams: Teams) -> None:
        super().__init__()
        self.teams = teams
        self.api = ApiClient("https://smba.trafficmanager.net/teams", transport=teams.transport)
        self.link = ""
        self.body: dict[str, Any] = {}
        """Fields of the message with the card."""
        self.forced: list[Response] = []
        """What the next invokes are answered, instead of what they should be."""
        self.left_out: list[str] = []
        """Fields that the card has not."""

    async def process(self, activity: dict[str, Any], token: str | None = None) -> Any:
        await super().process(activity, token)
        who: dict[str, str] = {"user_id": activity["from"]["id"], "channel_id": "msteams"}
        value: dict[str, Any] = activity.get("value") or {}
        if activity["type"] == "invoke" and self.forced:
            return self.forced.pop(0)
        match activity.get("name"):
            case None if activity["text"].endswith("hi"):
                await self.ask(activity, "graph")
            case None:
                await self.api.users.get_token(
                    GetUserTokenParams(**who, connection_name="graph", code=activity["text"])
                )
            case "signin/tokenExchange":
                exchange = TokenExchangeRequest(token=value["token"])
                name = value["connectionName"]
                try:
                    await self.api.users.exchange_token(
                        ExchangeUserTokenParams(**who, connection_name=name, exchange_request=exchange)
                    )
                except HttpStatusError as error:
                    detail = {"id": value["id"], "connectionName": name, "failureDetail": str(error.status)}
                    return Response(412 if error.status == 412 else 500, detail)
            case "signin/verifyState" if value["state"] != "CancelledByUser":
                await self.api.users.get_token(
                    GetUserTokenParams(**who, connection_name="graph", code=value["state"])
                )
        return None

    async def ask(self, activity: dict[str, Any], connection: str, *, named: str | None = None) -> None:
        reference = {"channelId": "msteams", "bot": activity["recipient"], "user": activity["from"]}
        signed = state(connection, conversation=reference | {"conversation": activity["conversation"]})
        resource = await self.api.bots.sign_in.get_resource(GetBotSignInResourceParams(state=signed))
        self.link = resource.sign_in_link or ""
        content: dict[str, Any] = {
            "text": "Please",
            "connectionName": named or connection,
            "buttons": [button(self.link)],
        }
        if resource.token_exchange_resource is not None:
            content["tokenExchangeResource"] = resource.token_exchange_resource.model_dump(by_alias=True)
        for name in self.left_out:
            content.pop(name, None)
        body = {"attachments": [{"contentType": OAUTH, "content": content}], **self.body}
        path = ("v3", "conversations", activity["conversation"]["id"], "activities")
        query = {"isTargetedActivity": "true"} if "recipient" in body else None
        await self.api.call("POST", *path, json={"type": "message", **body}, query=query)


def button(link: str, title: str = "Sign In", type: str = "signin") -> dict[str, str]:
    return {"type": type, "title": title, "value": link}


@pytest.fixture
async def asking(clock: VirtualClock) -> AsyncIterator[Teams]:
    """With a real App, which is registered, and asks everybody to sign in to graph."""
    teams = Teams(bot=Registration(client_id="bot-app", client_secret="secret"))
    teams.add_connection("graph")
    app = App(client_id="bot-app", client_secret="secret", transport=teams.transport)
    flow = app.add_oauth_flow("graph")

    @app.on_message
    async def answer(ctx: ActivityContext[Any]) -> None:
        if await flow.sign_in(ctx) is not None:
            await ctx.send("You are signed in already.")

    @flow.on_signin
    async def welcome(event: SignInEvent) -> None:
        await event.activity_ctx.send("Welcome")

    @flow.on_signin_failure
    async def sorry(event: SignInFailureEvent) -> None:
        await event.activity_ctx.send(f"Failed: {event.code}")

    teams.connect(app)
    yield teams
    await teams.close()
    await app.stop()
    teams.check()


@pytest.fixture
def bot(teams: Teams) -> SignInBot:
    teams.add_connection("graph")
    bot = SignInBot(teams)
    teams.connect(bot)
    return bot


def invokes(bot: Bot) -> list[str]:
    return [activity["name"] for activity in bot.got if activity["type"] == "invoke"]


async def test_single_sign_on_signs_in_before_anybody_sees_a_card(
    teams: Teams, user: User, bot: SignInBot
) -> None:
    shown: list[bool] = []
    teams.service.observers.append(lambda _: shown.append(bool(user.screen.messages)))
    await user.say("hi")
    assert user.is_signed_in("graph")
    assert user.screen.messages == []
    assert True not in shown
    assert len(teams.screen(user.conversation_id).messages) == 1  # though the service has it
    (exchange,) = user.exchanges
    assert exchange.activity["value"].keys() == {"id", "connectionName", "token"}
    assert exchange.activity["value"]["connectionName"] == "graph"
    assert exchange.answer.status == 200
    teams.check()


async def test_each_client_of_a_user_sends_the_same_exchange_in_an_activity_of_its_own(
    teams: Teams, user: User, bot: SignInBot
) -> None:
    user.endpoints = 3
    await user.say("hi")
    sent = [activity for activity in bot.got if activity["type"] == "invoke"]
    assert len({activity["id"] for activity in sent}) == 3
    assert len({activity["value"]["id"] for activity in sent}) == 1
    assert len({activity["value"]["token"] for activity in sent}) == 3
    assert user.screen.messages == []


async def test_one_client_that_succeeds_is_enough(user: User, bot: SignInBot) -> None:
    user.endpoints = 2
    bot.forced = [Response(404)]
    await user.say("hi")
    assert user.screen.messages == []
    assert [one.answer.status for one in user.exchanges] == [404, 200]


async def test_without_consent_the_button_is_shown_and_signing_in_by_it_consents(
    teams: Teams, user: User, bot: SignInBot
) -> None:
    user.consents = False
    assert not user.consents
    await user.say("hi")
    assert not user.is_signed_in("graph")
    assert [button.title for button in user.screen.last.sign_in_buttons] == ["Sign In"]
    assert "[ Sign In ]" in str(user.screen)
    await user.sign_in()
    assert user.is_signed_in("graph")
    verify = bot.last
    assert (verify["name"], verify["value"]) == ("signin/verifyState", {"state": "123456"})
    teams.token_service.forget_tokens()
    await user.say("hi")
    assert user.is_signed_in("graph")  # this time silently
    teams.check()


async def test_whoever_waits_for_the_card_is_told_when_it_is_shown(user: User, bot: SignInBot) -> None:
    user.consents = False
    await user.say("hi", wait=False)
    await user.until(lambda screen: bool(screen.messages))
    assert user.screen.last.sign_in_buttons


async def test_a_resource_that_is_not_that_of_the_app_is_told_as_a_failure(
    teams: Teams, user: User, bot: SignInBot
) -> None:
    teams.add_connection("graph", resource="api://elsewhere")
    await user.say("hi")
    assert bot.last["name"] == "signin/failure"
    assert bot.last["value"] == {"code": "resourcematchfailed", "message": "Resource match failed"}
    assert user.screen.last.sign_in_buttons
    await user.sign_in()
    assert user.is_signed_in("graph")


async def test_a_connection_without_single_sign_on_shows_its_card_at_once(
    teams: Teams, user: User, bot: SignInBot
) -> None:
    teams.add_connection("graph", sso=False, opaque=True)
    await user.say("hi")
    assert invokes(bot) == []
    await user.sign_in("Sign In")
    (token,) = teams.token_service.tokens
    assert token.token.startswith("gho_")


async def test_a_code_may_be_said_by_hand(teams: Teams, user: User, bot: SignInBot) -> None:
    teams.add_connection("graph", sso=False)
    await user.say("hi")
    code = await user.sign_in(by_hand=True)
    assert (len(code), code.isdigit()) == (6, True)
    assert invokes(bot) == []
    await user.say(code)
    assert user.is_signed_in("graph")


async def test_to_close_the_page_is_told_to_the_bot(teams: Teams, user: User, bot: SignInBot) -> None:
    teams.add_connection("graph", sso=False)
    await user.say("hi")
    await user.decline_sign_in()
    assert bot.last["value"] == {"state": "CancelledByUser"}
    assert not user.is_signed_in("graph")


async def test_a_code_that_the_bot_cannot_use_is_an_error_for_who_signs_in(
    teams: Teams, user: User, bot: SignInBot
) -> None:
    teams.add_connection("graph", sso=False)
    await user.say("hi")
    bot.forced = [Response(412)]
    with pytest.raises(DeliveryError, match="with 412"):
        await user.sign_in()


async def test_a_button_has_to_be_there_and_of_the_token_service(
    teams: Teams, user: User, bot: SignInBot
) -> None:
    with pytest.raises(LookupError, match="no sign-in button is on the screen; there are: none"):
        await user.sign_in()
    card = {"text": "Sign in", "buttons": [button("https://contoso.com/login", "Log in", "openUrl")]}
    await write(teams, user, {"attachments": [{"contentType": SIGN_IN, "content": card}]})
    with pytest.raises(LookupError, match="'Log in' is none of the token service"):
        await user.decline_sign_in()
    with pytest.raises(LookupError, match="no sign-in button 'Enter' is on the screen; there are: Log in"):
        await user.sign_in("Enter")
    user.consents = False
    await user.say("hi")
    with pytest.raises(ValueError, match=r"call user.sign_in\(\)"):
        await user.click("Sign In")
    await user.sign_in()


async def test_the_message_may_be_chosen(teams: Teams, user: User, bot: SignInBot) -> None:
    for name in ("graph", "github"):
        teams.add_connection(name, sso=False)
        await bot.ask(user._activity("message", text="hi"), name)
    first = user.screen.messages[0]
    bot.forced = [Response(412)]  # the bot takes every code for one of graph
    with pytest.raises(DeliveryError):
        await user.sign_in()
    await user.sign_in(message=first)
    assert user.is_signed_in("graph")


async def test_a_card_for_one_member_of_a_group_chat_signs_in_that_one_only(
    teams: Teams, bot: SignInBot
) -> None:
    ada = teams.user("Ada", "groupChat")
    bob = teams.user("Bob", conversation_id=ada.conversation_id)
    bot.body = {"recipient": ada.account}
    await ada.say("hi")
    assert (ada.is_signed_in("graph"), bob.is_signed_in("graph")) == (True, False)
    assert bob.exchanges == ()
    bot.body = {}
    await ada.say("hi")
    assert bob.is_signed_in("graph")  # a card for all is everybody's
    assert [violation.rule for violation in teams.violations] == ["sign-in-card"]


@pytest.mark.parametrize("rule", ["refuse", "flag", "allow"])
@pytest.mark.parametrize("kind", ["personal", "groupChat", "channel"])
async def test_among_others_a_card_is_for_one_and_in_a_channel_without_single_sign_on(
    kind: ConversationType, rule: Verdict, clock: VirtualClock
) -> None:
    async with Teams(Rules(sign_in_card=rule)) as teams:
        teams.add_connection("graph")
        bot = SignInBot(teams)
        teams.connect(bot)
        ada = teams.user("Ada", kind)
        for exchange in ([], ["tokenExchangeResource"]):
            for recipient in (None, ada.account):
                if kind == "personal" and recipient:
                    continue
                bot.left_out = ["tokenExchangeResource"] if not exchange else []
                bot.body = {"recipient": recipient} if recipient else {}
                failure: Any = None
                try:
                    await ada.say("hi")
                except HttpStatusError as error:
                    failure = error.status
                wrong = kind != "personal" and (recipient is None or (kind == "channel" and bool(exchange)))
                assert failure == (400 if wrong and rule == "refuse" else None)
                assert (len(teams.violations) > 0) == (wrong and rule != "allow")
                assert {violation.rule for violation in teams.violations} <= {"sign-in-card"}
                teams.violations.clear()


async def test_who_was_not_told_that_it_is_a_group_chat_may_show_a_card_to_all(
    teams: Teams, bot: SignInBot
) -> None:
    await teams.user("Ada", "groupChat", announced=False).say("hi")
    teams.check()


async def test_a_card_of_one_connection_with_the_link_of_another_is_a_violation(
    teams: Teams, user: User, bot: SignInBot
) -> None:
    teams.add_connection("github", sso=False)
    await bot.ask(user._activity("message", text="hi"), "github", named="graph")
    (violation,) = teams.violations
    assert violation.rule == "sign-in-link"
    assert "an OAuth card of 'graph' has a link to sign in to 'github'" in str(violation)
    assert "signin=" not in str(violation)


async def test_who_was_signed_in_silently_finds_no_button_and_is_told_why(
    teams: Teams, user: User, bot: SignInBot
) -> None:
    await user.say("hi")
    with pytest.raises(
        LookupError, match=r"signed in silently to 'graph': .* sso=False, or set user.consents"
    ):
        await user.sign_in()
    other = teams.user("Grace")
    with pytest.raises(LookupError, match=r"there are: none$"):
        await other.sign_in()


async def test_a_connection_that_the_bot_has_not_is_no_name_to_ask_for(teams: Teams, user: User) -> None:
    assert not user.is_signed_in("calender")  # nothing is known of any
    teams.add_connection("calendar")
    with pytest.raises(LookupError, match="no connection 'calender'; there are: calendar"):
        user.is_signed_in("calender")


async def test_who_does_not_consent_is_the_only_one_to_see_the_card(teams: Teams, bot: SignInBot) -> None:
    ada = teams.user("Ada", "groupChat")
    bob = teams.user("Bob", conversation_id=ada.conversation_id)
    bob.consents = False
    await ada.say("hi")
    assert ada.screen.messages == []
    assert bob.screen.last.sign_in_buttons


async def test_in_a_channel_no_client_exchanges_anything(teams: Teams, bot: SignInBot) -> None:
    ada = teams.user("Ada", "channel")
    said = await ada.say("hi")
    assert ada.exchanges == ()
    await ada.sign_in()
    assert ada.is_signed_in("graph")
    assert bot.last["conversation"]["id"] == said.activity["conversation"]["id"]  # in the thread


async def test_a_text_beside_the_card_is_shown_all_the_same(user: User, bot: SignInBot) -> None:
    bot.body = {"text": "One moment"}
    await user.say("hi")
    assert user.screen.text == "One moment"
    assert user.screen.last.sign_in_buttons == []


async def test_a_deed_waits_for_what_the_clients_have_sent_by_themselves(user: User, bot: SignInBot) -> None:
    user.teams.token_service.delay = 5.0
    await user.say("hi")
    assert user.is_signed_in("graph")
    assert all(one.done for one in user.exchanges)


async def test_what_fails_behind_everybodys_back_is_raised_in_the_end(bot: SignInBot) -> None:
    for look in (False, True):
        teams = Teams()
        teams.add_connection("graph")
        teams.token_service.fail_with(501, operation="exchange")
        teams.connect(SignInBot(teams))
        user = teams.user()
        await user.say("hi")
        assert user.screen.last.sign_in_buttons
        if look:
            with pytest.raises(DeliveryError):
                user.exchanges[0].answer  # noqa: B018
            await teams.close()
        else:
            with pytest.raises(DeliveryError, match="with 500"):
                await teams.close()


async def test_without_a_bot_to_deliver_to_a_card_is_just_shown(teams: Teams, user: User) -> None:
    card = {"text": "", "tokenExchangeResource": {"id": "1", "uri": "api://x"}, "buttons": []}
    await write(teams, user, {"attachments": [{"contentType": OAUTH, "content": card}]})
    assert len(user.screen.messages) == 1


@pytest.mark.parametrize(
    ("name", "status", "body", "problem"),
    [
        ("signin/tokenExchange", 412, None, "no {id, connectionName, failureDetail} but None"),
        ("signin/tokenExchange", 412, {"connectionName": "graph", "failureDetail": ""}, "id is None"),
        ("signin/tokenExchange", 412, {"id": "1", "connectionName": "x"}, "connectionName is 'x'"),
        ("signin/tokenExchange", 412, {"id": "1", "connectionName": "graph"}, "failureDetail is None"),
        ("signin/tokenExchange", 202, None, "the status is 202"),
        ("signin/tokenExchange", 404, None, None),
        ("signin/verifyState", 412, None, None),
        ("signin/verifyState", 400, None, "takes 200, 404 or 412"),
        ("signin/failure", 404, None, "takes 200"),
    ],
)
async def test_answers_to_the_invokes_of_a_sign_in_are_judged(
    teams: Teams, user: User, name: str, status: int, body: Any, problem: str | None
) -> None:
    class Answering(Bot):
        async def process(self, activity: dict[str, Any], token: str | None = None) -> Any:
            return Response(status, body)

    teams.connect(Answering())
    value = {"id": "1", "connectionName": "graph", "token": "t"}
    delivery = await user.invoke(name, value, wait=False)
    await delivery.wait()
    if status >= 400:
        with pytest.raises(DeliveryError):
            delivery.answer  # noqa: B018
    if problem is None:
        teams.check()
    else:
        (violation,) = teams.violations
        assert problem in violation.detail
        assert violation.source == "api-surface.md 1.7"


async def test_an_app_signs_in_silently_and_once(asking: Teams) -> None:
    user = asking.user()
    user.endpoints = 3
    await user.say("hi")
    assert user.screen.text == "Welcome"
    assert [one.answer.status for one in user.exchanges] == [200, 200, 200]
    await user.say("hi again")
    assert user.screen.text == "Welcome\nYou are signed in already."


async def test_an_app_signs_in_by_the_button_without_consent(asking: Teams) -> None:
    user = asking.user()
    user.consents = False
    await user.say("hi")
    assert [one.answer.status for one in user.exchanges] == [412]
    assert user.screen.text == ""
    await user.sign_in()
    assert user.screen.text == "Welcome"


@pytest.mark.parametrize("kind", ["personal", "groupChat", "channel"])
async def test_an_app_takes_a_code_that_is_said(asking: Teams, kind: Any) -> None:
    asking.add_connection("graph", sso=False, opaque=True)
    user = asking.user("Ada", kind)
    await user.say("hi")
    code = await user.sign_in(by_hand=True)
    await user.say(code)
    assert user.is_signed_in("graph")
    assert user.screen.text == "Welcome"


async def test_an_app_is_told_that_a_user_declines_or_that_teams_cannot_sign_in(asking: Teams) -> None:
    user = asking.user()
    asking.add_connection("graph", resource="api://elsewhere")
    await user.say("hi")
    await user.decline_sign_in()
    assert user.screen.text == "Failed: resourcematchfailed\nFailed: CancelledByUser"


async def test_the_tokens_of_a_registered_bot_are_made_by_the_identity_provider(asking: Teams) -> None:
    user = asking.user("Ada")
    await user.say("hi")
    (held,) = asking.token_service.tokens
    claims = asking.identity.verify(held.token)
    assert (claims["oid"], claims["name"]) == (user.account["aadObjectId"], "Ada")
    assert asking.token_service.app_resource == "api://botid-bot-app"
    sso = asking.identity.verify(user.exchanges[0].activity["value"]["token"])
    assert sso["aud"] == "api://botid-bot-app"


async def test_an_app_without_a_transport_finds_the_token_service_by_the_environment(
    teams: Teams, user: User
) -> None:
    """Over HTTP: the fixture `teams` sets OAUTH_URL."""
    teams.add_connection("graph")
    app = App(dangerously_allow_unauthenticated_requests=True, default_connection_name="graph")

    @app.on_message
    async def answer(ctx: ActivityContext[Any]) -> None:
        await ctx.sign_in()

    teams.connect(app)
    await user.say("hi")
    assert user.is_signed_in("graph")
    assert [one.operation for one in teams.token_service.requests][-1] == "exchange"
    await app.stop()
    teams.check()
