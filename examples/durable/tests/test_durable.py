"""Worker and clients as processes of their own, which are killed."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis_server import RedisServer, need_redis_server

HERE = Path(__file__).parents[1]
WORKER = [sys.executable, "-m", "cadenza.cli", "worker", str(HERE / "src" / "planner.py")]
CLIENT = [sys.executable, str(HERE / "src" / "client.py")]
PLAN = re.compile(
    r"I am a script, and this is your plan for Vienna\.\n\nDay 1: .*\n\nDay 2: .*\n\n"
    r"Day 3: .* Nobody has to see everything\."
)


class Processes:
    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._ends = ExitStack()

    def start(self, command: list[str], stderr: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
        self._ends.enter_context(process)
        self._ends.callback(process.kill)
        return process

    def end(self) -> None:
        self._ends.close()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    return given | {"PLANNER_FILES": str(tmp_path), "PLANNER_SECONDS": "1", "REDIS_CONNECTION_STRING": ""}


@pytest.fixture
def processes(environment: dict[str, str]) -> Iterator[Processes]:
    # What a shell starts in its background ignores Ctrl-C, and so would these.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    processes = Processes(environment)
    yield processes
    processes.end()
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def redis(environment: dict[str, str]) -> Iterator[None]:
    need_redis_server()
    with RedisServer(appendonly=False) as server:
        environment["REDIS_CONNECTION_STRING"] = server.url
        yield


def read(process: subprocess.Popen[str], until: str | None = None) -> str:
    """What it says, up to its end or to these words."""
    assert process.stdout is not None
    if until is None:
        return process.stdout.read()
    said = ""
    while until not in said:
        piece = process.stdout.read(1)
        assert piece, f"it ended, and said {said!r}"
        said += piece
    return said


def test_a_plan_outlives_its_worker_and_a_client_reads_on_from_its_cursor(processes: Processes) -> None:
    worker = processes.start(WORKER)
    client = processes.start([*CLIENT, "Vienna"])
    said = read(client, "Day 2")
    client.send_signal(signal.SIGINT)
    worker.kill()
    processes.start(WORKER)
    said += read(client)
    place = re.search(r"\n\[to read on: (--run \S+ --after \S+)\]\n$", said)
    assert place is not None, said
    said = said[: place.start()] + read(processes.start([*CLIENT, *place[1].split()]))
    assert said.count("find_trains") == 1  # the tool was not called a second time, though its turn is anew
    answer = said.partition("begins anew with what follows]\n")[2]
    assert PLAN.fullmatch(answer.removesuffix("\n[completed]\n")), said


def test_a_client_says_what_is_wrong_in_a_line(processes: Processes) -> None:
    wrong = [[*CLIENT, "--run", "none"], [*CLIENT], [*CLIENT, "Vienna", "--after", "1.2.abc"]]
    told = [processes.start(command, stderr=subprocess.STDOUT) for command in wrong]
    waiting = processes.start([*CLIENT, "Vienna"])
    unknown, *usage = map(read, told)
    assert re.fullmatch(r".*'none'.*\n", unknown)
    assert all("error: name a city" in one for one in usage)
    read(waiting, "[queued: is a worker with this agent running?]\n")
    processes.start(WORKER)
    assert "[completed]" in read(waiting)


def test_a_client_says_in_a_line_that_its_log_is_away(
    processes: Processes, environment: dict[str, str]
) -> None:
    environment["REDIS_CONNECTION_STRING"] = f"redis://127.0.0.1:{RedisServer().port}"  # it is not started
    client = processes.start([*CLIENT, "Vienna"], stderr=subprocess.STDOUT)
    warning, error = read(client).strip().splitlines()
    assert re.fullmatch(r"\[.* cannot be reached yet .*; trying on\.\]", warning)
    assert re.fullmatch(r"Redis at 127\.0\.0\.1:\d+ did not answer for 10 s \(.*[^.]\)\.", error)


@pytest.mark.usefixtures("redis")
def test_the_planner_works_over_redis(processes: Processes) -> None:
    processes.start(WORKER)
    said = read(processes.start([*CLIENT, "Vienna"]))
    tool, _, answer = said.partition("\n")
    assert "find_trains" in tool
    assert PLAN.fullmatch(answer.removesuffix("\n[completed]\n")), said
