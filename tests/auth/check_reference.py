"""Meets microsoft-teams-apps with the defects of README.md, and compares what it does with what that says.

    uv run python tests/auth/check_reference.py

It needs Python 3.12 or newer and the other SDK, as tests/faults/compare.py does, which says how they are got.
Status 0 if each row of README.md quotes, word for word, what probes.py found, but for the rows that say that
it was not run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from defect_list import read_rows
from faults.compare import PEER, beside_the_other_sdk

HERE = Path(__file__).parent
SECONDS = 600.0
"""Real time for everything, set-up included."""


def main() -> int:
    environment = {**os.environ, "NO_PROXY": "*", "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        [*beside_the_other_sdk(), "python", str(HERE / "probes.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        sys.exit(f"The probes failed:\n{done.stderr}")
    found: dict[str, str] = json.loads(done.stdout)
    print(f"On {PEER}:")
    wrong = 0
    for id, cells in read_rows(HERE / "README.md", "A").items():
        quoted = re.search(r"`([^`]+)`", cells[-1])
        said = found.pop(id, None)
        as_said = said == (quoted[1] if quoted else None)
        wrong += not as_said
        print(f"{'ok ' if as_said else 'NOT'}  {id}: {said or 'not run'}")
    print(f"{wrong} rows are not so" if wrong else "all as README.md says")
    return 1 if wrong or found else 0


if __name__ == "__main__":
    sys.exit(main())
