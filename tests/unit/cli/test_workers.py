"""`cadenza run --workers`: real processes, driven by the command and by signals."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")

DEADLINE = 30.0
"""Seconds for whatever a test waits for."""

BOT = """
import asyncio, os, sys, time
from pathlib import Path
from cadenza.apps import App
from cadenza.state import MemoryState

class Shared(MemoryState):
    shared = True  # it is not: these bots are told nothing that they would have to share

app = App(state=Shared(), dangerously_allow_unauthenticated_requests=True)
HERE = Path(__file__).parent

@app.on_message
async def answer(ctx):
    (HERE / "took").open("a").write(f"{os.getpid()}\\n")
    if ctx.activity.text == "slow":
        await asyncio.sleep(1)
        (HERE / "done").open("a").write(f"{os.getpid()}\\n")
    elif ctx.activity.text == "block":
        time.sleep(60)
"""


class Command:
    """A running `cadenza run`, and what it has logged so far."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cadenza.cli", "run", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"NO_COLOR": "1"},
        )
        self.lines: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def waits_for(self, pattern: str, count: int = 1) -> list[str]:
        """What the groups of `pattern` matched, once it has matched that often."""
        until(lambda: len(re.findall(pattern, self.log)) >= count, lambda: f"{pattern!r} in:\n{self.log}")
        return re.findall(pattern, self.log)

    def serving(self, count: int) -> dict[int, int]:
        """The newest process of each worker, once so many have begun to serve."""
        found: Any = self.waits_for(r"Worker (\d) serves \(process (\d+)\)", count)
        return {int(number): int(process) for number, process in found}

    @property
    def port(self) -> int:
        return int(self.waits_for(r"Listening on 127.0.0.1 port (\d+), with")[0])

    def ends(self) -> int:
        status = self.process.wait(DEADLINE)
        self._reading.join(DEADLINE)  # until the last worker has closed it
        return status

    def close(self) -> None:
        processes = [int(number) for number in re.findall(r"\(process (\d+)\)", self.log)]
        self.process.kill()
        self.process.wait()
        for number in processes:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self._reading.join(DEADLINE)
        if self.process.stderr is not None:
            self.process.stderr.close()


def until(true: Callable[[], bool], what: Callable[[], str] = lambda: "it") -> None:
    end = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < end, f"{DEADLINE:g} s passed without {what()}"
        time.sleep(0.02)


def lives(process: int) -> bool:
    """Whether it runs: one that ended, and waits for its parent to look, does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def post(port: int, text: str, id: str = "1") -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    activity = {
        "type": "message",
        "id": id,
        "text": text,
        "conversation": {"id": f"a:{id}"},
        "from": {"id": "29:1"},
    }
    connection.request("POST", "/api/messages", json.dumps(activity), {"Content-Type": "application/json"})
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.fixture
def bot(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(BOT)
    return tmp_path


@pytest.fixture
def run(bot: Path) -> Iterator[Callable[..., Command]]:
    commands = []

    def start(workers: int = 2, path: Path = bot, port: int = 0) -> Command:
        command = Command(str(path), "--workers", str(workers), "--port", str(port))
        commands.append(command)
        return command

    yield start
    for command in commands:
        command.close()


Run = Callable[..., Command]


def test_several_workers_share_one_port_until_sigterm_and_end_well(run: Run, bot: Path) -> None:
    command = run(3)
    workers = command.serving(3)
    assert sorted(workers) == [1, 2, 3]
    assert len({*workers.values(), command.process.pid}) == 4
    for number in range(30):
        assert post(command.port, "hi", str(number)) == 200
    until(lambda: len((bot / "took").read_text().splitlines()) == 30)
    assert {int(process) for process in (bot / "took").read_text().split()} <= set(workers.values())
    command.process.send_signal(signal.SIGTERM)
    assert command.ends() == 0
    assert not any(map(lives, workers.values()))


def test_the_lines_of_a_worker_bear_its_number(run: Run) -> None:
    command = run(2)
    command.serving(2)
    said = set(command.waits_for(r"INFO worker (\d): cadenza.apps: Listening", 2))
    assert said == {"1", "2"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_workers_finish_what_they_are_at_before_they_end(
    run: Run, bot: Path, number: signal.Signals
) -> None:
    command = run(2)
    command.serving(2)
    assert post(command.port, "slow") == 200
    until((bot / "took").exists)
    command.process.send_signal(number)
    assert command.ends() == 0
    assert (bot / "done").exists()


def test_a_signal_to_every_process_of_the_service_is_one_wish_to_stop(run: Run, bot: Path) -> None:
    command = run(2)
    workers = command.serving(2)
    assert post(command.port, "slow") == 200
    until((bot / "took").exists)
    for process in (command.process.pid, *workers.values()):  # as systemd does it
        os.kill(process, signal.SIGTERM)
    assert command.ends() == 0
    assert (bot / "done").exists()


def test_a_second_signal_kills_the_workers(run: Run, bot: Path) -> None:
    command = run(2)
    workers = command.serving(2)
    assert post(command.port, "slow") == 200
    took = bot / "took"
    until(lambda: took.exists() and took.read_text().endswith("\n"))  # it is there before anything is in it
    os.kill(int(took.read_text()), signal.SIGSTOP)  # it will never end by itself
    command.process.send_signal(signal.SIGTERM)
    command.waits_for("Stopping: waiting for 2 workers")
    time.sleep(0.6)  # within half a second two signals are one
    command.process.send_signal(signal.SIGTERM)
    assert command.ends() == 1
    assert "was killed by SIGKILL" in command.log
    assert not any(map(lives, workers.values()))


def test_a_worker_that_is_killed_is_started_again_and_the_log_says_which_and_why(run: Run) -> None:
    command = run(2)
    before = command.serving(2)
    os.kill(before[2], signal.SIGKILL)
    after = command.serving(3)
    assert after[1] == before[1]
    assert after[2] != before[2]
    assert re.search(r"ERROR cadenza.cli: Worker 2 was killed by SIGKILL after [\d.]+ s: it is", command.log)


def test_who_connects_while_no_worker_lives_waits_and_is_answered(run: Run) -> None:
    command = run(2)
    port, workers = command.port, command.serving(2)
    for process in workers.values():
        os.kill(process, signal.SIGKILL)
    until(lambda: not any(map(lives, workers.values())))
    assert post(port, "hi") == 200


def test_a_parent_that_is_killed_leaves_no_orphans(run: Run) -> None:
    command = run(2)
    workers = command.serving(2)
    command.process.kill()
    until(lambda: not any(map(lives, workers.values())))
    command.waits_for("The parent process is gone: this worker stops.", 2)


def test_a_bot_that_cannot_be_loaded_is_said_once_and_not_tried_again(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_like_it")
    command = run(4, broken)
    assert command.ends() == 1
    assert command.log.count("cannot be run: ModuleNotFoundError") == 1
    assert command.log.count("Worker") == 1
    assert "Worker 1 ended with status" in command.log
    assert "giving up" in command.log


def test_credentials_that_cannot_be_used_are_said_once_and_not_tried_again(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(
        BOT.replace(
            "dangerously_allow_unauthenticated_requests=True",
            "client_id='id', client_certificate_path='nowhere.pem'",
        )
    )
    command = run(2, broken)
    assert command.ends() == 1
    assert command.log.count("cannot be run: InvalidCredentialsError") == 1
    assert "giving up" in command.log
    assert "Traceback" not in command.log


def test_workers_that_die_at_start_again_and_again_are_given_up(run: Run, tmp_path: Path) -> None:
    fragile = tmp_path / "fragile.py"
    fragile.write_text(f"{BOT}\nos._exit(7)\n")
    command = run(2, fragile)
    assert command.ends() == 1
    assert command.log.count("Worker 1 ended with status 7") == 5
    assert "giving up" in command.log


def test_a_bot_that_keeps_its_state_to_itself_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    alone = tmp_path / "alone.py"
    alone.write_text("from cadenza.apps import App\napp = App()\n")
    command = run(3, alone)
    assert command.ends() == 1
    said = [line for line in command.lines if line.startswith("cadenza run: ")]
    refusal = (
        "cadenza run: 3 workers must share what they know of a conversation, and the MemoryState of this bot "
        "belongs to one process: make it App(state=RedisState(...)), or run one worker\n"
    )
    assert said == [refusal]
    assert "Traceback" not in command.log


def test_a_port_that_is_taken_is_one_clear_line(run: Run) -> None:
    first = run(2)
    second = run(2, port=first.port)
    assert second.ends() == 1
    assert "cadenza run: the bot cannot listen: " in second.lines[-1]


def test_one_worker_is_no_parent_and_child(run: Run) -> None:
    command = run(1)
    command.waits_for("INFO cadenza.apps: Listening")
    children = Path(f"/proc/{command.process.pid}/task/{command.process.pid}/children")
    assert children.read_text() == ""
