"""A dialog in two steps: the first is checked on the server, the last closes the dialog with a message."""

import asyncio
from typing import Any

from cadenza.api import (
    CardTaskModuleTaskInfo,
    MessageActivity,
    TaskFetchInvokeActivity,
    TaskModuleContinueResponse,
    TaskModuleMessageResponse,
    TaskModuleResponse,
    TaskSubmitInvokeActivity,
)
from cadenza.apps import ActivityContext, App

app = App()
DAYS_LEFT = 12


@app.on_message
async def offer(ctx: ActivityContext[MessageActivity]) -> None:
    await ctx.send(
        card(
            {"type": "TextBlock", "text": f"You have {DAYS_LEFT} days of holiday left.", "wrap": True},
            button="Ask for holiday",
            data={"msteams": {"type": "task/fetch"}, "dialog_id": "holiday"},
        )
    )


@app.on_dialog_open("holiday")
async def open_dialog(ctx: ActivityContext[TaskFetchInvokeActivity]) -> TaskModuleResponse:
    return days_step()


@app.on_dialog_submit("days")
async def check_days(ctx: ActivityContext[TaskSubmitInvokeActivity]) -> TaskModuleResponse:
    days = whole_number(ctx.activity.value.data.get("days"))
    if days is None or not 1 <= days <= DAYS_LEFT:
        return days_step(days, error=f"Whole days, please, from 1 to {DAYS_LEFT}.")
    return substitute_step(days)


@app.on_dialog_submit("substitute")
async def finish(ctx: ActivityContext[TaskSubmitInvokeActivity]) -> TaskModuleResponse:
    data = ctx.activity.value.data  # the inputs of this step, and the button's data: what the first step knew
    await ctx.send(f"{ctx.activity.from_.name} asks for {data['days']} days; {data['name']} stands in.")
    return TaskModuleResponse(task=TaskModuleMessageResponse(value="Your request is on its way."))


def whole_number(sent: object) -> int | None:
    """Some clients send numbers as text, and what is sent may be anything: a card checks nothing for sure."""
    try:
        number = float(str(sent))
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def days_step(days: int | None = None, error: str = "") -> TaskModuleResponse:
    shown_days = 1 if days is None else days
    number = {"type": "Input.Number", "id": "days", "label": "How many days?", "value": shown_days, "min": 1}
    must = {"isRequired": True, "errorMessage": "A number, 1 or more."}  # Teams checks before it sends
    shown = {"type": "TextBlock", "text": error, "color": "Attention", "wrap": True, "isVisible": bool(error)}
    return step("Holiday (1 of 2)", card(number | must, shown, button="Next", data={"action": "days"}))


def substitute_step(days: int) -> TaskModuleResponse:
    name = {"type": "Input.Text", "id": "name", "label": f"Who stands in for these {days} days?"}
    must = {"isRequired": True, "errorMessage": "Somebody has to."}
    data = {"action": "substitute", "days": days}
    return step("Holiday (2 of 2)", card(name | must, button="Send", data=data))


def step(title: str, content: dict[str, Any]) -> TaskModuleResponse:
    info = CardTaskModuleTaskInfo(title=title, width="small", height="small", card=content)
    return TaskModuleResponse(task=TaskModuleContinueResponse(value=info))


def card(*body: dict[str, Any], button: str, data: dict[str, Any]) -> dict[str, Any]:
    actions = [{"type": "Action.Submit", "title": button, "data": data}]
    return {"type": "AdaptiveCard", "version": "1.5", "body": list(body), "actions": actions}


if __name__ == "__main__":
    asyncio.run(app.start())
