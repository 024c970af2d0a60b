"""Uses of the decorators that every type checker has to refuse, each at the line that says so."""

from typing import Any

from cadenza.api import (
    Activity,
    FileConsentInvokeActivity,
    InvokeActivity,
    MessageActivity,
    TaskFetchInvokeActivity,
    TaskSubmitInvokeActivity,
    TypingActivity,
)
from cadenza.apps import ActivityContext, App, mention, scope, text, where

app = App()


# A handler of other activities


@app.on_message  # error
async def other(ctx: ActivityContext[TypingActivity]) -> None: ...


@app.on_message()  # error
async def other_called(ctx: ActivityContext[TypingActivity]) -> None: ...


@app.on_message(mention)  # error
async def other_filtered(ctx: ActivityContext[TypingActivity]) -> None: ...


@app.on_message_pattern("hi")  # error
async def other_pattern(ctx: ActivityContext[TypingActivity]) -> None: ...


@app.on_dialog_open("form")  # error
async def other_dialog(ctx: ActivityContext[TaskSubmitInvokeActivity]) -> None: ...


@app.on_activity  # error
async def too_narrow(ctx: ActivityContext[MessageActivity]) -> None: ...


@app.on_invoke  # error
async def too_narrow_an_invoke(ctx: ActivityContext[TaskFetchInvokeActivity]) -> None: ...


@app.on_members_added  # error
async def other_with_parameters(ctx: ActivityContext[MessageActivity], more: int) -> None: ...


async def typing(ctx: ActivityContext[TypingActivity]) -> None: ...


app.on_message(typing)  # error
app.on_message(mention, typing)  # error
app.on_message_pattern("hi", typing)  # error
app.on_dialog_open("form", typing)  # error


@app.use  # error
async def narrow_middleware(ctx: ActivityContext[MessageActivity]) -> None: ...


# No handler


@app.on_message  # error
async def no_context() -> None: ...


@app.on_message  # error
async def no_context_but_activity(activity: MessageActivity) -> None: ...


app.on_message("hi")  # error
app.on_message_pattern(3)  # error
app.on_dialog_open(3)  # error
app.on_message_ext_submit(3)  # error
app.on_message_ext_query("find", typing)  # error


# Answers that an invoke does not have


@app.on_dialog_open  # error
async def a_text(ctx: ActivityContext[TaskFetchInvokeActivity]) -> str:
    return "hi"


@app.on_file_consent  # error
def a_flag(ctx: ActivityContext[FileConsentInvokeActivity]) -> bool:
    return True


@app.on_dialog_open("form")  # error
async def a_list(ctx: ActivityContext[TaskFetchInvokeActivity]) -> list[dict[str, Any]]:
    return []


# Filters


async def anything(ctx: ActivityContext[Activity]) -> None: ...
async def invoked(ctx: ActivityContext[InvokeActivity]) -> None: ...
def is_dialog(activity: TaskFetchInvokeActivity) -> bool: ...  # type: ignore


app.on_message(is_dialog, anything)  # error
scope("group")  # error
text(3)  # error
mention(3)  # error
where("hi")  # error
text("hi") & 3  # error
app.on_nothing(anything)  # error
