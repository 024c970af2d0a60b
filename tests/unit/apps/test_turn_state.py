"""`ctx.state`: loaded with the turn, saved with its end, never lost in silence."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from cadenza.api import InvokeActivity, MessageActivity
from cadenza.apps import (
    ActivityContext,
    App,
    StateConflictError,
    StateDataError,
    TurnState,
    TurnStateSealedError,
)
from cadenza.state import MemoryState, StateUnavailableError
from cadenza.testing import Teams, User
from pydantic import BaseModel

MakeApp = Callable[..., App]
Wire = Callable[..., dict[str, Any]]


class Profile(BaseModel):
    language: str = "en"
    visits: list[int] = []


def texts(user: User) -> list[str]:
    return [message.text for message in user.screen.messages]


async def stored(app: App, prefix: str) -> list[Any]:
    keys = [key async for key in app.state.store.keys(prefix)]
    items = await app.state.store.get_many(keys)
    return [json.loads(item.value) for item in items.values()]


async def test_a_turn_finds_what_the_one_before_has_written(app: App, user: User) -> None:
    @app.on_message
    async def count(ctx: ActivityContext[MessageActivity]) -> None:
        state = ctx.state.conversation
        state["texts"] = [*state.get("texts", []), ctx.activity.text]
        await ctx.send(",".join(state["texts"]))

    for text in ("a", "b", "c"):
        await user.say(text)
    assert texts(user) == ["a", "a,b", "a,b,c"]


async def test_a_value_that_is_changed_in_place_is_saved(app: App, user: User) -> None:
    @app.on_message
    async def count(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.state.conversation.setdefault("texts", []).append(ctx.activity.text)

    await user.say("a")
    await user.say("b")
    assert await stored(app, "state/conversation/") == [{"texts": ["a", "b"]}]


async def test_a_model_is_read_changed_and_saved_by_the_name_of_its_class(app: App, user: User) -> None:
    @app.on_message
    async def count(ctx: ActivityContext[MessageActivity]) -> None:
        profile = ctx.state.user.model(Profile)
        assert ctx.state.user.model(Profile) is profile
        profile.visits.append(len(profile.visits))
        if ctx.activity.text == "de":
            profile.language = "de"

    for text in ("a", "de", "b"):
        await user.say(text)
    assert await stored(app, "state/user/") == [{"Profile": {"language": "de", "visits": [0, 1, 2]}}]


async def test_a_model_that_nobody_changed_is_not_written(app: App, user: User) -> None:
    @app.on_message
    async def look(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.state.user.model(Profile)
        ctx.state.conversation.get("nothing")

    await user.say("a")
    assert await stored(app, "state/") == []


async def test_the_state_of_a_user_is_the_same_in_all_conversations_and_of_nobody_else(
    app: App, teams: Teams
) -> None:
    seen: list[tuple[str, int]] = []

    @app.on_message
    async def count(ctx: ActivityContext[MessageActivity]) -> None:
        number = ctx.state.user["count"] = ctx.state.user.get("count", 0) + 1
        everybody = ctx.state.tenant["count"] = ctx.state.tenant.get("count", 0) + 1
        seen.append((ctx.activity.from_.name or "", number))
        assert everybody == len(seen)

    group = teams.user("Anna", "groupChat")
    for person in (teams.user("Anna"), group, teams.user("Ben"), group):
        await person.say("hi")
    assert seen == [("Anna", 1), ("Anna", 2), ("Ben", 1), ("Anna", 3)]


async def test_what_a_handler_that_raised_has_changed_is_not_saved(app: App, user: User) -> None:
    @app.on_message
    async def fail(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.state.conversation["early"] = 1
        await ctx.state.save()
        ctx.state.conversation["late"] = 2
        raise ValueError

    await user.say("hi")
    assert await stored(app, "state/conversation/") == [{"early": 1}]


async def test_what_a_turn_that_the_user_stopped_has_changed_is_saved(
    app: App, teams: Teams, user: User
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.state.conversation["asked"] = ctx.activity.text
        for _ in range(60):
            ctx.stream.emit("word ")
            await asyncio.sleep(1)

    await user.say("hi", wait=False)
    await asyncio.sleep(5)
    assert user.press_stop()
    await teams.settle()
    assert await stored(app, "state/conversation/") == [{"asked": "hi"}]


async def test_after_its_turn_the_state_cannot_be_used(app: App, user: User) -> None:
    kept: list[TurnState] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        kept.extend((ctx.state.conversation, ctx.state.user))

    await user.say("hi")
    for use in (
        lambda: kept[0].get("a"),
        lambda: kept[0].update(a=1),
        lambda: kept[1].model(Profile),
        lambda: list(kept[1]),
    ):
        with pytest.raises(TurnStateSealedError, match="used after its turn was over"):
            use()


async def test_names_that_two_turns_write_at_once_are_merged(
    app: App, teams: Teams, user: User, invoke: Wire
) -> None:
    @app.on_message
    async def slow(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.state.conversation["slow"] = 1
        ctx.state.conversation.pop("old", None)
        await asyncio.sleep(10)

    @app.on_invoke
    async def quick(ctx: ActivityContext[InvokeActivity]) -> None:
        ctx.state.conversation["quick"] = 2
        ctx.state.conversation["old"] = 3

    await app.process(invoke())
    await user.say("hi", wait=False)
    await asyncio.sleep(1)

    @app.on_invoke
    async def also(ctx: ActivityContext[InvokeActivity]) -> None:
        ctx.state.conversation["also"] = 4

    await app.process(invoke())
    await teams.settle()
    assert await stored(app, "state/conversation/") == [{"quick": 2, "slow": 1}]


async def test_a_name_that_two_turns_change_to_different_values_is_an_error_and_never_lost_in_silence(
    app: App, teams: Teams, user: User, invoke: Wire
) -> None:
    errors: list[Exception] = []

    @app.on_message
    async def slow(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.state.conversation["who"] = "message"
        await asyncio.sleep(10)

    @app.on_invoke
    async def quick(ctx: ActivityContext[InvokeActivity]) -> None:
        ctx.state.conversation["who"] = "invoke"

    @app.on_error
    async def failed(ctx: ActivityContext[Any], error: Exception) -> None:
        errors.append(error)

    await user.say("hi", wait=False)
    await asyncio.sleep(1)
    assert (await app.process(invoke())).status == 200
    await teams.settle()
    (error,) = errors
    assert isinstance(error, StateConflictError)
    assert (error.scope, error.names) == ("conversation", ["who"])
    assert await stored(app, "state/conversation/") == [{"who": "invoke"}]


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}, b"bytes"])
async def test_what_json_cannot_hold_is_an_error_that_names_it(app: App, user: User, value: object) -> None:
    errors: list[Exception] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.state.conversation["odd"] = value

    @app.on_error
    async def failed(ctx: ActivityContext[Any], error: Exception) -> None:
        errors.append(error)

    await user.say("hi")
    assert isinstance(errors[0], StateDataError)
    assert "'odd'" in str(errors[0])


async def test_what_is_stored_and_does_not_fit_the_model_is_an_error_that_names_it(
    app: App, user: User
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        if ctx.activity.text == "write":
            ctx.state.user["Profile"] = {"language": 7}
        else:
            with pytest.raises(StateDataError, match="user state 'Profile' is no Profile"):
                ctx.state.user.model(Profile)

    await user.say("write")
    await user.say("read")


async def test_delete_forgets_the_conversation_and_the_user(app: App, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        if ctx.activity.text == "forget me":
            await ctx.state.delete()
            assert dict(ctx.state.conversation) == {}
        else:
            for scope in (ctx.state.conversation, ctx.state.user, ctx.state.tenant):
                scope["text"] = ctx.activity.text

    await user.say("hi")
    assert len(await stored(app, "state/")) == 3
    await user.say("forget me")
    assert len(await stored(app, "state/")) == 1
    await user.say("hi")
    assert len(await stored(app, "state/")) == 3


async def test_an_activity_without_a_tenant_has_no_state_of_one(app: App, event: Wire, user: User) -> None:
    seen: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        with pytest.raises(LookupError, match="without a tenant"):
            ctx.state.tenant["a"] = 1
        seen.append("checked")

    message = event("message", text="hi")
    message["conversation"] = {"id": "a", "conversationType": "personal"}
    message.pop("channelData", None)
    await app.process(message)
    assert seen == ["checked"]


async def test_a_state_that_cannot_be_reached_fails_the_turn_and_the_user_is_told(
    make_app: MakeApp, user: User
) -> None:
    state = MemoryState()

    async def away(keys: Any) -> Any:
        raise StateUnavailableError("away")

    state.store.get_many = away  # type: ignore[method-assign]
    app = make_app(state=state)
    seen: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(ctx.activity.text)

    await user.say("hi")
    assert seen == []
    assert texts(user) == ["Sorry, something went wrong while answering. Please try again."]
