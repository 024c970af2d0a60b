"""What buttons send, and how a handler gets it as a model.

``ActionSubmit(data=...)`` and ``ActionExecute(data=...)`` send their data together with the inputs of the
card. Two names in it say which handler it goes to: ``action`` (``on_dialog_submit("approve")``,
``on_card_action_execute("approve")``) and ``dialog_id`` (``on_dialog_open("order")``). A ``msteams`` in the
data of an ActionSubmit has Teams do something else with the click (the classes named ...SubmitActionData).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self, get_args, get_origin

from cadenza.api import CadenzaError
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, PydanticKnownError

from .actions import SubmitActionData
from .objects import AnyJson, CardObject, Part, written
from .strictness import nearest

__all__ = [
    "CollabStageInvokeDataValue",
    "ImBackSubmitActionData",
    "InvalidPayloadError",
    "InvokeSubmitActionData",
    "MessageBackSubmitActionData",
    "OpenDialogData",
    "SigninSubmitActionData",
    "SubmitData",
    "SubmitPayload",
    "TabInfo",
    "TaskFetchSubmitActionData",
]


class SubmitData(SubmitActionData):
    """Data for the handler of ``action``: ``SubmitData("approve", {"order": 7})`` or
    ``SubmitData("approve", order=7)`` is written as ``{"order": 7, "action": "approve"}``.

    ``action`` wins over a field of that name in ``data``. The ids of the card's inputs come beside these
    names when the user clicks, and win over them.
    """

    # Defined for Python too: a positional parameter is not a field.
    def __init__(
        self, /, action: str | None = None, data: Mapping[str, Any] | None = None, **fields: Any
    ) -> None:
        named = {"action": action} if action is not None else {}
        super().__init__(**{**(data or {}), **fields, **named})

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined] # reading does not come by here


class OpenDialogData(SubmitActionData):
    """Data that opens the dialog of ``on_dialog_open(dialog_id)``: of an ActionSubmit, which then sends
    ``task/fetch``. What is in ``data`` comes along; of its ``msteams``, all but the ``type``."""

    def __init__(self, /, dialog_id: str, data: Mapping[str, Any] | None = None, **fields: Any) -> None:
        given = {**(data or {}), **fields}
        teams = written(given.get("msteams"))
        fetch = {**(teams if isinstance(teams, dict) else {}), **TaskFetchSubmitActionData().to_dict()}
        super().__init__(**{**given, "msteams": fetch, "dialog_id": dialog_id})

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined] # reading does not come by here


class _TeamsData(CardObject):
    """The ``msteams`` in the data of a button."""

    takes_any_field: ClassVar[bool] = False

    def as_data(self, **fields: Any) -> SubmitActionData:
        """The data of a button that does this, with other fields beside it."""
        return SubmitActionData(msteams=self, **fields)


class ImBackSubmitActionData(_TeamsData):
    """The button writes ``value`` into the chat, as if the user had."""

    type: Literal["imBack"] = "imBack"
    value: str


class TabInfo(CardObject):
    """The tab that a collaborative stage shows."""

    name: str | None = None
    content_url: str | None = None
    entity_id: str | None = None
    website_url: str | None = None


class CollabStageInvokeDataValue(CardObject):
    """The value of an invoke that opens a tab in the collaborative stage."""

    type: Literal["tab/tabInfoAction"] = "tab/tabInfoAction"
    tab_info: Part[TabInfo] | None = None


class InvokeSubmitActionData(_TeamsData):
    """The button sends an invoke with ``value``."""

    type: Literal["invoke"] = "invoke"
    value: AnyJson = None


class MessageBackSubmitActionData(_TeamsData):
    """The button sends a message to the bot: ``text`` is what the bot reads, ``display_text`` what the chat
    shows, ``value`` what comes beside."""

    type: Literal["messageBack"] = "messageBack"
    text: str
    display_text: str | None = None
    value: AnyJson = None


class SigninSubmitActionData(_TeamsData):
    """The button opens the sign-in page at ``value``."""

    type: Literal["signin"] = "signin"
    value: str


class TaskFetchSubmitActionData(_TeamsData):
    """The button opens a dialog, for which Teams asks with ``task/fetch``: see :class:`OpenDialogData`."""

    type: Literal["task/fetch"] = "task/fetch"


class InvalidPayloadError(CadenzaError, ValueError):
    """What a button sent does not fit the :class:`SubmitPayload` of its action.

    ``faults`` has, for each field that is wrong, its name and what is wrong. No value is in it, and nothing
    that a validator of the payload said: only its kind.

    If it is not caught, the user who clicked is told ``for_user``, which names the fields: in the place of
    the answer to a card action or a dialog. What an ``on_error`` handler returns comes before it.
    """

    def __init__(self, payload: type[SubmitPayload], faults: Mapping[str, str]) -> None:
        self.payload = payload
        self.faults = dict(faults)
        fields = dict.fromkeys(name.partition(".")[0] for name in self.faults if name != _WHOLE)
        self.for_user = f"Invalid input: {', '.join(fields)}" if fields else "Invalid input"
        shown = "; ".join(f"{name}: {fault}" for name, fault in self.faults.items())
        hint = ""
        if _NOT_THERE in self.faults.values():
            hint = " The ids of the card's inputs, and the names in its data, have to be those of the fields."
        super().__init__(f"What was submitted does not fit {payload.__name__}{payload._of()}: {shown}.{hint}")


class SubmitPayload(BaseModel):
    """The data of an action, as a model. Derive one for each action:

        class Approve(SubmitPayload, action="approve"):
            request_id: str
            comment: str = ""

        card = AdaptiveCard(
            body=[InputText(id="comment")],
            actions=[ActionExecute(title="Approve", data=Approve.data(request_id="7"))],
        )

        @app.on_card_action_execute("approve")
        async def approve(ctx: ActivityContext[AdaptiveCardInvokeActivity], payload: Approve) -> ...: ...

    A handler that has a parameter of such a type gets it filled with what was submitted: in
    ``on_dialog_open``, ``on_dialog_submit``, ``on_card_action_execute``, ``on_card_action``, and where an
    ActionSubmit arrives as the value of a message. It takes part only if the data names this action:
    `Approve | None` is None for any other, and `Approve | Reject` is the one that it names. Data that names
    the action and does not fit raises :class:`InvalidPayloadError`.

    Inputs arrive as text, and are read as the field's type: ``"5"`` for an int, ``"true"`` for a bool,
    ``"a,b"`` for a list (of a choice set of which several may be chosen), ``"2026-11-21"`` for a date, and
    ``"13:30"`` for a time. An empty input is, where the field takes no text, as if it were absent. What the
    model does not have is left out, and so are `action`, `dialog_id` and `msteams`, if no field is for them.

    A field may not be called as what every payload has (`action`, `data`...): making the class raises
    TypeError. For an input with such an id: `data_: str = Field(alias="data")`.

    ``dialog_id="order"`` in the place of ``action`` makes the payload of ``on_dialog_open("order")``; with
    neither, any data is tried.
    """

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    action: ClassVar[str | None] = None
    """The action of this payload."""

    dialog_id: ClassVar[str | None] = None
    """The dialog that this payload opens."""

    def __init_subclass__(
        cls, action: str | None = None, dialog_id: str | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if action is not None:
            cls.action = action
        if dialog_id is not None:
            cls.dialog_id = dialog_id

    if not TYPE_CHECKING:  # pydantic wants to be asked, too

        @classmethod
        def __pydantic_init_subclass__(cls, action=None, dialog_id=None, **kwargs):
            super().__pydantic_init_subclass__(**kwargs)
            for name in cls.model_fields:
                if name in vars(SubmitPayload):
                    raise TypeError(
                        f"{cls.__name__} has a field {name!r}, which every SubmitPayload has for itself. "
                        f'Call it {name}_, with Field(alias="{name}") for an input that has this id.'
                    )

    @classmethod
    def data(cls, **fields: Any) -> SubmitActionData:
        """The data of a button: some of the fields, and the action. The others are left to the inputs of the
        card, whose ids have the same names.

        Raises `pydantic.ValidationError` for a value that the field does not take, which it does not show,
        and TypeError for a name that is no field.
        """
        given: dict[str, Any] = {}
        for name, value in fields.items():
            if name not in cls.model_fields:
                raise TypeError(
                    f"{cls.__name__} has no field {name!r}.{nearest(name, list(cls.model_fields))}"
                )
            adapter = _adapter(cls, name)
            alias = cls.model_fields[name].serialization_alias or name
            try:
                made = adapter.validate_python(value)
            except ValidationError as error:
                raise _wrong_value(cls, name, error) from None
            given[alias] = adapter.dump_python(made, mode="json", by_alias=True)
        return cls._named(given)

    def to_submit_data(self) -> SubmitActionData:
        """The data of a button with all fields of this payload: what ``data=Approve(...)`` is written as."""
        return self._named(self.model_dump(mode="json", by_alias=True))

    @classmethod
    def from_submit(cls, data: Mapping[str, Any]) -> Self | None:
        """The payload in what was submitted; None if the data is of another action or dialog.

        Raises :class:`InvalidPayloadError` if it is of this one and does not fit.
        """
        if not cls._is_meant(data):
            return None
        own = _names(cls)
        values = {
            key: _several(value) if isinstance(value, str) and own.get(key) else value
            for key, value in data.items()
            if key in own or key not in _OURS
        }
        try:
            return cls._read(values)
        except ValidationError as error:
            empty = {str(fault["loc"][0]) for fault in error.errors() if fault["loc"]}
            empty = {name for name in empty if values.get(name) == ""}
            faults = error
        if empty:
            try:
                return cls._read({key: value for key, value in values.items() if key not in empty})
            except ValidationError as error:
                faults = error
        raise InvalidPayloadError(
            cls,
            {
                ".".join(map(str, fault["loc"])) or _WHOLE: _EMPTY
                if fault["type"] == "missing" and fault["loc"][0] in empty
                else _said(fault)
                for fault in _faults(faults)
            },
        ) from None

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> Self:
        return cls.model_validate(values, by_alias=True, by_name=True)

    @classmethod
    def _is_meant(cls, data: Mapping[str, Any]) -> bool:
        if cls.action is not None and data.get("action") != cls.action:
            return False
        return cls.dialog_id is None or data.get("dialog_id") == cls.dialog_id

    @classmethod
    def _named(cls, fields: Mapping[str, Any]) -> SubmitActionData:
        named = {} if cls.action is None else {"action": cls.action}
        if cls.dialog_id is not None:
            return OpenDialogData(cls.dialog_id, {**fields, **named})
        return SubmitData(None, {**fields, **named})

    @classmethod
    def _of(cls) -> str:
        if cls.action is not None:
            return f" of the action {cls.action!r}"
        return f" of the dialog {cls.dialog_id!r}" if cls.dialog_id is not None else ""


@cache
def _adapter(payload: type[SubmitPayload], name: str) -> TypeAdapter[Any]:
    field = payload.model_fields[name]
    kind: Any = field.annotation
    return TypeAdapter(Annotated[(kind, *field.metadata)] if field.metadata else kind)


@cache
def _names(payload: type[SubmitPayload]) -> dict[str, bool]:
    """The names that fields are read by, and whether several values are (of a choice set of which several may
    be chosen, which arrive as one text)."""
    names: dict[str, bool] = {}
    for name, field in payload.model_fields.items():
        several = _holds_several(field.annotation)
        names[name] = several
        if isinstance(field.validation_alias, str):
            names[field.validation_alias] = several
    return names


def _holds_several(kind: Any) -> bool:
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    own = get_origin(kind) or kind
    if isinstance(own, type):
        return issubclass(own, Collection) and not issubclass(own, str | bytes | Mapping)
    return own is not Literal and any(map(_holds_several, get_args(kind)))


def _several(value: str) -> list[str]:
    return value.split(",") if value else []


def _faults(error: ValidationError) -> list[Any]:
    return error.errors(include_url=False, include_input=False)


def _said(fault: Mapping[str, Any]) -> str:
    """What is wrong, without what may come from the value: what validators say, and what parsers do."""
    kind = fault["type"]
    try:
        known = PydanticKnownError(kind, fault.get("ctx"))
    except (KeyError, TypeError):  # of the program's own
        return f"Refused ({kind})"
    told = _OF_THE_VALUE.search(known.message_template)
    return known.message_template[: told.start()] if told else known.message()


def _wrong_value(payload: type[SubmitPayload], name: str, error: ValidationError) -> ValidationError:
    return ValidationError.from_exception_data(
        payload.__name__,
        [
            InitErrorDetails(
                type=PydanticCustomError("wrong_value", "{text}", {"text": _said(fault)}),
                loc=(name, *fault["loc"]),
                input=None,
            )
            for fault in _faults(error)
        ],
        hide_input=True,
    )


_OURS: Final = ("action", "dialog_id", "msteams")
"""What the data of a button has beside the fields."""

_WHOLE: Final = "the whole"
_EMPTY: Final = "It came empty, and is needed"
_NOT_THERE: Final = PydanticKnownError("missing").message_template
_OF_THE_VALUE: Final = re.compile(r"[\s,:']*\{\w*(?:error|tag)\}")
"""Where pydantic tells of the value: `Value error, {error}`."""
