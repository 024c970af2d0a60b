"""What a person does with a message extension (api-surface.md 1.7)."""

from __future__ import annotations

from typing import Any, Literal

from cadenza.testing.delivery import Delivery
from cadenza.testing.dialogs import Dialogs, accept
from cadenza.testing.inbound import BOT, now_text
from cadenza.testing.person import THEME
from cadenza.testing.results import ExtensionAnswer, SearchResult
from cadenza.testing.talk import Quotable, id_of

__all__ = ["CommandContext", "Extensions"]

CommandContext = Literal["compose", "commandbox", "message"]
"""From where a command is called: the compose box, the command box, the menu of a message."""


class Extensions(Dialogs):
    """The part of `User` that is about message extensions.

    What returns an `ExtensionAnswer` raises `AnswerError` if the bot's answer is none that Teams takes.
    """

    _command: dict[str, Any] | None = None  # the value of the newest submitAction, for its preview

    async def query(
        self,
        command_id: str,
        parameters: dict[str, Any] | None = None,
        /,
        *,
        skip: int = 0,
        count: int = 25,
        state: str | None = None,
        **named: Any,
    ) -> ExtensionAnswer:
        """Search: `await user.query("find", text="tea")`. Parameters whose names are taken go in a dict."""
        value: dict[str, Any] = {
            "commandId": command_id,
            "parameters": [
                {"name": name, "value": value} for name, value in {**(parameters or {}), **named}.items()
            ],
            "queryOptions": {"skip": skip, "count": count},
        }
        return await self._query("query", value | _state(state))

    async def select_item(self, item: SearchResult | Any) -> ExtensionAnswer:
        """Choose a result of `query`, or send any value. ValueError if the result's preview has no tap."""
        value = item
        if isinstance(item, SearchResult):
            value = item.tap
            if value is None:
                raise ValueError(f"the preview of {item.title!r} has no tap, so the bot is not asked")
        return await self._query("selectItem", value)

    async def query_link(self, url: str, *, state: str | None = None) -> ExtensionAnswer:
        """Paste a link. `type` is "" if the bot makes no card of it."""
        return await self._query("queryLink", {"url": url} | _state(state))

    async def anonymous_query_link(self, url: str, *, state: str | None = None) -> ExtensionAnswer:
        """Paste a link without having installed the app."""
        return await self._query("anonymousQueryLink", {"url": url} | _state(state))

    async def query_setting_url(self, command_id: str = "") -> ExtensionAnswer:
        """Open the settings; of the answer (type config) the first of `actions` holds the URL."""
        return await self._query("querySettingUrl", {"commandId": command_id, "parameters": []})

    async def configure(self, state: str = "CancelledByUser", *, wait: bool = True) -> Delivery:
        """Leave the settings page: what it said, or "CancelledByUser"."""
        return await self.invoke("composeExtension/setting", {"state": state}, wait=wait)

    async def click_card_button(self, value: Any, *, wait: bool = True) -> Delivery:
        """Click an Action.Submit of a card that the message extension made."""
        return await self.invoke("composeExtension/onCardButtonClicked", value, wait=wait)

    async def open_command(
        self,
        command_id: str,
        context: CommandContext = "compose",
        *,
        message: Quotable | None = None,
        wait: bool = True,
    ) -> Delivery:
        """Open an action command (`composeExtension/fetchTask`): the answer opens `dialog`.

        `submit_dialog` then sends `composeExtension/submitAction`. From the menu of a message (`context`
        "message"), `message` is that one, by default the newest of the bot.
        """
        value = self._command_value(command_id, context, message)

        def submit(data: Any) -> tuple[str, dict[str, Any]]:
            self._command = value | {"data": data}
            return "composeExtension/submitAction", self._command

        return await self._ask("composeExtension/fetchTask", value, wait, None, submit)

    async def submit_command(
        self,
        command_id: str,
        data: dict[str, Any] | None = None,
        context: CommandContext = "compose",
        *,
        message: Quotable | None = None,
        wait: bool = True,
    ) -> Delivery:
        """Submit an action command whose parameters are in the manifest, so that the bot opens no dialog."""
        value = self._command_value(command_id, context, message)

        def submit(data: Any) -> tuple[str, dict[str, Any]]:
            self._command = value | {"data": data}
            return "composeExtension/submitAction", self._command

        name, first = submit(data or {})
        return await self._ask(name, first, wait, None, submit)

    async def send_preview(self, *, wait: bool = True) -> Delivery:
        """Press Send on the preview of a message; LookupError if there is none."""
        return await self._answer_preview("send", wait)

    async def edit_preview(self, *, wait: bool = True) -> Delivery:
        """Press Edit on the preview of a message; LookupError if there is none."""
        return await self._answer_preview("edit", wait)

    async def _answer_preview(self, action: Literal["edit", "send"], wait: bool) -> Delivery:
        preview = None if self.extension is None else self.extension.preview
        if preview is None or self._command is None:
            raise LookupError("no preview of a message is shown (composeExtension type botMessagePreview)")
        command = self._command
        value = command | {"botMessagePreviewAction": action, "botActivityPreview": [preview]}

        def submit(data: Any) -> tuple[str, dict[str, Any]]:
            self._command = command | {"data": data}
            return "composeExtension/submitAction", self._command

        return await self._ask("composeExtension/submitAction", value, wait, None, submit)

    async def _query(self, name: str, value: Any) -> ExtensionAnswer:
        activity = self._activity("invoke", name=f"composeExtension/{name}", value=value)
        delivery = await self._send(activity, True)
        accept(activity, delivery.answer)
        self.extension = ExtensionAnswer.read(delivery.answer.body)
        self.notice = self.extension.text
        return self.extension

    def _command_value(
        self, command_id: str, context: CommandContext, message: Quotable | None
    ) -> dict[str, Any]:
        value: dict[str, Any] = {"commandId": command_id, "commandContext": context, "context": THEME}
        if context == "message":
            value["messagePayload"] = self._payload(message or self.screen.last)
        elif message is not None:
            raise ValueError(f"a command that is opened from {context!r} is about no message")
        return value

    def _payload(self, message: Quotable) -> dict[str, Any]:
        """A message in the form of Graph's messages, as the menu of a message sends it (1.8)."""
        said = self.teams.said.get(id_of(message))
        if said is not None:
            who = said["from"]
            user = {"userIdentityType": "aadUser", "id": who["aadObjectId"], "displayName": who["name"]}
            return _payload(said["id"], str(said["text"]), "text", {"user": user}, said["timestamp"])
        shown = self.screen.message(id_of(message))
        bot = {"applicationIdentityType": "bot", "id": BOT["id"][3:], "displayName": BOT["name"]}
        kind = "html" if shown.text_format == "xml" else "text"
        payload = _payload(shown.id, shown.text, kind, {"application": bot}, now_text())
        return payload | {"importance": shown.importance or "normal", "attachments": shown.attachments}


def _state(state: str | None) -> dict[str, Any]:
    return {} if state is None else {"state": state}


def _payload(id: str, text: str, kind: str, sender: dict[str, Any], time: str) -> dict[str, Any]:
    return {
        "id": id,
        "replyToId": None,
        "messageType": "message",
        "createdDateTime": time,
        "lastModifiedDateTime": None,
        "deleted": False,
        "subject": None,
        "importance": "normal",
        "locale": "en-us",
        "from": {"application": None, "device": None, "user": None, "conversation": None} | sender,
        "body": {"contentType": kind, "content": text},
        "attachmentLayout": None,
        "attachments": [],
        "mentions": [],
        "reactions": [],
    }
