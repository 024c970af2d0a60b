"""The page on observing a bot has all names that there are, and its snippets show spans and fields."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cadenza.api.telemetry.names import INSTRUMENTS, Attribute, Event, Metric, Span
from cadenza.apps.log_fields import FIELDS

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "observe-a-bot.md").read_text()


def table(heading: str) -> list[list[str]]:
    """The rows of the table whose first column is called so."""
    [body] = re.findall(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in body.splitlines()]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def constants(kind: type) -> set[str]:
    return {value for name, value in vars(kind).items() if name.isupper()}


def test_the_page_has_every_span_and_no_other() -> None:
    assert {names(row[0])[0] for row in table("span")} == constants(Span)
    for event in constants(Event):
        assert f"`{event}`" in PAGE


def test_each_span_of_the_tree_that_is_drawn_has_a_row() -> None:
    [drawn] = re.findall(r"^The spans of a turn.*?\n\n((?:    .*\n)+)", PAGE, re.MULTILINE)
    spans = [line.split()[0] for line in drawn.splitlines() if not line.strip().startswith("(")]
    assert spans == [
        Span.TURN,
        Span.STATE_LOAD,
        Span.HANDLER,
        Span.STREAM,
        Span.API_CLIENT,
        Span.AUTH_OUTBOUND,
    ]


def test_the_page_has_every_attribute_and_no_other() -> None:
    told = [names(row[0])[0] for row in table("attribute")]
    assert sorted(told) == sorted(constants(Attribute))


def test_the_page_tells_of_every_metric_what_it_is() -> None:
    told = {names(row[0])[0]: (row[1], row[2], tuple(names(row[3]))) for row in table("metric")}
    assert told == {name: (one.kind, one.unit, one.attributes) for name, one in INSTRUMENTS.items()}
    assert told.keys() == constants(Metric)


def test_the_page_has_every_field_of_the_log() -> None:
    [fields] = re.findall(r"^\| field \| what it is \|\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert sorted(names(line.split("|")[1])[0] for line in fields.splitlines()) == sorted(FIELDS)


def snippet(file: str) -> str:
    [code] = re.findall(rf"^```python\n(# {file}\n.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(code)


RUN = """
import asyncio, logging, sys
from logs import write_json
from telemetry import observe
from opentelemetry import trace
from cadenza.apps import App

write_json()
observe()

async def main():
    app = App(dangerously_allow_unauthenticated_requests=True, service_url="http://127.0.0.1:9")

    @app.on_message
    async def answer(ctx):
        logging.getLogger("bot").info("answering")

    await app.process({"type": "message", "id": "17", "text": "private", "conversation": {"id": "c"}})
    await app.stop()

asyncio.run(main())
trace.get_tracer_provider().shutdown()
"""


@pytest.fixture
def done(tmp_path: Path) -> "subprocess.CompletedProcess[str]":
    for file in ("logs.py", "telemetry.py"):
        (tmp_path / file).write_text(snippet(file))
    command = [sys.executable, "-c", RUN]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)


def test_the_snippets_show_the_spans_of_a_turn_and_lines_that_name_their_trace(
    done: "subprocess.CompletedProcess[str]",
) -> None:
    for span in ("microsoft.teams.activity.process", "microsoft.teams.handler"):
        assert f'"name": "{span}"' in done.stdout
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    [line] = [line for line in lines if line["message"] == "answering"]
    assert (line["activity_id"], line["conversation_id"]) == ("17", "c")
    assert f'"trace_id": "0x{line["trace_id"]}"' in done.stdout
    assert "invoke_name" not in line
    assert "private" not in done.stdout + done.stderr
