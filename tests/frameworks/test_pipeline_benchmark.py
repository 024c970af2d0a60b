"""The benchmark of the pipeline still runs. What it measures is not judged here."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from frameworks.marks import FRAMEWORKS

pytestmark = FRAMEWORKS

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "pipeline.py"


def test_every_subject_is_measured(on: Callable[[str], Any], tmp_path: Path) -> None:
    on("agent_framework")
    options = ["--rounds=2", "--tokens=50", "--updates=200", f"--out={tmp_path}"]
    subprocess.run([sys.executable, str(BENCHMARK), *options], check=True, capture_output=True)
    told = json.loads((tmp_path / "pipeline.json").read_text())
    assert all(one["microseconds"] > 0 for one in told["times"].values())
    assert told["delays"]["final turn only, no phase"] == pytest.approx(5.0)
    assert told["delays"]["final turn only, phase final_answer"] == pytest.approx(0.0)
    assert "wanted: under 20" in (tmp_path / "pipeline.md").read_text()
