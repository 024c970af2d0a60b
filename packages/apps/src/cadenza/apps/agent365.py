"""Agent 365 baggage: who an agent works for, told to all spans of a turn through OpenTelemetry's baggage.

`Agent365BaggageKeys` says what there is. Names and addresses are personal data, and baggage goes out with
every request that is instrumented: so they are left out unless `include` asks for them. Values that are None
or blank are left out, too.

The App does this for every turn, where an SDK of OpenTelemetry is set up; `App(telemetry=...)` says how, or
that it does not. For what a bot writes of its own accord there is `create_agent365_scope`. Without the
package opentelemetry-api all of this does nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias, TypedDict, get_args

if TYPE_CHECKING:
    from types import TracebackType

    from cadenza.api import Activity, AgenticIdentity

__all__ = [
    "Agent365Baggage",
    "Agent365BaggageEntries",
    "Agent365BaggageInclude",
    "Agent365BaggageKeys",
    "Agent365BaggageOptions",
    "Agent365BaggageValue",
    "Agent365ScopeOpener",
    "Agent365ScopeOptions",
    "agent365_baggage",
    "create_agent365_scope",
]

Agent365BaggageValue: TypeAlias = str | int | float | None
"""What an entry may be; it is written as text, and None is left out."""

Agent365BaggageEntries: TypeAlias = Mapping[str, Agent365BaggageValue]
"""Entries by their keys."""

Agent365BaggageInclude: TypeAlias = Literal[
    "senderName", "agentName", "agentDescription", "senderEmail", "agentEmail"
]
"""The personal data that is told only if it is asked for."""


@dataclass(frozen=True)
class Agent365BaggageKeys:
    """The keys that Agent 365 knows, and what the baggage of an activity has there."""

    agent_blueprint_id: str = "microsoft.a365.agent.blueprint.id"
    """The blueprint of the recipient."""
    agent_description: str = "gen_ai.agent.description"
    """The recipient's user role, if `include` has "agentDescription"."""
    agent_id: str = "gen_ai.agent.id"
    """The recipient's agentic app, else its id."""
    agent_name: str = "gen_ai.agent.name"
    """The recipient's name, if `include` has "agentName"."""
    agentic_user_email: str = "microsoft.agent.user.email"
    """The recipient's e-mail address, if `include` has "agentEmail"."""
    agentic_user_id: str = "microsoft.agent.user.id"
    """The recipient's agentic user."""
    channel_link: str = "microsoft.channel.link"
    """`channel_link`, as it was given."""
    channel_name: str = "microsoft.channel.name"
    """The channel, such as "msteams"."""
    conversation_id: str = "gen_ai.conversation.id"
    """The id of the conversation."""
    conversation_item_link: str = "microsoft.conversation.item.link"
    """The service URL."""
    operation_source: str = "service.name"
    """`operation_source`, as it was given."""
    tenant_id: str = "microsoft.tenant.id"
    """The recipient's tenant, else the conversation's."""
    user_email: str = "user.email"
    """The sender's e-mail address, if `include` has "senderEmail"."""
    user_id: str = "user.id"
    """The sender's object id in Entra ID, else its id."""
    user_name: str = "user.name"
    """The sender's name, if `include` has "senderName"."""


KEYS = Agent365BaggageKeys()
_KEYS = frozenset(astuple(KEYS))

_INCLUDED: Mapping[str, str] = {
    "senderName": KEYS.user_name,
    "senderEmail": KEYS.user_email,
    "agentName": KEYS.agent_name,
    "agentDescription": KEYS.agent_description,
    "agentEmail": KEYS.agentic_user_email,
}


class Agent365BaggageOptions(TypedDict, total=False):
    """What `App(telemetry={"agent365": ...})` takes: how the baggage of turns is made."""

    include: Collection[Agent365BaggageInclude]
    """The personal data to tell. Default: none."""
    operation_source: Agent365BaggageValue
    """The name of the service, as service.name."""
    channel_link: Agent365BaggageValue
    """A link to the channel, as microsoft.channel.link."""
    additional_baggage: Agent365BaggageEntries
    """Entries of your own, which win over all others."""


class Agent365ScopeOptions(Agent365BaggageOptions, total=False):
    """What `create_agent365_scope` takes: what all its scopes have in common."""

    service_url: Agent365BaggageValue
    """As microsoft.conversation.item.link."""
    agent_id: Agent365BaggageValue
    """As gen_ai.agent.id of scopes without an agentic identity."""
    channel_name: Agent365BaggageValue
    """As microsoft.channel.name."""


class _HasActivity(Protocol):
    """Such as an `ActivityContext`."""

    @property
    def activity(self) -> Any: ...


class Agent365Baggage:
    """Entries of baggage, which are there within a `with` block, beside what was there before:

        with agent365_baggage(ctx, include=["senderName"]):
            await model.answer(...)

    The block may be entered again, in itself and afterwards. Without OpenTelemetry it changes nothing.
    """

    def __init__(self, values: Agent365BaggageEntries | None = None) -> None:
        self._values: dict[str, str] = {}
        self._tokens: list[Any] = []
        for key, value in (values or {}).items():
            self.set(key, value)

    @classmethod
    def from_activity(
        cls,
        source: Activity | _HasActivity | None,
        *,
        include: Iterable[Agent365BaggageInclude] | None = None,
        operation_source: Agent365BaggageValue = None,
        channel_link: Agent365BaggageValue = None,
        additional_baggage: Agent365BaggageEntries | None = None,
    ) -> Self:
        """The baggage of an activity, or of a context that has one; None: only what is given beside it.
        Raises TypeError for anything else, and ValueError for an unknown name in `include`."""
        wanted = _checked(include)
        baggage = cls()
        personal: dict[str, Agent365BaggageValue] = {}
        if source is not None:
            activity: Any = getattr(source, "activity", source)
            if not hasattr(activity, "recipient"):
                raise TypeError(
                    f"Agent 365 baggage is made from an activity, or a context that has one, and not from "
                    f"a {type(source).__name__}."
                )
            sender, agent, conversation = activity.from_, activity.recipient, activity.conversation
            tenant = activity.tenant
            for key, value in (
                (KEYS.tenant_id, agent.tenant_id or conversation.tenant_id or (tenant and tenant.id)),
                (KEYS.conversation_id, conversation.id),
                (KEYS.conversation_item_link, activity.service_url),
                (KEYS.channel_name, activity.channel_id),
                (KEYS.agent_id, agent.agentic_app_id or agent.id),
                (KEYS.agentic_user_id, agent.agentic_user_id),
                (KEYS.agent_blueprint_id, agent.agentic_app_blueprint_id),
                (KEYS.user_id, sender.aad_object_id or sender.id),
            ):
                baggage.set(key, value)
            personal = {
                "senderName": sender.name,
                "senderEmail": sender.email,
                "agentName": agent.name,
                "agentDescription": agent.user_role,
                "agentEmail": agent.email,
            }
        baggage.operation_source(operation_source).set(KEYS.channel_link, channel_link)
        return baggage._with(wanted, personal, additional_baggage)

    def set(self, key: str, value: Agent365BaggageValue) -> Self:
        """Set an entry, and return this object. A value that is None or blank changes nothing."""
        name, text = key.strip(), "" if value is None else str(value).strip()
        if name and text:
            self._values[name] = text
        return self

    def operation_source(self, value: Agent365BaggageValue) -> Self:
        """Set service.name, and return this object."""
        return self.set(KEYS.operation_source, value)

    def _with(
        self,
        wanted: Collection[str],
        personal: Mapping[str, Agent365BaggageValue],
        *additional: Agent365BaggageEntries | None,
    ) -> Self:
        for name in wanted:
            self.set(_INCLUDED[name], personal.get(name))
        for entries in additional:
            for key, value in (entries or {}).items():
                self.set(key, value)
        return self

    def attach(self) -> Any:
        """Put the entries into the baggage of this task, and return what `detach` of opentelemetry.context
        takes to undo that; None without OpenTelemetry."""
        try:
            from opentelemetry import baggage, context
        except ImportError:
            return None
        current = context.get_current()
        for key, value in self._values.items():
            current = baggage.set_baggage(key, value, current)
        return context.attach(current)

    def __enter__(self) -> Self:
        self._tokens.append(self.attach())
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        token = self._tokens.pop()
        if token is not None:
            from opentelemetry import context

            context.detach(token)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._values)})"  # no values: they may be personal


def agent365_baggage(
    source: Activity | _HasActivity | None = None,
    *,
    include: Iterable[Agent365BaggageInclude] | None = None,
    operation_source: Agent365BaggageValue = None,
    channel_link: Agent365BaggageValue = None,
    additional_baggage: Agent365BaggageEntries | None = None,
) -> Agent365Baggage:
    """The baggage of an activity or a context, for a `with` block: see `Agent365Baggage.from_activity`."""
    return Agent365Baggage.from_activity(
        source,
        include=include,
        operation_source=operation_source,
        channel_link=channel_link,
        additional_baggage=additional_baggage,
    )


def enter_turn(activity: Activity, options: Agent365BaggageOptions) -> None:
    """From here on, this task and those that it starts have the baggage of `activity`, and nothing of that of
    another turn: one that has brought this activity (`App.process`, a plugin) may be about somebody else."""
    try:
        from opentelemetry import baggage, context
    except ImportError:
        return
    current = context.get_current()
    for key in baggage.get_all(current).keys() & _KEYS:
        current = baggage.remove_baggage(key, current)
    context.attach(current)
    agent365_baggage(activity, **options).attach()


class Agent365ScopeOpener(Protocol):
    """What `create_agent365_scope` returns."""

    def __call__(
        self,
        *,
        agentic_identity: AgenticIdentity | None = None,
        conversation_id: str | None = None,
        user_id: str | None = None,
        sender_name: str | None = None,
        sender_email: str | None = None,
        agent_name: str | None = None,
        agent_email: str | None = None,
        agent_description: str | None = None,
        additional_baggage: Agent365BaggageEntries | None = None,
    ) -> Agent365Baggage:
        """The baggage of something that the bot does of its own accord, for a `with` block. What is personal
        counts only if the options' `include` says so; `additional_baggage` wins over all."""
        ...


def create_agent365_scope(
    options: Agent365ScopeOptions | Literal[False] | None = None,
) -> Agent365ScopeOpener:
    """A function that opens scopes with what `options` say for all of them; with False its scopes are empty.

        scope = create_agent365_scope({"include": ["agentName"], "channel_name": "msteams"})

        with scope(agentic_identity=identity, conversation_id=ref.conversation.id, agent_name="Contoso"):
            await app.send(ref, "Your report is ready.", agentic_identity=identity)

    Raises ValueError for an unknown name in `include`.
    """
    wanted = _checked(options.get("include") if options else None)

    def open_scope(
        *,
        agentic_identity: AgenticIdentity | None = None,
        conversation_id: str | None = None,
        user_id: str | None = None,
        sender_name: str | None = None,
        sender_email: str | None = None,
        agent_name: str | None = None,
        agent_email: str | None = None,
        agent_description: str | None = None,
        additional_baggage: Agent365BaggageEntries | None = None,
    ) -> Agent365Baggage:
        if options is False:
            return Agent365Baggage()
        given: Agent365ScopeOptions = options or {}
        who = agentic_identity
        baggage = Agent365Baggage(
            {
                KEYS.tenant_id: None if who is None else who.tenant_id,
                KEYS.conversation_id: conversation_id,
                KEYS.conversation_item_link: given.get("service_url"),
                KEYS.channel_name: given.get("channel_name"),
                KEYS.channel_link: given.get("channel_link"),
                KEYS.agent_id: given.get("agent_id") if who is None else who.agentic_app_id,
                KEYS.agentic_user_id: None if who is None else who.agentic_user_id,
                KEYS.agent_blueprint_id: None if who is None else who.agentic_app_blueprint_id,
                KEYS.user_id: user_id,
                KEYS.operation_source: given.get("operation_source"),
            }
        )
        personal: dict[str, Agent365BaggageValue] = {
            "senderName": sender_name,
            "senderEmail": sender_email,
            "agentName": agent_name,
            "agentDescription": agent_description,
            "agentEmail": agent_email,
        }
        return baggage._with(wanted, personal, given.get("additional_baggage"), additional_baggage)

    return open_scope


def check_options(options: object) -> None:
    """Raises TypeError or ValueError for what is no `Agent365BaggageOptions`."""
    if not isinstance(options, Mapping):
        raise TypeError(
            f'telemetry["agent365"] is {options!r}: it must be a dict (Agent365BaggageOptions), or False for '
            "no baggage."
        )
    if unknown := sorted(set(options) - set(Agent365BaggageOptions.__annotations__)):
        known = ", ".join(Agent365BaggageOptions.__annotations__)
        raise TypeError(f'telemetry["agent365"] has no {", ".join(map(str, unknown))}; there are {known}.')
    _checked(options.get("include"))
    additional = options.get("additional_baggage")
    if not (additional is None or isinstance(additional, Mapping)):
        raise TypeError('telemetry["agent365"]["additional_baggage"] must be a dict from keys to values.')


def _checked(include: Iterable[Any] | None) -> tuple[str, ...]:
    if isinstance(include, str):
        raise ValueError(f"include is the text {include!r}: give a list of names, such as [{include!r}].")
    wanted = tuple(include or ())
    for name in wanted:
        if name not in _INCLUDED:
            known = ", ".join(get_args(Agent365BaggageInclude))
            raise ValueError(f"include has {name!r}, which is none of {known}.")
    return wanted
