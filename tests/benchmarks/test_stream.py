"""The benchmark of streams still runs. What it measures is not judged here: machines are shared and noisy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_the_benchmark_measures_whole_answers_and_writes_its_tables(tmp_path: Path) -> None:
    script = [sys.executable, str(BENCHMARKS / "stream.py"), "--out", str(tmp_path), "--no-plots"]
    crowd = ["--streams", "20", "--tokens", "60", "--rounds", "1", "--subjects", "bare", "cadenza"]
    subprocess.run([*script, *crowd], check=True, timeout=120)
    results = json.loads((tmp_path / "stream.json").read_text())
    assert [(result["subject"], result["whole"]) for result in results] == [("bare", 20), ("cadenza", 20)]
    for result in results:
        assert [result[name] for name in ("violations", "errors", "unobserved")] == [{}, {}, {}]
    assert "| whole answers | 20 of 20 | 20 of 20 |" in (tmp_path / "stream.md").read_text()
