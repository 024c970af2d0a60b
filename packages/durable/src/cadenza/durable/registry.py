"""`Registration`: an agent or function that a Runner runs, and what becomes of a run whose worker dies;
`RunContext`: what a function is told."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from cadenza.agents import Agent, AgentSession, AgentStream, BackgroundClient, Message
from cadenza.events import StreamEvent

from .stream_log import RunHead

__all__ = ["AgentFunction", "Apology", "Recovery", "Registration", "RunContext", "Source"]


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a function of a Runner is to answer."""

    run_id: str
    agent: str
    messages: tuple[Message, ...] = field(repr=False)
    session: AgentSession | None = None
    """The session that the run was started with. Nothing is saved there for a function: an Agent that it
    runs with this session does so, best by `run`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 1
    """More than 1: a worker died with this run before."""

    @property
    def text(self) -> str:
        """The text of the messages, the newest of them."""
        return self.messages[-1].text if self.messages else ""

    def run(
        self, agent: Agent, message: str | Message | Sequence[Message] | None = None, **rest: Any
    ) -> AgentStream:
        """Run an agent in this run's session: its stream, to yield the events of.

        It has this run's id, so that a function which is begun anew takes the place of what it had said in
        the session before, and leaves it there once. Of two agents one needs a `run_id` of its own, the same
        in each attempt: `run_id=f"{ctx.run_id}/draft"`. `message`: by default those of this run. `rest`: as
        `Agent.run` takes it.
        """
        rest = {"session": self.session, "run_id": self.run_id, "options": self.options or None, **rest}
        stream: AgentStream = agent.run(self.messages if message is None else message, stream=True, **rest)
        return stream


Recovery: TypeAlias = Literal["fail", "restart", "provider", "journal"]
"""What becomes of a run whose worker died:

"fail"      it is lost, and says so; nothing is done a second time
"restart"   it begins anew: what it had said is void, and its tools are called again
"provider"  its provider has gone on meanwhile, in the background: the rest is fetched from there. Where the
            provider has forgotten it: as "restart". With a session no tool is called twice
"journal"   the turn under way begins anew, those before it stand; no tool is called twice: what was begun and
            has no result is told to the model as interrupted. Each step stores all messages of the run anew:
            ten tools in one turn with 10 kB each write about 1 MB to the log
"""

AgentFunction: TypeAlias = Callable[[RunContext], AsyncIterator[str | StreamEvent]]
Source: TypeAlias = Agent | AgentFunction
Apology: TypeAlias = str | Callable[[RunHead], str]
"""Said to the user; or what makes it of the run's head, whose `tombstone` is that which it is to have."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What a Runner knows of an agent.

    `fallback` answers where the source fails: what that had said is void then. A worker that takes the run
    over goes on with the fallback. `apology`: what is said to the user where the run is lost, or is
    interrupted by a worker that shuts down; the RunEnded after it has `extra={"apology": True}`.
    `max_attempts`: after so many workers that died with a run it is lost, so that one which kills its worker
    does not kill them all.
    """

    name: str
    source: Source
    recovery: Recovery = "fail"
    fallback: Source | None = None
    apology: Apology | None = None
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
        if self.apology is not None and (
            not (isinstance(self.apology, str) or callable(self.apology))
            or inspect.iscoroutinefunction(self.apology)
        ):
            raise TypeError(
                f"The apology of {self.name!r} is a str, or a function that makes one of the run's head and "
                f"is not async, not {type(self.apology).__name__}."
            )
        if type(self.max_attempts) is not int or self.max_attempts < 1:
            raise ValueError(f"max_attempts={self.max_attempts!r} of {self.name!r}: an int, at least 1.")


def _check_source(what: str, source: object) -> None:
    if isinstance(source, Agent):
        return
    hint = "an Agent, or a function `async def answer(ctx: RunContext)` that yields str or StreamEvents"
    if isinstance(source, type) or not callable(source):
        raise TypeError(f"{what} is {hint}, not {source!r}.")
    if inspect.isbuiltin(source) and source.__module__ == "builtins":
        raise TypeError(f"{what} is {hint}, not the built-in {source.__name__}().")
    if inspect.isgeneratorfunction(source):
        raise TypeError(f"{what} is {hint}; this one is not `async def`: {source!r}.")
    if inspect.iscoroutinefunction(source):
        raise TypeError(f"{what} is {hint}; this one never yields anything: {source!r}.")
