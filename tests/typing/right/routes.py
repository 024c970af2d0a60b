"""Uses of the decorators that every type checker has to accept."""

import functools
import logging
import re
from typing import Any, TypedDict

from cadenza.api import (
    Activity,
    AdaptiveCardActionMessageResponse,
    AdaptiveCardInvokeActivity,
    ApiClient,
    ConversationUpdateActivity,
    FileConsentInvokeActivity,
    InstalledActivity,
    InvokeActivity,
    InvokeResponse,
    MeetingStartEventActivity,
    MessageActivity,
    MessageExtensionQueryInvokeActivity,
    MessageUpdateActivity,
    MessagingExtensionAction,
    MessagingExtensionActionResponse,
    MessagingExtensionQuery,
    MessagingExtensionResponse,
    TaskFetchInvokeActivity,
    TaskModuleRequest,
    TaskModuleResponse,
    TaskSubmitInvokeActivity,
    TypingActivity,
)
from cadenza.apps import (
    ActivityContext,
    App,
    Command,
    Filter,
    HttpStream,
    command,
    mention,
    scope,
    text,
    where,
)

app = App()


# Bare, called, as a function


@app.on_message
async def bare(ctx: ActivityContext[MessageActivity]) -> None:
    await ctx.send(ctx.activity.text)


@app.on_message()
async def called(ctx: ActivityContext[MessageActivity]) -> None:
    await bare(ctx)


async def given(ctx: ActivityContext[MessageActivity]) -> str:
    return ctx.activity.text


app.on_message(given)
app.on_message(lambda ctx: ctx.send(ctx.activity.text))


@app.on_typing
def plain(ctx: ActivityContext[TypingActivity]) -> None: ...


# With filters


@app.on_message(text("hi", re.compile("h")) & mention)
async def filtered(ctx: ActivityContext[MessageActivity]) -> None: ...


@app.on_message(command("help") | scope("personal", "team"), ~mention("29:x"))
async def several(ctx: ActivityContext[MessageActivity], said: Command | None) -> None: ...


@app.on_activity(where(lambda activity: activity.type == "x"))
async def anything(ctx: ActivityContext[Activity]) -> None: ...


def is_short(activity: MessageActivity) -> bool:
    return len(activity.text) < 4


app.on_message(mention, given)
app.on_message(is_short, given)
app.on_message(lambda activity: activity.text == "hi", given)
joined: Filter = text("hi") & is_short & (lambda activity: True)


# Patterns and words


@app.on_message_pattern("hi")
async def exact(ctx: ActivityContext[MessageActivity]) -> None: ...


@app.on_message_pattern(re.compile(r"(\d+)"), scope("channel"))
async def regex(ctx: ActivityContext[MessageActivity], match: re.Match[str]) -> None: ...


app.on_message_pattern("hi", given)


@app.on_dialog_open
async def any_dialog(ctx: ActivityContext[TaskFetchInvokeActivity]) -> TaskModuleResponse | None: ...


@app.on_dialog_open("form")
async def one_dialog(ctx: ActivityContext[TaskFetchInvokeActivity]) -> dict[str, Any]:
    return {"task": {"type": "message", "value": str(ctx.activity.value.data)}}


app.on_dialog_open("form", one_dialog)
app.on_dialog_open(any_dialog)
app.on_dialog_submit("save", scope("personal"), lambda ctx: None)


@app.on_dialog_submit(scope("personal"))
def submitted(
    ctx: ActivityContext[TaskSubmitInvokeActivity], request: TaskModuleRequest
) -> InvokeResponse[Any]:
    return InvokeResponse(412)


@app.on_card_action_execute("approve")
async def approved(
    ctx: ActivityContext[AdaptiveCardInvokeActivity],
) -> AdaptiveCardActionMessageResponse:
    return AdaptiveCardActionMessageResponse(value="done")


@app.on_message_ext_query
async def any_query(
    ctx: ActivityContext[MessageExtensionQueryInvokeActivity],
) -> MessagingExtensionResponse | None: ...


@app.on_message_ext_query("find", scope("personal"))
async def one_query(
    ctx: ActivityContext[InvokeActivity], query: MessagingExtensionQuery
) -> MessagingExtensionResponse:
    return MessagingExtensionResponse()


@app.on_message_ext_open()
@app.on_message_ext_submit("create")
async def one_command(
    ctx: ActivityContext[InvokeActivity], action: MessagingExtensionAction
) -> MessagingExtensionActionResponse | None: ...


app.on_message_ext_query("find", one_query)
app.on_message_ext_setting("find", lambda ctx: None)
app.on_message_ext_query_settings_url("find", scope("personal"), lambda ctx: None)


# What an invoke may answer


class Body(TypedDict):
    a: int


@app.on_file_consent
async def void(ctx: ActivityContext[FileConsentInvokeActivity]) -> None: ...


@app.on_invoke
async def anything_at_all(ctx: ActivityContext[InvokeActivity]) -> list[int]:
    return [1]


@app.on_dialog_open
async def passed_on(ctx: ActivityContext[TaskFetchInvokeActivity]) -> Any:
    return await ctx.next()


# Several kinds of activities


@app.on_message
@app.on_message_update
async def either(ctx: ActivityContext[MessageActivity | MessageUpdateActivity]) -> None: ...


@app.on_install_add
@app.on_members_added
async def base(ctx: ActivityContext[Activity]) -> None: ...


app.on_install_add(base)


@app.on_install_add
async def installed(ctx: ActivityContext[InstalledActivity]) -> None: ...


@app.on_channel_shared
async def shared(ctx: ActivityContext[ConversationUpdateActivity]) -> None: ...


@app.on_meeting_start
async def started(ctx: ActivityContext[MeetingStartEventActivity]) -> None:
    await ctx.send(ctx.activity.value.title or "")


# Parameters, and many sorts of callables


@app.on_message
async def asks(
    ctx: ActivityContext[MessageActivity],
    api: ApiClient,
    stream: HttpStream,
    bot: App,
    *,
    logger: logging.Logger,
    tries: int = 3,
) -> None: ...


class Bot:
    def __init__(self, app: App) -> None:
        app.on_message(self.answer)
        app.on_message(mention, self)
        app.on_message(functools.partial(self.greet, word="hi"))

    async def answer(self, ctx: ActivityContext[MessageActivity]) -> None: ...

    async def __call__(self, ctx: ActivityContext[MessageActivity], api: ApiClient) -> None: ...

    async def greet(self, ctx: ActivityContext[MessageActivity], *, word: str) -> None: ...


# Middleware


@app.use
async def outside(ctx: ActivityContext[Activity]) -> None:
    await ctx.next()


@app.use(inside=True)
async def inside(ctx: ActivityContext[Activity], logger: logging.Logger) -> Any:
    return await ctx.next()


app.use(outside, inside=True)


async def by_hand(ctx: ActivityContext[MessageActivity], api: ApiClient, log: logging.Logger) -> None:
    await bare(ctx)
    assert isinstance(ctx.stream, HttpStream)  # and not that of a plugin's channel
    await asks(ctx, api, ctx.stream, app, logger=log)
