"""What a card asks for. The ``id`` is the name under which the answer arrives in the data of the action."""

from __future__ import annotations

from typing import Literal

from .objects import CardElement, CardObject, Number, OneAction, Part, Parts
from .words import AssociatedInputs, ChoiceSetInputStyle, InputTextStyle, RatingColor, RatingSize

__all__ = [
    "Input",
    "InputChoice",
    "InputChoiceSet",
    "InputDate",
    "InputNumber",
    "InputRating",
    "InputText",
    "InputTime",
    "InputToggle",
    "QueryData",
]


class Input(CardElement):
    """What all inputs share. A required input that is empty keeps the card from being sent, and shows
    ``error_message``."""

    id: str
    label: str | None = None
    is_required: bool | None = None
    error_message: str | None = None
    value_changed_action: OneAction | None = None


class InputText(Input):
    """Text."""

    type: Literal["Input.Text"] = "Input.Text"
    value: str | None = None
    placeholder: str | None = None
    max_length: Number | None = None
    is_multiline: bool | None = None
    style: InputTextStyle | None = None
    regex: str | None = None
    inline_action: OneAction | None = None


class InputDate(Input):
    """A day: ``"2026-11-21"``."""

    type: Literal["Input.Date"] = "Input.Date"
    value: str | None = None
    placeholder: str | None = None
    min: str | None = None
    max: str | None = None


class InputTime(Input):
    """A time of day: ``"16:30"``."""

    type: Literal["Input.Time"] = "Input.Time"
    value: str | None = None
    placeholder: str | None = None
    min: str | None = None
    max: str | None = None


class InputNumber(Input):
    """A number. It arrives as text."""

    type: Literal["Input.Number"] = "Input.Number"
    value: Number | None = None
    placeholder: str | None = None
    min: Number | None = None
    max: Number | None = None


class InputToggle(Input):
    """Yes or no. What arrives is ``value_on`` or ``value_off``: text, "true" and "false" unless given."""

    type: Literal["Input.Toggle"] = "Input.Toggle"
    title: str
    value: str | None = None
    value_on: str | None = None
    value_off: str | None = None
    wrap: bool | None = None
    show_title: bool | None = None


class InputChoice(CardObject):
    """A choice of an InputChoiceSet."""

    title: str
    value: str


class QueryData(CardObject):
    """Choices that are asked for while the user types: of the bot (``application/search``), or of Teams,
    which knows the people with the dataset ``graph.microsoft.com/users``."""

    type: Literal["Data.Query"] = "Data.Query"
    dataset: str
    associated_inputs: AssociatedInputs | None = None
    count: Number | None = None
    skip: Number | None = None


class InputChoiceSet(Input):
    """One choice of several, or several (``is_multi_select``: their values arrive joined by commas)."""

    type: Literal["Input.ChoiceSet"] = "Input.ChoiceSet"
    choices: Parts[InputChoice] | None = None
    choices_data: Part[QueryData] | None = None
    value: str | None = None
    style: ChoiceSetInputStyle | None = None
    is_multi_select: bool | None = None
    placeholder: str | None = None
    wrap: bool | None = None
    use_multiple_columns: bool | None = None
    min_column_width: str | None = None


class InputRating(Input):
    """Stars."""

    type: Literal["Input.Rating"] = "Input.Rating"
    value: Number | None = None
    max: Number | None = None
    allow_half_steps: bool | None = None
    size: RatingSize | None = None
    color: RatingColor | None = None
