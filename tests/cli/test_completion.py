"""Completion in shells and in kubectl."""

import gc
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from typer.testing import CliRunner

from statefulroute.cli import complete
from statefulroute.cli.app import app
from support.command import PROGRAMS, Command
from support.independent_client import IndependentClient, StatefulRoute
from support.objects import stateful_route
from support.terminal import TerminalSession


@pytest.fixture(scope="module", autouse=True)
def _game_route(namespace: str, independent_client: IndependentClient) -> None:
    """A route with a status of three pods."""
    independent_client.create(stateful_route(), namespace)
    pods = [{"index": n, "name": f"game-{n}", "serviceState": "Ready", "routingState": "Ready"} for n in range(3)]
    independent_client.patch_status(StatefulRoute, "game", namespace, {"pods": pods})


#: The completions, and the directive to kubectl.
Completions = tuple[list[str], str]


def _parse(output: str) -> Completions:
    *names, directive = output.splitlines()
    return [name.partition("\t")[0] for name in names], directive


def complete_in_kubectl(command: Command, *words: str) -> Completions:
    """Returns the completions of kubectl."""
    line = [PROGRAMS / "kubectl", "__complete", "statefulroute", *words]
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=command.environment)
    return _parse(done.stdout)


def request_completions(command: Command, **variables: str) -> list[str]:
    """Returns the output of the command when the script of a shell requests completions."""
    done = subprocess.run(
        [PROGRAMS / "statefulroute"], capture_output=True, text=True, check=False, env=command.environment | variables
    )
    return done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(shell: str, snapshot: SnapshotAssertion) -> None:
    assert CliRunner().invoke(app, ["completion", shell]).stdout == snapshot


def test_bash_completes_names_of_routes(statefulroute: Command) -> None:
    script = """
        source <(statefulroute completion bash)
        COMP_WORDS=(statefulroute drain --namespace "$1" "") COMP_CWORD=4
        _statefulroute_completion statefulroute
        echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["/bin/bash", "-c", script, "bash", statefulroute.namespace],
        capture_output=True,
        text=True,
        check=True,
        env=statefulroute.environment,
    )
    assert (done.stdout, done.stderr) == ("game\n", "")


def _installed(shell: str) -> str:
    """Returns the path of a shell; skips the test without it."""
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"there is no {shell} on this machine")
    return path


def test_fish_completes_names_of_routes(statefulroute: Command) -> None:
    script = (
        "statefulroute completion fish | source; "
        f"complete --do-complete 'statefulroute drain --namespace {statefulroute.namespace} '"
    )
    done = subprocess.run(
        [_installed("fish"), "--no-config", "--command", script],
        capture_output=True,
        text=True,
        check=True,
        env=statefulroute.environment,
    )
    assert (done.stdout, done.stderr) == ("game\n", "")


def test_zsh_completes_names_of_routes(statefulroute: Command, tmp_path: Path) -> None:
    line = [_installed("zsh"), "--no-rcs", "--interactive"]
    more = {"PS1": "ready> ", "ZDOTDIR": str(tmp_path)}
    with TerminalSession(line, 120, statefulroute.environment, more) as zsh:
        zsh.await_text("ready> ")
        zsh.press(
            "autoload -U compinit; compinit -u -D; source <(statefulroute completion zsh); echo all-is-$((6 * 7))\n"
        )
        zsh.await_text("all-is-42")
        # The shell inserts the only match.
        zsh.press(f"statefulroute drain --namespace {statefulroute.namespace} \t")
        zsh.await_text(f"--namespace {statefulroute.namespace} game")


def test_zsh_and_fish_complete_commands(statefulroute: Command) -> None:
    variables = {"_TYPER_COMPLETE_ARGS": "statefulroute un"}
    zsh = request_completions(statefulroute, _STATEFULROUTE_COMPLETE="complete_zsh", **variables)
    assert [word for word in zsh if "unlink" in word or "undrain" in word]
    actions = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    fish = request_completions(statefulroute, _STATEFULROUTE_COMPLETE="complete_fish", **variables, **actions)
    assert {"unlink", "undrain"} <= set(fish)


@pytest.fixture
def complete_for_kubectl(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Completions]:
    """Returns the completions for kubectl, in this process; fails on other output."""

    def run(kubeconfig: Path, *words: str) -> Completions:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        monkeypatch.setattr(sys, "argv", ["kubectl_complete-statefulroute", *words])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # as in `Command.quick`
            complete()
            gc.collect()
        output, errors = capsys.readouterr()
        assert not errors
        return _parse(output)

    return run


@pytest.mark.parametrize(
    ("words", "offer"),
    [
        (("un",), (["unlink", "undrain"], ":4")),
        (("link", "--namespace", "{}", ""), (["game"], ":4")),
        (("link", "--namespace", "{}", "game", "alice", "game-"), (["game-0", "game-1", "game-2"], ":4")),
        (("set-state", "game", "D"), (["DenyNewCall"], ":4")),
        (("link", "--namespace", "kube-s"), (["kube-system"], ":4")),
        (("rollout", ""), (["status", "pause", "resume"], ":4")),
        (("rollout", "--namespace", "{}", "status", ""), (["game"], ":4")),
        (("import", ""), ([], ":0")),  # a file
    ],
    ids=["commands", "routes", "pods", "states", "namespaces", "actions", "rollouts", "files"],
)
def test_kubectl_plugin_returns_completions(
    words: tuple[str, ...], offer: Completions, statefulroute: Command, complete_for_kubectl: Callable[..., Completions]
) -> None:
    formatted = (word.format(statefulroute.namespace) for word in words)
    assert complete_for_kubectl(statefulroute.kubeconfig, *formatted) == offer


def test_completion_without_a_cluster_is_empty_and_silent(complete_for_kubectl: Callable[..., Completions]) -> None:
    assert complete_for_kubectl(Path("/nowhere"), "link", "") == ([], ":0")


#: Completes for kubectl in an environment without the packages of the command.
WITHOUT_PACKAGES = f"""#!{sys.executable}
import sys

sys.modules["typer"] = None
from statefulroute.cli import complete

complete()
"""


def test_kubectl_shows_how_to_install_the_packages_of_the_command(statefulroute: Command, tmp_path: Path) -> None:
    program = tmp_path / "kubectl_complete-statefulroute"
    program.write_text(WITHOUT_PACKAGES)
    program.chmod(0o755)
    done = subprocess.run(
        [PROGRAMS / "kubectl", "__complete", "statefulroute", ""],
        capture_output=True,
        text=True,
        check=True,
        env=statefulroute.environment | {"PATH": f"{tmp_path}:{statefulroute.environment['PATH']}"},
    )
    hint = "The command is not installed: pip install 'statefulroute[cli]'"
    assert (done.stdout.splitlines(), hint in done.stderr) == ([f"_activeHelp_ {hint}", ":4"], True)
    assert "Traceback" not in done.stderr


def test_kubectl_shows_the_completions_of_the_plugin(statefulroute: Command) -> None:
    words = ("link", "--namespace", statefulroute.namespace, "game", "alice", "")
    assert complete_in_kubectl(statefulroute, *words) == (["game-0", "game-1", "game-2"], ":4")
