"""What buttons send, from the card to the handler's parameter, over the emulator."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from cadenza import cards
from cadenza.api import (
    AdaptiveCardActionMessageResponse,
    AdaptiveCardInvokeActivity,
    CardTaskModuleTaskInfo,
    MessageActivity,
    TaskFetchInvokeActivity,
    TaskModuleContinueResponse,
    TaskModuleMessageResponse,
    TaskModuleResponse,
    TaskSubmitInvokeActivity,
    TypingActivity,
)
from cadenza.apps import ActivityContext, App, ErrorEvent, text
from cadenza.testing import User
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError


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


class Return(cards.SubmitPayload, dialog_id="return"):
    """What opens another one."""

    item: str


class Rated(cards.SubmitPayload):
    """With validators that tell too much."""

    stars: int
    word: str = ""
    coded: str = ""
    disguised: str = ""
    day: date | None = None
    key: UUID | None = None

    @field_validator("word", "coded", "disguised")
    @classmethod
    def checked(cls, value: str, info: ValidationInfo) -> str:
        if info.field_name == "word":
            raise ValueError(f"no {value}")
        kind: Any = "bad_code" if info.field_name == "coded" else "missing"
        raise PydanticCustomError(kind, "no {value}", {"value": value})


class Wait(cards.SubmitPayload, action="wait"):
    """With a field that has to be filled in."""

    days: int


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
    assert cards.SubmitData("a", self=1).to_dict() == {"self": 1, "action": "a"}


def test_open_dialog_data_asks_teams_to_fetch_the_dialog() -> None:
    assert cards.OpenDialogData("order", {"item": "pen"}).to_dict() == {
        "msteams": {"type": "task/fetch"},
        "item": "pen",
        "dialog_id": "order",
    }
    kept = cards.OpenDialogData("order", {"msteams": {"type": "imBack", "x": 1}}, self=2)
    assert kept.to_dict() == {"msteams": {"type": "task/fetch", "x": 1}, "self": 2, "dialog_id": "order"}


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
    with pytest.raises(ValidationError) as raised:
        Approve.data(days="secret")
    assert "error for Approve\ndays\n  Input should be a valid integer" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_payload_class_in_the_place_of_its_data_is_an_error_that_says_what_to_write() -> None:
    with pytest.raises(ValidationError, match=r"Reject is a class: write Reject.data\(\.\.\.\)"):
        cards.ActionExecute(data=Reject)
    with pytest.raises(TypeError, match=r"write Reject.data\(\.\.\.\)"):
        cards.ActionSubmit(data={"deep": [Reject]}).to_dict()


@pytest.mark.filterwarnings("ignore:Field name")
@pytest.mark.parametrize("name", ["action", "dialog_id", "data", "from_submit", "to_submit_data"])
def test_a_field_called_as_what_every_payload_has_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=f'has a field {name!r}.*Field\\(alias="{name}"\\)'):
        type(
            "Bad", (cards.SubmitPayload,), {"__annotations__": {name: str}, "__module__": __name__, name: "x"}
        )


def test_a_payload_that_forbids_more_takes_what_a_button_sends_beside_the_fields() -> None:
    class Strict(cards.SubmitPayload, action="strict", dialog_id="d"):
        model_config = ConfigDict(extra="forbid")
        x: int

    data = {"action": "strict", "dialog_id": "d", "msteams": {"type": "task/fetch"}, "x": "1"}
    assert Strict.from_submit(data) == Strict(x=1)
    with pytest.raises(cards.InvalidPayloadError, match="y: Extra inputs are not permitted"):
        Strict.from_submit({**data, "y": 1})

    class Aliased(cards.SubmitPayload, action="strict"):
        data_: str = Field(alias="data")
        teams: dict[str, str] = Field(alias="msteams")

    read = Aliased.from_submit({**data, "data": "z"})
    assert read == Aliased(data="z", msteams={"type": "task/fetch"})


def test_a_field_is_read_by_the_name_that_is_for_reading_alone() -> None:
    class Renamed(cards.SubmitPayload, action="rename"):
        people: list[str] = Field(validation_alias="who")
        what: str = Field(validation_alias="action")

    read = Renamed.from_submit({"action": "rename", "who": "a,b"})
    assert read is not None
    assert (read.people, read.what) == (["a", "b"], "rename")


def test_several_choices_are_read_wherever_a_field_takes_several() -> None:
    class Several(cards.SubmitPayload):
        a: list[str]
        b: Annotated[list[int], "x"]
        c: Annotated[list[int], Field(min_length=1)] | None = None
        d: Sequence[str] = ()
        e: frozenset[str] = frozenset()
        f: Literal["p,q"] = "p,q"
        g: str = ""

    read = Several.from_submit(
        {"a": "", "b": "1,2", "c": "3,4", "d": "p,q", "e": "p", "f": "p,q", "g": "p,q"}
    )
    assert read == Several(a=[], b=[1, 2], c=[3, 4], d=["p", "q"], e=frozenset({"p"}), g="p,q")


def test_an_input_that_came_empty_is_told_from_one_that_did_not_come() -> None:
    with pytest.raises(cards.InvalidPayloadError) as empty:
        Rated.from_submit({"stars": ""})
    assert empty.value.faults == {"stars": "It came empty, and is needed"}
    assert "have to be those of the fields" not in str(empty.value)
    with pytest.raises(
        cards.InvalidPayloadError, match=r"stars: Field required.*have to be those of the fields"
    ):
        Rated.from_submit({})


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("word", "Value error"),
        ("coded", "Refused (bad_code)"),
        ("disguised", "Field required"),
        ("day", "Input should be a valid date or datetime"),
        ("key", "Input should be a valid UUID"),
    ],
)
def test_no_fault_shows_what_a_validator_or_a_parser_says_of_the_value(field: str, said: str) -> None:
    with pytest.raises(cards.InvalidPayloadError) as raised:
        Rated.from_submit({"stars": "1", field: "secret"})
    assert raised.value.faults == {field: said}
    assert raised.value.for_user == f"Invalid input: {field}"


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


async def test_a_payload_is_of_the_dialog_that_the_button_opens_and_of_no_other(app: App, user: User) -> None:
    got: list[object] = []

    @app.on_message
    async def show(ctx: ActivityContext[MessageActivity]) -> None:
        buttons = {"Order": Order.data, "Return": Return.data}
        await ctx.send(
            card(*(cards.ActionSubmit(title=name, data=data(item="pen")) for name, data in buttons.items()))
        )

    @app.on_dialog_open
    async def open_dialog(
        ctx: ActivityContext[TaskFetchInvokeActivity], payload: Order | Return, order: Order | None
    ) -> TaskModuleResponse:
        got.extend((payload, order))
        return TaskModuleResponse(task=TaskModuleMessageResponse(value="Thank you"))

    await user.say("card")
    await user.click("Return")
    await user.click("Order")
    assert got == [Return(item="pen"), None, Order(item="pen"), Order(item="pen")]


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


@pytest.mark.parametrize("days", ["x1", "", "secret"])
async def test_a_wrong_input_answers_a_card_action_with_the_error_that_teams_shows(
    app: App, user: User, errors: list[BaseException], days: str
) -> None:
    @app.on_message
    async def show(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(card(cards.ActionExecute(title="Wait", data=Wait.data())))

    @app.on_card_action_execute("wait")
    async def wait(ctx: ActivityContext[AdaptiveCardInvokeActivity], payload: Wait) -> None: ...

    await user.say("card")
    delivery = await user.click("Wait", inputs={"days": days})
    assert delivery.answer.body == {
        "statusCode": 400,
        "type": "application/vnd.microsoft.error",
        "value": {"code": "BadRequest", "message": "Invalid input: days"},
    }
    assert [type(error) for error in errors] == [cards.InvalidPayloadError]


async def test_a_wrong_input_answers_a_dialog_with_a_message(app: App, user: User) -> None:
    @app.on_message
    async def show(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(
            cards.AdaptiveCard(
                actions=[cards.ActionSubmit(title="Order", data=cards.OpenDialogData("order"))]
            )
        )

    @app.on_dialog_open("order")
    async def open_dialog(ctx: ActivityContext[TaskFetchInvokeActivity]) -> TaskModuleResponse:
        form = card(cards.ActionSubmit(title="Send", data=Approve.data(request_id="7")))
        task = CardTaskModuleTaskInfo(title="Order", card=form)
        return TaskModuleResponse(task=TaskModuleContinueResponse(value=task))

    @app.on_dialog_submit("approve")
    async def submitted(ctx: ActivityContext[TaskSubmitInvokeActivity], payload: Approve) -> None: ...

    await user.say("card")
    await user.click("Order")
    delivery = await user.submit_dialog({"days": "secret"})
    assert delivery.answer.body == {"task": {"type": "message", "value": "Invalid input: days"}}


async def test_what_an_error_handler_answers_a_wrong_input_with_comes_first(app: App, user: User) -> None:
    @app.on_message
    async def show(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(card(cards.ActionExecute(title="Yes", data=Approve.data(request_id="7"))))

    @app.on_card_action_execute("approve")
    async def approve(ctx: ActivityContext[AdaptiveCardInvokeActivity], payload: Approve) -> None: ...

    @app.on_error
    async def answer_it(
        ctx: ActivityContext[Any], error: Exception
    ) -> AdaptiveCardActionMessageResponse | None:
        assert isinstance(error, cards.InvalidPayloadError)
        return AdaptiveCardActionMessageResponse(value=" ".join(error.faults))

    await user.say("card")
    delivery = await user.click("Yes", inputs={"days": "x"})
    assert delivery.answer.body["value"] == "days"


@pytest.mark.parametrize("as_dict", [False, True])
async def test_a_card_that_is_returned_takes_the_place_of_the_one_that_was_clicked(
    app: App, user: User, as_dict: bool
) -> None:
    done = cards.AdaptiveCard(body=[cards.TextBlock(text="Done")])

    @app.on_message
    async def show(ctx: ActivityContext[MessageActivity]) -> None:
        await ctx.send(cards.AdaptiveCard(actions=[cards.ActionExecute(title="Yes", data=Approve.data())]))

    @app.on_card_action_execute("approve")
    async def approve(
        ctx: ActivityContext[AdaptiveCardInvokeActivity],
    ) -> cards.AdaptiveCard | dict[str, Any]:
        return done.to_dict() if as_dict else done

    await user.say("card")
    await user.click("Yes")
    assert user.screen.last.cards == [done.to_dict()]


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
