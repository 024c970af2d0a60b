"""The card itself, and what belongs to it as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from .actions import ActionExecute
from .images import Background
from .mentions import Mention
from .objects import (
    Actions,
    AnyJson,
    CardObject,
    ElementFallback,
    Elements,
    JsonObject,
    Layouts,
    OneAction,
    Part,
    Parts,
    Requires,
    written,
)
from .words import ContainerStyle, TeamsCardWidth, Version, VerticalAlignment

__all__ = [
    "SCHEMA",
    "AdaptiveCard",
    "AuthCardButton",
    "Authentication",
    "MSTeams",
    "Metadata",
    "Refresh",
    "Resources",
    "StringResource",
    "TokenExchangeResource",
]

SCHEMA = "http://adaptivecards.io/schemas/adaptive-card.json"
"""What ``$schema`` of a card says."""


class Refresh(CardObject):
    """Has a card refreshed when somebody looks at it: Teams runs ``action`` for them, by itself
    for the users in ``user_ids`` (at most 60), and shows the card that the bot answers with. Until
    ``expires`` (a time of ISO 8601) the card need not be refreshed."""

    action: Part[ActionExecute] | None = None
    user_ids: Sequence[str] | None = None
    expires: str | None = None


class AuthCardButton(CardObject):
    """A button of :class:`Authentication`."""

    type: str | None = None
    title: str | None = None
    image: str | None = None
    value: str | None = None


class TokenExchangeResource(CardObject):
    """What single sign-on asks for."""

    id: str | None = None
    uri: str | None = None
    provider_id: str | None = None


class Authentication(CardObject):
    """How users sign in before actions of this card run."""

    text: str | None = None
    connection_name: str | None = None
    buttons: Parts[AuthCardButton] | None = None
    token_exchange_resource: Part[TokenExchangeResource] | None = None


class MSTeams(CardObject):
    """What only Teams does with a card: ``width="Full"``, and ``entities`` for the mentions in its texts."""

    width: TeamsCardWidth | None = None
    entities: Parts[Mention] | None = None


class Metadata(CardObject):
    """Where what the card tells of is on the web."""

    web_url: str | None = None


class StringResource(CardObject):
    """A text in several languages."""

    default_value: str | None = None
    localized_values: Mapping[str, str] | None = None


if TYPE_CHECKING:
    Strings: TypeAlias = Mapping[str, StringResource | JsonObject]
else:
    Strings = AnyJson


class Resources(CardObject):
    """Texts of a card in several languages, by their names."""

    strings: Strings | None = None


class AdaptiveCard(CardObject):
    """An Adaptive Card: what ``ctx.send()``, ``add_card()`` and ``AdaptiveCardAttachment`` take.

        card = AdaptiveCard(
            body=[TextBlock(text="Approve the order?", weight="Bolder")],
            actions=[ActionExecute(title="Approve", data=SubmitData("approve", order=7))],
            full_width=True,
        )

    ``full_width=True`` lets it take all of the width that the chat has (``msteams.width``).
    ``mentions=[ada]`` makes the ``<at>`` texts of :class:`Mention` in it real ones (``msteams.entities``).
    Both are added to what ``msteams`` has when the card is written.
    """

    other_names: ClassVar[Mapping[str, str]] = {"schema": "schema_", "ac_schema": "schema_"}

    type: Literal["AdaptiveCard"] = "AdaptiveCard"
    schema_: str | None = SCHEMA
    version: Version | None = "1.5"
    body: Elements | None = None
    actions: Actions | None = None
    full_width: SkipJsonSchema[bool] = Field(default=False, exclude=True)
    mentions: SkipJsonSchema[Sequence[Mention]] = Field(default=(), exclude=True)
    msteams: Part[MSTeams] | None = None
    select_action: OneAction | None = None
    refresh: Part[Refresh] | None = None
    authentication: Part[Authentication] | None = None
    fallback_text: str | None = None
    speak: str | None = None
    lang: str | None = None
    rtl: bool | None = None
    background_image: Background | None = None
    min_height: str | None = None
    vertical_content_alignment: VerticalAlignment | None = None
    style: ContainerStyle | None = None
    layouts: Layouts | None = None
    metadata: Part[Metadata] | None = None
    resources: Part[Resources] | None = None
    id: str | None = None
    requires: Requires | None = None
    fallback: ElementFallback | None = None
    is_sort_key: bool | None = None
    grid_area: str | None = None

    @classmethod
    def parse(cls, source: str | bytes | Mapping[str, Any]) -> Self:
        """The card in JSON text, or in a dict. Nothing is lost: see :meth:`CardObject.from_dict`.

        Raises ValueError for text that is no JSON, or JSON that is no Adaptive Card.
        """
        return cls.from_dict(json.loads(source) if isinstance(source, str | bytes) else source)

    def to_json(self) -> str:
        """The card as JSON text, without spaces."""
        return json.dumps(self.to_dict(), ensure_ascii=False, separators=(",", ":"))

    def _finish(self, made: dict[str, Any]) -> None:
        if not self.full_width and not self.mentions:
            return
        teams = dict(made.get("msteams") or {})
        if self.full_width:
            teams["width"] = "Full"
        if self.mentions:
            entities = list(teams.get("entities") or [])
            for mention in map(written, self.mentions):
                if mention not in entities:
                    entities.append(mention)
            teams["entities"] = entities
        made["msteams"] = teams
