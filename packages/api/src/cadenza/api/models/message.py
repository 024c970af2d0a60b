"""Messages and typing indicators: received, to be sent, and sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any, Literal, Self

from pydantic import BaseModel

from .account import Account
from .activity import Activity, ActivityInput
from .attachment import Attachment, CardLike, SuggestedActions, card_attachment
from .base import WireModel
from .channel_data import ChannelData, FeedbackLoop
from .entity import (
    AI_GENERATED,
    CitationAppearance,
    CitationEntity,
    Claim,
    Entity,
    MentionEntity,
    MessageEntity,
    QuotedReplyData,
    QuotedReplyEntity,
    SensitiveUsage,
    SensitiveUsageEntity,
    SensitiveUsagePattern,
    StreamInfoEntity,
    TargetedMessageInfoEntity,
)
from .quote_mark import QUOTE_MARK, quote_mark

TextFormat = Literal["markdown", "plain", "xml", "extendedmarkdown"] | str
DeliveryMode = Literal["normal", "notification", "expectReplies", "ephemeral"] | str
InputHint = Literal["acceptingInput", "ignoringInput", "expectingInput"] | str


class AttachmentLayout(StrEnum):
    """How several attachments are shown."""

    LIST = "list"
    CAROUSEL = "carousel"


class Importance(StrEnum):
    """How important a message is."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class MessageFields(WireModel):
    """Fields of a message in either direction, beside its text."""

    text_format: TextFormat | None = None
    attachment_layout: AttachmentLayout | str | None = None
    attachments: list[Attachment] | None = None
    suggested_actions: SuggestedActions | None = None
    summary: str | None = None
    speak: str | None = None
    input_hint: InputHint | None = None
    importance: Importance | str | None = None
    delivery_mode: DeliveryMode | None = None
    expiration: datetime | None = None
    value: Any = None


@dataclass(frozen=True)
class StripMentionsTextOptions:
    """What ``strip_mentions_text()`` takes out: the mentions of ``account_id``, or of all; ``tag_only``
    leaves the names."""

    account_id: str | None = None
    tag_only: bool = False


MOST_ODD_TAGS = 20
"""How many different mentions ``strip_mentions_text()`` takes out that do not look like ``<at>name</at>``.
For each of them the text is walked through once more."""

_PLAIN_TAG = re.compile(r"<at>[^<]*</at>")


class _Places:
    """What takes the places of a tag: two people may bear one name; the n-th mention belongs to the n-th."""

    def __init__(self, tag: str, account_id: str | None, tag_only: bool) -> None:
        self._tag = tag
        self._name = tag.removeprefix("<at>").removesuffix("</at>") if tag_only else ""
        self._account_id = account_id
        self._passed = 0
        self.owners: list[str] = []

    def next(self) -> str:
        owner = self.owners[min(self._passed, len(self.owners) - 1)]
        self._passed += 1
        return self._name if self._account_id in (None, owner) else self._tag


class MessageActivity(MessageFields, Activity):
    """A message from a user. ``text`` is empty where there was none."""

    type: str = "message"
    text: str = ""

    def is_recipient_mentioned(self) -> bool:
        """Whether the bot that received the message is @mentioned in it."""
        return bool(self.recipient.id) and self.get_account_mention(self.recipient.id) is not None

    def get_account_mention(self, account_id: str) -> MentionEntity | None:
        """The first mention of an account, or None."""
        return next((m for m in self._mentions() if m.mentioned.id == account_id), None)

    def get_quoted_messages(self) -> list[QuotedReplyEntity]:
        """The messages that this one quotes, in order."""
        return [e for e in self.entities or [] if isinstance(e, QuotedReplyEntity)]

    def strip_mentions_text(
        self,
        options: StripMentionsTextOptions | None = None,
        *,
        account_id: str | None = None,
        tag_only: bool = False,
    ) -> Self:
        """Take the ``<at>...</at>`` of mentions out of ``text``, of one account or of all; returns self.

            activity.strip_mentions_text(account_id=activity.recipient.id)

        ``tag_only`` leaves the name. Both may come as ``options`` instead. Of mentions that stand in the text
        in another form than ``<at>name</at>``, the first ``MOST_ODD_TAGS`` are looked for. Changes
        ``text`` of this object only; ``raw`` keeps what was received.
        """
        if options is not None:
            tag_only, account_id = options.tag_only, options.account_id
        plain: dict[str, _Places] = {}
        others: dict[str, _Places] = {}
        for mention in self._mentions():
            tag = mention.text or f"<at>{mention.mentioned.name}</at>"
            tags = plain if _PLAIN_TAG.fullmatch(tag) else others
            places = tags.get(tag)
            if places is None:
                places = tags[tag] = _Places(tag, account_id, tag_only)
            places.owners.append(mention.mentioned.id)

        # One walk for all tags of the usual form: there may be thousands, in a long text.
        def replaced(match: re.Match[str]) -> str:
            places = plain.get(match[0])
            return match[0] if places is None else places.next()

        text = _PLAIN_TAG.sub(replaced, self.text) if plain else self.text
        for tag, places in islice(others.items(), MOST_ODD_TAGS):
            first, *rest = text.split(tag)
            text = "".join([first, *(places.next() + piece for piece in rest)])
        self.text = text.strip()
        return self

    def strip_quotes_text(self) -> Self:
        """Take the marks of quoted messages out of ``text``; returns self. ``get_quoted_messages()`` still
        tells what was quoted. Changes ``text`` of this object only."""
        self.text = QUOTE_MARK.sub("", self.text).strip()
        return self

    def _mentions(self) -> list[MentionEntity]:
        return [e for e in self.entities or [] if isinstance(e, MentionEntity)]


class TypingActivity(Activity):
    """Someone is typing."""

    type: str = "typing"
    text: str | None = None
    text_format: TextFormat | None = None


class MessageActivityInput(MessageFields, ActivityInput):
    """A message to send. See :class:`~cadenza.api.ActivityInput` for the builders that every activity has."""

    type: str | None = "message"
    text: str | None = None

    def with_text(self, text: str) -> Self:
        """Set the text."""
        self.text = text
        return self

    def add_text(self, text: str) -> Self:
        """Append to the text."""
        self.text = (self.text or "") + text
        return self

    def with_text_format(self, text_format: TextFormat) -> Self:
        """Set how the text is read; Teams reads Markdown by default."""
        self.text_format = text_format
        return self

    def with_attachment_layout(self, attachment_layout: AttachmentLayout | str) -> Self:
        """Show several attachments as a list or as a carousel."""
        self.attachment_layout = attachment_layout
        return self

    def with_suggested_actions(self, suggested_actions: SuggestedActions) -> Self:
        """Set the buttons above the compose box."""
        self.suggested_actions = suggested_actions
        return self

    def with_summary(self, summary: str) -> Self:
        """Set what notifications and clients that cannot draw the cards show."""
        self.summary = summary
        return self

    def with_speak(self, speak: str) -> Self:
        """Set what is spoken."""
        self.speak = speak
        return self

    def with_input_hint(self, input_hint: InputHint) -> Self:
        """Set whether the bot waits for an answer."""
        self.input_hint = input_hint
        return self

    def with_importance(self, importance: Importance | str) -> Self:
        """Set the importance."""
        self.importance = importance
        return self

    def with_delivery_mode(self, delivery_mode: DeliveryMode) -> Self:
        """Set how the message is delivered."""
        self.delivery_mode = delivery_mode
        return self

    def with_expiration(self, expiration: datetime) -> Self:
        """Set when the message stops being of interest."""
        self.expiration = expiration
        return self

    def add_attachments(self, *attachments: Attachment) -> Self:
        """Add attachments."""
        self.attachments = [*(self.attachments or []), *attachments]
        return self

    def add_card(self, card: Mapping[str, Any] | CardLike | BaseModel) -> Self:
        """Add a card: an Adaptive Card (a dict, which goes out as it is, or an object with ``to_dict()``), or
        a classic one such as :class:`~cadenza.api.HeroCard`, with its own content type.

        Raises TypeError for anything else.
        """
        return self.add_attachments(card_attachment(card))

    def add_mention(self, account: Account, text: str | None = None, add_text: bool = True) -> Self:
        """Mention an account by its name or by ``text``.

        Appends ``<at>...</at>`` to the text, unless ``add_text`` is False because the text holds it already.
        """
        tag = f"<at>{text or account.name or account.id}</at>"
        if add_text:
            self.add_text(tag)
        return self.add_entity(MentionEntity(mentioned=account, text=tag))

    def is_recipient_mentioned(self) -> bool:
        """Whether the recipient is mentioned in the message."""
        return self.recipient is not None and self.get_account_mention(self.recipient.id) is not None

    def get_account_mention(self, account_id: str) -> MentionEntity | None:
        """The first mention of an account, or None."""
        mentions = (e for e in self.entities or [] if isinstance(e, MentionEntity))
        return next((m for m in mentions if m.mentioned.id == account_id), None)

    def add_ai_generated(self) -> Self:
        """Label the message as generated by AI. Doing so twice changes nothing."""
        entity = self._message_entity()
        labels = entity.additional_type or []
        if AI_GENERATED not in labels:
            entity.additional_type = [*labels, AI_GENERATED]
        return self._with_message_entity(entity)

    def add_citation(self, position: int, appearance: CitationAppearance) -> Self:
        """Add the source for ``[position]`` in the text, clipped to Teams' limits; ``appearance`` is not
        changed.

        A later citation for the same position replaces the earlier one.
        """
        entity = CitationEntity(**dict(self._message_entity()))
        others = [claim for claim in entity.citation or [] if claim.position != position]
        entity.citation = [*others, Claim(position=position, appearance=appearance.to_appearance())]
        return self._with_message_entity(entity)

    def add_sensitivity_label(
        self, name: str, description: str | None = None, pattern: SensitiveUsagePattern | None = None
    ) -> Self:
        """Label the message as sensitive: Teams shows a shield with ``name``, and ``description`` when it is
        pointed at. ``pattern`` names the label in its set. Replaces an earlier label, keeps the rest of the
        message's one schema.org entity (teams-protocol.md 1.5)."""
        entity = self._message_entity()
        label = SensitiveUsage(name=name, description=description, pattern=pattern)
        if isinstance(entity, CitationEntity | SensitiveUsageEntity):
            entity.usage_info = label
        else:
            entity = SensitiveUsageEntity(**{**dict(entity), "usage_info": label})
        return self._with_message_entity(entity)

    def add_feedback(self, mode: Literal["default", "custom"] = "default") -> Self:
        """Ask for thumbs up or down. ``custom`` lets the bot supply the form (``message/fetchTask``). Raises
        ValueError for another mode."""
        if mode not in ("default", "custom"):
            raise ValueError(f'add_feedback takes the mode "default" or "custom", not {mode!r}.')
        return self.with_channel_data(ChannelData(feedback_loop=FeedbackLoop(type=mode)))

    def add_stream_final(self, stream_id: str | None = None) -> Self:
        """Make this the final message of the stream ``stream_id`` (by default, of this message's ``id``).

        Replaces earlier stream info; a final carries no sequence (teams-protocol.md 1.5).
        """
        self.id = stream_id or self._stream_id()
        return self._with_stream_info(StreamInfoEntity(stream_id=self.id, stream_type="final"))

    def prepend_quote(self, message_id: str) -> Self:
        """Quote a message of this conversation before the text."""
        self.text = f"{quote_mark(message_id)} {self.text or ''}"
        return self.add_entity(_quote(message_id))

    def add_quote(self, message_id: str, text: str | None = None) -> Self:
        """Append a quote of a message of this conversation, then ``text`` as the answer to it."""
        self.add_text(quote_mark(message_id) + (f" {text}" if text else ""))
        return self.add_entity(_quote(message_id))

    def add_targeted_message_info(self, message_id: str) -> Self:
        """Tie this message to a targeted one. A quote of that message is taken out: the two exclude each
        other."""
        if self.text:
            mark = quote_mark(message_id)
            self.text = self.text.replace(f"{mark} ", "").replace(mark, "")
        kept: list[Entity] = []
        for entity in self.entities or []:
            quoted = isinstance(entity, QuotedReplyEntity) and entity.quoted_reply.message_id == message_id
            if not quoted and not isinstance(entity, TargetedMessageInfoEntity):
                kept.append(entity)
        self.entities = kept
        return self.add_entity(TargetedMessageInfoEntity(message_id=message_id))

    def _message_entity(self) -> MessageEntity:
        """A copy of the message's one schema.org entity, or a new one."""
        found = next((e for e in self.entities or [] if isinstance(e, MessageEntity)), None)
        return found.model_copy() if found else MessageEntity()

    def _with_message_entity(self, entity: MessageEntity) -> Self:
        others = list(self.entities or [])
        place = next((i for i, e in enumerate(others) if isinstance(e, MessageEntity)), len(others))
        self.entities = [*others[:place], entity, *others[place + 1 :]]
        return self


class TypingActivityInput(ActivityInput):
    """A typing indicator, or, with ``text`` and ``add_stream_update()``, a piece of a streamed message."""

    type: str | None = "typing"
    text: str | None = None
    text_format: TextFormat | None = None

    def with_text(self, value: str) -> Self:
        """Set the text."""
        self.text = value
        return self

    def add_text(self, text: str) -> Self:
        """Append to the text."""
        self.text = (self.text or "") + text
        return self

    def with_text_format(self, value: TextFormat) -> Self:
        """Set how the text is read."""
        self.text_format = value
        return self

    def add_stream_update(
        self, sequence: int = 1, stream_type: Literal["informative", "streaming"] = "streaming"
    ) -> Self:
        """Make this the ``sequence``-th piece of a stream, counted from 1; all but the first need the
        stream's id as the ``id`` of this activity (teams-protocol.md 1.2). Replaces earlier stream info."""
        info = StreamInfoEntity(
            stream_id=self._stream_id(), stream_type=stream_type, stream_sequence=sequence
        )
        return self._with_stream_info(info)


ActivityParams = MessageActivityInput | TypingActivityInput
"""What a bot sends."""


@dataclass(frozen=True, slots=True)
class SentActivity:
    """What became of something that was sent.

    ``id`` is the id that the service gave; empty where it gave none, as for typing indicators.
    ``activity_params`` is what was sent. ``parts`` are the ids of all messages that an answer was split into,
    in order; ``id`` is the last of them.
    """

    id: str
    activity_params: ActivityParams | None = None
    parts: tuple[str, ...] = ()


def _quote(message_id: str) -> QuotedReplyEntity:
    return QuotedReplyEntity(quoted_reply=QuotedReplyData(message_id=message_id))
