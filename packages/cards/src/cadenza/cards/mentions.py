"""Mentions in cards: a text, and an entity that says whom it means."""

from __future__ import annotations

from typing import Literal, Protocol, Self

from .objects import CardObject, Part
from .words import MentionType

__all__ = ["Mention", "MentionedEntity"]


class MentionedEntity(CardObject):
    """Who is mentioned: an id of Teams (``29:...``), of Entra ID, or a user principal name; a tag with
    ``mention_type="Tag"``."""

    id: str | None = None
    name: str | None = None
    mention_type: MentionType | None = None


class _Account(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str | None: ...


class Mention(CardObject):
    """A mention. In a text it stands as ``<at>name</at>``, which is what ``str()`` of it gives:

    ada = Mention.of(ctx.activity.from_)
    AdaptiveCard(body=[TextBlock(text=f"{ada}, please approve")], mentions=[ada])
    """

    type: Literal["mention"] = "mention"
    text: str | None = None
    mentioned: Part[MentionedEntity] | None = None

    @classmethod
    def of(
        cls, who: str | _Account, name: str | None = None, *, mention_type: MentionType | None = None
    ) -> Self:
        """A mention of an account (``ctx.activity.from_``), or of an id with a ``name``.

        Raises ValueError if there is no name: Teams would show nothing.
        """
        ident = who if isinstance(who, str) else who.id
        shown = name or (None if isinstance(who, str) else who.name)
        if not shown:
            raise ValueError(
                f"a mention of {ident!r} needs a name, which is what is shown: Mention.of(id, name)"
            )
        entity = MentionedEntity(id=ident, name=shown, mention_type=mention_type)
        return cls(text=f"<at>{shown}</at>", mentioned=entity)

    def __str__(self) -> str:
        return self.text or ""
