import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from cadenza.api import (
    Activity,
    HandlerTransport,
    HeroCard,
    HeroCardAttachment,
    MessageActivity,
    MessageActivityInput,
    NotFoundError,
    Request,
    Response,
    TypingActivityInput,
    UntrustedHostError,
    card_attachment,
)
from cadenza.apps import ActivityContext, App
from cadenza.apps.sending import Sendable
from cadenza.state import LocalStorage
from cadenza.testing import Teams, User, at, each, forbid, status

Wire = Callable[..., dict[str, Any]]
MakeApp = Callable[..., App]


async def test_the_context_holds_what_belongs_to_the_turn(
    make_app: MakeApp, teams: Teams, user: User
) -> None:
    storage: LocalStorage[str, Any] = LocalStorage()
    app = make_app(client_id="my-bot", storage=storage)
    seen: list[ActivityContext[MessageActivity]] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(ctx)

    await user.say("hi")
    (ctx,) = seen
    assert ctx.activity.text == "hi"
    assert ctx.app_id == app.id == "my-bot"
    assert ctx.storage is app.storage is storage
    assert ctx.cloud is app.cloud
    assert ctx.api.service_url == ctx.conversation_ref.service_url == teams.url
    assert ctx.conversation_ref.conversation.id == user.conversation_id
    assert ctx.conversation_ref.user is not None
    assert ctx.conversation_ref.user.id == user.account["id"]
    assert ctx.conversation_ref.activity_id == ctx.activity.id


async def test_an_activity_without_a_service_url_is_answered_at_that_of_the_app(
    make_app: MakeApp, teams: Teams, user: User
) -> None:
    app = make_app(service_url=teams.url)

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("hello")

    await user.say("hi", serviceUrl=None)
    assert user.screen.text == "hello"


class Card:
    def to_dict(self) -> dict[str, Any]:
        return {"type": "AdaptiveCard", "version": "1.5", "body": []}


async def test_texts_activities_and_cards_can_be_sent(app: App, teams: Teams, user: User) -> None:
    ids: list[str | None] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        sendables: list[Sendable] = ["text", MessageActivityInput(text="activity"), Card(), Card().to_dict()]
        sendables += [HeroCard(title="t"), HeroCardAttachment(content=HeroCard(title="t"))]
        sendables.append(card_attachment(HeroCard(title="t")))
        ids.extend([(await ctx.send(sendable)).id for sendable in sendables])

    await user.say("hi")
    messages = user.screen.messages
    assert [message.text for message in messages] == ["text", "activity", "", "", "", "", ""]
    assert [len(message.cards) for message in messages] == [0, 0, 1, 1, 1, 1, 1]
    for message in messages[4:]:
        assert message.attachments == [
            {"contentType": "application/vnd.microsoft.card.hero", "content": {"title": "t"}}
        ]
    assert ids == [message.id for message in messages]
    teams.check()


async def test_what_cannot_be_sent_is_a_type_error(app: App, user: User) -> None:
    refused: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        for nonsense in (None, 5, {"type": "message"}, ctx.activity):
            with pytest.raises(TypeError, match="Can send a str"):
                await ctx.send(nonsense)  # type: ignore[arg-type]
            refused.append(str(type(nonsense)))

    await user.say("hi")
    assert len(refused) == 4


async def test_a_dict_that_is_no_card_is_refused_with_what_to_use(app: App, user: User) -> None:
    errors: list[str] = []

    @app.on_error
    async def failed(ctx: ActivityContext[Any], error: Exception) -> None:
        errors.append(str(error))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send({"type": "message", "text": "hi"})

    await user.say("hi")
    for words in ("type is 'message'", "MessageActivityInput(**", "ctx.api.conversations.create_activity"):
        assert words in errors[0]


async def test_r10_sending_the_same_object_twice_sends_the_same_twice_and_leaves_it_as_it_was(
    app: App, user: User
) -> None:
    greeting = MessageActivityInput(text="hello")
    before = greeting.to_wire()

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(greeting)
        await ctx.reply(greeting)
        await ctx.reply(greeting)

    await user.say("hi")
    first, second, third = user.screen.messages
    assert first.text == "hello"
    assert second.text == third.text
    assert second.text.count("<quoted") == 1
    assert greeting.to_wire() == before


async def test_what_is_sent_carries_who_sends_it_and_where_to(app: App, teams: Teams, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("hello")

    await user.say("hi")
    body = teams.transcript[-1].body
    assert body["from"]["id"] == teams.conversation_reference(user).bot.id
    assert body["conversation"]["id"] == user.conversation_id


async def test_a_reply_quotes_the_message_that_it_answers(app: App, teams: Teams, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.reply("yes")

    delivery = await user.say("really?")
    body = teams.transcript[-1].body
    assert body["text"] == f'<quoted messageId="{delivery.activity["id"]}"/> yes'
    assert body["entities"][0]["quotedReply"]["messageId"] == delivery.activity["id"]


async def test_an_activity_with_an_id_replaces_the_message_of_that_id(app: App, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        sent = await ctx.send("working")
        assert sent.id
        again = await ctx.send(MessageActivityInput(text="done").with_id(sent.id))
        assert again.id == sent.id

    await user.say("hi")
    (message,) = user.screen.messages
    assert (message.text, message.edited) == ("done", True)


async def test_send_can_go_to_another_conversation(app: App, teams: Teams, user: User) -> None:
    other = teams.user("other")

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("psst", teams.conversation_reference(other))

    await user.say("hi")
    assert user.screen.messages == []
    assert other.screen.text == "psst"


async def test_a_refusal_of_the_service_is_raised_with_what_it_said(
    app: App, teams: Teams, user: User
) -> None:
    refused: list[NotFoundError] = []
    teams.fault(at(1, status(404)))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        with pytest.raises(NotFoundError) as caught:
            await ctx.send("hello")
        refused.append(caught.value)

    await user.say("hi")
    assert refused[0].status == 404


async def test_send_passes_beside_an_open_stream(app: App, teams: Teams, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("a long ")
        await asyncio.sleep(1.5)
        await ctx.send("by the way")
        ctx.stream.emit("answer")

    await user.say("hi")
    assert [message.text for message in user.screen.messages] == ["a long answer", "by the way"]


async def test_a_turn_that_never_asks_for_its_stream_opens_none(app: App, teams: Teams, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None: ...

    await user.say("hi")
    assert len(app._streams) == 0
    assert teams.transcript == []


async def test_typing_is_shown_once_or_for_as_long_as_a_block_runs(
    app: App, teams: Teams, user: User
) -> None:
    @app.on_message_pattern("once")
    async def once(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.typing()

    @app.on_message_pattern("block")
    async def block(ctx: ActivityContext[MessageActivity]) -> None:
        async with ctx.typing():
            await asyncio.sleep(10)

    await user.say("once")
    assert [exchange.kind for exchange in teams.transcript] == ["typing"]
    await user.say("block")
    assert [exchange.kind for exchange in teams.transcript] == ["typing"] * 4
    await asyncio.sleep(20)
    assert len(teams.transcript) == 4


async def test_typing_pauses_while_the_stream_is_open(app: App, teams: Teams, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        async with ctx.typing():
            await asyncio.sleep(1)
            ctx.stream.emit("hello")
            await asyncio.sleep(10)
            await ctx.stream.close()
            await asyncio.sleep(5)

    await user.say("hi")
    kinds = [exchange.kind for exchange in teams.transcript]
    assert kinds == ["typing", "start", "final", "typing"]
    teams.check()


async def test_typing_that_cannot_be_sent_disturbs_nobody(app: App, teams: Teams, user: User) -> None:
    teams.fault(each(forbid("not_allowed"), "typing"))
    ended: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.typing()
        async with ctx.typing():
            await asyncio.sleep(10)
        ended.append("well")

    await user.say("hi")
    assert ended == ["well"]


async def test_no_typing_is_sent_to_channels(app: App, teams: Teams) -> None:
    user = teams.user(conversation_type="channel")

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.typing()

    await user.say("hi")
    assert teams.transcript == []


async def test_a_context_outside_of_a_chain_has_nothing_behind_it(app: App, user: User) -> None:
    results: list[object] = []

    @app.on_error
    async def failed(ctx: ActivityContext[Any], error: Exception) -> None:
        results.append(await ctx.next())

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        raise ValueError

    await user.say("hi")
    assert results == [None]


# On the bot's own account


async def test_a_proactive_message_goes_to_a_kept_reference(app: App, teams: Teams, user: User) -> None:
    ref = teams.conversation_reference(user)
    message = MessageActivityInput(text="Good morning")
    sent = await app.send(ref, message)
    assert sent.id == user.screen.messages[0].id
    assert user.screen.text == "Good morning"
    assert message == MessageActivityInput(text="Good morning")


async def test_a_proactive_message_to_an_id_goes_to_the_service_url_of_the_app_or_the_one_given(
    make_app: MakeApp, teams: Teams, user: User
) -> None:
    app = make_app(client_id="my-bot", token=lambda scope, tenant: "t", service_url=f"{teams.url}/")
    await app.send(user.conversation_id, "one")
    assert teams.transcript[-1].body["from"]["id"] == "my-bot"
    elsewhere = make_app()
    await elsewhere.send(user.conversation_id, "two", service_url=teams.url)
    assert user.screen.text == "one\ntwo"
    with pytest.raises(ValueError, match="id is empty"):
        await app.send("", "three")


async def test_a_proactive_stream_waits_for_the_stream_of_a_turn_in_the_same_chat(
    app: App, teams: Teams, user: User
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        for _ in range(5):
            ctx.stream.emit("answer ")
            await asyncio.sleep(1)

    delivery = await user.say("hi", wait=False)
    await user.sees("answer")
    async with app.stream(teams.conversation_reference(user)) as stream:
        stream.emit("by the way")
    await delivery
    assert [message.text for message in user.screen.messages] == ["answer " * 5, "by the way"]
    teams.check()


async def test_stream_options_of_the_app_hold_for_every_stream(make_app: MakeApp, teams: Teams) -> None:
    app = make_app(stream={"on_empty": "keep"})
    user = teams.user()

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.update("Looking around")
        await asyncio.sleep(3)

    await user.say("hi")
    assert [message.deleted for message in user.screen.messages] == [False]


# Tokens


def counted_tokens(asked: list[tuple[str, str | None]]) -> Callable[[str, str | None], str]:
    def token(scope: str, tenant: str | None) -> str:
        asked.append((scope, tenant))
        return "secret-token"

    return token


async def test_a6_without_authentication_a_token_goes_to_this_machine_only(
    make_app: MakeApp, teams: Teams, user: User
) -> None:
    asked: list[tuple[str, str | None]] = []
    app = make_app(
        client_id="my-bot", tenant_id="my-tenant", token=counted_tokens(asked), service_url=teams.url
    )
    refused: list[Exception] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("hello")

    app.on_error(lambda ctx, error: refused.append(error))
    await user.say("hi")
    assert asked == [("https://api.botframework.com/.default", "my-tenant")]
    assert user.screen.text == "hello"
    sent = len(teams.transcript)
    for url in ("https://smba.trafficmanager.net/teams", "https://evil.example", "http://10.0.0.1"):
        await user.say("hi", serviceUrl=url)
    assert [type(error) for error in refused] == [UntrustedHostError] * 3
    assert len(teams.transcript) == sent


@pytest.mark.parametrize("agentic", [False, True])
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6379/",
        "http://localhost:3979/v3",  # the port is the emulator's, and "localhost" may be another program
        "https://127.0.0.1:3979/",
        "https://token.botframework.com/",
        "https://x.token.botframework.com/",
    ],
)
async def test_a6_without_authentication_an_activity_cannot_choose_where_on_this_machine_the_token_goes(
    event: Wire, url: str, agentic: bool
) -> None:
    asked: list[tuple[str, str | None]] = []
    sent: list[Request] = []

    def service(request: Request) -> Response:
        sent.append(request)
        return Response(200, {}, b'{"id":"1"}' if request.method == "POST" else b"[]")

    app = App(
        client_id="my-bot",
        token=counted_tokens(asked),
        agentic_token=lambda identity: "agent-token",
        service_url="http://127.0.0.1:3979/v3",
        transport=HandlerTransport(service),
        dangerously_allow_unauthenticated_requests=True,
    )

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send("hello")
        await ctx.api.conversations.get_members("c")

    agent = {"agenticAppBlueprintId": "b", "agenticUserId": "u", "agenticAppId": "a", "tenantId": "t"}
    recipient = {"id": "28:bot", **(agent if agentic else {})}
    await app.process(event("message", text="hi", recipient=recipient, serviceUrl=url))
    assert [request.url.startswith(url) for request in sent] == [True] * 2
    assert [request.headers.get("Authorization") for request in sent] == [None] * 2
    home = "http://127.0.0.1:3979/another/path"
    await app.process(event("message", text="hi", recipient=recipient, serviceUrl=home))
    # As the bot itself: anybody may have named the agent.
    assert [request.headers["Authorization"] for request in sent[2:]] == ["Bearer secret-token"] * 2
    await app.stop()


async def test_typing_input_can_be_sent_too(app: App, teams: Teams, user: User) -> None:
    await app.send(teams.conversation_reference(user), TypingActivityInput())
    assert teams.transcript[-1].kind == "typing"


async def test_an_activity_is_what_the_generic_context_says(app: App, event: Wire) -> None:
    seen: list[type] = []

    @app.on_activity
    async def anything(ctx: ActivityContext[Activity]) -> None:
        seen.append(type(ctx.activity))

    await app.process(event("message", text="hi"))
    assert seen == [MessageActivity]


def test_a_handler_of_failures_that_cannot_be_called_with_them_is_refused_at_once(app: App) -> None:
    with pytest.raises(
        TypeError, match=r"on_error calls its function as .*apologize\(ctx, error\).*too many"
    ):

        @app.on_error  # type: ignore[arg-type]
        async def apologize(event: object) -> None: ...

    with pytest.raises(
        TypeError, match=r"on_turn_lost calls its function as .*lost\(ctx\).*missing.*'stream'"
    ):

        @app.on_turn_lost  # type: ignore[arg-type]
        async def lost(ctx: object, stream: object) -> None: ...

    def takes_more(ctx: object, *more: object) -> None: ...

    app.on_error(takes_more)
    app.on_turn_lost(takes_more)
