"""The command as a user runs it: in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from urllib.request import urlopen

import pytest
from cadenza.cli import main

BOT = "from cadenza.apps import App\napp = App()\n"


def cadenza(*arguments: str, at: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command, with what lies `at` some folder installed beside it."""
    command = [sys.executable, "-m", "cadenza.cli", *arguments]
    environment = os.environ | {"PYTHONPATH": str(at or ""), "NO_COLOR": "1", "COLUMNS": "120"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


@pytest.fixture
def broken_package(tmp_path: Path) -> Path:
    """An installed package that brings a command which it cannot load."""
    (tmp_path / "rusty.py").write_text("import gone_for_good")
    metadata = tmp_path / "rusty-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rusty\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[cadenza.commands]\nscrape = rusty:scrape\n")
    return tmp_path


def test_the_version_is_that_of_the_distribution() -> None:
    assert cadenza("--version").stdout == f"cadenza {version('cadenza')}\n"


def test_without_a_command_the_help_lists_them_all() -> None:
    result = cadenza()
    assert result.returncode == 2
    assert "  run     Run the bot at PATH" in result.stderr
    assert "  chat    Talk to the bot at PATH" in result.stderr


def test_a_command_that_cannot_be_loaded_is_one_clear_line(broken_package: Path) -> None:
    result = cadenza("scrape", "--deep", "rust", at=broken_package)
    assert result.returncode == 1
    assert result.stderr == (
        "cadenza scrape: the package rusty cannot be loaded: "
        "ModuleNotFoundError: No module named 'gone_for_good'\n"
    )
    assert result.stdout == ""


def test_a_command_that_cannot_be_loaded_does_not_disturb_the_others(broken_package: Path) -> None:
    result = cadenza("--version", at=broken_package)
    assert (result.returncode, result.stderr) == (0, "")
    assert "Not available" in cadenza("--help", at=broken_package).stdout


def test_a_known_command_whose_package_is_missing_names_the_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main, "entry_points", lambda group: ())
    with pytest.raises(SystemExit) as ended:
        main.command_line()(["chat", "examples/echo"], prog_name="cadenza")
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "cadenza chat: it comes with the package cadenza-dev: pip install cadenza-dev\n"
    )


def test_run_without_a_bot_is_one_clear_line() -> None:
    result = cadenza("run", "no/such/bot")
    assert result.returncode == 1
    assert result.stderr.startswith("cadenza run: there is no 'no/such/bot'")
    assert result.stderr.count("\n") == 1


def test_run_serves_the_bot_until_it_is_told_to_stop(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(BOT)
    command = [sys.executable, "-m", "cadenza.cli", "run", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        port = next(line.split()[-1].rstrip(".") for line in process.stderr if "Listening" in line)
        with urlopen(f"http://127.0.0.1:{port}/health") as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_run_says_in_one_line_that_the_port_is_taken(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(BOT)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = cadenza("run", str(tmp_path), "--port", str(taken.getsockname()[1]))
    assert result.returncode == 1
    assert "cadenza run: the bot cannot listen: " in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_run_says_in_one_line_that_the_certificate_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "from cadenza.apps import App\napp = App(client_id='id', client_certificate_path='nowhere.pem')\n"
    )
    result = cadenza("run", str(tmp_path))
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        f"cadenza run: {tmp_path} cannot be run: InvalidCredentialsError: The certificate 'nowhere.pem' "
        "cannot be read: No such file or directory."
    )
    assert "Traceback" not in result.stderr
