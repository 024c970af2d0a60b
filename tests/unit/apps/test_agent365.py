"""The Agent 365 baggage: the entries of the reference for the same activities, and only what was asked for.

What is expected here is what microsoft-teams-apps 2.1.1 gives.
"""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from cadenza.api import AgenticIdentity, MessageActivity, TypingActivity, parse_activity
from cadenza.apps import (
    ActivityContext,
    Agent365Baggage,
    Agent365BaggageKeys,
    App,
    agent365_baggage,
    create_agent365_scope,
)
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider

MakeApp = Callable[..., App]
Wire = Callable[..., dict[str, Any]]

ALL: Any = ["senderName", "agentName", "agentDescription", "senderEmail", "agentEmail"]

WHOLE: dict[str, Any] = {
    "type": "message",
    "id": "1",
    "text": "private",
    "channelId": "msteams",
    "serviceUrl": "https://smba.trafficmanager.net/teams/",
    "from": {"id": "29:user", "name": "Ann", "aadObjectId": "object-1", "email": "ann@contoso.com"},
    "recipient": {
        "id": "28:bot",
        "name": "Bot",
        "userRole": "helper",
        "email": "bot@contoso.com",
        "tenantId": "tenant-of-recipient",
        "agenticAppId": "app-1",
        "agenticUserId": "user-1",
        "agenticAppBlueprintId": "blueprint-1",
    },
    "conversation": {"id": "19:c@thread.v2", "tenantId": "tenant-of-conversation"},
    "channelData": {"tenant": {"id": "tenant-of-channel-data"}},
}
IDS = {
    "microsoft.tenant.id": "tenant-of-recipient",
    "gen_ai.conversation.id": "19:c@thread.v2",
    "microsoft.conversation.item.link": "https://smba.trafficmanager.net/teams/",
    "microsoft.channel.name": "msteams",
    "gen_ai.agent.id": "app-1",
    "microsoft.agent.user.id": "user-1",
    "microsoft.a365.agent.blueprint.id": "blueprint-1",
    "user.id": "object-1",
}
PERSONAL = {
    "senderName": {"user.name": "Ann"},
    "senderEmail": {"user.email": "ann@contoso.com"},
    "agentName": {"gen_ai.agent.name": "Bot"},
    "agentDescription": {"gen_ai.agent.description": "helper"},
    "agentEmail": {"microsoft.agent.user.email": "bot@contoso.com"},
}


def current() -> dict[str, object]:
    return dict(baggage.get_all())


def entries(opened: Agent365Baggage) -> dict[str, object]:
    """What is in the baggage within the block, and nothing is afterwards."""
    with opened as entered:
        assert entered is opened
        found = current()
    assert current() == {}
    return found


def test_an_activity_gives_its_ids_and_nothing_personal() -> None:
    activity = parse_activity(WHOLE)
    assert entries(agent365_baggage(activity)) == IDS
    assert entries(Agent365Baggage.from_activity(activity)) == IDS

    class Context:
        pass

    ctx: Any = Context()
    ctx.activity = activity
    assert entries(agent365_baggage(ctx)) == IDS


@pytest.mark.parametrize("name", ALL)
def test_what_is_personal_is_told_only_if_it_is_asked_for(name: Any) -> None:
    assert entries(agent365_baggage(parse_activity(WHOLE), include=[name])) == IDS | PERSONAL[name]


def test_what_is_not_there_is_left_out() -> None:
    bare = {**WHOLE, "from": {"id": "29:u"}, "recipient": {"id": "28:b"}, "conversation": {"id": "c"}}
    del bare["channelData"], bare["serviceUrl"]
    assert entries(agent365_baggage(parse_activity(bare), include=ALL)) == {
        "gen_ai.conversation.id": "c",
        "microsoft.channel.name": "msteams",
        "gen_ai.agent.id": "28:b",
        "user.id": "29:u",
    }
    tenant = {**bare, "channelData": {"tenant": {"id": "t1"}}}
    assert entries(agent365_baggage(parse_activity(tenant)))["microsoft.tenant.id"] == "t1"
    tenant["conversation"] = {"id": "c", "tenantId": "t2"}
    assert entries(agent365_baggage(parse_activity(tenant)))["microsoft.tenant.id"] == "t2"
    assert entries(agent365_baggage()) == entries(agent365_baggage(None)) == {}


def test_entries_of_ones_own_win_and_are_written_as_text() -> None:
    opened = agent365_baggage(
        parse_activity(WHOLE),
        operation_source="support",
        channel_link="https://teams.example/channel",
        additional_baggage={"one": 1, "two": 2.5, "none": None, "blank": " ", "": "x", "user.id": " me "},
    )
    assert entries(opened) == IDS | {
        "service.name": "support",
        "microsoft.channel.link": "https://teams.example/channel",
        "one": "1",
        "two": "2.5",
        "user.id": "me",
    }
    built = Agent365Baggage({"a": "1"}).set("b", 2).operation_source("source").set("a", None)
    assert entries(built) == {"a": "1", "b": "2", "service.name": "source"}


def test_what_was_there_before_stays_and_comes_back() -> None:
    token = context.attach(baggage.set_baggage("outer", "1"))
    opened = Agent365Baggage({"a": "1"})
    with opened:
        with opened, Agent365Baggage({"a": "2"}):
            assert current() == {"outer": "1", "a": "2"}
        assert current() == {"outer": "1", "a": "1"}
    assert current() == {"outer": "1"}
    with opened, pytest.raises(ValueError, match="within"):
        raise ValueError("within")
    context.detach(token)


def test_a_mistake_is_told_and_values_are_not_shown() -> None:
    activity = parse_activity(WHOLE)
    wrong: Any = ["senderNames"]
    with pytest.raises(ValueError, match="include has 'senderNames', which is none of senderName, agentName"):
        agent365_baggage(activity, include=wrong)
    text: Any = "senderName"
    with pytest.raises(ValueError, match=r"give a list of names, such as \['senderName'\]"):
        agent365_baggage(activity, include=text)
    nothing: Any = "text"
    with pytest.raises(
        TypeError, match="made from an activity, or a context that has one, and not from a str"
    ):
        agent365_baggage(nothing)
    with pytest.raises(ValueError, match="include has"):
        create_agent365_scope({"include": wrong})
    assert "Ann" not in repr(agent365_baggage(activity, include=ALL))


IDENTITY = AgenticIdentity(
    agentic_app_id="app-1",
    agentic_user_id="user-1",
    tenant_id="tenant-1",
    agentic_app_blueprint_id="blueprint-1",
)
OF_IDENTITY = {
    "microsoft.tenant.id": "tenant-1",
    "gen_ai.agent.id": "app-1",
    "microsoft.agent.user.id": "user-1",
    "microsoft.a365.agent.blueprint.id": "blueprint-1",
}


def test_a_scope_tells_what_the_bot_does_of_its_own_accord() -> None:
    people: dict[str, Any] = {
        "sender_name": "Ann",
        "sender_email": "ann@contoso.com",
        "agent_name": "Bot",
        "agent_email": "bot@contoso.com",
        "agent_description": "helper",
    }
    scope = create_agent365_scope()
    assert entries(scope()) == {}
    opened = scope(agentic_identity=IDENTITY, conversation_id="c", user_id="u", **people)
    assert entries(opened) == OF_IDENTITY | {"gen_ai.conversation.id": "c", "user.id": "u"}
    scope = create_agent365_scope(
        {
            "include": ALL,
            "service_url": "https://service",
            "agent_id": "agent",
            "channel_name": "msteams",
            "channel_link": "https://link",
            "operation_source": "jobs",
            "additional_baggage": {"x": "1", "y": "2"},
        }
    )
    common = {
        "microsoft.conversation.item.link": "https://service",
        "microsoft.channel.name": "msteams",
        "microsoft.channel.link": "https://link",
        "service.name": "jobs",
        "x": "1",
    }
    opened = scope(agentic_identity=IDENTITY, user_id="u", additional_baggage={"y": "3"}, **people)
    personal = {key: value for entry in PERSONAL.values() for key, value in entry.items()}
    assert entries(opened) == OF_IDENTITY | common | personal | {"y": "3", "user.id": "u"}
    assert entries(scope()) == common | {"gen_ai.agent.id": "agent", "y": "2"}
    blueprint = AgenticIdentity(tenant_id="t", agentic_app_blueprint_id="b")
    assert "gen_ai.agent.id" not in entries(scope(agentic_identity=blueprint))
    assert entries(create_agent365_scope(False)(conversation_id="c", agentic_identity=IDENTITY)) == {}


def test_the_keys_are_those_of_the_platform() -> None:
    assert {key for key in vars(Agent365BaggageKeys()).values() if not key.startswith("microsoft.")} == {
        "gen_ai.agent.description",
        "gen_ai.agent.id",
        "gen_ai.agent.name",
        "gen_ai.conversation.id",
        "service.name",
        "user.email",
        "user.id",
        "user.name",
    }


# Around turns -----------------------------------------------------------------------------------------------


class Copying(SpanProcessor):
    """What SDKs of platforms do: gives each span the baggage as it begins."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, object]]] = []

    def on_start(self, span: Span, parent_context: context.Context | None = None) -> None:
        self.seen.append((span.name, dict(baggage.get_all(parent_context))))

    def on_end(self, span: ReadableSpan) -> None: ...


@pytest.fixture
def copying(monkeypatch: pytest.MonkeyPatch) -> Iterator[Copying]:
    """An SDK is set up for the test."""
    provider, copying = TracerProvider(), Copying()
    provider.add_span_processor(copying)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield copying
    provider.shutdown()


async def baggage_in_turn(app: App, wire: Mapping[str, Any]) -> dict[str, object]:
    """What a handler finds."""
    found: list[dict[str, object]] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        found.append(await asyncio.create_task(_current()))

    await app.process(dict(wire))
    await app.stop()
    assert current() == {}
    [one] = found
    return one


async def _current() -> dict[str, object]:
    return current()


async def test_every_turn_has_it_from_its_first_span_on_without_personal_data(
    make_app: MakeApp, event: Wire, copying: Copying
) -> None:
    wire = event("message", text="hi", **{"from": {"id": "29:u", "name": "Ann", "email": "a@b"}})
    found = await baggage_in_turn(make_app(), wire)
    assert found["user.id"] == "29:u"
    assert found["gen_ai.conversation.id"] == wire["conversation"]["id"]
    assert not {"user.name", "user.email"} & found.keys()
    turns = [seen for name, seen in copying.seen if name == "microsoft.teams.activity.process"]
    assert turns == [found]


async def test_the_option_says_what_is_told_and_may_forbid_it(
    make_app: MakeApp, event: Wire, copying: Copying
) -> None:
    wire = event("message", text="hi", **{"from": {"id": "29:u", "name": "Ann"}})
    options = {"include": ["senderName"], "operation_source": "bot", "additional_baggage": {"team": "x"}}
    found = await baggage_in_turn(make_app(telemetry={"agent365": options}), wire)
    assert (found["user.name"], found["service.name"], found["team"]) == ("Ann", "bot", "x")
    assert await baggage_in_turn(make_app(telemetry={"agent365": False}), wire) == {}


async def test_a_turn_has_nothing_of_the_one_before_it(
    make_app: MakeApp, event: Wire, copying: Copying
) -> None:
    app = make_app(telemetry={"agent365": {"include": ["senderName"]}})
    found: list[object] = []

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        found.append(current().get("user.name"))
        await asyncio.sleep(1)

    named = event("message", text="1", **{"from": {"id": "29:u", "name": "Ann"}})
    nameless = event("message", text="2", **{"from": {"id": "29:v"}})
    await asyncio.gather(app.process(named), app.process(nameless))
    assert found == ["Ann", None]
    await app.stop()


async def test_a_turn_that_a_handler_brings_has_nothing_of_that_handlers_turn(
    make_app: MakeApp, event: Wire, copying: Copying
) -> None:
    app = make_app(telemetry={"agent365": {"include": ["senderName", "senderEmail"]}})
    found: dict[str, dict[str, object]] = {}

    @app.on_message
    async def answer(ctx: ActivityContext[MessageActivity]) -> None:
        if ctx.activity.text == "1":
            with Agent365Baggage({"team": "x"}):
                other = {"conversation": {"id": "other"}, "from": {"id": "29:v"}}
                await app.process(event("message", text="2", **other))
        found[ctx.activity.text] = current()

    ann = {"id": "29:u", "name": "Ann", "email": "ann@example.com", "aadObjectId": "a-1"}
    await app.process(event("message", text="1", **{"from": ann}))
    assert (found["1"]["user.name"], found["1"]["user.email"]) == ("Ann", "ann@example.com")
    assert not {"user.name", "user.email"} & found["2"].keys()
    assert (found["2"]["user.id"], found["2"]["gen_ai.conversation.id"]) == ("29:v", "other")
    assert found["2"]["team"] == "x", "what is not of Agent 365 is not touched"
    await app.stop()


async def test_without_an_sdk_no_turn_pays_for_it(app: App, event: Wire) -> None:
    assert await baggage_in_turn(app, event("message", text="hi")) == {}


def test_without_opentelemetry_nothing_happens() -> None:
    code = """
import sys
sys.modules["opentelemetry"] = None
import asyncio
from cadenza.apps import App, agent365_baggage, create_agent365_scope
from cadenza.api import parse_activity
wire = {"type": "message", "id": "1", "text": "hi", "conversation": {"id": "c"}}
with agent365_baggage(parse_activity(wire)), create_agent365_scope()(conversation_id="c"):
    pass
async def main():
    app = App(dangerously_allow_unauthenticated_requests=True)
    @app.on_message
    async def answer(ctx):
        print("handled")
    await app.process(wire)
    await app.stop()
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "handled\n"


@pytest.mark.parametrize(
    ("telemetry", "complaint"),
    [
        (True, "telemetry is True: it must be a dict"),
        ({"agent_365": {}}, "has no agent_365, only agent365"),
        ({"agent365": True}, r"is True: it must be a dict \(Agent365BaggageOptions\), or False"),
        ({"agent365": {"includes": []}}, "has no includes; there are include, operation_source"),
        ({"agent365": {"include": ["sender"]}}, "include has 'sender'"),
        ({"agent365": {"include": "senderName"}}, "give a list of names"),
        ({"agent365": {"additional_baggage": ["x"]}}, "must be a dict from keys to values"),
    ],
)
def test_a_telemetry_option_that_cannot_be_meant_is_an_error_that_names_it(
    telemetry: Any, complaint: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=complaint):
        App(telemetry=telemetry)


def test_empty_options_mean_the_default() -> None:
    empty: list[Any] = [None, {}, {"agent365": {}}, {"agent365": None}]
    for telemetry in empty:
        assert not App(telemetry=telemetry)._settings.agent365


def test_a_typing_activity_has_baggage_too() -> None:
    activity = parse_activity({**WHOLE, "type": "typing"})
    assert isinstance(activity, TypingActivity)
    assert entries(agent365_baggage(activity)) == IDS
