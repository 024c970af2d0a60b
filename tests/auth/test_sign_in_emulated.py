"""Signing in as a user sees it: through the emulator, with tokens both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from cadenza.api import MessageActivity
from cadenza.api.clients import api_client
from cadenza.apps import (
    ActivityContext,
    App,
    OAuthFlow,
    SignInEvent,
    SignInFailureEvent,
)
from cadenza.testing import Registration, Teams, User, VirtualClock
from cadenza.testing.conversation import ConversationType

Message = ActivityContext[MessageActivity]

BOT = Registration("11111111-0000-4000-8000-000000000001", "the secret of the bot")

api_client._user_agent()  # read from the package's files with the first request of a process, and then kept


@pytest.fixture
async def world(clock: VirtualClock) -> AsyncIterator[Teams]:
    async with Teams(bot=BOT) as teams:
        teams.add_connection("graph")
        teams.add_connection("github", sso=False, opaque=True)
        yield teams


@pytest.fixture
async def app(world: Teams) -> AsyncIterator[App]:
    app = App(
        client_id=BOT.client_id,
        client_secret=BOT.client_secret,
        transport=world.transport,
        service_url=world.url,
    )
    world.connect(app)
    yield app
    await app.stop()


def flow_of(app: App, name: str) -> OAuthFlow:
    """A flow that answers "in <token>" when the user is signed in, and when they say its name, if so."""
    flow = app.add_oauth_flow(name)

    @flow.on_signin
    async def welcome(event: SignInEvent) -> None:
        assert await flow.get_token(event.activity_ctx) == event.token_response.token
        await event.activity_ctx.send(f"welcome to {name}")

    @flow.on_signin_failure
    async def sorry(event: SignInFailureEvent) -> None:
        await event.activity_ctx.send(f"no {name}: {event.code}")

    @app.on_message_pattern(name)
    async def answer(ctx: Message) -> None:
        if await flow.sign_in(ctx) is not None:
            await ctx.send(f"in {name}")

    return flow


def texts(user: User) -> list[str]:
    return [message.text for message in user.screen.messages if message.text]


async def test_single_sign_on_shows_no_card_and_welcomes_once_though_two_clients_answer(
    app: App, world: Teams
) -> None:
    flow_of(app, "graph")
    user = world.user()
    user.endpoints = 2
    await user.say("graph")
    await world.settle()
    assert user.is_signed_in("graph")
    assert texts(user) == ["welcome to graph"]
    assert [request.operation for request in world.token_service.requests].count("exchange") == 1
    await user.say("graph")
    assert texts(user)[-1] == "in graph"
    world.check()


async def test_who_has_not_consented_presses_the_button(app: App, world: Teams) -> None:
    flow_of(app, "graph")
    user = world.user()
    user.consents = False
    await user.say("graph")
    await world.settle()
    assert not user.is_signed_in("graph")
    await user.sign_in()
    assert user.is_signed_in("graph")
    assert texts(user) == ["welcome to graph"]
    world.check()


async def test_who_closes_the_page_is_asked_no_more_and_may_press_the_button_again(
    app: App, world: Teams
) -> None:
    flow_of(app, "github")
    user = world.user()
    await user.say("github")
    await user.decline_sign_in()
    assert texts(user) == ["no github: CancelledByUser"]
    await user.sign_in()
    assert texts(user)[-1] == "welcome to github"
    world.check()


async def test_a_code_that_is_said_signs_in(app: App, world: Teams) -> None:
    flow_of(app, "github")
    user = world.user()
    await user.say("github")
    code = await user.sign_in(by_hand=True)
    await user.say(code)
    assert texts(user) == ["welcome to github"]
    world.check()


async def test_p14_two_connections_at_once_are_signed_in_to_in_any_order(app: App, world: Teams) -> None:
    world.add_connection("jira", sso=False)
    flow_of(app, "github")
    flow_of(app, "jira")
    user = world.user()
    await user.say("github")
    await user.say("jira")
    github, jira = [message for message in user.screen.messages if message.sign_in_buttons]
    await user.sign_in(message=github)
    assert texts(user) == ["welcome to github"]
    await user.sign_in(message=jira)
    assert texts(user) == ["welcome to github", "welcome to jira"]
    world.check()


@pytest.mark.parametrize("kind", ["groupChat", "channel"])
async def test_p18_others_see_no_card_of_who_is_asked_to_sign_in(
    app: App, world: Teams, kind: ConversationType
) -> None:
    flow_of(app, "graph")
    ann = world.user("Ann", kind)
    bob = world.user("Bob", conversation_id=ann.conversation_id)
    ann.consents = False
    await ann.say("graph")
    await world.settle()
    assert len(ann.exchanges) == (0 if kind == "channel" else 1)
    assert bob.exchanges == ()
    assert not any(message.sign_in_buttons for message in bob.screen.messages)
    await ann.sign_in()
    assert ann.is_signed_in("graph")
    assert not bob.is_signed_in("graph")
    world.check()


async def test_p15_an_outage_asks_nobody_to_sign_in(app: App, world: Teams) -> None:
    flow_of(app, "graph")
    user = world.user()
    world.token_service.down = True
    await user.say("graph")
    assert texts(user) == ["Sorry, something went wrong while answering. Please try again."]
    world.check()
