"""What handlers get beside the context. This module has annotations that are there at run time,
test_postponed_parameters.py the same as texts."""

import functools
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, Optional

import pytest
from cadenza.api import (
    Account,
    Activity,
    AgenticUserEnabledValue,
    ApiClient,
    CloudEnvironment,
    ConversationReference,
    InvokeActivity,
    MeetingStartEventValue,
    MessageActivity,
    TaskFetchInvokeActivity,
    TaskModuleRequest,
    TypingActivity,
    WireModel,
)
from cadenza.apps import (
    ActivityContext,
    App,
    Command,
    HttpStream,
    StreamerProtocol,
    TurnStateContainer,
    command,
    text,
)
from cadenza.apps.middleware import Handler
from cadenza.state import Storage
from cadenza.testing import User

Wire = Callable[..., dict[str, Any]]


async def test_a_handler_is_given_what_the_context_has_by_type(app: App, user: User) -> None:
    asked: list[object] = []
    wanted: list[object] = []

    @app.on_message
    async def answer(
        ctx: ActivityContext[MessageActivity],
        activity: MessageActivity,
        anything: Activity,
        api: ApiClient,
        cloud: CloudEnvironment,
        ref: ConversationReference,
        stream: HttpStream,
        same: StreamerProtocol,
        state: TurnStateContainer,
        logger: logging.Logger,
        storage: Storage[str, Any],
        bot: App,
    ) -> None:
        asked.extend(
            [activity, anything, api, cloud, ref, stream, same, state, logger, storage, bot],
        )
        wanted.extend([ctx.activity, ctx.activity, ctx.api, ctx.cloud, ctx.conversation_ref, ctx.stream])
        wanted.extend([ctx.stream, ctx.state, ctx.logger, ctx.storage, app])

    await user.say("hi")
    assert len(asked) == 11
    assert all(one is other for one, other in zip(asked, wanted, strict=True))


async def test_the_value_of_an_invoke_is_given_by_its_model(app: App, invoke: Wire) -> None:
    @app.on_dialog_open
    async def fetch(
        ctx: ActivityContext[TaskFetchInvokeActivity], request: TaskModuleRequest
    ) -> dict[str, Any]:
        assert request is ctx.activity.value
        return {"data": request.data}

    response = await app.process(invoke("task/fetch", value={"data": {"a": 1}}))
    assert response.body == {"data": {"a": 1}}


async def test_what_a_filter_has_found_is_given(app: App, user: User) -> None:
    seen: list[object] = []

    @app.on_message(text(re.compile(r"order (\d+)")))
    async def order(ctx: ActivityContext[MessageActivity], match: re.Match[str]) -> None:
        seen.append(match[1])

    @app.on_message(command("help") | text(re.compile("what")))
    async def help(
        ctx: ActivityContext[MessageActivity], match: re.Match[str] | None, command: Command | None
    ) -> None:
        seen.append((match and match[0], command))

    @app.on_message_pattern(re.compile("(?P<greeting>hi|ho)"))
    async def greet(ctx: ActivityContext[MessageActivity], *, match: re.Match[str]) -> None:
        seen.append(match["greeting"])

    for words in ("order 12", "/help me", "what?", "ho ho"):
        await user.say(words)
    assert seen == ["12", (None, Command("help", "me")), ("what", None), "ho"]


async def test_each_turn_has_its_own_findings_even_if_next_runs_twice(app: App, user: User) -> None:
    seen: list[str] = []

    @app.use(inside=True)
    async def twice(ctx: ActivityContext[Activity]) -> None:
        await ctx.next()
        await ctx.next()

    @app.on_message(text(re.compile(".*")))
    async def answer(ctx: ActivityContext[MessageActivity], match: re.Match[str]) -> None:
        seen.append(match[0])

    await user.say("a")
    await user.say("b")
    assert seen == ["a", "a", "b", "b"]


async def test_what_is_absent_is_none_or_the_default(app: App, invoke: Wire) -> None:
    seen: list[object] = []

    @app.on_invoke
    async def fetch(
        ctx: ActivityContext[InvokeActivity],
        /,
        new: TaskModuleRequest | None,
        old: Optional[TaskModuleRequest],  # noqa: UP045 - people write it so
        said: Annotated[TaskModuleRequest | None, "a note"],
        mine: str | TaskModuleRequest = "default",
        unknown: int = 3,
        *rest: int,
        **options: int,
    ) -> None:
        seen.append((type(new), type(old), type(said), type(mine), unknown, rest, options))

    await app.process(invoke("unheard/of"))
    await app.process(invoke("task/fetch", value={}))
    kind = TaskModuleRequest
    assert seen == [
        (type(None), type(None), type(None), str, 3, (), {}),
        (kind, kind, kind, kind, 3, (), {}),
    ]


async def test_what_is_absent_and_has_no_default_is_an_error_that_says_so(app: App, invoke: Wire) -> None:
    errors: list[str] = []

    @app.on_invoke
    async def fetch(ctx: ActivityContext[InvokeActivity], request: TaskModuleRequest) -> None: ...

    @app.on_error
    def failed(ctx: ActivityContext[Any], error: Exception) -> None:
        errors.append(str(error))

    assert (await app.process(invoke("unheard/of", value={"a": 1}))).status == 500
    assert re.search(r"fetch\(\) asks for 'request' of type TaskModuleRequest.* of type dict", errors[0])
    assert "`TaskModuleRequest | None`" in errors[0]


class Answers:
    """Handlers of many sorts, each of which keeps the text that it was given."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def keep(self, activity: MessageActivity) -> None:
        self.seen.append(activity.text)

    async def method(self, ctx: ActivityContext[MessageActivity], activity: MessageActivity) -> None:
        self.keep(activity)

    async def __call__(self, ctx: ActivityContext[MessageActivity], activity: MessageActivity) -> None:
        self.keep(activity)

    async def named(
        self, word: str, ctx: ActivityContext[MessageActivity], activity: MessageActivity, *, end: str
    ) -> None:
        assert (word, end) == ("first", "last")
        self.keep(activity)

    def plain(self, ctx: ActivityContext[MessageActivity], activity: MessageActivity, /) -> None:
        self.keep(activity)

    def wrapped(self) -> Any:
        @functools.wraps(self.method)
        async def wrapper(*args: Any, **kwargs: Any) -> None:
            await self.method(*args, **kwargs)

        return wrapper


@pytest.mark.parametrize("sort", ["method", "object", "partial", "plain", "wrapped"])
async def test_any_sort_of_callable_is_given_its_parameters(app: App, user: User, sort: str) -> None:
    answers = Answers()
    handlers: dict[str, Any] = {
        "method": answers.method,
        "object": answers,
        "partial": functools.partial(answers.named, "first", end="last"),
        "plain": answers.plain,
        "wrapped": answers.wrapped(),
    }
    app.on_message(handlers[sort])
    await user.say("hi")
    assert answers.seen == ["hi"]


async def test_middleware_is_given_its_parameters_too(app: App, event: Wire) -> None:
    seen: list[object] = []

    @app.use
    async def log(
        ctx: ActivityContext[Activity], activity: Activity, message: MessageActivity | None
    ) -> None:
        seen.append((activity.type, message))

    await app.process(event("typing"))
    assert seen == [("typing", None)]


def test_a_handler_that_asks_for_nothing_more_is_called_as_it_is(app: App) -> None:
    async def answer(ctx: ActivityContext[MessageActivity]) -> None: ...

    class Recorder:
        def __init__(self) -> None:
            self.handlers: list[Handler[Any]] = []

    recorder = Recorder()
    add = app.router.add
    app.router.add = lambda route: (recorder.handlers.append(route.handler), add(route))[1]  # type: ignore[method-assign, func-returns-value]
    app.on_message(answer)
    assert recorder.handlers == [answer]


# Refused where it is registered ---------------------------------------------------------------------------


class Note(WireModel):
    """A model of the bot's own, which its middleware may put into a message."""


def number(ctx: ActivityContext[MessageActivity], count: int) -> None: ...
def bare(ctx: ActivityContext[MessageActivity], count) -> None: ...  # type: ignore[no-untyped-def]
def match(ctx: ActivityContext[MessageActivity], match: re.Match[str]) -> None: ...
def typing(ctx: ActivityContext[MessageActivity], activity: TypingActivity) -> None: ...
def somebody(ctx: ActivityContext[TaskFetchInvokeActivity], account: Account) -> None: ...
def nothing() -> None: ...
def keyword(*, ctx: ActivityContext[MessageActivity]) -> None: ...
def other(ctx: ActivityContext[TypingActivity]) -> None: ...
def others(ctx: ActivityContext[TypingActivity | InvokeActivity]) -> None: ...


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (number, r"on_message: number\(\) has the parameter 'count' of type int.*nothing of that type"),
        (bare, r"bare\(\) has the parameter 'count' without a type"),
        (match, r"'match' of type re.Match\[str\].*none of the filters"),
        (typing, r"'activity' of type TypingActivity.*are MessageActivity"),
        (nothing, r"nothing\(\) takes no parameter"),
        (keyword, r"keyword\(\) takes no parameter"),
        (other, r"other\(\) takes an ActivityContext\[TypingActivity\].*given MessageActivity"),
        (others, r"ActivityContext\[TypingActivity \| InvokeActivity\]"),
    ],
)
def test_what_cannot_be_filled_is_named_at_the_decorator(app: App, handler: Any, error: str) -> None:
    with pytest.raises(TypeError, match=error):
        app.on_message(handler)


class Yielding:
    async def __call__(self, ctx: ActivityContext[MessageActivity]) -> AsyncIterator[str]:
        yield "x"


async def words(ctx: ActivityContext[MessageActivity]) -> AsyncIterator[str]:
    yield "x"


def plain_words(ctx: ActivityContext[MessageActivity], api: ApiClient) -> Iterator[str]:
    yield "x"


@pytest.mark.parametrize("handler", [words, plain_words, Yielding(), functools.partial(words)])
def test_a_generator_is_no_handler(app: App, handler: Any) -> None:
    for register in (app.on_message, app.use):
        with pytest.raises(TypeError, match=r"is a generator.*ctx\.stream\.emit"):
            register(handler)


def test_a_model_that_the_value_never_is_is_refused(app: App) -> None:
    with pytest.raises(TypeError, match=r"somebody\(\) has the parameter 'account' of type Account"):
        app.on_dialog_open(somebody)


@pytest.mark.parametrize(
    ("decorator", "model"),
    [
        ("on_message", Account),
        ("on_message", TaskModuleRequest),
        ("on_message", WireModel),
        ("on_invoke", Account),
        ("on_event", TaskModuleRequest),
        ("on_activity", Account),
        ("on_members_added", Account),
        ("on_card_action", TaskModuleRequest),
        ("on_agent_lifecycle", Account),
    ],
)
def test_a_model_that_no_such_activity_holds_is_refused_where_values_may_be_anything(
    app: App, decorator: str, model: type
) -> None:
    async def answer(ctx: Any, asked: Any) -> None: ...

    answer.__annotations__["asked"] = model
    with pytest.raises(TypeError, match=rf"answer\(\) has the parameter 'asked' of type {model.__name__}"):
        getattr(app, decorator)(answer)


@pytest.mark.parametrize(
    ("decorator", "model"),
    [
        ("on_invoke", TaskModuleRequest),
        ("on_activity", MeetingStartEventValue),
        ("on_event", MeetingStartEventValue),
        ("on_agent_lifecycle", AgenticUserEnabledValue),
        ("on_dialog_open", WireModel),
        ("on_message", Note),
    ],
)
def test_a_model_that_some_such_activity_may_hold_is_accepted(app: App, decorator: str, model: type) -> None:
    async def answer(ctx: Any, asked: Any) -> None: ...

    answer.__annotations__["asked"] = model
    assert getattr(app, decorator)(answer) is answer


def test_the_error_lists_what_a_handler_may_ask_for(app: App) -> None:
    with pytest.raises(TypeError) as refused:
        app.on_message(number)
    for name in ("ApiClient", "CloudEnvironment", "Command", "ConversationReference", "HttpStream", "Match"):
        assert name in str(refused.value)
    assert "App" in str(refused.value)


@pytest.mark.parametrize("context", [Any, Activity, MessageActivity, MessageActivity | TypingActivity])
async def test_a_context_of_a_base_or_of_several_activities_is_right(app: App, context: Any) -> None:
    async def answer(ctx: Any) -> None: ...

    answer.__annotations__["ctx"] = ActivityContext[context]
    assert app.on_message(answer) is answer
