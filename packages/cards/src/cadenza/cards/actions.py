"""What buttons do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from .objects import (
    Action,
    AnyJson,
    CardObject,
    JsonObject,
    OneElement,
    Part,
    Plain,
    Slot,
)
from .words import AssociatedInputs, ImageInsertPosition, PopoverPosition

if TYPE_CHECKING:
    from .card import AdaptiveCard

    WholeCard: TypeAlias = AdaptiveCard | Plain | JsonObject
else:
    WholeCard = Annotated[Any, Slot("card")]

__all__ = [
    "ActionExecute",
    "ActionInsertImage",
    "ActionOpenUrl",
    "ActionOpenUrlDialog",
    "ActionPopover",
    "ActionResetInputs",
    "ActionShowCard",
    "ActionSubmit",
    "ActionToggleVisibility",
    "SubmitActionData",
    "TargetElement",
    "TeamsSubmitActionFeedback",
    "TeamsSubmitActionProperties",
]


class SubmitActionData(CardObject):
    """The data of a button: any fields. ``msteams`` tells Teams what else the button does; see
    `cadenza.cards.submit`."""

    takes_any_field: ClassVar[bool] = True

    msteams: AnyJson = None

    if TYPE_CHECKING:

        def __init__(self, *, msteams: object = None, **fields: Any) -> None: ...


class ActionExecute(Action):
    """Sends its data and the inputs of the card to the bot, which may answer with another card: handlers of
    ``on_card_action_execute``."""

    type: Literal["Action.Execute"] = "Action.Execute"
    verb: str | None = None
    data: AnyJson = None
    associated_inputs: AssociatedInputs | None = None
    conditionally_enabled: bool | None = None


class TeamsSubmitActionFeedback(CardObject):
    """``hide`` leaves out the line that says that the answer was sent."""

    hide: bool | None = None


class TeamsSubmitActionProperties(CardObject):
    """What only Teams does with an ActionSubmit."""

    feedback: Part[TeamsSubmitActionFeedback] | None = None


class ActionSubmit(Action):
    """Sends its data and the inputs of the card to the bot: as the value of a message, or, in a dialog, of
    ``task/submit``. Data with ``msteams`` makes other things of it: see `cadenza.cards.submit`."""

    type: Literal["Action.Submit"] = "Action.Submit"
    data: AnyJson = None
    associated_inputs: AssociatedInputs | None = None
    conditionally_enabled: bool | None = None
    msteams: Part[TeamsSubmitActionProperties] | None = None


class ActionOpenUrl(Action):
    """Opens an address."""

    type: Literal["Action.OpenUrl"] = "Action.OpenUrl"
    url: str


class ActionOpenUrlDialog(Action):
    """Opens an address in a dialog of Teams. Sizes are "small", "medium", "large" or pixels (``"400px"``)."""

    type: Literal["Action.OpenUrlDialog"] = "Action.OpenUrlDialog"
    url: str | None = None
    dialog_title: str | None = None
    dialog_height: str | None = None
    dialog_width: str | None = None


class TargetElement(CardObject):
    """An element that is to be shown or hidden, by its id."""

    element_id: str
    is_visible: bool | None = None


if TYPE_CHECKING:
    Targets: TypeAlias = Sequence[str | TargetElement | Plain | JsonObject]
else:
    Targets = Annotated[Any, Slot(TargetElement, many=True, text=True)]


class ActionToggleVisibility(Action):
    """Shows or hides elements, by their ids."""

    type: Literal["Action.ToggleVisibility"] = "Action.ToggleVisibility"
    target_elements: Targets


class ActionShowCard(Action):
    """Shows another card below the buttons."""

    type: Literal["Action.ShowCard"] = "Action.ShowCard"
    card: WholeCard | None = None


class ActionPopover(Action):
    """Shows an element beside the button."""

    type: Literal["Action.Popover"] = "Action.Popover"
    content: OneElement | None = None
    display_arrow: bool | None = None
    position: PopoverPosition | None = None
    max_popover_width: str | None = None


class ActionResetInputs(Action):
    """Gives inputs the values that they began with: all, or those with the ids given."""

    type: Literal["Action.ResetInputs"] = "Action.ResetInputs"
    target_input_ids: Sequence[str] | None = None


class ActionInsertImage(Action):
    """Inserts an image where the user writes."""

    type: Literal["Action.InsertImage"] = "Action.InsertImage"
    url: str | None = None
    alt_text: str | None = None
    insert_position: ImageInsertPosition | None = None
