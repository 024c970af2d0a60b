"""Users who each ask a bot one thing, and what must stand on their screens in the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import zip_longest

import aiohttp
from cadenza.testing import ScreenMessage, Teams, User
from scenario.durable.processes import Follower, Process, answer, calls, check_run, open_log, open_state
from scenario.processes import message, until

WORDS = 60
NOTING_SECONDS = 0.1
"""Within which a bot has read an answer and noted that down."""


class Talk:
    """One user, who asks one thing."""

    def __init__(self, teams: Teams, name: str) -> None:
        self.user: User = teams.user(name)
        self.activity = message(teams, self.user, f"journal {WORDS}")
        self.run_id = f"{self.user.conversation.id}/{self.activity['id']}"
        self.unread: set[str] = set()
        """The kinds of requests whose answer the bot has not read, or not noted down, before it died."""
        self.seen: float | None = None
        """When the answer stood there, in `time.monotonic`."""

    @property
    def messages(self) -> list[ScreenMessage]:
        return [one for one in self.user.screen.messages if not one.deleted]

    @property
    def right(self) -> bool:
        newest = self.messages[-1:]
        return bool(newest) and newest[0].state != "streaming" and newest[0].text == answer(WORDS, "\n\n")

    async def ask(self, bot: Process) -> None:
        """Deliver the message, until the bot has taken it."""
        while True:
            try:
                await bot.post(self.activity)
                return
            except aiohttp.ClientError:  # away, or not there yet
                await asyncio.sleep(0.2)

    def note_death(self) -> None:
        """The bot has just died."""
        teams = self.user.teams
        for one in teams.transcript:
            if one.conversation_id == self.user.conversation.id and (
                one.answered_at is None or one.answered_at > teams.now() - NOTING_SECONDS
            ):
                self.unread.add(one.kind)

    async def wait(self) -> None:
        await self.user.until(lambda _: self.right, timeout=30)
        self.seen = time.monotonic()

    def check(self) -> None:
        """One message, and nothing else; but for the bubble of a start whose answer nobody has read."""
        *others, newest = self.messages
        assert newest.text == answer(WORDS, "\n\n")
        assert len(others) <= ("start" in self.unread), self.user.screen
        for other in others:
            assert answer(WORDS, "\n\n").startswith(other.text)


async def check(
    teams: Teams,
    talks: list[Talk],
    processes: list[Process],
    place: str,
    limit: float,
    followers: Sequence[Follower] = (),
) -> None:
    """All have their answer by `limit`, and everything is as it must be. `processes`: the bot is the last."""
    bot = processes[-1]
    try:
        await asyncio.gather(*(talk.wait() for talk in talks))
    except AssertionError as error:
        raise AssertionError(f"{error}\n{bot.output[-3000:]}") from None
    took = [(talk.seen or 0) for talk in talks]
    print(f"the last {limit - max(took):.2f} s before the limit")
    assert max(took) < limit
    log, state = open_log(place), open_state(place)
    await log.start()
    await state.start()
    try:
        for talk, follower in zip_longest(talks, followers):
            follower = follower or Follower(log, talk.run_id).begin()
            assert follower.task is not None
            await asyncio.wait_for(follower.task, 30)
            await check_run(log, state, talk.run_id, talk.user.conversation.id, WORDS, follower)
            made = calls(processes, talk.run_id)
            assert len(made) == len(set(made))
    finally:
        await log.close()
        await state.close()
    # The turns, too, learn of it, and say nothing more.
    delivered = {f"delivered {talk.run_id}" for talk in talks}
    await until(lambda: delivered <= set(bot.steps), 5, lambda: f"{bot.steps}")
    for talk in talks:
        talk.check()
        if "final" in talk.unread:  # it may say so again, and the emulator takes that amiss
            teams.violations[:] = [
                one
                for one in teams.violations
                if one.rule != "stream-after-final"
                or one.exchange.conversation_id != talk.user.conversation.id
            ]
    teams.check()
