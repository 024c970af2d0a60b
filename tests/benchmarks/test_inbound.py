"""The benchmark of the messaging endpoint still runs. What it measures is not judged here."""

import json
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jwt
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_every_request_of_the_load_is_whole_and_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from posts import Posts

    posts = Posts(1, 3)
    ids, conversations = set(), set()
    for _ in range(6):
        head, _, body = posts.next().partition(b"\r\n\r\n")
        assert head.endswith(f"Content-Length: {len(body)}".encode())
        message = json.loads(body)
        ids.add(message["id"])
        conversations.add(message["conversation"]["id"])
    assert (len(ids), len(conversations)) == (6, 3)


def test_many_tokens_are_in_use_at_once_and_each_gives_way_to_a_new_one_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from posts import AT_ONCE, RENEWED, Posts

    posts = Posts(1, 3, [f"token {n}" for n in range(AT_ONCE + 2)])

    def shown() -> str:
        head, _, body = posts.next().partition(b"\r\n\r\n")
        assert head.endswith(f"Content-Length: {len(body)}".encode())
        [line] = [line for line in head.split(b"\r\n") if line.startswith(b"Authorization: Bearer ")]
        return line.decode().removeprefix("Authorization: Bearer ")

    for renewed in range(2):
        used = {shown() for _ in range(RENEWED)}
        assert used == {f"token {n + renewed}" for n in range(AT_ONCE)}


def test_the_tokens_are_those_that_an_app_takes_and_no_two_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from identity import sign
    from posts import BOT_ID, SERVICE_URL

    tokens, key = sign(3)
    assert len(set(tokens)) == 3
    for token in tokens:
        claims = jwt.decode(token, jwt.PyJWK(key, algorithm="RS256"), algorithms=["RS256"], audience=BOT_ID)
        assert claims["serviceurl"] == SERVICE_URL
        assert jwt.get_unverified_header(token)["kid"] == key["kid"]


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized"])
def test_the_load_notices_a_server_that_checks_no_tokens(
    monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from posts import must_refuse

    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
                connection.recv(65536)

        server = threading.Thread(target=serve)
        server.start()
        takes_all = pytest.raises(SystemExit, match="checks no tokens")
        with takes_all if status.startswith("200") else nullcontext():
            must_refuse(listening.getsockname()[1], "head.claims.signature")
        server.join()
    assert b"Authorization: Bearer head.claims.erutangis\r\n" in asked[0]


def test_the_table_ends_with_a_verdict_on_the_app_without_tokens_and_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from inbound import summary, table

    def measured(subject: str, rate: float) -> dict[str, Any]:
        names = ("requests_per_second", "server_cpu_us", "server_busy", "load_busy")
        figures = {**dict.fromkeys(names, rate), "answers": 9, "statuses": {"200": 9}}
        return summary(subject, "1", [{**figures, "ack_ms": {"p50": 1, "p99": 2}}])

    rates = {"bare": 100, "cadenza": 50, "cadenza-tokens": 20, "teams-apps": 10, "teams-apps-tokens": 4}
    _, without, checked = table([measured(subject, rate) for subject, rate in rates.items()], []).split(
        "\n\n"
    )
    assert without == (
        "`cadenza` serves 0.50 of the bare handler's requests (at least 0.4 is wanted: yes), and 5.0 times "
        "those of teams-apps (at least 5: yes)."
    )
    assert checked == (
        "`cadenza-tokens` serves 0.40 of the requests of the same App without tokens (at least 0.5 is "
        "wanted: NO), and 5.0 times those of teams-apps-tokens (at least 5: yes).\n"
    )


def test_the_load_reads_answers_in_pieces_and_stops_where_a_server_breaks_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from posts import Load

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                for piece in (b"HTTP/1.1 200 OK\r\nContent-", b"Length: 2\r\n\r\n", b"{}"):
                    connection.recv(65536) if piece.startswith(b"HTTP") else None
                    connection.sendall(piece)
                connection.recv(65536)

        server = threading.Thread(target=serve)
        server.start()
        load = Load(listening.getsockname()[1], 1, 1)
        with pytest.raises(SystemExit, match="closed a connection"):
            load.run(10)
        assert (load.answers, dict(load.statuses)) == (1, {"200": 1})
        server.join()
        load.close()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="uv makes the environments")
def test_the_benchmark_measures_the_floor_and_us_and_writes_its_table(tmp_path: Path) -> None:
    script = [
        sys.executable,
        str(BENCHMARKS / "inbound.py"),
        "--out",
        str(tmp_path),
        "--python",
        sys.executable,
    ]
    subjects = ["bare", "cadenza", "cadenza-sqlite", "cadenza-tokens"]
    part = ["--subjects", *subjects]
    quick = ["--rounds", "1", "--seconds", "0.5", "--warm-up", "0.2"]
    subprocess.run([*script, *part, *quick], check=True, timeout=180)
    results = json.loads((tmp_path / "inbound.json").read_text())
    assert [result["subject"] for result in results] == subjects
    assert all(result["answers"] > 100 and result["failed"] == 0 for result in results)
    assert "| bare (" in (tmp_path / "inbound.md").read_text()
