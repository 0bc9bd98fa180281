"""The server of the example answers requests with real HTTP, and a cluster in memory."""

import os
import subprocess
from pathlib import Path

PROGRAM = Path(__file__).with_name("server_requests.py")


def test_requests_are_answered(python: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[2] / "operator")}
    run = subprocess.run([python, PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
