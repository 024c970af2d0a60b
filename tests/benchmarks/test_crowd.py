"""The benchmark of the crowd still runs, and a small crowd keeps its promises, alone and through Redis."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from redis_server import need_redis_server

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_a_small_crowd_is_whole_and_never_refused(tmp_path: Path) -> None:
    need_redis_server()
    script = [sys.executable, str(BENCHMARKS / "crowd.py"), "--out", str(tmp_path), "--no-plots"]
    crowd = ["--streams", "100", "--seconds", "20", "--rate", "20", "--processes", "1", "2"]
    subprocess.run([*script, *crowd], check=True, timeout=180)
    results = json.loads((tmp_path / "crowd.json").read_text())
    assert [result["processes"] for result in results] == [1, 2]
    for result in results:
        assert result["whole"] == 100
        assert (result["throttled"], result["refused"]) == (0, 0)
        assert (result["violations"], result["errors"]) == ({}, {})
        assert result["final_s"]["p50"] < result["waits_s"]["CHUNK"]["p50"]
    assert all(result["gap_s"]["ratio"] <= 1.5 for result in results)
    assert "| whole answers | 100 of 100 | 100 of 100 |" in (tmp_path / "crowd.md").read_text()
