"""The pytest plugin of Cadenza: the fixtures `teams`, `user` and `clock`.

`teams` is a served emulator in virtual time, `user` a person in a personal chat. When a test that uses
`teams` fails, the report shows every request that the service saw. To run in real time, as a bot in another
process needs it, override the fixture `clock` with one that returns None.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest

if TYPE_CHECKING:
    from cadenza.testing.clock import VirtualClock
    from cadenza.testing.teams import Teams
    from cadenza.testing.user import User

pytest.register_assert_rewrite("cadenza.testing.contracts")

FixtureT = TypeVar("FixtureT", bound=Callable[..., object])


def async_fixture(function: FixtureT) -> FixtureT:
    """Make a fixture of an async generator; by pytest-asyncio, if it is there, for its strict mode."""
    make: Any = pytest.fixture  # another plugin may run the coroutines
    with suppress(ImportError):
        from pytest_asyncio import fixture as make
    return cast("FixtureT", make(function))


@async_fixture
async def clock() -> AsyncIterator[VirtualClock]:
    """Virtual time for the loop of the test: timers fire as soon as nothing else is left to do."""
    from cadenza.testing.clock import VirtualClock

    async with VirtualClock() as clock:
        yield clock


@async_fixture
async def teams(clock: VirtualClock | None) -> AsyncIterator[Teams]:
    """An emulated Teams, served over HTTP at `teams.url` and in this process by `teams.transport`.

    SERVICE_URL and OAUTH_URL name it as long, so that a bot writes to nobody else of its own accord, and asks
    nobody else for the tokens of users.
    """
    from cadenza.testing.teams import Teams

    async with Teams() as teams, teams.serve():
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("SERVICE_URL", teams.url)
            environment.setenv("OAUTH_URL", teams.url)
            yield teams


@pytest.fixture
def user(teams: Teams) -> User:
    """A person in a personal chat with the bot."""
    return teams.user()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the transcript to the report of a test that failed."""
    report = yield
    if report.failed:
        teams: Any = getattr(item, "funcargs", {}).get("teams")
        if hasattr(teams, "format_transcript"):
            report.sections.append(("Teams transcript", teams.format_transcript()))
    return report
