"""What buttons send, from the card to the handler's parameter, over the emulator."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from cadenza import cards
from cadenza.api import (
    AdaptiveCardActionMessageResponse,
    AdaptiveCardInvokeActivity,
    CardTaskModuleTaskInfo,
    MessageActivity,
    TaskFetchInvokeActivity,
    TaskModuleContinueResponse,
    TaskModuleResponse,
    TaskSubmitInvokeActivity,
    TypingActivity,
)
from cadenza.apps import ActivityContext, App, ErrorEvent, text
from cadenza.testing import User
from pydantic import BaseModel, Field, ValidationError


class Approve(cards.SubmitPayload, action="approve"):
    """Of the action "approve"."""

    request_id: str
    comment: str = ""
    days: int | None = None
    urgent: bool = False
    until: date | None = None
    people: list[str] = Field(default_factory=list)
    cost_center: str | None = Field(default=None, alias="costCenter")


class Reject(cards.SubmitPayload, action="reject"):
    """Of the action "reject"."""

    request_id: str


class Order(cards.SubmitPayload, dialog_id="order"):
    """What opens a dialog."""

    item: str


class Anything(cards.SubmitPayload):
    """Of any action."""

    item: str = "none"


INPUTS: list[Any] = [
    cards.InputText(id="comment"),
    cards.InputNumber(id="days"),
    cards.InputToggle(id="urgent", title="Urgent"),
    cards.InputDate(id="until"),
    cards.InputChoiceSet(
        id="people", is_multi_select=True, choices=[cards.InputChoice(title=one, value=one) for one in "abc"]
    ),
]


def card(*actions: Any) -> cards.AdaptiveCard:
    return cards.AdaptiveCard(body=INPUTS, actions=actions)


@pytest.fixture
def errors(app: App) -> list[BaseException]:
    caught: list[BaseException] = []

    @app.event
    async def note(event: ErrorEvent) -> None:
        caught.append(event.error)

    return caught


def test_submit_data_names_the_action_beside_its_fields() -> None:
    assert cards.SubmitData("approve", {"order": 7}, note=None).to_dict() == {
        "order": 7,
        "note": None,
        "action": "approve",
    }
    assert cards.SubmitData("approve", {"action": "other"}).to_dict() == {"action": "approve"}
    assert cards.SubmitData(data={"x": 1}).to_dict() == {"x": 1}
    assert cards.SubmitData("a").model_extra == {"action": "a"}


def test_open_dialog_data_asks_teams_to_fetch_the_dialog() -> None:
    assert cards.OpenDialogData("order", {"item": "pen"}).to_dict() == {
        "msteams": {"type": "task/fetch"},
        "item": "pen",
        "dialog_id": "order",
    }


@pytest.mark.parametrize(
    ("teams", "wire"),
    [
        (cards.ImBackSubmitActionData(value="hi"), {"type": "imBack", "value": "hi"}),
        (
            cards.MessageBackSubmitActionData(text="t", display_text="d", value={"x": None}),
            {"type": "messageBack", "text": "t", "displayText": "d", "value": {"x": None}},
        ),
        (cards.SigninSubmitActionData(value="https://x"), {"type": "signin", "value": "https://x"}),
        (cards.TaskFetchSubmitActionData(), {"type": "task/fetch"}),
        (
            cards.InvokeSubmitActionData(
                value=cards.CollabStageInvokeDataValue(tab_info=cards.TabInfo(content_url="https://x"))
            ),
            {
                "type": "invoke",
                "value": {"type": "tab/tabInfoAction", "tabInfo": {"contentUrl": "https://x"}},
            },
        ),
    ],
)
def test_what_teams_makes_of_a_click_is_written_into_the_data(teams: Any, wire: dict[str, Any]) -> None:
    data = {"msteams": wire, "more": 1}
    assert cards.ActionSubmit(data=teams.as_data(more=1)).to_dict()["data"] == data
    assert cards.ActionSubmit(data=cards.SubmitActionData(msteams=teams, more=1)).to_dict()["data"] == data
    assert cards.ActionSubmit(data={"msteams": teams, "more": 1}).to_dict()["data"] == data


def test_feedback_can_be_hidden() -> None:
    hidden = cards.TeamsSubmitActionProperties(feedback=cards.TeamsSubmitActionFeedback(hide=True))
    assert cards.ActionSubmit(msteams=hidden).to_dict()["msteams"] == {"feedback": {"hide": True}}


def test_the_data_of_a_payload_has_the_fields_that_are_given_and_the_action() -> None:
    wire = cards.ActionExecute(data=Approve.data(request_id="7", cost_center="c")).to_dict()
    assert wire["data"] == {"request_id": "7", "costCenter": "c", "action": "approve"}
    whole = cards.ActionExecute(data=Reject(request_id="7")).to_dict()
    assert whole["data"] == {"request_id": "7", "action": "reject"}
    assert Order.data(item="pen").to_dict() == {
        "msteams": {"type": "task/fetch"},
        "item": "pen",
        "dialog_id": "order",
    }


def test_a_field_that_the_payload_lacks_or_a_wrong_value_is_an_error_where_the_card_is_made() -> None:
    with pytest.raises(TypeError, match=r"Approve has no field 'requestid'. Did you mean 'request_id'\?"):
        Approve.data(requestid="7")
    with pytest.raises(ValidationError):
        Approve.data(days="many")


async def test_a_message_value_becomes_the_payload_that_it_names(app: App, user: User) -> None:
    got: list[Approve | Reject | None] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity], payload: Approve | Reject | None) -> None:
        got.append(payload)
        if payload is None:
            await ctx.send(
                card(
                    cards.ActionSubmit(title="Yes", data=Approve.data(request_id="7")),
                    cards.ActionSubmit(title="No", data=Reject(request_id="8")),
                    cards.ActionSubmit(title="Other", data=cards.SubmitData("other")),
                )
            )

    await user.say("hello")
    inputs = {"comment": "ok", "days": "5", "urgent": "true", "until": "2026-11-21", "people": "a,c"}
    await user.click("Yes", inputs=inputs)
    await user.click("No")
    await user.click("Other")
    assert got == [
        None,
        Approve(
            request_id="7", comment="ok", days=5, urgent=True, until=date(2026, 11, 21), people=["a", "c"]
        ),
        Reject(request_id="8"),
        None,
    ]


async def test_empty_inputs_are_as_if_they_were_absent(app: App, user: User) -> None:
    got: list[Approve] = []

    @app.on_message(text("card"))
    async def show(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(card(cards.ActionSubmit(title="Yes", data=Approve.data(request_id="7"))))

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity], payload: Approve) -> None:
        got.append(payload)

    await user.say("card")
    await user.click("Yes", inputs={"comment": "", "days": "", "until": "", "people": ""})
    assert got == [Approve(request_id="7")]


@pytest.mark.parametrize("by_verb", [False, True])
async def test_a_card_action_gets_its_payload(app: App, user: User, by_verb: bool) -> None:
    got: list[Approve] = []
    data = {"request_id": "7"} if by_verb else Approve.data(request_id="7")

    @app.on_message
    async def show(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(card(cards.ActionExecute(title="Yes", verb="approve", data=data)))

    @app.on_card_action_execute("approve")
    async def approve(
        ctx: ActivityContext[AdaptiveCardInvokeActivity], payload: Approve
    ) -> AdaptiveCardActionMessageResponse:
        got.append(payload)
        return AdaptiveCardActionMessageResponse(value="Approved")

    await user.say("card")
    await user.click("Yes", inputs={"comment": "fine", "days": 2})
    assert got == [Approve(request_id="7", comment="fine", days=2)]


async def test_a_dialog_is_opened_and_submitted_with_payloads(app: App, user: User) -> None:
    got: list[object] = []

    @app.on_message
    async def show(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(
            cards.AdaptiveCard(actions=[cards.ActionSubmit(title="Order", data=Order.data(item="pen"))])
        )

    @app.on_dialog_open("order")
    async def open_dialog(ctx: ActivityContext[TaskFetchInvokeActivity], order: Order) -> TaskModuleResponse:
        got.append(order)
        form = card(cards.ActionSubmit(title="Send", data=Approve.data(request_id=order.item)))
        task = CardTaskModuleTaskInfo(title="Order", card=form)
        return TaskModuleResponse(task=TaskModuleContinueResponse(value=task))

    @app.on_dialog_submit("approve")
    async def submitted(ctx: ActivityContext[TaskSubmitInvokeActivity], *, payload: Approve) -> None:
        got.append(payload)

    await user.say("card")
    await user.click("Order")
    await user.submit_dialog({"comment": "blue", "days": "1"})
    assert got == [Order(item="pen"), Approve(request_id="pen", comment="blue", days=1)]


async def test_a_payload_that_does_not_fit_is_an_error_that_names_the_fields_and_no_values(
    app: App, user: User, errors: list[BaseException]
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity], payload: Approve | None) -> None:
        await ctx.send(card(cards.ActionSubmit(title="Yes", data=cards.SubmitData("approve"))))

    await user.say("card")
    await user.click("Yes", inputs={"days": "some secret"})
    (error,) = errors
    assert isinstance(error, cards.InvalidPayloadError)
    assert set(error.faults) == {"request_id", "days"}
    assert error.payload is Approve
    assert "does not fit Approve of the action 'approve'" in str(error)
    assert "secret" not in str(error)


async def test_a_handler_that_needs_a_payload_says_so_where_there_is_none(
    app: App, user: User, errors: list[BaseException]
) -> None:
    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity], payload: Approve) -> None: ...

    await user.say("hello")
    assert [type(error) for error in errors] == [TypeError]
    assert "`Approve | None`" in str(errors[0])


async def test_a_payload_of_no_action_takes_any_data(app: App, user: User) -> None:
    got: list[Anything | None] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity], payload: Anything | None) -> None:
        got.append(payload)
        if payload is None:
            await ctx.send(cards.AdaptiveCard(actions=[cards.ActionSubmit(title="Go", data={"item": "pen"})]))

    await user.say("hello")
    await user.click("Go")
    assert got == [None, Anything(item="pen")]


def test_where_nothing_can_be_submitted_no_payload_can_be_asked_for(app: App) -> None:
    with pytest.raises(TypeError, match="cannot be filled"):

        @app.on_typing
        async def typed(ctx: ActivityContext[TypingActivity], payload: Approve) -> None: ...


def test_an_ordinary_model_is_still_no_payload(app: App) -> None:
    class Plain(BaseModel):
        x: int

    with pytest.raises(TypeError, match="cannot be filled"):

        @app.on_message
        async def answer(ctx: ActivityContext[MessageActivity], payload: Plain) -> None: ...
