"""The benchmark of the messaging endpoint still runs. What it measures is not judged here."""

import json
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

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
    part = ["--subjects", "bare", "cadenza", "cadenza-sqlite"]
    quick = ["--rounds", "1", "--seconds", "0.5", "--warm-up", "0.2"]
    subprocess.run([*script, *part, *quick], check=True, timeout=180)
    results = json.loads((tmp_path / "inbound.json").read_text())
    assert [result["subject"] for result in results] == ["bare", "cadenza", "cadenza-sqlite"]
    assert all(result["answers"] > 100 and result["failed"] == 0 for result in results)
    assert "| bare (" in (tmp_path / "inbound.md").read_text()
