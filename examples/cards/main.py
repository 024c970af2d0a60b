"""Cards: every element there is, buttons that come back as models, a card that changes, and a dialog."""

import asyncio

from cadenza import cards
from cadenza.api import (
    AdaptiveCardActionCardResponse,
    AdaptiveCardInvokeActivity,
    CardTaskModuleTaskInfo,
    MessageActivity,
    SearchInvokeActivity,
    SearchInvokeResponseValue,
    SearchInvokeResult,
    SearchResponse,
    TaskFetchInvokeActivity,
    TaskModuleContinueResponse,
    TaskModuleMessageResponse,
    TaskModuleResponse,
    TaskSubmitInvokeActivity,
)
from cadenza.apps import ActivityContext, App
from gallery import GALLERY, inputs  # type: ignore[import-not-found] # this folder is on sys.path

app = App()
votes: dict[str, list[str]] = {"Tea": [], "Coffee": []}
CITIES = ["Lisbon", "London", "Lund", "Paris"]


class Vote(cards.SubmitPayload, action="vote"):
    drink: str = ""


class Order(cards.SubmitPayload, action="order"):
    name: str
    count: int = 1
    gift: bool = False


@app.on_message
async def show(ctx: ActivityContext[MessageActivity], order: Order | None) -> None:
    word = ctx.activity.strip_mentions_text().text.strip().lower()
    if order is not None:  # a button with Action.Submit sends a message with a value
        await ctx.send(thanks(order))
    elif word == "vote":
        await ctx.send(poll(""))
    elif word in GALLERY:
        card = GALLERY[word](ctx.activity.from_)
        cards.validate(card)  # raises with the place of each fault
        await ctx.send(card)
    else:
        await ctx.send(f"Say vote, or the name of a card: {', '.join(GALLERY)}.")


@app.on_card_action_execute("vote")
async def vote(
    ctx: ActivityContext[AdaptiveCardInvokeActivity], payload: Vote
) -> AdaptiveCardActionCardResponse:
    name = ctx.activity.from_.name or "somebody"
    if payload.drink in votes:  # a refresh brings none
        votes[payload.drink].append(name)
    return AdaptiveCardActionCardResponse(value=poll(name).to_dict())


def poll(voter: str) -> cards.AdaptiveCard:
    """What one person sees: the buttons, or the votes so far. The card that is sent is for all; the clients
    of those who look at it ask at once for theirs (`refresh`; without `user_ids` in a small chat all do)."""
    refresh = cards.Refresh(action=cards.ActionExecute(title="Refresh", data=Vote.data()))
    question = cards.TextBlock(text="Tea or coffee?")
    if any(voter in names for names in votes.values()):
        result = [cards.Fact(title=drink, value=", ".join(names)) for drink, names in votes.items()]
        return cards.AdaptiveCard(refresh=refresh, body=[question, cards.FactSet(facts=result)])
    buttons = [cards.ActionExecute(title=drink, data=Vote.data(drink=drink)) for drink in votes]
    return cards.AdaptiveCard(refresh=refresh, body=[question], actions=buttons)


@app.on_dialog_open("order")
async def open_form(ctx: ActivityContext[TaskFetchInvokeActivity]) -> TaskModuleResponse:
    form = CardTaskModuleTaskInfo(title="Order", card=inputs(ctx.activity.from_).to_dict())
    return TaskModuleResponse(task=TaskModuleContinueResponse(value=form))


@app.on_dialog_submit("order")
async def take(ctx: ActivityContext[TaskSubmitInvokeActivity], order: Order) -> TaskModuleResponse:
    return TaskModuleResponse(task=TaskModuleMessageResponse(value=thanks(order)))


@app.on_card_search
async def find(ctx: ActivityContext[SearchInvokeActivity]) -> SearchResponse:
    typed = (ctx.activity.value.query_text or "").lower()
    found = [SearchInvokeResult(title=city, value=city) for city in CITIES if city.lower().startswith(typed)]
    return SearchResponse(value=SearchInvokeResponseValue(results=found))


def thanks(order: Order) -> str:
    return f"Thank you, {order.name}: {order.count}{', as a gift' if order.gift else ''}."


if __name__ == "__main__":
    asyncio.run(app.start())
