"""Tests `make demo` as a user or a CI job runs it."""

import signal
import subprocess
from pathlib import Path

import pytest

from demo.suggestions import COMMANDS
from localcluster import LocalCluster
from support.demo_process import RunningDemo, demo, running_demo

#: The first test may have to build the control plane.
pytestmark = pytest.mark.timeout(1800)

SUGGESTIONS_TITLE = "It stays up until Ctrl-C"
STOP_MESSAGE = "stopping, and removing everything that was started"


@pytest.fixture
def no_clusters(runtime: Path) -> Path:
    """The folder of running clusters, which a demo leaves empty."""
    return runtime / "statefulroute"


def test_once_binds_every_user_as_expected_and_leaves_nothing(runtime: Path, no_clusters: Path) -> None:
    command, environment = demo(runtime, "--once")
    completed = subprocess.run(
        command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False, timeout=180
    )
    assert (completed.returncode, completed.stderr) == (0, ""), completed.stdout + completed.stderr
    lines = completed.stdout.splitlines()
    assert [line.removeprefix("  ✓ ") for line in lines if line.startswith("  ✓ ") and "Kubernetes" not in line] == [
        "refused, as expected",
        "StatefulRoute game is Ready with 3 routable pods",
        "alice is on game-2, as her link requests",
        "bob is on a pod that the operator chose and wrote into his link",
        "Guest 7 is bound until the expireTime in the link's status",
        "StatefulRoute game counts 3 links",
        "mallory's link to another namespace was not stored",
    ]
    assert any(line.endswith("denied request: only local namespace is supported") for line in lines)
    *columns, _age = watched_lines(lines, "alice")[-1].split()
    assert columns == ["┊", "game.alice", "game", "alice", "game-2", "Bound", "Bound"]
    assert "\x1b" not in completed.stdout
    assert not any(no_clusters.iterdir())


def test_every_suggested_command_works_and_ctrl_c_leaves_nothing(runtime: Path, no_clusters: Path) -> None:
    with running_demo(runtime) as running:
        setup = read_setup(running)
        for command, sentence in COMMANDS:
            running.wait_for(f"  {sentence}:")
            assert command in running.wait_for("  $ ")
        scale, restart, move, delete, create, again = (command for command, _ in COMMANDS)
        run_in_shell(setup, scale)
        running.wait_for("5 of 5 pods serve users")
        before = run_in_shell(setup, VERSIONS)
        run_in_shell(setup, f"{restart} && kubectl -n play wait --for=condition=Ready pod/game-2")
        assert len(before.splitlines()) == 3
        assert run_in_shell(setup, VERSIONS) == before, "a pod's restart wrote a link"
        run_in_shell(setup, move)
        running.wait_for("pod game-0: Ready, accepts all users, 2 links: alice, bob")
        run_in_shell(setup, delete)
        running.wait_for("route game: does not exist")
        run_in_shell(setup, create)
        running.wait_for("3 of 3 pods serve users")
        run_in_shell(setup, again)
        running.wait_for("pod game-2: Ready, accepts all users, 1 link: bob")
        running.send(signal.SIGINT)
        assert running.remaining_lines()[-1].strip() == STOP_MESSAGE
        assert running.await_exit() == 0
    assert not any(no_clusters.iterdir())


def test_operator_that_stops_fails_the_demo_with_a_message(
    runtime: Path, no_clusters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    with running_demo(runtime) as running:
        running.wait_for(SUGGESTIONS_TITLE)
        LocalCluster.attach("demo").part("operator").kill()
        assert running.wait_for("✗ ").startswith("✗ The operator stopped with -9: ")
        assert running.await_exit() == 1
    assert not any(no_clusters.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_during_the_walkthrough_stops_everything(
    runtime: Path, no_clusters: Path, number: signal.Signals
) -> None:
    with running_demo(runtime) as running:
        running.wait_for("statefulroute operator &")
        running.send(number)
        assert STOP_MESSAGE in running.remaining_lines()[-1]
        assert running.await_exit() == 130
    assert not any(no_clusters.iterdir())


#: Prints each link with its resourceVersion.
VERSIONS = "kubectl -n play get podlinks -o custom-columns=N:.metadata.name,V:.metadata.resourceVersion --no-headers"


def read_setup(running: RunningDemo) -> list[str]:
    """Returns the commands that set up the second terminal."""
    running.wait_for(SUGGESTIONS_TITLE)
    folder = running.wait_for("  $ cd ").removeprefix("  $ ")
    return [folder, running.wait_for("  $ export KUBECONFIG=").removeprefix("  $ ")]


def run_in_shell(setup: list[str], command: str) -> str:
    """Runs a command in a shell; returns its output."""
    script = "\n".join(["set -e", *setup, "PATH=$PWD/.venv/bin:$PATH", command])
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60)  # noqa: S607
    assert done.returncode == 0, done.stderr
    return done.stdout


def watched_lines(lines: list[str], uid: str) -> list[str]:
    """Returns the lines of the watch for a user's link."""
    return [line for line in lines if line.startswith("  ┊ ") and uid in line.split()]
