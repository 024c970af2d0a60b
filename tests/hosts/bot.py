"""The bot that every host has to serve alike."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from cadenza.api import (
    CardTaskModuleTaskInfo,
    InvokeActivity,
    MessageActivity,
    MessageActivityInput,
    TaskFetchInvokeActivity,
    TaskModuleContinueResponse,
    TaskModuleMessageResponse,
    TaskModuleResponse,
    TaskSubmitInvokeActivity,
)
from cadenza.apps import ActivityContext, App, FunctionContext, HttpServerAdapter, command
from cadenza.testing import Teams
from pydantic import BaseModel

CLIENT_ID = "00000000-0000-0000-0000-0000000000aa"
TENANT = "00000000-0000-0000-0000-0000000000bb"


def card(*body: dict[str, Any], title: str, data: dict[str, Any]) -> dict[str, Any]:
    button = {"type": "Action.Submit", "title": title, "data": data}
    return {"type": "AdaptiveCard", "version": "1.5", "body": list(body), "actions": [button]}


class Order(BaseModel):
    dish: str
    count: int = 1


def make_bot(teams: Teams, server: HttpServerAdapter | None, site: Path, **options: Any) -> App:
    """A bot that is registered with `teams`; it streams, shows cards and dialogs, and has a tab."""
    teams.register(client_id=CLIENT_ID, tenant_id=TENANT)

    def own_token(scope: str, tenant: str | None) -> str:
        return teams.identity.app_token(CLIENT_ID, scope.removesuffix("/.default"), tenant or TENANT)

    defaults: dict[str, Any] = {
        "client_id": CLIENT_ID,
        "tenant_id": TENANT,
        "token": own_token,
        "transport": teams.transport,
        "host": "127.0.0.1",
    }
    app = App(**{**defaults, **options}, http_server_adapter=server)
    app.tab("lunch", site)

    @app.on_message(command("card"))
    async def show_card(ctx: ActivityContext[MessageActivity]) -> None:
        text = {"type": "TextBlock", "text": "Lunch?"}
        data = {"msteams": {"type": "task/fetch"}, "dialog_id": "lunch"}
        await ctx.send(MessageActivityInput().add_card(card(text, title="Order", data=data)))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        ctx.stream.update("Thinking...")
        await asyncio.sleep(2)
        for word in ("You ", "said: ", ctx.activity.text):
            ctx.stream.emit(word)
            await asyncio.sleep(1)

    @app.on_dialog_open("lunch")
    async def open_dialog(ctx: ActivityContext[TaskFetchInvokeActivity]) -> TaskModuleResponse:
        dish = {"type": "Input.Text", "id": "dish"}
        form = card(dish, title="Send", data={"action": "order"})
        info = CardTaskModuleTaskInfo(title="Lunch", card=form)
        return TaskModuleResponse(task=TaskModuleContinueResponse(value=info))

    @app.on_dialog_submit("order")
    async def take(ctx: ActivityContext[TaskSubmitInvokeActivity]) -> TaskModuleResponse:
        dish = ctx.activity.value.data["dish"]
        return TaskModuleResponse(task=TaskModuleMessageResponse(value=f"{dish} it is."))

    @app.on_invoke
    async def other(ctx: ActivityContext[InvokeActivity]) -> dict[str, Any]:
        return {"status": 409, "body": {"name": ctx.activity.name}}

    @app.func
    async def place_order(ctx: FunctionContext[Order]) -> dict[str, Any]:
        return {ctx.data.dish: ctx.data.count, "for": ctx.user_name}

    return app
