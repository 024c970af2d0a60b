"""What the user sees of a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cadenza.testing.buttons import buttons_of
from cadenza.testing.outline import outline

__all__ = [
    "ChangeKind",
    "Citation",
    "FileConsent",
    "FileInfo",
    "Screen",
    "ScreenChange",
    "ScreenMessage",
    "ScreenState",
    "SignInButton",
]

CONSENT_CONTENT = "application/vnd.microsoft.teams.card.file.consent"
INFO_CONTENT = "application/vnd.microsoft.teams.card.file.info"
OAUTH_CONTENT = "application/vnd.microsoft.card.oauth"
SIGN_IN_CONTENT = "application/vnd.microsoft.card.signin"

ScreenState = Literal["streaming", "final", "expired", "stopped", "message"]
"""`streaming`: open; `final`, `expired` (two minutes passed), `stopped` (by the user): how a stream ended;
`message`: was never streamed."""

ChangeKind = Literal[
    "new", "text", "informative", "final", "expired", "stopped", "edited", "deleted", "typing", "reaction"
]


@dataclass(frozen=True, slots=True)
class Citation:
    """A source that a message names."""

    position: int
    name: str
    abstract: str = ""
    url: str | None = None


@dataclass(frozen=True, slots=True)
class FileConsent:
    """A file that the bot offers: the card with which it asks whether it may upload it."""

    name: str
    description: str = ""
    size: int | None = None  # bytes
    accept_context: Any = None
    decline_context: Any = None


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file that the bot has uploaded and shows."""

    name: str
    url: str = ""
    id: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True)
class SignInButton:
    """A button of an OAuth card or a sign-in card, and where it leads."""

    title: str
    link: str
    connection_name: str = ""  # "" on a sign-in card


@dataclass(slots=True, eq=False)
class ScreenMessage:
    """One message of the bot, as it stands. The JSON values are those of the request; do not change them."""

    id: str
    state: ScreenState
    text: str = ""
    informative: str | None = None  # the line shown while there is no text yet
    text_format: str | None = None
    attachments: list[dict[str, Any]] = field(default_factory=list)
    entities: list[dict[str, Any]] = field(default_factory=list)
    suggested_actions: dict[str, Any] | None = None
    channel_data: dict[str, Any] | None = None
    edited: bool = False
    deleted: bool = False
    targeted_to: str | None = None  # the id of the only member who sees it
    hidden_from: frozenset[str] = frozenset()  # the ids of members who do not see its OAuth card
    views: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The attachments as single members see them, by their ids: after a refresh, or a click on their card."""
    reactions: list[str] = field(default_factory=list)
    created_at: float = 0.0  # seconds on the caller's clock
    thread: str | None = None  # in a channel: the id of the message that began the thread it was sent to
    activity: dict[str, Any] = field(default_factory=dict)  # all of what was sent last

    @property
    def cards(self) -> list[dict[str, Any]]:
        """The contents of the cards attached: those that are on the screen, so do not change them."""
        return [
            attachment["content"]
            for attachment in self.attachments
            if str(attachment.get("contentType", "")).startswith("application/vnd.microsoft.card.")
            and isinstance(attachment.get("content"), dict)
        ]

    @property
    def buttons(self) -> list[str]:
        """The titles of the buttons of its cards."""
        return [str(action.get("title", "")) for action in buttons_of(self.cards)]

    @property
    def chips(self) -> list[str]:
        """The titles of the suggested actions."""
        actions = (self.suggested_actions or {}).get("actions")
        return [str(_object(one).get("title", "")) for one in (actions if isinstance(actions, list) else ())]

    @property
    def quotes(self) -> list[str]:
        """The ids of the messages that it quotes, in order."""
        return [
            str(_object(one.get("quotedReply")).get("messageId")) for one in self._entities("quotedReply")
        ]

    @property
    def mentions(self) -> list[str]:
        """The names of those whom it mentions."""
        return [str(_object(one.get("mentioned")).get("name")) for one in self._entities("mention")]

    @property
    def feedback(self) -> Literal["default", "custom"] | None:
        """Whether there are thumbs below it, and whose form they open: that of Teams or the bot's."""
        data = self.channel_data or {}
        loop = data.get("feedbackLoop")
        if isinstance(loop, dict):
            return "custom" if loop.get("type") == "custom" else "default"
        return "default" if data.get("feedbackLoopEnabled") is True else None

    @property
    def ai_generated(self) -> bool:
        """Whether it has the label "AI generated"."""
        return any("AIGeneratedContent" in str(one.get("additionalType")) for one in self._labels())

    @property
    def citations(self) -> list[Citation]:
        """The sources that it names, in order of their positions."""
        found: list[Citation] = []
        for label in self._labels():
            claims = label.get("citation")
            for claim in claims if isinstance(claims, list) else ():
                shown, position = _object(_object(claim).get("appearance")), _object(claim).get("position")
                name, abstract = str(shown.get("name", "")), str(shown.get("abstract", ""))
                position = position if isinstance(position, int) else 0
                found.append(Citation(position, name, abstract, shown.get("url")))
        return sorted(found, key=lambda citation: citation.position)

    @property
    def sensitivity(self) -> str | None:
        """The name of its sensitivity label."""
        for label in self._labels():
            if isinstance(usage := label.get("usageInfo"), dict):
                return str(usage.get("name"))
        return None

    @property
    def consents(self) -> list[FileConsent]:
        """The files that it offers."""
        return [
            FileConsent(
                str(one.get("name", "")),
                str(content.get("description", "")),
                content.get("sizeInBytes"),
                content.get("acceptContext"),
                content.get("declineContext"),
            )
            for one, content in self._contents(CONSENT_CONTENT)
        ]

    @property
    def files(self) -> list[FileInfo]:
        """The uploaded files that it shows."""
        return [
            FileInfo(
                str(one.get("name", "")),
                str(one.get("contentUrl", "")),
                str(content.get("uniqueId", "")),
                str(content.get("fileType", "")),
            )
            for one, content in self._contents(INFO_CONTENT)
        ]

    @property
    def oauth_cards(self) -> list[dict[str, Any]]:
        """The contents of its OAuth cards."""
        return [content for _, content in self._contents(OAUTH_CONTENT)]

    @property
    def sign_in_buttons(self) -> list[SignInButton]:
        """The buttons that lead to a page to sign in."""
        found: list[SignInButton] = []
        for type in (OAUTH_CONTENT, SIGN_IN_CONTENT):
            for _, card in self._contents(type):
                for button in buttons_of(card):
                    if button.get("type") in ("signin", "openUrl"):
                        title, link = str(button.get("title", "")), str(button.get("value", ""))
                        found.append(SignInButton(title, link, str(card.get("connectionName") or "")))
        return found

    def seen_by(self, member_id: str) -> ScreenMessage | None:
        """What one member sees of it: the message, a copy with the cards of that member or without the OAuth
        card that is hidden from that one, or nothing."""
        if self.targeted_to not in (None, member_id):
            return None
        if member_id in self.views:
            return replace(self, attachments=self.views[member_id], views={})
        if member_id not in self.hidden_from:
            return self
        rest = [one for one in self.attachments if one.get("contentType") != OAUTH_CONTENT]
        return replace(self, attachments=rest) if self.text or rest else None

    @property
    def importance(self) -> str | None:
        """low, normal, high or urgent, if it says so."""
        return self.activity.get("importance")

    @property
    def summary(self) -> str | None:
        """The text of its notification, if it says so."""
        return self.activity.get("summary")

    @property
    def layout(self) -> str | None:
        """How several attachments are laid out: list or carousel."""
        return self.activity.get("attachmentLayout")

    @property
    def reply_to(self) -> str | None:
        """The id of the activity that it answers."""
        return self.activity.get("replyToId")

    @property
    def alert(self) -> bool:
        """Whether it rings (channelData.notification.alert)."""
        notification = (self.channel_data or {}).get("notification")
        return isinstance(notification, dict) and notification.get("alert") is True

    def to_json(self) -> dict[str, Any]:
        """The message as a JSON-ready dict; what is empty is left out."""
        record = {
            "id": self.id,
            "state": self.state,
            "text": self.text,
            "informative": self.informative,
            "textFormat": self.text_format,
            "attachments": self.attachments,
            "entities": self.entities,
            "suggestedActions": self.suggested_actions,
            "channelData": self.channel_data,
            "edited": self.edited,
            "deleted": self.deleted,
            "targetedTo": self.targeted_to,
            "thread": self.thread,
            "reactions": self.reactions,
        }
        return {name: value for name, value in record.items() if value or name == "text"}

    def __str__(self) -> str:
        """What there is to see: a line with the text, and below it the cards in outline."""
        lines = [f"[{self.id} {'; '.join(self._marks())}] {self.text}"]
        lines += [f"    {line}" for card in self.cards for line in outline(card)]
        return "\n".join(lines)

    def _marks(self) -> list[str]:
        """What there is to see besides the text, in words."""
        marks: list[str] = [self.state]
        marks += [name for name in ("edited", "deleted") if getattr(self, name)]
        if self.targeted_to is not None:
            marks.append(f"only {self.targeted_to} sees it")
        if self.thread is not None:
            marks.append(f"in thread {self.thread}")
        if self.informative is not None:
            marks.append(f"informative {self.informative!r}")
        if self.importance not in (None, "normal"):
            marks.append(f"importance {self.importance}")
        if self.text_format not in (None, "plain", "markdown"):
            marks.append(f"as {self.text_format}")
        if self.quotes:
            marks.append(f"quotes {', '.join(self.quotes)}")
        if self.attachments:
            marks.append(f"{len(self.attachments)} attached")
        if self.buttons:
            marks.append(f"buttons {', '.join(self.buttons)}")
        marks += [f"offers file {one.name!r}" for one in self.consents]
        marks += [f"file {one.name!r}" for one in self.files]
        if self.suggested_actions:
            marks.append(f"suggests {', '.join(self.chips)}")
        if self.ai_generated:
            marks.append("AI generated")
        if self.citations:
            marks.append(f"cites {', '.join(f'{one.position} {one.name!r}' for one in self.citations)}")
        if self.sensitivity is not None:
            marks.append(f"sensitivity {self.sensitivity!r}")
        if self.feedback is not None:
            marks.append(f"feedback {self.feedback}")
        return marks + self.reactions

    def _entities(self, type: str) -> list[dict[str, Any]]:
        return [one for one in self.entities if isinstance(one, dict) and one.get("type") == type]

    def _labels(self) -> list[dict[str, Any]]:
        """The entities that hold AI label, citations and sensitivity label (api-surface.md 1.8)."""
        return self._entities("https://schema.org/Message")

    def _contents(self, content_type: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """The attachments of a type, each with its content."""
        return [
            (one, _object(one.get("content")))
            for one in self.attachments
            if one.get("contentType") == content_type
        ]


@dataclass(slots=True, eq=False)
class Screen:
    """A conversation as its user sees it: a live view, which changes as the service works."""

    conversation_id: str
    messages: list[ScreenMessage] = field(default_factory=list)
    """The bot's messages in order of creation, deleted ones included."""
    typing: bool = False
    """Whether the typing indicator has come since the last message. Channels do not show one."""
    reactions: dict[str, list[str]] = field(default_factory=dict)
    """The bot's reactions to the user's messages, by activity id."""

    def seen_by(self, member_id: str) -> Screen:
        """The screen of one member: without the messages that are targeted to others, and the OAuth cards
        that have signed this one in without being shown; with cards as this one sees them.

        This same object where there are none, else a copy that does not change any more.
        """
        if all(
            one.targeted_to in (None, member_id) and not one.hidden_from and not one.views
            for one in self.messages
        ):
            return self
        seen = [shown for one in self.messages if (shown := one.seen_by(member_id)) is not None]
        return Screen(self.conversation_id, seen, self.typing, self.reactions)

    @property
    def text(self) -> str:
        """The texts of the messages that are not deleted, joined by newlines."""
        return "\n".join(message.text for message in self.messages if message.text and not message.deleted)

    @property
    def last(self) -> ScreenMessage:
        """The newest message that is not deleted; LookupError where there is none."""
        for message in reversed(self.messages):
            if not message.deleted:
                return message
        raise LookupError(f"no message of the bot is on the screen of {self.conversation_id}")

    def message(self, id: str) -> ScreenMessage:
        """The message with that id; LookupError where there is none."""
        for message in self.messages:
            if message.id == id:
                return message
        raise LookupError(f"no message {id} is on the screen of {self.conversation_id}")

    def to_json(self) -> dict[str, Any]:
        """The screen as a JSON-ready dict."""
        return {
            "conversation": self.conversation_id,
            "messages": [message.to_json() for message in self.messages],
            "typing": self.typing,
            "reactions": self.reactions,
        }

    def __str__(self) -> str:
        lines = [str(message) for message in self.messages]
        if self.typing:
            lines.append("(typing)")
        return "\n".join(lines) if lines else "(the screen is empty)"


@dataclass(frozen=True, slots=True)
class ScreenChange:
    """That a message, or the typing indicator (`message` is None then), has just changed."""

    time: float
    conversation_id: str
    change: ChangeKind
    message: ScreenMessage | None

    def to_json(self) -> Mapping[str, Any]:
        """The change as a JSON-ready dict, with the message as it stands now."""
        record: dict[str, Any] = {
            "time": round(self.time, 6),
            "conversation": self.conversation_id,
            "change": self.change,
        }
        if self.message is not None:
            record["message"] = self.message.to_json()
        return record


def _object(value: Any) -> dict[str, Any]:
    """The value if it is a JSON object, else an empty one: a bot may send anything."""
    return value if isinstance(value, dict) else {}
