"""Lunch orders: a tab whose page calls the bot, which tells the chat."""

import asyncio
from pathlib import Path

from cadenza.api import MessageActivity
from cadenza.apps import ActivityContext, App, FunctionContext, command
from pydantic import BaseModel, Field

app = App()  # functions need CLIENT_ID and TENANT_ID, for which Entra makes the tokens of the page
app.tab("lunch", Path(__file__).parent / "site")  # the files of the page, at /tabs/lunch/

orders: dict[str, dict[str, int]] = {}
"""By chat, what is ordered. It ends with this process: keep yours in a database."""


class Order(BaseModel):
    dish: str = Field(min_length=1, max_length=40)
    count: int = Field(1, ge=1, le=20)


@app.func
async def list_orders(ctx: FunctionContext[None]) -> dict[str, int]:
    """POST /api/functions/list-orders. `resolve_conversation` asks whether the user is in the chat."""
    place = await ctx.resolve_conversation()
    return orders.get(place.conversation.id, {})


@app.func
async def place_order(ctx: FunctionContext[Order]) -> dict[str, int]:
    """POST /api/functions/place-order. A body that is no Order is answered with 400 before it gets here."""
    place, order = await ctx.resolve_conversation(), ctx.data
    ordered = orders.setdefault(place.conversation.id, {})
    ordered[order.dish] = ordered.get(order.dish, 0) + order.count
    await ctx.send(f"{ctx.user_name} has ordered {order.count} {order.dish}.")
    return ordered


@app.on_message(command("orders"))
async def show_orders(ctx: ActivityContext[MessageActivity]) -> None:
    ordered = orders.get(ctx.activity.conversation.id, {})
    await ctx.send("\n".join(f"- {count} {dish}" for dish, count in ordered.items()) or "Nobody is hungry.")


@app.on_message
async def explain(ctx: ActivityContext[MessageActivity]) -> None:
    await ctx.send('Open the tab "Lunch" to order. Say orders to see what is ordered.')


if __name__ == "__main__":
    asyncio.run(app.start())
