"""The dialogs that a bot opens, and what a person does in them (api-surface.md 1.7)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from cadenza.testing.acceptance import find_problem
from cadenza.testing.buttons import CARD_CONTENT, buttons_of, chip_clicked, clicked, fill_in
from cadenza.testing.delivery import Answer, AnswerError, Delivery
from cadenza.testing.living_cards import LivingCards
from cadenza.testing.outline import outline
from cadenza.testing.person import THEME
from cadenza.testing.results import ExtensionAnswer
from cadenza.testing.screen import ScreenMessage

__all__ = ["Dialog", "Dialogs", "accept"]

Submit = Callable[[Any], tuple[str, dict[str, Any]]]
"""From the data of a form to the name and the value of the invoke that carries it."""


@dataclass(frozen=True, slots=True)
class Dialog:
    """A dialog that is open: a card, or a page at a URL."""

    title: str = ""
    card: dict[str, Any] | None = None
    url: str | None = None
    fallback_url: str | None = None
    width: int | str | None = None  # pixels, or small, medium, large
    height: int | str | None = None
    message: ScreenMessage | None = None
    """The message whose button opened it."""
    submit: Submit = field(default=lambda data: _task("task/submit", data), repr=False)

    @property
    def buttons(self) -> list[str]:
        """The titles of the card's buttons."""
        return [str(action.get("title", "")) for action in buttons_of(self.card)]

    def __str__(self) -> str:
        """What there is to see: the title, and the card in outline or the page."""
        lines = outline(self.card) if self.card is not None else [f"[page {self.url}]"]
        return "\n".join([f"[dialog {self.title!r}]", *(f"    {line}" for line in lines)])


class Dialogs(LivingCards):
    """The part of `User` that is about buttons and dialogs."""

    dialog: Dialog | None = None
    """What is open."""
    notice: str = ""
    """The text that the newest answer to an invoke showed, "" if none."""
    extension: ExtensionAnswer | None = None
    """The newest answer of a message extension, None if the newest answer was something else."""

    async def click(
        self,
        action: str | dict[str, Any],
        *,
        message: ScreenMessage | None = None,
        inputs: dict[str, Any] | None = None,
        wait: bool = True,
    ) -> Delivery:
        """Click a button: a card's action or a suggested one, by its title or as a dict.

        A title is looked for in `message`, else from the newest message to the oldest. `inputs` is what the
        user filled in; other inputs of the card have the values that it gives them. Action.Submit sends a
        message with `value` (or what its `data.msteams` says; a suggested one a `suggestedActions/submit`
        invoke), Action.Execute an `adaptiveCard/action` invoke whose answer may replace the card (in a chat
        of several people on this person's screen alone), imBack and messageBack a message with text,
        `task/fetch` an invoke whose answer may open `dialog`. An Action.ToggleVisibility sends nothing: see
        `toggle`.

        LookupError if no such button is on the screen, or no such input on the card. ValueError if the click
        sends nothing to a bot: a link, for instance, or a card whose required input is empty. `AnswerError`
        if the answer is none that Teams takes.
        """
        chip = False
        card = None
        if isinstance(action, str):
            message, card, action = self._find_button(action, message)
            chip = card is None
        elif message is None:
            message = self.screen.messages[-1] if self.screen.messages else None
        click = chip_clicked(action) if chip else clicked(action, fill_in(card, action, inputs or {}))
        fields = click.fields
        if click.type == "message" and "text" in fields:
            about: dict[str, Any] = {} if message is None else {"replyToId": message.id}
            sent = self._sender(message).message(
                self.teams.service.new_id(), fields.pop("text"), **fields, **about
            )
            return await self._send(sent, wait)
        if click.name == "task/fetch":
            fields["value"] |= {"context": THEME}
            return await self._ask(click.name, fields["value"], wait, message)
        activity = self._activity(click.type, about=message, **fields)
        if click.name == "adaptiveCard/action":
            return await self._send(activity, wait, lambda answer: self._executed(message, card, answer))
        return await self._send(activity, wait)

    async def submit_dialog(
        self, inputs: dict[str, Any] | None = None, action: str | None = None, *, wait: bool = True
    ) -> Delivery:
        """Submit the dialog that is open; the answer closes it, replaces it, or says something (`notice`).

        Of a card, the button with the title `action` is clicked, by default its first Action.Submit. The page
        of a URL hands over `inputs` as they are. LookupError if no dialog is open, or it has no such button
        or input; ValueError if a required input is empty; `AnswerError` if the answer is none that Teams
        takes: the dialog stays open then.
        """
        dialog = self.dialog
        if dialog is None:
            raise LookupError(f"no dialog is open; the newest notice is {self.notice!r}")
        data: Any = dict(inputs or {})
        if dialog.card is not None:
            button = _submit_button(dialog, action)
            own = button.get("data")
            filled = fill_in(dialog.card, button, data)
            data = {**own, **filled} if isinstance(own, dict) else filled or own
        elif action is not None:
            raise LookupError(f"the dialog shows the page {dialog.url}, whose buttons nobody knows")
        name, value = dialog.submit(data)
        return await self._ask(name, value, wait, dialog.message, dialog.submit)

    def close_dialog(self) -> None:
        """Close the dialog that is open, without submitting it; the bot is told nothing. LookupError if none
        is open."""
        if self.dialog is None:
            raise LookupError("no dialog is open")
        self.dialog = None

    async def give_feedback(
        self,
        reaction: Literal["like", "dislike"] = "like",
        text: str = "",
        *,
        message: ScreenMessage | None = None,
        wait: bool = True,
    ) -> Delivery:
        """Press a thumb below a message that asks for feedback, by default the newest one that does.

        The default form sends `text` in `message/submitAction`. A custom form is a dialog that the bot opens
        (`message/fetchTask`): `submit_dialog` sends it. LookupError if no message asks for feedback,
        ValueError if text is given where the bot has a form of its own.
        """
        if message is None:
            asking = [one for one in self.screen.messages if one.feedback and not one.deleted]
            if not asking:
                raise LookupError("no message on the screen asks for feedback (channelData.feedbackLoop)")
            message = asking[-1]
        elif message.feedback is None:
            raise LookupError(f"message {message.id} does not ask for feedback (channelData.feedbackLoop)")

        def submit(data: Any) -> tuple[str, dict[str, Any]]:
            value = {"reaction": reaction, "feedback": json.dumps(data)}
            return "message/submitAction", {"actionName": "feedback", "actionValue": value}

        if message.feedback == "custom":
            if text:
                raise ValueError("the bot has a feedback form of its own: fill it in with submit_dialog")
            value = {"data": {"actionName": "feedback", "actionValue": {"reaction": reaction}}}
            return await self._ask("message/fetchTask", value, wait, message, submit)
        name, value = submit({"feedbackText": text})
        activity = self._activity("invoke", about=message, name=name, value=value)
        return await self._send(activity, wait)

    async def open_config(self, value: Any = None, *, wait: bool = True) -> Delivery:
        """Open the settings of the bot (`config/fetch`); `submit_dialog` sends `config/submit`."""

        def submit(data: Any) -> tuple[str, dict[str, Any]]:
            return _task("config/submit", data)

        return await self._ask("config/fetch", {} if value is None else value, wait, None, submit)

    async def _ask(
        self,
        name: str,
        value: dict[str, Any],
        wait: bool,
        message: ScreenMessage | None = None,
        submit: Submit = lambda data: _task("task/submit", data),
    ) -> Delivery:
        """Send an invoke whose answer may be a dialog; `submit` is how that is sent."""
        activity = self._activity("invoke", about=message, name=name, value=value)
        return await self._send(activity, wait, lambda answer: self._take(activity, answer, message, submit))

    def _take(
        self, activity: dict[str, Any], answer: Answer, message: ScreenMessage | None, submit: Submit
    ) -> None:
        """Show what an answer says."""
        self.notice = ""
        self.extension = None
        accept(activity, answer)
        body = answer.body if isinstance(answer.body, dict) else {}
        self.dialog = None
        task = body.get("task") or body.get("config")
        if isinstance(task, dict):
            if task["type"] == "message":
                self.notice = task["value"]
            elif task["type"] == "continue":
                self.dialog = _dialog(task["value"], message, submit)
        elif isinstance(body.get("composeExtension"), dict):
            self.extension = ExtensionAnswer.read(body)
            self.notice = self.extension.text

    def _executed(self, message: ScreenMessage | None, card: dict[str, Any] | None, answer: Answer) -> None:
        """Put the card of an Action.Execute's answer in the place of the one that was clicked."""
        self.notice = ""
        body = answer.body if isinstance(answer.body, dict) else {}
        value = body.get("value")
        if body.get("type") == "application/vnd.microsoft.activity.message":
            self.notice = str(value)
        elif body.get("type") == "application/vnd.microsoft.error" and isinstance(value, dict):
            self.notice = str(value.get("message") or "Something went wrong")
        elif body.get("type") == CARD_CONTENT and isinstance(value, dict) and message is not None:
            self._put_card(message, card, value)

    def _find_button(
        self, title: str, message: ScreenMessage | None
    ) -> tuple[ScreenMessage, dict[str, Any] | None, dict[str, Any]]:
        """The message, the card (None for a suggested action) and the action with that title."""
        messages = (
            [message] if message else [one for one in reversed(self.screen.messages) if not one.deleted]
        )
        titles: list[str] = []
        for one in messages:
            suggested = (one.suggested_actions or {}).get("actions", [])
            shown: list[tuple[dict[str, Any] | None, dict[str, Any]]] = [
                (None, action) for action in suggested if isinstance(action, dict)
            ]
            shown += [(card, action) for card in one.cards for action in buttons_of(card)]
            for card, action in shown:
                if action.get("title") == title:
                    return one, card, action
                titles.append(str(action.get("title")))
        raise LookupError(f"no button {title!r} is on the screen; there are: {', '.join(titles) or 'none'}")


def accept(activity: dict[str, Any], answer: Answer) -> None:
    """Raise `AnswerError` if Teams would not take that answer."""
    problem = find_problem(activity, answer.status, answer.body)
    if problem is not None:
        raise AnswerError(activity, answer, problem)


def _dialog(value: dict[str, Any], message: ScreenMessage | None, submit: Submit) -> Dialog:
    card = value.get("card")
    return Dialog(
        title=value.get("title") or "",
        card=None if card is None else card["content"],
        url=value.get("url"),
        fallback_url=value.get("fallbackUrl"),
        width=value.get("width"),
        height=value.get("height"),
        message=message,
        submit=submit,
    )


def _submit_button(dialog: Dialog, title: str | None) -> dict[str, Any]:
    submits = [action for action in buttons_of(dialog.card) if action.get("type") == "Action.Submit"]
    for action in submits:
        if title is None or action.get("title") == title:
            return action
    titles = ", ".join(str(action.get("title")) for action in submits) or "none"
    raise LookupError(f"the dialog has no Action.Submit {title or ''!r}; there are: {titles}")


def _task(name: str, data: Any) -> tuple[str, dict[str, Any]]:
    return name, {"data": data, "context": THEME}
