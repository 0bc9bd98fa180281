"""`make demo`, as a person or a continuous-integration job runs it."""

import signal
import subprocess
from pathlib import Path

import pytest

from demo.suggestions import COMMANDS
from localcluster import LocalCluster
from support.demo_process import RunningDemo, demo, running_demo

#: The first of these may have to build the control plane.
pytestmark = pytest.mark.timeout(1800)

INVITATION = "It stays up until Ctrl-C"
LAST_WORDS = "stopping, and removing everything that was started"


@pytest.fixture
def no_clusters(runtime: Path) -> Path:
    """The folder of running clusters, which a demo leaves empty."""
    return runtime / "statefulroute"


def test_once_binds_every_user_as_expected_and_leaves_nothing(runtime: Path, no_clusters: Path) -> None:
    command, environment = demo(runtime, "--once")
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False, timeout=180
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.removeprefix("  ✓ ") for line in lines if line.startswith("  ✓ ") and "Kubernetes" not in line] == [
        "refused, as it must be",
        "StatefulRoute game is Ready with 3 routable pods",
        "alice is on game-2, as her link says",
        "bob is on a pod that the operator chose and wrote into his link",
        "Guest 7 is bound until a time that the link's status says",
        "StatefulRoute game counts 3 links",
        "mallory's link into another namespace was not stored",
    ]
    assert any(line.endswith("denied request: only local namespace is supported") for line in lines)
    *standing, _age = watched(lines, "alice")[-1].split()
    assert standing == ["┊", "game.alice", "game", "alice", "game-2", "Bound", "Bound"]
    assert "\x1b" not in done.stdout
    assert not any(no_clusters.iterdir())


def test_every_command_that_it_invites_to_works_and_ctrl_c_leaves_nothing(runtime: Path, no_clusters: Path) -> None:
    with running_demo(runtime) as running:
        set_up = setting_up(running)
        for command, sentence in COMMANDS:
            running.wait_for(f"  {sentence}:")
            assert command in running.wait_for("  $ ")
        scale, restart, move, delete, create, again = (command for command, _ in COMMANDS)
        type_in(set_up, scale)
        running.wait_for("5 of 5 pods serve users")
        before = type_in(set_up, VERSIONS)
        type_in(set_up, f"{restart} && kubectl -n play wait --for=condition=Ready pod/game-2")
        assert len(before.splitlines()) == 3
        assert type_in(set_up, VERSIONS) == before, "a pod's restart has written a link"
        type_in(set_up, move)
        running.wait_for("pod game-0: Ready, takes everybody, 2 links: alice, bob")
        type_in(set_up, delete)
        running.wait_for("route game: does not exist")
        type_in(set_up, create)
        running.wait_for("3 of 3 pods serve users")
        type_in(set_up, again)
        running.wait_for("pod game-2: Ready, takes everybody, 1 link: bob")
        running.send(signal.SIGINT)
        assert running.remaining_lines()[-1].strip() == LAST_WORDS
        assert running.await_exit() == 0
    assert not any(no_clusters.iterdir())


def test_an_operator_that_ends_is_told_in_a_sentence_and_fails_the_demo(
    runtime: Path, no_clusters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    with running_demo(runtime) as running:
        running.wait_for(INVITATION)
        LocalCluster.attach("demo").part("operator").kill()
        assert running.wait_for("✗ ").startswith("✗ The operator has ended with -9: ")
        assert running.await_exit() == 1
    assert not any(no_clusters.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_amid_the_story_ends_everything(runtime: Path, no_clusters: Path, number: signal.Signals) -> None:
    with running_demo(runtime) as running:
        running.wait_for("statefulroute operator &")
        running.send(number)
        assert LAST_WORDS in running.remaining_lines()[-1]
        assert running.await_exit() == 130
    assert not any(no_clusters.iterdir())


#: Prints each link with its version.
VERSIONS = "kubectl -n play get podlinks -o custom-columns=N:.metadata.name,V:.metadata.resourceVersion --no-headers"


def setting_up(running: RunningDemo) -> list[str]:
    """The lines that the demo asks to type first."""
    running.wait_for(INVITATION)
    folder = running.wait_for("  $ cd ").removeprefix("  $ ")
    return [folder, running.wait_for("  $ export KUBECONFIG=").removeprefix("  $ ")]


def type_in(set_up: list[str], command: str) -> str:
    """Type a command into a shell of one's own; gives its output."""
    script = "\n".join(["set -e", *set_up, "PATH=$PWD/.venv/bin:$PATH", command])
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60)  # noqa: S607
    assert done.returncode == 0, done.stderr
    return done.stdout


def watched(lines: list[str], uid: str) -> list[str]:
    """What the watch printed of a user's link."""
    return [line for line in lines if line.startswith("  ┊ ") and uid in line.split()]
