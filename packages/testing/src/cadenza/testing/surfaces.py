"""What else a person opens: tabs of cards, searches in cards, widgets, files that the bot offers."""

from __future__ import annotations

from typing import Any, Literal

from cadenza.testing.delivery import Delivery
from cadenza.testing.dialogs import accept
from cadenza.testing.person import THEME, Person
from cadenza.testing.results import Choice, Tab
from cadenza.testing.screen import ScreenMessage

__all__ = ["Surfaces"]


class Surfaces(Person):
    """The part of `User` that is about tabs, searches, widgets and files.

    What returns something other than a `Delivery` raises `AnswerError` if the bot's answer is none that Teams
    takes.
    """

    async def open_tab(self, entity_id: str = "home") -> Tab:
        """Open a tab of Adaptive Cards (`tab/fetch`)."""
        value = {"tabContext": {"tabEntityId": entity_id}, "context": THEME}
        return Tab.read(await self._answer_to("tab/fetch", value))

    async def submit_tab(self, data: dict[str, Any], entity_id: str = "home") -> Tab:
        """Click an Action.Submit on a card of a tab (`tab/submit`)."""
        data = {"type": "tab/submit"} | data
        value = {"data": data, "tabContext": {"tabEntityId": entity_id}, "context": THEME}
        return Tab.read(await self._answer_to("tab/submit", value))

    async def search(
        self,
        text: str,
        dataset: str = "",
        *,
        kind: str | None = None,
        skip: int = 0,
        top: int = 25,
        inputs: dict[str, Any] | None = None,
    ) -> list[Choice]:
        """Type into an Input.ChoiceSet that asks the bot (`application/search`, Data.Query).

        `inputs`: the values of the card's other inputs, which go with the search where its `associatedInputs`
        is "auto".
        """
        value: dict[str, Any] = {"queryText": text, "queryOptions": {"skip": skip, "top": top}}
        if kind is not None:
            value["kind"] = kind
        if dataset:
            value["dataset"] = dataset
        if inputs is not None:
            value["data"] = inputs
        body = await self._answer_to("application/search", value)
        if not isinstance(body["value"].get("results"), list):
            raise LookupError(f"the search failed: {body['value']!r}")
        return [Choice(one["title"], one["value"]) for one in body["value"]["results"]]

    async def call_tool(self, name: str, arguments: Any = None) -> dict[str, Any]:
        """Let an HTML widget call a tool of the bot; returns the `callToolResult`."""
        value = {"name": name} | ({} if arguments is None else {"arguments": arguments})
        return dict((await self._answer_to("htmlwidget/calltool", value))["callToolResult"])

    async def hand_off(self, continuation: str, *, wait: bool = True) -> Delivery:
        """Come here from another agent, with what it wants to be continued (`handoff/action`)."""
        return await self.invoke("handoff/action", {"continuation": continuation}, wait=wait)

    async def execute_action(self, action_id: str, body: str = "", *, wait: bool = True) -> Delivery:
        """Press a button of a connector card (`actionableMessage/executeAction`)."""
        value = {"actionId": action_id, "body": body}
        return await self.invoke("actionableMessage/executeAction", value, wait=wait)

    async def accept_file(self, message: ScreenMessage | None = None, *, wait: bool = True) -> Delivery:
        """Consent to a file that the bot offers, by default the newest; it may upload it then."""
        return await self._consent("accept", message, wait)

    async def decline_file(self, message: ScreenMessage | None = None, *, wait: bool = True) -> Delivery:
        """Decline a file that the bot offers, by default the newest."""
        return await self._consent("decline", message, wait)

    async def _consent(
        self, action: Literal["accept", "decline"], message: ScreenMessage | None, wait: bool
    ) -> Delivery:
        offers = [one for one in self.screen.messages if one.consents and not one.deleted]
        if message is None and offers:
            message = offers[-1]
        if message is None or not message.consents:
            raise LookupError("no consent card of a file is on the screen")
        offer = message.consents[0]
        value: dict[str, Any] = {"type": "fileUpload", "action": action}
        value["context"] = offer.accept_context if action == "accept" else offer.decline_context
        if action == "accept":
            value["uploadInfo"] = self.teams.files.allow_upload(offer.name)
        activity = self._activity("invoke", about=message, name="fileConsent/invoke", value=value)
        return await self._send(activity, wait)

    async def _answer_to(self, name: str, value: Any) -> Any:
        activity = self._activity("invoke", name=name, value=value)
        delivery = await self._send(activity, True)
        accept(activity, delivery.answer)
        return delivery.answer.body
