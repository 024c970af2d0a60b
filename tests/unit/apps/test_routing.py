import re
from collections.abc import Callable
from typing import Any

import pytest
from cadenza.api import (
    Activity,
    AdaptiveCardInvokeActivity,
    InvokeActivity,
    MessageActivity,
    TaskFetchInvokeActivity,
    TypingActivity,
    UnknownActivity,
)
from cadenza.apps import ActivityContext, App
from cadenza.testing import Teams, User

Wire = Callable[..., dict[str, Any]]


async def test_a_message_goes_to_on_message_and_nothing_else_does(app: App, user: User, event: Wire) -> None:
    heard: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        heard.append(ctx.activity.text)

    await user.say("hi")
    await app.process(event("conversationUpdate"))
    assert heard == ["hi"]


async def test_a_decorator_works_bare_called_and_with_the_function(app: App, user: User) -> None:
    seen: list[str] = []

    @app.on_message
    async def bare(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append("bare")
        await ctx.next()

    @app.on_message()
    async def called(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append("called")
        await ctx.next()

    async def given(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append("given")

    assert app.on_message(given) is given
    await user.say("hi")
    assert seen == ["bare", "called", "given"]


async def test_a_handler_may_be_a_plain_function_or_a_callable_object(app: App, user: User) -> None:
    class Greeter:
        async def __call__(self, ctx: ActivityContext[MessageActivity]) -> None:
            await ctx.send("from an object")

    @app.on_message
    def plain(ctx: ActivityContext[MessageActivity]) -> Any:
        ctx.stream.emit("from a function")
        return ctx.next()

    app.on_message(Greeter())
    await user.say("hi")
    assert sorted(user.screen.text.split("\n")) == ["from a function", "from an object"]


async def test_handlers_run_in_the_order_of_registration_and_only_as_far_as_next_is_called(
    app: App, user: User
) -> None:
    seen: list[str] = []

    @app.on_message_pattern("hi")
    async def first(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append("first")
        await ctx.next()
        seen.append("first again")

    @app.on_activity
    async def second(ctx: ActivityContext[Activity]) -> None:
        seen.append("second")

    @app.on_message
    async def never(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append("never")

    await user.say("hi")
    assert seen == ["first", "second", "first again"]


async def test_p6_next_called_twice_runs_the_same_rest_twice(app: App, user: User) -> None:
    seen: list[str] = []

    @app.on_message
    async def twice(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append("a")
        await ctx.next()
        await ctx.next()

    @app.on_message
    async def stops(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append("b")

    @app.on_message
    async def behind(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append("c")

    await user.say("hi")
    assert seen == ["a", "b", "b"]


async def test_p6_a_kept_context_still_goes_on_from_its_own_place(app: App, user: User) -> None:
    seen: list[str] = []
    kept: list[ActivityContext[MessageActivity]] = []

    @app.on_message
    async def first(ctx: ActivityContext[MessageActivity]) -> None:
        kept.append(ctx)
        await ctx.next()
        await kept[1].next()

    @app.on_message
    async def second(ctx: ActivityContext[MessageActivity]) -> None:
        kept.append(ctx)
        seen.append("second")

    @app.on_message
    async def third(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append("third")

    await user.say("hi")
    assert seen == ["second", "third"]


async def test_p7_middleware_stands_around_handlers_that_were_registered_before_it(
    app: App, user: User
) -> None:
    seen: list[str] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append("handler")

    @app.use
    async def outer(ctx: ActivityContext[Activity]) -> None:
        seen.append("outer in")
        await ctx.next()
        seen.append("outer out")

    @app.use
    async def inner(ctx: ActivityContext[Activity]) -> None:
        seen.append("inner in")
        await ctx.next()
        seen.append("inner out")

    await user.say("hi")
    assert seen == ["outer in", "inner in", "handler", "inner out", "outer out"]


async def test_what_middleware_sets_on_the_context_is_seen_by_handlers(app: App, user: User) -> None:
    @app.use
    async def who(ctx: ActivityContext[Activity]) -> None:
        ctx.nickname = "Bo"  # type: ignore[attr-defined]
        await ctx.next()

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(f"Hello {ctx.nickname}")  # type: ignore[attr-defined]

    await user.say("hi")
    assert user.screen.text == "Hello Bo"


async def test_all_places_of_a_chain_share_one_stream(app: App, user: User) -> None:
    @app.on_message
    async def first(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("one ")
        await ctx.next()

    @app.on_message
    async def second(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.emit("two")

    await user.say("hi")
    assert [message.text for message in user.screen.messages] == ["one two"]


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("hi", "hi", True),
        ("hi", "hi there", False),
        ("hi", "Hi", False),
        (re.compile("hi"), "hi there", True),
        (re.compile("there"), "hi there", False),
        (re.compile("(?i)HI"), "hi there", True),
    ],
)
async def test_a_pattern_is_the_whole_text_or_a_regex_that_matches_its_beginning(
    app: App, user: User, pattern: str | re.Pattern[str], text: str, matches: bool
) -> None:
    seen: list[str] = []

    @app.on_message_pattern(pattern)
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(ctx.activity.text)

    await user.say(text)
    assert bool(seen) is matches


async def test_p17_a_pattern_ignores_the_mention_of_the_bot_that_begins_a_channel_message(
    app: App, teams: Teams
) -> None:
    user = teams.user(conversation_type="channel")
    seen: list[str] = []

    @app.on_message_pattern(re.compile("help$"))
    async def regex(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append("regex")
        await ctx.next()

    @app.on_message_pattern("help")
    async def exact(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append("exact")

    await user.say("help")
    assert seen == ["regex", "exact"]


async def test_a_pattern_does_not_ignore_the_mention_of_somebody_else(app: App, user: User) -> None:
    seen: list[str] = []

    @app.on_message_pattern("help")
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        seen.append(ctx.activity.text)

    mention = {"type": "mention", "mentioned": {"id": "29:other"}, "text": "<at>Other</at>"}
    await user.say("<at>Other</at> help", entities=[mention])
    assert seen == []


def test_a_pattern_or_handler_of_a_wrong_type_is_refused_where_it_is_registered() -> None:
    app = App()
    with pytest.raises(TypeError, match="a str or a compiled regex"):
        app.on_message_pattern(3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="on_message takes a function"):
        app.on_message("answer")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="use takes a function"):
        app.use("log")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"use\(\) takes from 1 to 2 positional arguments"):
        app.use(print, print)  # type: ignore[call-overload]


async def test_p2_an_activity_of_an_unknown_type_reaches_on_activity(app: App, event: Wire) -> None:
    seen: list[Activity] = []

    @app.on_activity
    async def anything(ctx: ActivityContext[Activity]) -> None:
        seen.append(ctx.activity)

    response = await app.process(event("somethingNew", novelty={"a": 1}))
    assert response.status == 200
    assert isinstance(seen[0], UnknownActivity)
    assert seen[0].raw["novelty"] == {"a": 1}


async def test_an_activity_that_nobody_handles_is_answered_with_200(app: App, event: Wire) -> None:
    assert (await app.process(event("endOfConversation"))).status == 200


async def test_typing_goes_to_on_typing(app: App, event: Wire) -> None:
    seen: list[TypingActivity] = []

    @app.on_typing
    async def typing(ctx: ActivityContext[TypingActivity]) -> None:
        seen.append(ctx.activity)

    await app.process(event("typing"))
    assert len(seen) == 1


async def test_p9_an_invoke_that_nobody_handles_is_answered_with_501(app: App, invoke: Wire) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None: ...

    response = await app.process(invoke("unheard/of"))
    assert response.status == 501
    assert "NotImplemented" in str(response.body)


@pytest.mark.parametrize(
    ("name", "value", "asked_for"),
    [
        ("adaptiveCard/action", {"action": {"type": "Action.Execute", "verb": "leave"}}, ", action 'leave'"),
        ("adaptiveCard/action", {"action": {"verb": "\n" + "x" * 99}}, ", action '\\n" + "x" * 61),
        ("task/fetch", {"data": {"dialog_id": "order"}}, ", id 'order'"),
        ("task/submit", {"data": {"action": 7}}, ""),
        ("composeExtension/query", {"commandId": "find"}, ", command id 'find'"),
        ("unheard/of", {"data": {"action": "leave"}}, ""),
    ],
)
async def test_the_log_says_which_action_nobody_handles(
    app: App, invoke: Wire, caplog: pytest.LogCaptureFixture, name: str, value: object, asked_for: str
) -> None:
    @app.on_card_action_execute("laeve")
    async def answer(ctx: ActivityContext[AdaptiveCardInvokeActivity]) -> None: ...

    assert (await app.process(invoke(name, value=value))).status == 501
    assert [one.getMessage() for one in caplog.records if "Nothing handles" in one.getMessage()] == [
        f"Nothing handles the invoke {name!r}{asked_for}."
    ]


async def test_p9_one_that_only_looks_on_has_not_handled_an_invoke(app: App, invoke: Wire) -> None:
    @app.use
    async def log(ctx: ActivityContext[Activity]) -> None:
        await ctx.next()

    @app.on_activity
    async def look_on(ctx: ActivityContext[Activity]) -> None:
        await ctx.next()

    assert (await app.process(invoke())).status == 501


@pytest.mark.parametrize("register", ["on_activity", "use"])
async def test_p9_nor_has_one_that_passes_nothing_on_and_returns_nothing(
    app: App, invoke: Wire, register: str
) -> None:
    async def swallow(ctx: ActivityContext[Activity]) -> None: ...

    getattr(app, register)(swallow)
    assert (await app.process(invoke())).status == 501


@pytest.mark.parametrize("register", ["on_activity", "use"])
async def test_one_for_all_activities_that_returns_something_has_handled_an_invoke(
    app: App, invoke: Wire, register: str
) -> None:
    async def answer(ctx: ActivityContext[Activity]) -> dict[str, Any]:
        return {"by": register}

    getattr(app, register)(answer)
    response = await app.process(invoke())
    assert (response.status, response.body) == (200, {"by": register})


async def test_an_invoke_is_handled_if_one_before_its_handler_keeps_it_from_running(
    app: App, invoke: Wire
) -> None:
    @app.on_activity
    async def swallow(ctx: ActivityContext[Activity]) -> None: ...

    @app.on_invoke
    async def never(ctx: ActivityContext[InvokeActivity]) -> None:
        raise AssertionError

    assert (await app.process(invoke())).status == 200


async def test_an_invoke_has_its_handler_whichever_next_selected_it(app: App, invoke: Wire) -> None:
    @app.use
    async def rename(ctx: ActivityContext[Activity]) -> None:
        await ctx.next()
        assert isinstance(ctx.activity, InvokeActivity)
        ctx.activity.name = "future/thing"
        await ctx.next()

    @app.on_dialog_open
    async def open(ctx: ActivityContext[TaskFetchInvokeActivity]) -> None: ...

    assert (await app.process(invoke("task/fetch"))).status == 200


async def test_on_invoke_that_returns_nothing_answers_200_even_if_it_passes_on(
    app: App, invoke: Wire
) -> None:
    @app.on_invoke
    async def void(ctx: ActivityContext[InvokeActivity]) -> None:
        await ctx.next()

    response = await app.process(invoke())
    assert (response.status, response.body) == (200, None)


async def test_what_an_invoke_handler_returns_is_the_body(app: App, invoke: Wire) -> None:
    @app.on_invoke
    async def fetch(ctx: ActivityContext[InvokeActivity]) -> dict[str, Any]:
        return {"task": {"type": "message", "value": ctx.activity.name}}

    response = await app.process(invoke("task/fetch"))
    assert (response.status, response.body) == (200, {"task": {"type": "message", "value": "task/fetch"}})


async def test_of_several_results_the_outermost_counts(app: App, invoke: Wire) -> None:
    @app.use
    async def silent(ctx: ActivityContext[Activity]) -> None:
        assert await ctx.next() == {"from": "outer"}

    @app.on_invoke
    async def outer(ctx: ActivityContext[InvokeActivity]) -> dict[str, str]:
        assert await ctx.next() == {"from": "inner"}
        return {"from": "outer"}

    @app.on_invoke
    async def inner(ctx: ActivityContext[InvokeActivity]) -> dict[str, str]:
        return {"from": "inner"}

    assert (await app.process(invoke())).body == {"from": "outer"}


async def test_p10_what_a_message_handler_returns_changes_no_status(app: App, user: User) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> dict[str, int]:
        return {"status": 123}

    delivery = await user.say("hi")
    assert (delivery.answer.status, delivery.answer.body) == (200, None)
    assert user.screen.messages == []
