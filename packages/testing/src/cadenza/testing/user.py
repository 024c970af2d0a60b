"""A person who talks to the bot and sees what it sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cadenza.testing.extensions import Extensions
from cadenza.testing.meeting import Meeting
from cadenza.testing.membership import Membership
from cadenza.testing.screen import Screen, ScreenMessage
from cadenza.testing.sign_in import SignIn
from cadenza.testing.surfaces import Surfaces
from cadenza.testing.talk import Talk

__all__ = ["User"]


class User(Talk, Extensions, Surfaces, SignIn, Membership):
    """A person in one conversation with the bot; made by `teams.user()`.

    What a person does is delivered to the bot that is connected, as the activity that Teams would send:

    - messages (`talk.py`): say, edit, delete, undelete, react, unreact, read, typing;
    - cards that change by themselves (`living_cards.py`): refresh_card, open_chat, toggle;
    - buttons and dialogs (`dialogs.py`): click, submit_dialog, close_dialog, give_feedback, open_config;
    - message extensions (`extensions.py`): query, select_item, query_link, open_command and so on;
    - tabs, searches, widgets, files (`surfaces.py`): open_tab, search, call_tool, accept_file and so on;
    - signing in (`sign_in.py`): sign_in, decline_sign_in, is_signed_in, `consents`, `endpoints`;
    - members and installation (`membership.py`): install, add_members, `team`; `meeting`;
    - anything else: send_activity, invoke, event.

    They return the `Delivery`, or what the bot's answer shows; by default they wait for the bot's answer,
    which in process comes when the turn is over and over HTTP when the bot has acknowledged. With
    `wait=False` they return at once. They raise `DeliveryError` if the bot answers with a status of 400 or
    more, and in process whatever the bot raises.
    """

    _meeting: Meeting | None = None

    @property
    def meeting(self) -> Meeting:
        """The meeting of this group chat or channel. ValueError in a personal chat."""
        if self._meeting is None:
            self._meeting = Meeting(self)
        return self._meeting

    def press_stop(self) -> bool:
        """Press Stop; nothing is told to the bot. False if nothing streams, so that there is no button."""
        return self.teams.service.press_stop(self.conversation_id, self.teams.now())

    async def sees(self, text: str, *, timeout: float = 60.0) -> ScreenMessage:
        """Wait until a message or its informative line holds `text`, and return that message.

        AssertionError after `timeout` seconds.
        """

        def found() -> ScreenMessage | None:
            for message in reversed(self.screen.messages):
                if not message.deleted and (text in message.text or text in (message.informative or "")):
                    return message
            return None

        await self.until(lambda _: found() is not None, timeout=timeout, what=repr(text))
        message = found()
        assert message is not None
        return message

    async def until(
        self, condition: Callable[[Screen], bool], *, timeout: float = 60.0, what: str = "what was expected"
    ) -> None:
        """Wait until the condition holds for the screen; AssertionError after `timeout` seconds."""
        observers = self.teams.service.observers
        changed = asyncio.Event()
        observer = lambda _: changed.set()  # noqa: E731
        observers.append(observer)
        try:
            async with asyncio.timeout(timeout):
                while not condition(self.screen):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"{self.name} did not see {what} within {timeout:g} s but:\n{self.screen}"
            ) from None
        finally:
            observers.remove(observer)
