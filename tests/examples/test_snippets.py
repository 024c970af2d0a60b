"""Every Python snippet of the pages runs.

The snippets of a page run in their order, in one namespace and in one folder of their own. A snippet whose
first line is a comment like `# main.py` is also written to that file; test_*.py and conftest.py are left to
pytest, which runs the tests of the page when all of its files are there. Later snippets may import from these
files.
"""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "packages/*/README.md", "examples/*/README.md")
    for page in ROOT.glob(pattern)
    if "```python" in page.read_text()
)
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (\w+\.py)\n")
OPTIONS = [
    "--override-ini=asyncio_mode=auto",
    "--override-ini=asyncio_default_fixture_loop_scope=function",
    "--override-ini=filterwarnings=error",
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_snippets_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    text = page.read_text()
    namespace: dict[str, Any] = {"__name__": "snippet"}
    for snippet in SNIPPET.finditer(text):
        code = snippet[1]
        file = FILE.match(code)
        if file is not None:
            (tmp_path / file[1]).write_text(code)
            importlib.invalidate_caches()
            module = file[1].removesuffix(".py")
            monkeypatch.setitem(sys.modules, module, None)  # at the end it is forgotten
            del sys.modules[module]
        if file is None or not file[1].startswith(("test_", "conftest")):
            line = text.count("\n", 0, snippet.start(1))
            exec(compile("\n" * line + code, page, "exec"), namespace)
    if list(tmp_path.glob("test_*.py")):
        tests = [sys.executable, "-m", "pytest", *OPTIONS]
        assert subprocess.run(tests, check=False).returncode == 0, capfd.readouterr().out


def test_no_page_is_forgotten() -> None:
    assert {"README.md", "docs/tutorial/first-bot.md"} <= {str(page.relative_to(ROOT)) for page in PAGES}
