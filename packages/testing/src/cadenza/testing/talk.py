"""What a person does with messages: writes, edits, deletes, quotes, reacts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cadenza.testing.delivery import Answer, Delivery
from cadenza.testing.inbound import BOT, now_text
from cadenza.testing.person import Person
from cadenza.testing.screen import ScreenMessage

__all__ = ["Quotable", "Talk", "id_of"]

Quotable = ScreenMessage | Delivery | str
"""A message of the bot, what a person has said, or an id."""


class Talk(Person):
    """The part of `User` that is about messages."""

    _last_said: str | None = None  # the id of the newest message

    async def say(
        self,
        text: str,
        *,
        quote: Quotable | Iterable[Quotable] = (),
        files: Mapping[str, bytes] | None = None,
        images: Mapping[str, bytes] | None = None,
        thread: Quotable | None = None,
        targeted: bool = False,
        expect_replies: bool = False,
        wait: bool = True,
        **fields: Any,
    ) -> Delivery:
        """Write a message; `fields` are added to the activity, or replace what is there.

        - `quote`: the message or messages that it quotes: a `quotedReply` entity each, and a placeholder
          `<quoted messageId="..."/>` in front of the text.
        - `files`: contents by name. In a personal chat each is an attachment with a `downloadUrl` under
          `{teams.url}/files/`; elsewhere a bot is only told that there are some, in HTML.
        - `images`: pictures in the text, by name, anywhere: a bot may fetch each from its `contentUrl`.
        - `thread`: in a channel, the message to which this replies. Without it a message begins a thread.
        - `targeted`: a slash command, which only the bot and this person see. Not in a personal chat.
        - `expect_replies`: with `deliveryMode: expectReplies`; the activities of the answer are shown.

        ValueError for a thread outside a channel, and for what is targeted in a personal chat.
        """
        kind = self.conversation.type
        if targeted and kind == "personal":
            raise ValueError("nothing is targeted in a personal chat, where nobody else could see it")
        if thread is not None and kind != "channel":
            raise ValueError(f"only a channel has threads, and this is a conversation of type {kind!r}")
        service = self.teams.service
        id = service.new_id()
        root = None
        if kind == "channel":
            root = id if thread is None else self._root(thread)
        sender = self._sender(thread=root)
        if targeted:
            fields = {"recipient": {**BOT, "isTargeted": True}} | fields
        quotes = [quote] if isinstance(quote, Quotable) else list(quote)
        if expect_replies:
            fields = {"deliveryMode": "expectReplies"} | fields
        said = text
        if quotes:
            text = "".join(f'<quoted messageId="{id_of(one)}"/> ' for one in quotes) + text
        if files or images:
            attached = [self.teams.files.embed(name, content) for name, content in (images or {}).items()]
            attached += self._attach(files, said) if files else []
            fields["attachments"] = [*fields.get("attachments", ()), *attached]
        activity = sender.message(id, text, mention=not targeted, **fields)
        if quotes:
            activity["entities"] = [*activity["entities"], *(self._quoted(one) for one in quotes)]
        service.add_inbound(self.conversation_id, id)
        self.teams.note(activity)
        self._last_said = id
        return await self._send(activity, wait, self._show_replies if expect_replies else None)

    async def edit(self, text: str, message: Delivery | str | None = None, *, wait: bool = True) -> Delivery:
        """Edit an own message, by default the last one. LookupError if there is none."""
        said = self._own(message)
        edited = {**said, "type": "messageUpdate", "timestamp": now_text(), "text": text}
        if self.conversation.type != "personal" and "<at>" in str(said["text"]):
            edited["text"] = f"<at>{BOT['name']}</at> {text}"
        self.teams.said[said["id"]] = {**edited, "type": "message"}
        return await self._change(edited, "editMessage", wait)

    async def delete(self, message: Delivery | str | None = None, *, wait: bool = True) -> Delivery:
        """Delete an own message, by default the last one. LookupError if there is none."""
        said = self._own(message)
        gone = ("text", "textFormat", "attachments", "entities", "value", "deliveryMode")
        deleted = {name: value for name, value in said.items() if name not in gone}
        return await self._change(deleted | {"type": "messageDelete"}, "softDeleteMessage", wait)

    async def undelete(self, message: Delivery | str | None = None, *, wait: bool = True) -> Delivery:
        """Bring back an own message, by default the last one. LookupError if there is none."""
        return await self._change({**self._own(message), "type": "messageUpdate"}, "undeleteMessage", wait)

    async def react(
        self, type: str = "like", message: ScreenMessage | None = None, *, wait: bool = True
    ) -> Delivery:
        """React to `message`, by default the newest one of the bot."""
        message = message or self.screen.last
        self.teams.service.add_reaction(self.conversation_id, message.id, type, self.teams.now())
        return await self._send(
            self._activity("messageReaction", about=message, reactionsAdded=[{"type": type}]), wait
        )

    async def unreact(
        self, type: str = "like", message: ScreenMessage | None = None, *, wait: bool = True
    ) -> Delivery:
        """Take a reaction back. LookupError if the message has none of that type."""
        message = message or self.screen.last
        self.teams.service.remove_reaction(self.conversation_id, message.id, type, self.teams.now())
        return await self._send(
            self._activity("messageReaction", about=message, reactionsRemoved=[{"type": type}]), wait
        )

    async def read(self, message: ScreenMessage | None = None, *, wait: bool = True) -> Delivery:
        """Read up to `message`, by default the newest one of the bot. ValueError outside personal chats."""
        if self.conversation.type != "personal":
            raise ValueError("Teams sends read receipts to a bot in personal chats only")
        value = {"lastReadMessageId": (message or self.screen.last).id}
        return await self.event("application/vnd.microsoft.readReceipt", value, wait=wait)

    async def typing(self, *, wait: bool = True) -> Delivery:
        """Begin to type."""
        return await self.send_activity("typing", wait=wait)

    async def _change(self, activity: dict[str, Any], event: str, wait: bool) -> Delivery:
        activity["timestamp"] = now_text()
        activity["channelData"] = {**activity["channelData"], "eventType": event}
        return await self._send(activity, wait)

    def _own(self, message: Delivery | str | None) -> dict[str, Any]:
        id = self._last_said if message is None else id_of(message)
        said = self.teams.said.get(id or "")
        if said is None or said["from"]["id"] != self.account["id"]:
            raise LookupError(f"{self.name} has not said {'anything yet' if id is None else id}")
        return said

    def _root(self, thread: Quotable) -> str:
        """The id of the message with which a thread began."""
        if isinstance(thread, ScreenMessage):
            return thread.thread or thread.id
        id = id_of(thread)
        said = self.teams.said.get(id)
        return id if said is None else str(said["conversation"]["id"]).partition(";messageid=")[2] or id

    def _quoted(self, quote: Quotable) -> dict[str, Any]:
        """The entity of a quote, as Teams fills it in (api-surface.md 1.8)."""
        id = id_of(quote)
        sender: Mapping[str, Any] = BOT
        preview = ""
        deleted = False
        said = self.teams.said.get(id)
        if said is not None:
            sender, preview = said["from"], str(said.get("text", ""))
        else:
            found = self.teams.service.conversation(self.conversation_id).messages.get(id)
            if found is None:
                raise LookupError(f"no message {id} is in {self.conversation_id}, so it cannot be quoted")
            preview, deleted = found.text, found.deleted
        quoted = {
            "messageId": id,
            "senderId": sender["id"],
            "senderName": sender["name"],
            "preview": preview,
            "time": id,  # the id of a message is the time when it was sent, in milliseconds
            "isReplyDeleted": deleted,
            "validatedMessageReference": True,
        }
        return {"type": "quotedReply", "quotedReply": quoted}

    def _attach(self, files: Mapping[str, bytes], text: str) -> list[dict[str, Any]]:
        store = self.teams.files
        shared = [store.share(name, content) for name, content in files.items()]
        if self.conversation.type == "personal":
            return shared
        # Files of groups and channels are on SharePoint: a bot gets no way to download them.
        links = "".join(f'<attachment id="{one["content"]["uniqueId"]}"></attachment>' for one in shared)
        return [{"contentType": "text/html", "content": f"<p>{text}</p>{links}"}]

    def _show_replies(self, answer: Answer) -> None:
        body = answer.body if isinstance(answer.body, dict) else {}
        for activity in body.get("activities") or ():
            if isinstance(activity, dict) and activity.get("type") == "message":
                self.teams.service.show(self.conversation_id, activity, self.teams.now())


def id_of(message: Quotable) -> str:
    """The id of a message."""
    if isinstance(message, str):
        return message
    return message.id if isinstance(message, ScreenMessage) else str(message.activity["id"])
