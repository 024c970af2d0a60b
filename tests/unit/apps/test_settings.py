import re
from pathlib import Path
from typing import Any

import pytest
from cadenza.api import US_GOV, ApiClientSettings
from cadenza.apps import App, AppOptions
from cadenza.apps.settings import (
    DEFAULT_CONNECTION_NAME,
    DEFAULT_ENDPOINT,
    DEFAULT_PORT,
    DEFAULT_SERVICE_URL,
    Settings,
)
from cadenza.state import MemoryState


def test_an_option_wins_over_the_environment_and_that_over_the_default() -> None:
    environ = {"CLIENT_ID": "from-env", "TENANT_ID": "tenant"}
    settings = Settings.resolve({"client_id": "from-option"}, environ)
    assert (settings.client_id, settings.tenant_id) == ("from-option", "tenant")
    assert settings.service_url == DEFAULT_SERVICE_URL


def test_none_and_empty_count_as_not_given() -> None:
    settings = Settings.resolve({"client_id": None, "cloud": None}, {"CLIENT_ID": "", "SERVICE_URL": ""})
    assert settings == Settings()


def test_all_variables_of_the_reference_are_read() -> None:
    settings = Settings.resolve(
        {},
        {
            "CLIENT_ID": "id",
            "CLIENT_SECRET": "secret",
            "TENANT_ID": "tenant",
            "MANAGED_IDENTITY_CLIENT_ID": "",
            "SERVICE_URL": "https://example.com",
            "CLOUD": "usgov",
            "PORT": "8080",
            "DANGEROUSLY_ALLOW_UNAUTHENTICATED_REQUESTS": "on",
        },
    )
    assert (settings.client_id, settings.client_secret, settings.tenant_id) == ("id", "secret", "tenant")
    assert (settings.service_url, settings.cloud, settings.port) == ("https://example.com", US_GOV, 8080)
    assert settings.allow_unauthenticated


@pytest.mark.parametrize(
    ("value", "allowed"),
    [("1", True), ("TRUE", True), ("yes", True), ("on", True), ("0", False), ("false", False), ("No", False)],
)
def test_the_dangerous_switch_reads_words_for_yes_and_no(value: str, allowed: bool) -> None:
    environ = {"DANGEROUSLY_ALLOW_UNAUTHENTICATED_REQUESTS": value}
    assert Settings.resolve({}, environ).allow_unauthenticated is allowed


def test_any_other_word_for_the_dangerous_switch_is_refused() -> None:
    with pytest.raises(ValueError, match="DANGEROUSLY_ALLOW_UNAUTHENTICATED_REQUESTS is 'maybe'"):
        Settings.resolve({}, {"DANGEROUSLY_ALLOW_UNAUTHENTICATED_REQUESTS": "maybe"})


def test_the_option_can_switch_off_what_the_environment_allows() -> None:
    environ = {"DANGEROUSLY_ALLOW_UNAUTHENTICATED_REQUESTS": "1"}
    settings = Settings.resolve({"dangerously_allow_unauthenticated_requests": False}, environ)
    assert not settings.allow_unauthenticated


def test_skip_auth_is_the_old_name_of_the_dangerous_switch() -> None:
    with pytest.warns(DeprecationWarning, match="dangerously_allow_unauthenticated_requests"):
        app = App(skip_auth=True)
    assert app._settings.allow_unauthenticated


def test_the_secret_is_not_in_the_settings_as_they_are_printed() -> None:
    assert "hush" not in repr(Settings(client_id="id", client_secret="hush"))


def test_a_port_that_is_none_names_its_variable() -> None:
    with pytest.raises(ValueError, match="PORT is 'http'"):
        Settings.resolve({}, {"PORT": "http"})


def test_an_option_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="no option clientid"):
        App(clientid="x")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"messaging_endpoint": "api"}, "must start with"),
        ({"shutdown_seconds": -1.0}, "shutdown_seconds must not be negative"),
        ({"cloud": "moon"}, "moon"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Settings.resolve(options, {})  # type: ignore[arg-type]


def test_a15_what_checks_no_tokens_listens_on_this_machine_only() -> None:
    assert Settings.resolve({}, {}).host == "127.0.0.1"
    assert Settings.resolve({"client_id": "id"}, {}).host == "0.0.0.0"
    open_to_all: AppOptions = {"client_id": "id", "dangerously_allow_unauthenticated_requests": True}
    assert Settings.resolve(open_to_all, {}).host == "127.0.0.1"
    assert Settings.resolve({"host": "::"}, {}).host == "::"


def test_a_token_without_a_client_id_is_refused() -> None:
    with pytest.raises(ValueError, match="token is given without client_id"):
        Settings.resolve({"token": lambda scope, tenant: "token"}, {})


def test_a_certificate_and_a_managed_identity_are_read_from_the_environment_too() -> None:
    environ = {"CLIENT_ID": "id", "CLIENT_CERTIFICATE_PATH": "bot.pem", "CLIENT_CERTIFICATE_PASSWORD": "hush"}
    settings = Settings.resolve({}, environ)
    assert (settings.client_certificate_path, settings.client_certificate_password) == ("bot.pem", "hush")
    assert "hush" not in repr(settings)
    settings = Settings.resolve({}, {"CLIENT_ID": "id", "MANAGED_IDENTITY_CLIENT_ID": "system"})
    assert (settings.client_secret, settings.managed_identity_client_id) == (None, "system")


def test_an_option_to_get_tokens_with_puts_the_variables_of_the_others_out_of_play() -> None:
    environ = {"CLIENT_ID": "id", "CLIENT_SECRET": "hush", "CLIENT_CERTIFICATE_PATH": "bot.pem"}
    settings = Settings.resolve({"managed_identity_client_id": "system"}, environ)
    assert settings.client_secret is settings.client_certificate_path is None
    with pytest.raises(ValueError, match="CLIENT_SECRET and CLIENT_CERTIFICATE_PATH are both given"):
        Settings.resolve({}, environ)


def test_an_unknown_option_of_the_stream_is_named() -> None:
    options: AppOptions = {"stream": {"fallbak": "edit"}}  # type: ignore[typeddict-item]
    with pytest.raises(TypeError, match="The option stream of App has no fallbak"):
        Settings.resolve(options, {})


async def test_a_client_id_without_a_secret_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    app = App(client_id="bot")
    await app.initialize()
    await app.stop()
    assert "it cannot answer anybody" in caplog.text


def test_the_token_service_is_that_of_the_options_else_of_the_environment_else_of_the_cloud(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert App(cloud=US_GOV).api.token_service_url == US_GOV.token_service_url
    monkeypatch.setenv("OAUTH_URL", "https://europe.token.botframework.com")
    assert App().api.token_service_url == "https://europe.token.botframework.com"
    settings = ApiClientSettings(oauth_url="https://asia.token.botframework.com")
    assert App(api_client_settings=settings).api.token_service_url == "https://asia.token.botframework.com"
    assert App(api_client_settings=ApiClientSettings()).api.token_service_url.startswith("https://europe.")


def test_the_connection_for_signing_in_has_the_references_default_and_can_be_named() -> None:
    assert App()._settings.default_connection_name == "graph"
    assert App(default_connection_name="github", fetch_user_token=True)._settings.default_connection_name == (
        "github"
    )


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ("client", "give it an AiohttpTransport"),
    ],
)
def test_an_option_of_the_reference_that_means_nothing_here_says_what_to_do_instead(
    option: str, instead: str
) -> None:
    given: dict[str, Any] = {option: ["something"]}
    with pytest.raises(TypeError, match=rf"does not take the option {option}: .*{instead}"):
        App(**given)
    empty: tuple[Any, ...] = (None, [], "")
    for value in empty:
        App(**{option: value})


class NoServer:
    """What the reference asks of a server."""

    def register_route(self, method: str, path: str, handler: object) -> None: ...
    def serve_static(self, path: str, directory: str) -> None: ...
    async def start(self, port: int) -> None: ...
    async def stop(self) -> None: ...


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"state": "x"}, r"state is 'x', but must be a State .*: it has no close, inbox, leases, permits"),
        ({"state": MemoryState}, r"state is <class .*MemoryState'>.*: this is a class"),
        ({"http_server_adapter": NoServer()}, r"http_server_adapter is .*it has no port, stop_listening\."),
        ({"http_server_adapter": "aiohttp"}, r"http_server_adapter is 'aiohttp', but must be a HttpServer"),
    ],
)
def test_what_is_no_part_of_an_app_is_named_with_what_it_lacks(options: Any, error: str) -> None:
    with pytest.raises(TypeError, match=error):
        App(**options)


@pytest.mark.parametrize("url", ["https://token.example", "http://token.botframework.com"])
def test_a_token_service_that_may_not_have_the_bots_token_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ValueError, match=f"OAUTH_URL .* is '{url}'.*https://europe.token.botframework.com"):
        Settings.resolve({}, {"OAUTH_URL": url})
    for good in ("https://europe.token.botframework.com", "http://127.0.0.1:3978"):
        assert Settings.resolve({}, {"OAUTH_URL": good}).oauth_url == good


@pytest.mark.parametrize(
    ("options", "environ", "error", "complaint"),
    [
        (
            {"client_id": "id "},
            {},
            ValueError,
            "client_id is 'id ', which has blanks or line ends at its ends",
        ),
        ({}, {"CLIENT_ID": "id\n"}, ValueError, r"CLIENT_ID is 'id\\n', which has blanks or line ends"),
        ({"client_id": 5}, {}, TypeError, "client_id is of type int: it must be text"),
        ({"tenant_id": "bad tenant/.."}, {}, ValueError, "tenant_id is 'bad tenant/..': an id has letters"),
        ({"tenant_id": ".."}, {}, ValueError, "tenant_id is '..': an id has letters"),
        (
            {},
            {"CLIENT_ID": "id", "MANAGED_IDENTITY_CLIENT_ID": "a b"},
            ValueError,
            "MANAGED_IDENTITY_CLIENT_ID",
        ),
        ({"service_url": 5}, {}, TypeError, "service_url is of type int"),
        ({"service_url": "smba.example/teams"}, {}, ValueError, "must be a URL that begins with https://"),
        ({"service_url": "ftp://smba.example"}, {}, ValueError, "service_url is 'ftp://smba.example'"),
        (
            {},
            {"SERVICE_URL": "https://smba.example/a b"},
            ValueError,
            "SERVICE_URL is 'https://smba.example/a",
        ),
        ({"fetch_user_token": "no"}, {}, TypeError, "fetch_user_token is 'no': it must be True or False"),
        ({"keep_references": 1}, {}, TypeError, "keep_references is 1"),
        (
            {"dangerously_allow_unauthenticated_requests": "false"},
            {},
            TypeError,
            "is 'false': it must be True",
        ),
    ],
)
def test_what_a_text_or_a_switch_cannot_mean_is_refused_at_the_start(
    options: Any, environ: dict[str, str], error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        Settings.resolve(options, environ)


@pytest.mark.parametrize("tenant", ["contoso.onmicrosoft.com", "9b1d3c80-0000-4000-8000-000000000001"])
def test_a_tenant_is_named_by_its_id_or_its_domain(tenant: str) -> None:
    assert Settings.resolve({"tenant_id": tenant}, {}).tenant_id == tenant


def test_a_secret_that_was_read_with_its_line_end_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="CLIENT_SECRET has blanks or line ends at its ends") as caught:
        Settings.resolve({}, {"CLIENT_ID": "id", "CLIENT_SECRET": "hush\n"})
    assert "hush" not in str(caught.value)
    assert Settings.resolve({"client_id": "id", "client_secret": "of two words"}, {}).client_secret


def test_a_certificates_password_without_the_certificate_is_refused_from_the_environment_too() -> None:
    password = {"CLIENT_ID": "id", "CLIENT_CERTIFICATE_PASSWORD": "hush"}
    with pytest.raises(
        ValueError, match="CLIENT_CERTIFICATE_PASSWORD is given without client_certificate_path"
    ):
        Settings.resolve({}, password)
    assert Settings.resolve({"client_secret": "s"}, password).client_certificate_password is None


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("client_secert", "did you mean client_secret?"),
        ("oauth_url", r"give api_client_settings=ApiClientSettings\(oauth_url=...\), or OAUTH_URL"),
        ("port", r"give it to app.start\(port\), or as PORT"),
        ("xyzzy", "no option xyzzy\\.$"),
    ],
)
def test_an_option_that_does_not_exist_is_told_what_was_meant(option: str, meant: str) -> None:
    with pytest.raises(TypeError, match=meant):
        Settings.resolve({option: "x"}, {})  # type: ignore[misc]


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "The App has no credentials, so that every request will be refused with 401. Set CLIENT_ID and"),
        (
            {"CLIENT_SECRET": "s"},
            "CLIENT_SECRET is set, but no CLIENT_ID, so that every request will be refused",
        ),
    ],
)
async def test_why_everybody_will_be_refused_is_said_at_the_start(
    environ: dict[str, str], said: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    app = App()
    await app.initialize()
    await app.stop()
    assert said in caplog.text


PAGE = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"


def test_the_page_of_the_settings_has_every_option_and_every_variable() -> None:
    rows = [line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    options = [re.findall(r"`(\w+)", row[0])[0] for row in rows if "(" not in row[0]]
    assert sorted(options) == sorted(AppOptions.__annotations__)
    variables = {name for row in rows for name in re.findall(r"`([A-Z_]{4,})`", row[1])}

    class Asked(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            asked.add(name)
            return default

    asked: set[str] = set()
    Settings.resolve({}, Asked())
    assert variables == asked


def test_the_page_of_the_settings_tells_the_defaults() -> None:
    rows = [line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    told = {row[0].strip().strip("`"): row[2].strip().strip("`") for row in rows}
    for name, value in {
        "service_url": DEFAULT_SERVICE_URL,
        "default_connection_name": DEFAULT_CONNECTION_NAME,
        "messaging_endpoint": DEFAULT_ENDPOINT,
        "turn_strategy": Settings().turn_strategy,
        "app.start(port)": str(DEFAULT_PORT),
        **{
            name: f"{getattr(Settings(), name):g} s"
            for name in AppOptions.__annotations__
            if name.endswith("_seconds")
        },
    }.items():
        assert told[name] == value
