"""Bringing an activity to the bot, in this process or over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from cadenza.api import CadenzaError

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Answer", "AnswerError", "Bot", "Courier", "Delivery", "DeliveryError"]


class Bot(Protocol):
    """A bot in this process, such as `cadenza.apps.App`: `process` returns when the turn is over.

    What it returns has a `status` and a `body`; None is a 200 without a body.
    """

    async def process(self, activity: dict[str, Any], token: str | None = None) -> Any: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What the bot answered: an HTTP status and the JSON value of the body (text if it is no JSON)."""

    status: int
    body: Any = None


class DeliveryError(CadenzaError):
    """The bot did not take an activity: it answered with a status of 400 or more."""

    def __init__(self, activity: dict[str, Any], answer: Answer) -> None:
        super().__init__(
            f"the bot answered {activity['type']} {activity['id']} with {answer.status}: {answer.body!r}"
        )
        self.activity = activity
        self.answer = answer


class AnswerError(CadenzaError):
    """The bot answered an invoke with something that Teams cannot use; a person sees that it went wrong."""

    def __init__(self, activity: dict[str, Any], answer: Answer, problem: str) -> None:
        super().__init__(
            f"Teams cannot use the answer to {activity.get('name') or activity['type']}: {problem}; "
            f"it was {answer.status} with {answer.body!r}"
        )
        self.activity = activity
        self.answer = answer
        self.problem = problem


class Delivery:
    """An activity on its way to the bot. `await delivery` waits for the bot's answer."""

    def __init__(self, activity: dict[str, Any], task: asyncio.Task[Answer]) -> None:
        self.activity = activity
        self._task = task
        self._fetched = False

    def __await__(self) -> Any:
        self._fetched = True
        return asyncio.shield(self._task).__await__()

    @property
    def done(self) -> bool:
        """Whether the bot has answered (or failed)."""
        return self._task.done()

    async def wait(self) -> None:
        """Wait until it is done, and raise nothing: a failure has not been seen by that."""
        await asyncio.wait([self._task])

    @property
    def answer(self) -> Answer:
        """The bot's answer. Raises what the bot raised, and InvalidStateError before it has answered."""
        self._fetched = True
        return self._task.result()


class Courier:
    """Delivers activities to the one bot that is connected, and keeps count of those on their way.

    `judge` is told every answer. `sign` gives the token that an activity carries; None: it carries none.
    """

    def __init__(
        self,
        judge: Callable[[dict[str, Any], Answer], object] | None = None,
        sign: Callable[[dict[str, Any]], str | None] = lambda activity: None,
    ) -> None:
        self._judge = judge
        self._sign = sign
        self._bot: Bot | str | None = None
        self._session: aiohttp.ClientSession | None = None
        self._deliveries: set[Delivery] = set()

    def connect(self, bot: Bot | str) -> None:
        """Deliver to `bot` from now on: an object with `process`, or the URL of a messaging endpoint."""
        self._bot = bot

    @property
    def connected(self) -> bool:
        """Whether there is a bot to deliver to."""
        return self._bot is not None

    def send(
        self,
        activity: dict[str, Any],
        then: Callable[[Answer], object] | None = None,
        *,
        tolerated: tuple[int, ...] = (),
        ended: Callable[[int | None], object] | None = None,
    ) -> Delivery:
        """Set out with an activity, without waiting for anything.

        `then` is told an answer of less than 400 before the delivery is done; what it raises is the
        delivery's failure. `tolerated`: statuses of 400 or more that are no failure either. `ended` is told
        the status in any case, None if there was no answer, before the delivery is done.
        """
        if self._bot is None:
            raise RuntimeError(
                "no bot is connected: call teams.connect(app), or with the URL of its endpoint"
            )
        deliver = self._deliver(self._bot, activity, then, tolerated)
        if ended is not None:
            deliver = _told(deliver, ended)
        delivery = Delivery(activity, asyncio.create_task(deliver))
        self._deliveries.add(delivery)
        delivery._task.add_done_callback(lambda _: self._delivered(delivery))
        return delivery

    async def settle(self) -> None:
        """Wait until every activity is answered. Raises the first failure that nobody has been told of."""
        while pending := [delivery._task for delivery in self._deliveries if not delivery.done]:
            await asyncio.wait(pending)
        self._raise_unseen()

    async def close(self) -> None:
        """Give up what is on its way; raise the first failure that nobody has been told of."""
        tasks = [delivery._task for delivery in self._deliveries]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None
        self._raise_unseen()

    def _delivered(self, delivery: Delivery) -> None:
        """Forget what went well; a failure is kept until somebody has seen it."""
        task = delivery._task
        if task.cancelled() or task.exception() is None:
            self._deliveries.discard(delivery)

    def _raise_unseen(self) -> None:
        deliveries, self._deliveries = self._deliveries, set()
        for delivery in deliveries:
            if not delivery._fetched:
                delivery.answer  # noqa: B018 - raises

    async def _deliver(
        self,
        bot: Bot | str,
        activity: dict[str, Any],
        then: Callable[[Answer], object] | None,
        tolerated: tuple[int, ...],
    ) -> Answer:
        token = self._sign(activity)
        answer = await (
            self._post(bot, activity, token) if isinstance(bot, str) else _process(bot, activity, token)
        )
        if self._judge is not None:
            self._judge(activity, answer)
        if answer.status >= 400 and answer.status not in tolerated:
            raise DeliveryError(activity, answer)
        if then is not None:
            then(answer)
        return answer

    async def _post(self, url: str, activity: dict[str, Any], token: str | None) -> Answer:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession()
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with self._session.post(url, json=activity, headers=headers) as response:
            text = await response.text()
            try:
                body = json.loads(text) if text else None
            except ValueError:
                body = text
            return Answer(response.status, body)


async def _process(bot: Bot, activity: dict[str, Any], token: str | None) -> Answer:
    response = await (bot.process(activity) if token is None else bot.process(activity, token))
    return Answer(200) if response is None else Answer(response.status, response.body)


async def _told(deliver: Coroutine[Any, Any, Answer], ended: Callable[[int | None], object]) -> Answer:
    status = None
    try:
        answer = await deliver
        status = answer.status
        return answer
    finally:
        ended(status)
