"""Tests that processes that are copies behave as new ones."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from support.fork_server import IS_SUPPORTED, ForkedProcess, shared_fork_server

pytestmark = pytest.mark.skipif(not IS_SUPPORTED, reason="processes are forked on Linux only")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The file of the output of a process."""
    return tmp_path / "log"


def start(log: Path, *arguments: str, **environment: str) -> ForkedProcess:
    with log.open("ab") as output:
        return shared_fork_server().start(arguments, {"PATH": os.environ["PATH"], **environment}, output.fileno())


def test_exit_code_and_output_are_those_of_the_command(log: Path, tmp_path: Path) -> None:
    process = start(log, "operator", "--kubeconfig", str(tmp_path / "missing"))
    assert process.wait(30) == process.poll() == 1
    assert log.read_text().startswith("statefulroute: cannot load the cluster's configuration (")
    process.kill()  # has no effect


def test_environment_is_the_given_one(log: Path, tmp_path: Path) -> None:
    process = start(log, "operator", KUBECONFIG=str(tmp_path / "given"))
    assert process.wait(30) == 1
    assert str(tmp_path / "given") in log.read_text()


def test_signal_ends_the_process(log: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cluster = {"name": "silent", "cluster": {"server": f"http://127.0.0.1:{silent.getsockname()[1]}"}}
        context = {"name": "silent", "context": {"cluster": "silent", "user": ""}}
        config = {"clusters": [cluster], "contexts": [context], "current-context": "silent", "users": []}
        (tmp_path / "kubeconfig").write_text(json.dumps(config))
        process = start(log, "operator", "--no-leader-elect", "--kubeconfig", str(tmp_path / "kubeconfig"))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        assert process.poll() is None
        process.kill()
        assert process.wait(30) == -signal.SIGKILL
