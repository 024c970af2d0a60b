"""The command as a user runs it: in a process of its own, in real time."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from select import select

import pytest


def chat(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cadenza.cli", "chat", *arguments]
    return subprocess.run(
        command,
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        check=False,
    )


def test_json_prints_nothing_but_lines_of_json(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "from cadenza.apps import App\n"
        "app = App()\n"
        "print('loaded')\n"
        "@app.on_message\n"
        "async def answer(ctx):\n"
        "    print('called')\n"
        "    await ctx.send('Hello')\n"
    )
    result = chat(str(tmp_path), "--say", "hi", "--json")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["event"] for record in records] == ["screen", "request"]
    assert records[1]["method"] == "POST"
    assert records[1]["body"]["text"] == "Hello"
    assert records[1]["status"] == 201
    assert (result.returncode, result.stderr) == (0, "loaded\ncalled\n")


def test_a_second_chat_in_a_folder_is_another_conversation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bot has kept what it was told in the first, and takes no message for one of these."""
    monkeypatch.setenv("RESEARCH_FILES", str(tmp_path))
    monkeypatch.setenv("RESEARCH_SECONDS", "0.3")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for _ in range(2):
        result = chat("examples/long_research", "--say", "the observatory")
        assert "three archives to write about the observatory." in result.stdout, result.stderr
        assert result.returncode == 0


def test_what_is_typed_is_said_until_the_end_of_the_input() -> None:
    result = chat("examples/echo", typed="hi\n/quit\nnever said\n")
    assert result.returncode == 0
    assert result.stdout.startswith("This is examples/echo. Ctrl-C presses Stop")
    assert "\nyou: hi\nYou said: hi\n" in result.stdout
    assert "never said" not in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("chunk 2: 503\nfinal: lose", "faults.txt, line 2: 'lose' is no action"),
        (None, "faults.txt cannot be read: No such file or directory"),
        (b"\xff", "faults.txt cannot be read: it is no text in UTF-8"),
    ],
)
def test_a_fault_script_that_cannot_be_read_is_one_clear_line(
    tmp_path: Path, script: str | bytes | None, problem: str
) -> None:
    file = tmp_path / "faults.txt"
    if script is not None:
        file.write_bytes(script.encode() if isinstance(script, str) else script)
    result = chat("examples/echo", "--say", "hi", "--faults", str(file))
    assert result.returncode == 2
    assert problem in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_fault_script_strikes_the_requests_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "faults.txt").write_text("plain: 503\n")
    result = chat("examples/echo", "--say", "hi", "--json", "--faults", str(tmp_path / "faults.txt"))
    requests = [json.loads(line) for line in result.stdout.splitlines() if '"request"' in line]
    assert requests[0]["fault"] == "503"
    assert [requests[0]["status"], requests[-1]["status"]] == [503, 201]
    assert result.returncode == 0


def test_two_ways_to_print_exclude_each_other() -> None:
    result = chat("examples/echo", "--plain", "--json")
    assert (result.returncode, result.stderr) == (2, "cadenza chat: --plain and --json exclude each other\n")


def test_a_terminal_shows_bubbles_until_ctrl_c_is_pressed_at_the_prompt() -> None:
    terminal, its_end = pty.openpty()
    command = [sys.executable, "-m", "cadenza.cli", "chat", "examples/echo"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    seen = ""

    def read_until(text: str) -> None:
        nonlocal seen
        while text not in seen:
            assert select([terminal], [], [], 30)[0], seen
            seen += os.read(terminal, 4096).decode(errors="replace")

    with subprocess.Popen(command, stdin=its_end, stdout=its_end, stderr=its_end, env=environment) as process:
        try:
            read_until("you: ")
            os.write(terminal, b"hi\n")
            read_until("You said: hi")
            assert "╭" in seen
            seen = seen.partition("You said: hi")[2]
            read_until("you: ")
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
            os.close(terminal)
            os.close(its_end)


def test_json_has_the_requests_to_the_token_service_without_codes_and_tokens(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "from cadenza.apps import App\n"
        "app = App(default_connection_name='graph')\n"
        "@app.on_message\n"
        "async def answer(ctx):\n"
        "    await ctx.sign_in()\n"
    )
    result = chat(str(tmp_path), "--say", "hi", "--say", "/signin", "--json")
    asked = [
        record
        for record in map(json.loads, result.stdout.splitlines())
        if record["event"] == "request" and "/api/" in record["path"]
    ]
    names = [record["path"].partition("?")[0].rpartition("/")[2] for record in asked]
    assert {"GetToken", "GetSignInResource"} <= set(names)
    last = asked[-1]
    assert (last["index"], last["method"], last["status"]) == (0, "GET", 200)
    assert last["path"].endswith("&code=...")
    assert last["answer"]["token"] == "..."
    assert "123456" not in result.stdout
    assert "graph-token-1" not in result.stdout
    assert result.returncode == 0, result.stderr
