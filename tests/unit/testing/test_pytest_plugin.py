"""The pytest plugin, in a run of its own."""

import subprocess
import sys
from pathlib import Path

import pytest


def run(folder: Path, test: str, *arguments: str) -> str:
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    (folder / "test_it.py").write_text(test)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *arguments, str(folder)],
        capture_output=True, text=True, cwd=folder, timeout=60,
    )  # fmt: skip
    return done.stdout + done.stderr


TALK = """
import asyncio, aiohttp, time

async def talk(teams, user):
    url = f"{teams.url}/v3/conversations/{user.conversation_id}/activities"
    async with aiohttp.ClientSession() as session:
        async with session.post(url, json={"type": "message", "text": "Good morning"}) as response:
            assert response.status == 201
"""


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_the_fixtures_work_in_both_modes_of_pytest_asyncio(tmp_path: Path, mode: str) -> None:
    mark = "import pytest\npytestmark = pytest.mark.asyncio\n" if mode == "strict" else ""
    test = f"""{TALK}
{mark}
async def test_talk(teams, user, clock):
    began = time.monotonic()
    await talk(teams, user)
    await asyncio.sleep(3600)
    assert user.screen.text == "Good morning"
    assert clock.elapsed == 3600 and time.monotonic() - began < 5
"""
    assert "1 passed" in run(tmp_path, test, "-o", f"asyncio_mode={mode}")


def test_a_failed_test_shows_the_transcript(tmp_path: Path) -> None:
    test = f"""{TALK}
async def test_talk(teams, user):
    await talk(teams, user)
    assert user.screen.text == "Good evening"
"""
    output = run(tmp_path, test, "-o", "asyncio_mode=auto")
    assert "1 failed" in output
    assert "Teams transcript" in output
    assert "POST   plain" in output
    assert "-> 201 id" in output


def test_a_test_that_passes_shows_none(tmp_path: Path) -> None:
    test = f"""{TALK}
async def test_talk(teams, user):
    await talk(teams, user)
"""
    assert "Teams transcript" not in run(tmp_path, test, "-o", "asyncio_mode=auto", "-rA")


def test_an_overridden_clock_gives_real_time(tmp_path: Path) -> None:
    test = f"""{TALK}
import pytest

@pytest.fixture
def clock():
    return None

async def test_talk(teams, user):
    began = time.monotonic()
    await asyncio.sleep(0.05)
    assert time.monotonic() - began >= 0.04
    await talk(teams, user)
"""
    assert "1 passed" in run(tmp_path, test, "-o", "asyncio_mode=auto")


def test_a_failure_behind_the_back_of_a_test_fails_it(tmp_path: Path) -> None:
    test = """
import asyncio

class Bot:
    async def process(self, activity, token=None):
        raise ZeroDivisionError("behind the back")

async def test_talk(teams, user):
    teams.connect(Bot())
    await user.say("hi", wait=False)
    await asyncio.sleep(1)
"""
    output = run(tmp_path, test, "-o", "asyncio_mode=auto")
    assert "1 error" in output
    assert "behind the back" in output


def test_loading_the_plugin_loads_nothing_heavy() -> None:
    script = (
        "import sys, pytest, cadenza.testing.pytest_plugin;"
        "print(*{'aiohttp', 'pydantic', 'cadenza.api', 'cadenza.apps'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_public_name_can_be_had() -> None:
    import cadenza.testing

    assert sorted(cadenza.testing.__all__) == sorted(cadenza.testing._HOME)
    for name in cadenza.testing.__all__:
        assert getattr(cadenza.testing, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = cadenza.testing.nonsense
