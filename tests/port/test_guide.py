"""The commands of docs/how-to/port-from-microsoft-teams.md do what it says."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs/how-to/port-from-microsoft-teams.md"

BEFORE = """\
import microsoft_teams.api
from microsoft_teams.api import MessageActivity
from microsoft_teams.api.activities.typing import TypingActivityInput
from microsoft_teams.apps.routing.activity_context import (
    ActivityContext,
)
from microsoft_teams.cards.core import AdaptiveCard
from microsoft_teams.common import LocalStorage
def f(a: microsoft_teams.api.Account, b: microsoft_teams.api.Account):
    from microsoft_teams.apps.options import AppOptions
"""

AFTER = """\
import cadenza.api
from cadenza.api import MessageActivity
from cadenza.api import TypingActivityInput
from cadenza.apps import (
    ActivityContext,
)
from cadenza.cards import AdaptiveCard
from microsoft_teams.common import LocalStorage
def f(a: cadenza.api.Account, b: cadenza.api.Account):
    from cadenza.apps import AppOptions
"""


@pytest.mark.skipif(shutil.which("sed") is None, reason="needs sed")
def test_its_command_replaces_the_imports_of_modules_inside_the_packages_too(tmp_path: Path) -> None:
    expressions = re.findall(r"-e '([^']+)'", GUIDE.read_text())
    assert expressions, "the guide has no sed command"
    bot = tmp_path / "bot.py"
    bot.write_text(BEFORE)
    options = [word for expression in expressions for word in ("-e", expression)]
    done = subprocess.run(["sed", *options, str(bot)], check=True, capture_output=True, text=True)
    assert done.stdout == AFTER
