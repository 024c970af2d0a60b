"""The two commands of the README, which are all the set-up that there is."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHAT = 'pip install uv && uv run cadenza chat examples/stream --say "multi stream"'
TESTS = "pip install uv && uv run pytest"


def test_the_readme_has_both_commands_and_ci_runs_the_second_one() -> None:
    commands = (ROOT / "README.md").read_text().splitlines()
    assert CHAT in commands
    assert TESTS in commands
    assert TESTS in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_first_command_shows_both_streams_with_the_card_between_them() -> None:
    command = [
        sys.executable,
        "-m",
        "cadenza.cli",
        *CHAT.partition("cadenza ")[2].split(" --say ")[0].split(),
    ]
    result = subprocess.run(
        [*command, "--say", "multi stream"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    shown = [
        result.stdout.index(text) for text in ("you: multi", "...", "\n[stream 1]", "+- card", "\n[stream 2]")
    ]
    assert shown == sorted(shown)
