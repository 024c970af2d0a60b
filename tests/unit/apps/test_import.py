"""What `import cadenza.apps` brings along: it is what every start of a bot waits for first. How long it takes
is measured by benchmarks/imports.py."""

import subprocess
import sys

import pytest

LOADED = """
import sys
import cadenza.apps
print(*sys.modules)
"""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "name",
    [
        "adaptive_cards",
        "azure",
        "cadenza.events",
        "cryptography",
        "jwt",
        "msal",
        "msgraph",
        "openai",
        "redis",
        "requests",
        "sqlite3",
    ],
)
def test_what_only_some_bots_need_is_not_loaded_with_the_package(loaded: set[str], name: str) -> None:
    assert name not in loaded


def test_no_model_is_loaded_before_one_is_used(loaded: set[str]) -> None:
    assert {name for name in loaded if name.startswith("cadenza.api.models.")} <= {
        "cadenza.api.models.agentic_identity",
        "cadenza.api.models.invoke_response",
        "cadenza.api.models.quote_mark",
    }
    assert "pydantic.main" not in loaded


def test_no_model_is_loaded_when_an_app_is_made_with_its_credentials() -> None:
    make = "from cadenza.apps import App; app = App(client_id='id', client_secret='s'); app.credentials"
    code = f"import sys; {make}; print('pydantic.main' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
