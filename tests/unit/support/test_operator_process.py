"""Tests how the tests start and end the operator's process."""

from pathlib import Path

import pytest

from support import operator_process
from support.operator_process import OperatorProcess


def test_process_that_does_not_serve_in_time_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(operator_process, "PROGRAM", program)
    monkeypatch.setattr(operator_process, "START_SECONDS", 0.05)
    process = OperatorProcess(tmp_path / "kubeconfig", tmp_path / "log")
    with pytest.raises(TimeoutError):
        process.start()
    assert not process.is_running
