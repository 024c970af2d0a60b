"""`Registration`: an agent or function that a Runner runs, and what becomes of a run whose worker dies."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from cadenza.agents import Agent, BackgroundClient
from cadenza.events import StreamEvent

if TYPE_CHECKING:
    from .execution import RunContext

__all__ = ["AgentFunction", "Recovery", "Registration", "Source"]

Recovery: TypeAlias = Literal["fail", "restart", "provider", "journal"]
"""What becomes of a run whose worker died:

"fail"      it is lost, and says so; nothing is done a second time
"restart"   it begins anew: what it had said is void, and its tools are called again
"provider"  its provider has gone on meanwhile, in the background: the rest is fetched from there. Where the
            provider has forgotten it: as "restart". With a session no tool is called twice
"journal"   the turn under way begins anew, those before it stand; no tool is called twice: what was begun and
            has no result is told to the model as interrupted
"""

AgentFunction: TypeAlias = "Callable[[RunContext], AsyncIterator[str | StreamEvent]]"
Source: TypeAlias = "Agent | AgentFunction"


@dataclass(frozen=True, slots=True)
class Registration:
    """What a Runner knows of an agent.

    `fallback` answers where the source fails: what that had said is void then. `apology`: what is said to
    the user where the run is lost, or is interrupted by a worker that shuts down. `max_attempts`: after so
    many workers that died with a run it is lost, so that one which kills its worker does not kill them all.
    """

    name: str
    source: Source
    recovery: Recovery = "fail"
    fallback: Source | None = None
    apology: str | None = None
    max_attempts: int = 3

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"The name of an agent is a str that is not empty, not {self.name!r}.")
        _check_source("An agent of a Runner", self.source)
        if self.fallback is not None:
            _check_source(f"The fallback of {self.name!r}", self.fallback)
        if self.recovery not in get_args(Recovery):
            known = ", ".join(map(repr, get_args(Recovery)))
            raise ValueError(f"recovery={self.recovery!r} of {self.name!r}: it is one of {known}.")
        if self.recovery in ("provider", "journal") and not isinstance(self.source, Agent):
            raise ValueError(
                f"recovery={self.recovery!r} of {self.name!r} needs an Agent: of a function nobody knows how "
                'far it has come. Use "restart" or "fail".'
            )
        if (
            self.recovery == "provider"
            and isinstance(self.source, Agent)
            and not isinstance(self.source.client, BackgroundClient)
        ):
            raise ValueError(
                f"recovery='provider' of {self.name!r} needs a client that can answer in the background, and "
                f'{self.source.client.provider!r} cannot: use "journal", "restart" or "fail".'
            )
        if self.apology is not None and not isinstance(self.apology, str):
            raise TypeError(f"The apology of {self.name!r} is a str, not {type(self.apology).__name__}.")
        if isinstance(self.max_attempts, bool) or self.max_attempts < 1:
            raise ValueError(f"max_attempts={self.max_attempts!r} of {self.name!r}: it is at least 1.")


def _check_source(what: str, source: object) -> None:
    if isinstance(source, Agent):
        return
    hint = "an Agent, or a function `async def answer(ctx: RunContext)` that yields str or StreamEvents"
    if isinstance(source, type) or not callable(source):
        raise TypeError(f"{what} is {hint}, not {source!r}.")
    if inspect.iscoroutinefunction(source):
        raise TypeError(f"{what} is {hint}; this one never yields anything: {source!r}.")
