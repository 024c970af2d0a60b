from collections.abc import Callable
from typing import Any

import pytest
from cadenza.apps import App
from cadenza.testing import Teams, User

VARIABLES = (
    "CLIENT_ID",
    "CLIENT_SECRET",
    "CLIENT_CERTIFICATE_PATH",
    "CLIENT_CERTIFICATE_PASSWORD",
    "MANAGED_IDENTITY_CLIENT_ID",
    "TENANT_ID",
    "SERVICE_URL",
    "CLOUD",
    "OAUTH_URL",
    "PORT",
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "DANGEROUSLY_ALLOW_UNAUTHENTICATED_REQUESTS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make_app(teams: Teams) -> Callable[..., App]:
    """Makes an App that accepts everybody and talks to the emulator, and connects it."""

    def make(**options: Any) -> App:
        defaults: dict[str, Any] = {
            "transport": teams.transport,
            "dangerously_allow_unauthenticated_requests": True,
        }
        app = App(**{**defaults, **options})
        teams.connect(app)
        return app

    return make


@pytest.fixture
def app(make_app: Callable[..., App]) -> App:
    return make_app()


@pytest.fixture
def invoke(teams: Teams, user: User) -> Callable[..., dict[str, Any]]:
    """The JSON of an invoke of that name from the user."""

    def make(name: str = "task/fetch", **fields: Any) -> dict[str, Any]:
        return activity(teams, user, type="invoke", name=name, **fields)

    return make


@pytest.fixture
def event(teams: Teams, user: User) -> Callable[..., dict[str, Any]]:
    """The JSON of an activity of that type from the user."""

    def make(type: str, **fields: Any) -> dict[str, Any]:
        return activity(teams, user, type=type, **fields)

    return make


def activity(teams: Teams, user: User, **fields: Any) -> dict[str, Any]:
    ref = teams.conversation_reference(user).to_wire()
    return {
        "id": teams.service.new_id(),
        "channelId": "msteams",
        "serviceUrl": teams.url,
        "from": ref["user"],
        "recipient": ref["bot"],
        "conversation": ref["conversation"],
        **fields,
    }
