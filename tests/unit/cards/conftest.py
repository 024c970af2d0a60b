import pytest
from cadenza.apps import App
from cadenza.testing import Teams


@pytest.fixture
def app(teams: Teams, monkeypatch: pytest.MonkeyPatch) -> App:
    """An App that accepts everybody and talks to the emulator."""
    for name in ("CLIENT_ID", "CLIENT_SECRET", "TENANT_ID", "SERVICE_URL", "CLOUD"):
        monkeypatch.delenv(name, raising=False)
    app = App(transport=teams.transport, dangerously_allow_unauthenticated_requests=True)
    teams.connect(app)
    return app
