"""Uses of cards that every type checker has to accept."""

from typing import Literal

from adaptive_cards import types
from adaptive_cards.card import TextBlock as PlainTextBlock
from cadenza import cards
from cadenza.api import AdaptiveCardInvokeActivity, MessageActivity, MessageActivityInput
from cadenza.apps import ActivityContext, App

app = App()


class Approve(cards.SubmitPayload, action="approve"):
    request_id: str
    comment: str = ""


class Sparkline(cards.CardElement):
    type: Literal["Sparkline"] = "Sparkline"
    points: list[float]


@app.on_message
async def show(ctx: ActivityContext[MessageActivity]) -> None:
    ada = cards.Mention.of(ctx.activity.from_)
    blocks = [cards.TextBlock(text=word, wrap=True) for word in ("a", "b")]
    card = cards.AdaptiveCard(
        body=[
            cards.TextBlock(text=f"{ada}, please look", size="Large", target_width="atLeast:Wide"),
            cards.TextBlock(text="theirs", size=types.FontSize.LARGE),
            PlainTextBlock(text="plain"),
            {"type": "New", "x": 1},
            Sparkline(points=[1.0, 2]),
            cards.Container(items=blocks, grid_area="left", fallback="drop"),
            cards.ColumnSet(columns=[cards.Column(items=blocks, width="auto"), {"items": []}]),
            cards.RichTextBlock(inlines=["plain", cards.TextRun(text="bold", weight="Bolder")]),
            cards.InputChoiceSet(id="c", choices_data=cards.QueryData(dataset="graph.microsoft.com/users")),
            cards.DonutChart(data=[cards.DonutChartData(legend="a", value=1, color="good")]),
        ],
        actions=[
            cards.ActionExecute(title="Approve", data=Approve.data(request_id="7")),
            cards.ActionSubmit(title="Order", data=cards.OpenDialogData("order", {"item": "pen"})),
            cards.ActionSubmit(title="Say", data=cards.SubmitActionData(msteams={"type": "imBack"}, x=1)),
            cards.SubmitAction(data=cards.SubmitData("approve", order=7)),
        ],
        refresh=cards.Refresh(action=cards.ActionExecute(verb="refresh"), user_ids=[ctx.activity.from_.id]),
        full_width=True,
        mentions=[ada],
    )
    card.speak = "Please look"
    cards.validate(card)
    await ctx.send(card)
    await ctx.send(MessageActivityInput(text="Here").add_card(card))
    again: cards.AdaptiveCard = cards.AdaptiveCard.parse(card.to_json())
    print(again.to_dict()["body"])


@app.on_card_action_execute("approve")
async def approve(ctx: ActivityContext[AdaptiveCardInvokeActivity], payload: Approve | None) -> None:
    print(payload.comment if payload else "")


@app.on_card_action
async def replace(ctx: ActivityContext[AdaptiveCardInvokeActivity]) -> cards.AdaptiveCard:
    return cards.AdaptiveCard()
