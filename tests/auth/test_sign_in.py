"""`ctx.sign_in` and its neighbours: asking the token service, and asking the user (api-surface.md 1.10)."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from auth.sign_in import CONVERSATIONS, activity, exchange, invoke, new_app, say, verify
from auth.token_service import ADA, BOT, TOKEN_SERVICE, TokenService
from cadenza.api import (
    Account,
    HandlerTransport,
    HttpStatusError,
    MessageActivity,
    MessageActivityInput,
    Request,
    Response,
    ServerError,
    TokenExchangeResource,
    TokenPostResource,
    TransportError,
)
from cadenza.apps import ActivityContext, App, ErrorEvent, SignInOptions
from cadenza.testing import VirtualClock

Message = ActivityContext[MessageActivity]


def errors_of(app: App) -> list[Exception]:
    seen: list[Exception] = []

    @app.event("error")
    def note(event: ErrorEvent) -> None:
        seen.append(event.error)

    return seen


def signs_in(app: App, options: SignInOptions | None = None) -> list[str | None]:
    """Each message asks for the token; the answers."""
    tokens: list[str | None] = []

    @app.on_message
    async def answer(ctx: Message) -> None:
        tokens.append(await ctx.sign_in(options))

    return tokens


# Asking the token service


async def test_who_has_a_token_is_not_asked_to_sign_in(app: App, service: TokenService) -> None:
    tokens = signs_in(app)
    service.tokens[ADA, "graph"] = "t"
    await say(app, "hi")
    assert tokens == ["t"]
    assert service.asked == ["GetToken graph"]
    assert service.sent == []


async def test_who_has_none_is_sent_a_card_with_the_link_and_the_state(
    app: App, service: TokenService
) -> None:
    tokens = signs_in(app)
    await say(app, "hi")
    assert tokens == [None]
    (sent,) = service.sent
    assert sent.activity["attachments"][0]["contentType"] == "application/vnd.microsoft.card.oauth"
    assert not sent.targeted
    assert sent.card == {
        "text": "Please Sign In...",
        "connectionName": "graph",
        "tokenExchangeResource": {"id": "exchange-graph", "uri": f"api://{BOT}"},
        "tokenPostResource": {"sasUrl": f"{TOKEN_SERVICE}/post"},
        "buttons": [{"type": "signin", "title": "Sign In", "value": f"{TOKEN_SERVICE}/signin?graph"}],
    }


async def test_the_state_of_the_link_is_base64_of_json_with_the_names_of_teams(
    app: App, service: TokenService
) -> None:
    states: list[dict[str, Any]] = []
    real = service._GetSignInResource

    def keep(query: dict[str, str], request: Any) -> Any:
        states.append(json.loads(base64.b64decode(query["state"], validate=True)))
        return real(query, request)

    service._GetSignInResource = keep  # type: ignore[method-assign]
    signs_in(app)
    await say(app, "hi")
    (state,) = states
    assert state["connectionName"] == "graph"
    assert state["msAppId"] == BOT
    assert state["conversation"]["conversation"]["id"] == "a:1ada"
    assert state["conversation"]["user"]["id"] == ADA
    assert state["conversation"]["serviceUrl"].startswith("https://smba.trafficmanager.net/emea")


@pytest.mark.parametrize("failure", [500, 503, 403, 400, OSError("no network")], ids=str)
async def test_p13_sign_in_takes_no_error_for_a_missing_token(
    app: App, service: TokenService, failure: int | Exception
) -> None:
    tokens, errors = signs_in(app), errors_of(app)
    service.answers["GetToken"] = failure
    await say(app, "hi")
    assert tokens == []
    (error,) = errors
    assert isinstance(error, HttpStatusError | TransportError)
    (sent,) = service.sent  # the apology, and no card
    assert "attachments" not in sent.activity


async def test_p13_sign_out_raises_what_the_token_service_raises(app: App, service: TokenService) -> None:
    errors = errors_of(app)

    @app.on_message
    async def leave(ctx: Message) -> None:
        await ctx.sign_out()

    service.answers["SignOut"] = 500
    await say(app, "bye")
    assert isinstance(errors[0], ServerError)


async def test_p13_the_activity_of_the_override_is_sent_in_place_of_the_card(
    app: App, service: TokenService
) -> None:
    given: list[Any] = []

    def plain(
        exchange: TokenExchangeResource | None, post: TokenPostResource | None, link: str | None
    ) -> MessageActivityInput:
        given.append((exchange, post, link))
        return MessageActivityInput(text=f"Go to {link}")

    async def later(
        exchange: TokenExchangeResource | None, post: TokenPostResource | None, link: str | None
    ) -> str:
        return f"Later to {link}"

    @app.on_message
    async def answer(ctx: Message) -> None:
        await ctx.sign_in(SignInOptions(override_sign_in_activity=plain))
        await ctx.sign_in(SignInOptions(override_sign_in_activity=later))

    await say(app, "hi")
    link = f"{TOKEN_SERVICE}/signin?graph"
    assert [sent.activity["text"] for sent in service.sent] == [f"Go to {link}", f"Later to {link}"]
    ((exchange_resource, post, given_link),) = given
    assert exchange_resource.uri == f"api://{BOT}"
    assert (post.sas_url, given_link) == (f"{TOKEN_SERVICE}/post", link)


async def test_p13_the_override_in_a_group_is_for_the_user_alone_unless_it_says_otherwise(
    app: App, service: TokenService
) -> None:
    bob = Account(id="29:bob")

    @app.on_message
    async def answer(ctx: Message) -> None:
        mine = MessageActivityInput(text="mine")
        await ctx.sign_in(SignInOptions(override_sign_in_activity=lambda *_: mine))
        assert mine.recipient is None
        theirs = MessageActivityInput(text="theirs").with_recipient(bob, is_targeted=False)
        await ctx.sign_in(SignInOptions(override_sign_in_activity=lambda *_: theirs))

    await say(app, "hi", "groupChat")
    assert [(sent.activity["recipient"]["id"], sent.targeted) for sent in service.sent] == [
        (ADA, True),
        ("29:bob", False),
    ]


# Who sees the card

BARE = {"id": "19:x@thread.tacv2"}


@pytest.mark.parametrize(
    ("conversation", "more", "targeted", "exchanges"),
    [
        (CONVERSATIONS["personal"], {}, False, True),
        ({**CONVERSATIONS["personal"], "isGroup": True}, {}, False, True),
        ({"id": "a:1ada"}, {}, False, True),
        (BARE, {}, True, True),
        ({**BARE, "isGroup": False}, {}, False, True),
        (CONVERSATIONS["groupChat"], {}, True, True),
        ({**BARE, "conversationType": "groupChat"}, {}, True, True),
        ({**BARE, "isGroup": True}, {}, True, True),
        (CONVERSATIONS["channel"], {}, True, False),
        ({**BARE, "conversationType": "channel"}, {}, True, False),
        ({**BARE, "conversationType": "channel", "isGroup": False}, {}, True, False),
        (BARE, {"channelData": {"channel": {"id": "19:x@thread.tacv2"}}}, True, False),
        (BARE, {"channelData": {"team": {"id": "19:x@thread.tacv2"}}}, True, False),
    ],
)
async def test_p18_wherever_others_are_the_card_is_for_the_user_alone(
    app: App,
    service: TokenService,
    conversation: dict[str, Any],
    more: dict[str, Any],
    targeted: bool,
    exchanges: bool,
) -> None:
    signs_in(app)
    await say(app, "hi", conversation, **more)
    (sent,) = service.sent
    assert sent.targeted is targeted
    assert ("tokenExchangeResource" in sent.card) is exchanges
    if targeted:
        assert sent.activity["recipient"]["id"] == ADA


async def test_the_answer_to_a_whisper_in_a_group_says_which_one_it_answers(
    app: App, service: TokenService
) -> None:
    signs_in(app)
    await say(app, "hi", "groupChat", recipient={"id": f"28:{BOT}", "isTargeted": True})
    (sent,) = service.sent
    assert sent.targeted
    assert [entity["type"] for entity in sent.activity["entities"]] == ["targetedMessageInfo"]


# What the turn knows


async def test_without_having_asked_nobody_can_say_whether_the_user_is_signed_in(
    app: App, service: TokenService
) -> None:
    errors = errors_of(app)

    @app.on_message
    async def answer(ctx: Message) -> None:
        assert ctx.connection_name == "graph"
        assert ctx.is_signed_in

    await say(app, "hi")
    assert isinstance(errors[0], RuntimeError)
    assert "ctx.get_user_token()" in str(errors[0])
    assert service.asked == []


@pytest.mark.parametrize(
    ("options", "asks"),
    [
        ({}, False),
        ({"fetch_user_token": True}, True),
        ({"default_connection_name": "github"}, True),
        ({"default_connection_name": "github", "fetch_user_token": False}, False),
    ],
)
async def test_the_token_is_asked_for_before_each_turn_if_that_is_wanted(
    service: TokenService, options: dict[str, Any], asks: bool
) -> None:
    app = new_app(service, **options)
    name = options.get("default_connection_name", "graph")
    service.tokens[ADA, name] = "t"
    seen: list[Any] = []

    @app.use
    async def look(ctx: ActivityContext[Any]) -> None:
        if asks:
            seen.append((ctx.is_signed_in, ctx.user_token))
        await ctx.next()

    @app.on_message
    async def answer(ctx: Message) -> None:
        assert ctx.connection_name == name

    await say(app, "hi")
    assert service.asked == ([f"GetToken {name}"] if asks else [])
    assert seen == ([(True, "t")] if asks else [])
    await app.stop()


async def test_p15_an_outage_is_not_taken_for_a_user_who_is_not_signed_in(service: TokenService) -> None:
    app = new_app(service, fetch_user_token=True)
    errors, reached = errors_of(app), []

    @app.on_message
    async def answer(ctx: Message) -> None:
        reached.append(ctx.activity.text)  # who does not look is not disturbed
        if ctx.activity.text == "look":
            await ctx.send("you are " + ("in" if ctx.is_signed_in else "out"))

    service.answers["GetToken"] = 503
    await say(app, "hi")
    assert errors == []
    await say(app, "look")
    assert reached == ["hi", "look"]
    assert isinstance(errors[0], ServerError)
    service.answers.clear()
    await say(app, "look")
    assert [sent.activity["text"] for sent in service.sent][1:] == ["you are out"]
    await app.stop()


async def test_p15_a_token_service_that_is_silent_holds_a_turn_up_for_seconds_only(
    service: TokenService, clock: VirtualClock
) -> None:
    whole = service.answer

    async def silent(request: Request) -> Response:
        if "usertoken" in request.url:
            await asyncio.sleep(3600)
        return await whole(request)

    slow = new_app(service, fetch_user_token=True, transport=HandlerTransport(silent))
    errors = errors_of(slow)

    @slow.on_message
    async def answer(ctx: Message) -> None:
        assert ctx.user_token is None

    began = asyncio.get_running_loop().time()
    await say(slow, "hi")
    assert isinstance(errors[0], TimeoutError)
    assert asyncio.get_running_loop().time() - began < 5
    await slow.stop()


async def test_what_happens_in_the_turn_is_known_in_it(app: App, service: TokenService) -> None:
    seen: list[Any] = []

    @app.on_message
    async def answer(ctx: Message) -> None:
        assert await ctx.sign_in() is None
        seen.append((ctx.is_signed_in, ctx.user_token))
        service.tokens[ADA, "graph"] = "t"
        assert await ctx.get_user_token() == "t"
        seen.append((ctx.is_signed_in, ctx.user_token))
        await ctx.sign_out()
        seen.append((ctx.is_signed_in, ctx.user_token))
        assert await ctx.get_user_token("GitHub") is None

    await say(app, "hi")
    assert seen == [(False, None), (True, "t"), (False, None)]


async def test_the_handler_of_an_invoke_that_signed_the_user_in_knows_it(
    app: App, service: TokenService
) -> None:
    service.exchanges["sso"] = "t"
    seen: list[Any] = []

    @app.on_signin_token_exchange
    async def own(ctx: ActivityContext[Any]) -> None:
        seen.append((ctx.is_signed_in, ctx.user_token))

    await exchange(app, "sso", "e-1")
    assert seen == [(True, "t")]


async def test_the_status_of_connections_is_asked_again_where_the_list_lags_behind(
    app: App, service: TokenService
) -> None:
    app.add_oauth_flow("GitHub")
    app.add_oauth_flow("jira")
    service.connections = ("graph", "github")
    found: list[dict[str, bool]] = []
    listed = service._GetTokenStatus

    def lagging(query: dict[str, str], request: Any) -> Any:
        tokens, service.tokens = service.tokens, {}
        try:
            return listed(query, request)
        finally:
            service.tokens = tokens

    service._GetTokenStatus = lagging  # type: ignore[method-assign]

    @app.on_message
    async def answer(ctx: Message) -> None:
        statuses = await ctx.get_connection_status()
        found.append({status.connection_name: status.has_token for status in statuses})

    service.tokens = {(ADA, "github"): "t", (ADA, "jira"): "t", (ADA, "graph"): "t"}
    await say(app, "hi")
    assert found == [{"graph": False, "github": True, "jira": True}]
    assert service.asked == ["GetTokenStatus", "GetToken GitHub", "GetToken jira"]


async def test_an_activity_that_nobody_sent_signs_nobody_in(app: App, service: TokenService) -> None:
    errors = errors_of(app)

    @app.on_message
    async def answer(ctx: Message) -> None:
        await ctx.sign_in()

    await app.process({**activity("message", text="hi"), "from": None})
    assert isinstance(errors[0], ValueError)
    assert service.asked == []


# Pending sign-ins


async def test_the_sign_in_is_pending_before_the_card_is_sent(app: App, service: TokenService) -> None:
    pending: list[str] = []

    async def look() -> None:
        pending.extend([key async for key in app.state.store.keys("sign-in/")])

    service.on_sent = look
    signs_in(app)
    await say(app, "hi")
    assert len(pending) == 1


async def test_a_card_that_could_not_be_sent_leaves_nothing_pending(app: App, service: TokenService) -> None:
    errors = errors_of(app)
    signs_in(app)
    service.answers["activities"] = 403
    await say(app, "hi")
    assert len(errors) == 1
    del service.answers["activities"]
    service.asked.clear()
    await say(app, "123456")
    assert "GetToken graph 123456" not in service.asked


async def test_the_card_of_a_whole_turn_that_expects_its_replies_is_in_the_answer(
    app: App, service: TokenService
) -> None:
    signs_in(app)
    response = await app.process(activity("message", text="hi", deliveryMode="expectReplies"))
    assert response.body is not None
    (sent,) = response.body["activities"]
    assert sent["attachments"][0]["content"]["connectionName"] == "graph"
    assert service.sent == []


async def test_no_code_is_in_what_people_log(app: App, service: TokenService) -> None:
    errors = errors_of(app)
    app.add_oauth_flow("graph")
    service.answers["GetToken graph 135790"] = 500
    assert (await verify(app, "135790")).status == 500
    service.answers["GetToken graph 135790"] = OSError("away")
    assert (await verify(app, "135790")).status == 500
    assert len(errors) == 2
    assert not any("135790" in f"{error!s}{error!r}{error.args!r}" for error in errors)


async def test_what_is_no_sign_in_is_answered_as_ever(app: App, service: TokenService) -> None:
    assert (await invoke(app, "task/fetch", {})).status == 501
