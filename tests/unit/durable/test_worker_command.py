"""`cadenza worker` finds the Runner of a file or module, works on its runs, and stops in good order."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cadenza.durable import Runner, SQLiteLog
from cadenza.durable.worker_command import WorkerError, load_runner

WORKER = """
import asyncio
from cadenza.durable import Runner, SQLiteLog

runner = Runner(SQLiteLog({log!r}), reap_seconds=0.05, recovery="restart", lease_seconds=1)

@runner.agent(name="echo")
async def echo(ctx):
    yield f"You said: {{ctx.text}}"
    if ctx.text == "wait":
        await asyncio.sleep(0.6)
        yield ", and I waited"
"""


def write(folder: Path, text: str, name: str = "main.py") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.fixture(autouse=True)
def imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What is loaded here is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("bot/main.py", "bot"),
        ("bot/src/main.py", "bot"),
        ("bot/jobs.py", "bot/jobs.py"),
        ("bot/jobs.py", "bot/jobs.py:runner"),
        ("jobs_of_mine.py", "jobs_of_mine"),
        ("jobs_of_mine.py", "jobs_of_mine:runner"),
    ],
)
def test_a_runner_is_found_in_a_folder_a_file_or_a_module(tmp_path: Path, name: str, path: str) -> None:
    write(tmp_path, WORKER.format(log="runs.db"), name)
    runner = load_runner(path)
    assert isinstance(runner, Runner)
    assert runner.agents == ("echo",)


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        ("", "nothing", "there is no 'nothing': it is a folder"),
        ("", "nothing.py:runner", "there is no 'nothing.py:runner'"),
        ("", "empty", "holds no main.py and no src/main.py"),
        ("", "main.txt", "is no Python file"),
        ("", "main.py", "holds no 'runner': give the Runner that name"),
        ("", "main.py:jobs", "holds no 'jobs'"),
        ("runner = 7", "main.py", "is no Runner but of type int"),
        ("1 / 0", "main.py", "cannot be run: ZeroDivisionError"),
        ("import no_such_module_at_all", "main", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_what_leads_to_no_runner_is_said_in_one_line(tmp_path: Path, text: str, path: str, says: str) -> None:
    write(tmp_path, text)
    write(tmp_path, "", "main.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkerError, match=says) as failed:
        load_runner(path)
    assert "\n" not in str(failed.value)


@contextmanager
def command(folder: Path, path: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "cadenza.cli", "worker", path],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()  # nothing, where it has ended


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "from cadenza.durable import MemoryLog, Runner\nrunner = Runner(MemoryLog())",
            "in the memory of its process",
        ),
        (
            "from cadenza.durable import Runner, SQLiteLog\nrunner = Runner(SQLiteLog('r.db'))",
            "has no agents",
        ),
        ("raise ValueError('mine')", "cannot be run: ValueError: mine"),
    ],
)
def test_a_worker_that_cannot_work_says_why_and_ends(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path, text)
    with command(tmp_path, ".") as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert says in errors.splitlines()[-1]
    assert ("Traceback" in errors) == ("mine" in text)


async def test_a_worker_process_makes_runs_until_sigterm_and_ends_what_it_is_at(tmp_path: Path) -> None:
    log = tmp_path / "runs.db"
    write(tmp_path, WORKER.format(log=str(log)))
    with command(tmp_path, str(tmp_path)) as process:
        async with Runner(SQLiteLog(log)) as client:
            run = await client.start("echo", "hello")
            assert (await run.result(timeout=20)).text == "You said: hello"
            slow = await client.start("echo", "wait")
            async with slow.attach(deadline=20) as reader:
                async for event in reader:
                    if event.kind == "text":
                        break
            process.send_signal(signal.SIGTERM)
            assert (await slow.result(timeout=20)).text == "You said: wait, and I waited"
            _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert "this worker has the agents 'echo'" in errors
    assert "this worker stops" in errors
    assert errors.rstrip().endswith("this worker has stopped")
