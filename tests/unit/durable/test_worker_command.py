"""`cadenza worker` finds the Runner of a file or module, works on its runs, and stops in good order."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cadenza.durable import RedisLog, Runner, SQLiteLog
from cadenza.durable.worker_command import SIGNAL_SECONDS, WorkerError, load_runner
from redis_server import RedisServer, need_redis_server
from taskiq_redis import RedisStreamBroker

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
        ("bot/jobs.py", "bot/jobs.py:"),
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
        ("1 / 0", "main.py", "main.py cannot be run"),
        ("raise RuntimeError('no running event loop')", "main.py", "under if __name__ == '__main__':"),
        ("import no_such_module_at_all", "main", "main cannot be imported"),
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


async def at_work(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    while "this worker has the agents" not in (line := await asyncio.to_thread(process.stderr.readline)):
        assert line


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
        ("raise ValueError('mine')", "main.py cannot be run"),
        (
            WORKER.format(log="no/such/folder/r.db"),
            "no/such/folder",
        ),
    ],
)
def test_a_worker_that_cannot_work_says_why_and_ends(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path, text)
    with command(tmp_path, ".") as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert says in errors.splitlines()[-1]
    assert ("Traceback" in errors) == ("mine" in text)
    assert errors.count("ValueError: mine") == text.count("mine")  # not once more
    assert "this worker has" not in errors


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


async def test_signals_that_come_together_are_one(tmp_path: Path) -> None:
    log = tmp_path / "runs.db"
    write(tmp_path, WORKER.format(log=str(log)))
    with command(tmp_path, str(tmp_path)) as process:
        async with Runner(SQLiteLog(log)) as client:
            run = await client.start("echo", "wait")
            async with run.attach(deadline=20) as reader:
                async for event in reader:
                    if event.kind == "text":
                        break
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
                process.send_signal(number)
                await asyncio.sleep(0.02)
            assert (await run.result(timeout=20)).text == "You said: wait, and I waited"
            assert (await run.status()).attempts == 1
            _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert errors.count("this worker stops") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_that_come_when_it_has_ended_already_do_not_kill_it(
    tmp_path: Path, number: signal.Signals
) -> None:
    write(tmp_path, WORKER.format(log=str(tmp_path / "runs.db")))
    with command(tmp_path, str(tmp_path)) as process:
        await at_work(process)
        end = time.monotonic() + SIGNAL_SECONDS / 2
        while process.poll() is None and time.monotonic() < end:
            process.send_signal(number)
            await asyncio.sleep(0.001)
        assert process.wait(20) == 0


STUCK = """
import asyncio, time
from cadenza.durable import Runner, SQLiteLog

runner = Runner(SQLiteLog({log!r}), reap_seconds=0.05, recovery="restart", shutdown_seconds=0)

@runner.agent(name="stuck")
async def stuck(ctx):
    yield "I begin"
    await asyncio.to_thread(time.sleep, 3600)
"""


async def test_a_second_signal_ends_a_worker_that_a_thread_of_a_run_keeps(tmp_path: Path) -> None:
    log = tmp_path / "runs.db"
    write(tmp_path, STUCK.format(log=str(log)))
    with command(tmp_path, str(tmp_path)) as process:
        async with Runner(SQLiteLog(log)) as client:
            run = await client.start("stuck", "hello")
            async with run.attach(deadline=20) as reader:
                async for event in reader:
                    if event.kind == "text":
                        break
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            while "this worker has stopped" not in await asyncio.to_thread(process.stderr.readline):
                assert process.poll() is None
            assert (await run.status()).status == "recovering"  # it was left
        await asyncio.sleep(SIGNAL_SECONDS + 0.2)  # within that time two signals are one
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 1


SHARING = """
import asyncio, os
from cadenza.durable import RedisLog, Runner
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker({url!r}, queue_name="t-jobs")
runner = Runner(RedisLog({url!r}, prefix="t"), broker=broker, max_runs=2, reap_seconds=0.1)

@runner.agent(name="who")
async def who(ctx):
    yield f"{{os.getpid()}} "
    await asyncio.sleep(0.3)
    yield "is done"
"""


async def test_two_workers_on_redis_share_the_work_and_make_each_run_once(tmp_path: Path) -> None:
    need_redis_server()
    with RedisServer(appendonly=False) as server:
        write(tmp_path, SHARING.format(url=server.url))
        broker = RedisStreamBroker(server.url, queue_name="t-jobs")
        with command(tmp_path, ".") as one, command(tmp_path, ".") as other:
            async with Runner(RedisLog(server.url, prefix="t"), broker=broker) as client:
                await asyncio.gather(at_work(one), at_work(other))
                runs = [await client.start("who", "hello") for _ in range(12)]
                makers = [int((await run.result(timeout=20)).text.split()[0]) for run in runs]
                attempts = {(await run.status()).attempts for run in runs}
            errors = []
            for process in (one, other):
                process.send_signal(signal.SIGTERM)
                errors.append(process.communicate(timeout=20)[1])
    assert set(makers) == {one.pid, other.pid}
    assert 3 <= makers.count(one.pid) <= 9
    assert attempts == {1}
    assert [process.returncode for process in (one, other)] == [0, 0], errors
    for said in errors:
        assert "Executing task" not in said  # not a line for each run
        assert "WARNING" not in said
