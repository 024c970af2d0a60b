"""An example shows one idea: under 80 lines of bot code in its main.py.

What counts is a line of the program: no blank line, no comment, no import and no docstring. Other files of
the example do not count.
"""

import ast
from pathlib import Path

import pytest

MOST = 80
EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = sorted(str(file.relative_to(EXAMPLES)) for file in EXAMPLES.glob("*/**/main.py"))


def lines_of_code(program: str) -> int:
    apart: set[int] = set()
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node) is None:
                continue
            node = node.body[0]
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        apart.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return sum(
        1
        for number, line in enumerate(program.splitlines(), start=1)
        if number not in apart and line.strip() and not line.strip().startswith("#")
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_example_has_under_80_lines_of_bot_code(program: str) -> None:
    assert lines_of_code((EXAMPLES / program).read_text()) < MOST


def test_blank_lines_comments_imports_and_docstrings_do_not_count() -> None:
    program = '''
"""A bot.

More of it."""
from cadenza.apps import (
    App,
)

# The app.
app = App()


async def answer(ctx):
    """Answers."""
    await ctx.send("hi")  # politely
'''
    assert lines_of_code(program) == 3
