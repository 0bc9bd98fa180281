"""What a shell, and kubectl, offer at TAB."""

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
def _game(namespace: str, independent_client: IndependentClient) -> None:
    """A route with three pods, as the operator would have told of it."""
    independent_client.create(stateful_route(), namespace)
    pods = [{"index": n, "name": f"game-{n}", "serviceState": "Ready", "routingState": "Ready"} for n in range(3)]
    independent_client.patch_status(StatefulRoute, "game", namespace, {"pods": pods})


#: The names that are offered, and what kubectl is told besides.
Offer = tuple[list[str], str]


def _offer(output: str) -> Offer:
    *names, directive = output.splitlines()
    return [name.partition("\t")[0] for name in names], directive


def ask_kubectl(command: Command, *words: str) -> Offer:
    """What kubectl would offer, and what it would offer besides."""
    asked = [PROGRAMS / "kubectl", "__complete", "statefulroute", *words]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, env=command.environment)
    return _offer(done.stdout)


def ask_shell(command: Command, **asked: str) -> list[str]:
    """What the command answers a shell that has read its script."""
    done = subprocess.run(
        [PROGRAMS / "statefulroute"], capture_output=True, text=True, check=False, env=command.environment | asked
    )
    return done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_to_read(shell: str, snapshot: SnapshotAssertion) -> None:
    assert CliRunner().invoke(app, ["completion", shell]).stdout == snapshot


def test_bash_offers_routes_by_their_names(statefulroute: Command) -> None:
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
    """The path of a shell; without it, the test is skipped and says so."""
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"there is no {shell} on this machine")
    return path


def test_fish_offers_routes_by_their_names(statefulroute: Command) -> None:
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


def test_zsh_offers_routes_by_their_names(statefulroute: Command, tmp_path: Path) -> None:
    line = [_installed("zsh"), "--no-rcs", "--interactive"]
    more = {"PS1": "ready> ", "ZDOTDIR": str(tmp_path)}
    with TerminalSession(line, 120, statefulroute.environment, more) as zsh:
        zsh.await_text("ready> ")
        zsh.press(
            "autoload -U compinit; compinit -u -D; source <(statefulroute completion zsh); echo all-is-$((6 * 7))\n"
        )
        zsh.await_text("all-is-42")
        # The only name that fits is put in at once.
        zsh.press(f"statefulroute drain --namespace {statefulroute.namespace} \t")
        zsh.await_text(f"--namespace {statefulroute.namespace} game")


def test_zsh_and_fish_offer_commands_that_begin_so(statefulroute: Command) -> None:
    asked = {"_TYPER_COMPLETE_ARGS": "statefulroute un"}
    zsh = ask_shell(statefulroute, _STATEFULROUTE_COMPLETE="complete_zsh", **asked)
    assert [word for word in zsh if "unlink" in word or "undrain" in word]
    actions = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    fish = ask_shell(statefulroute, _STATEFULROUTE_COMPLETE="complete_fish", **asked, **actions)
    assert {"unlink", "undrain"} <= set(fish)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Offer]:
    """What kubectl is answered, in this process; what is said besides is an error."""

    def answer(kubeconfig: Path, *words: str) -> Offer:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        monkeypatch.setattr(sys, "argv", ["kubectl_complete-statefulroute", *words])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # as in `Command.quick`
            complete()
            gc.collect()
        output, errors = capsys.readouterr()
        assert not errors
        return _offer(output)

    return answer


@pytest.mark.parametrize(
    ("words", "offer"),
    [
        (("un",), (["unlink", "undrain"], ":4")),
        (("link", "--namespace", "{}", ""), (["game"], ":4")),
        (("link", "--namespace", "{}", "game", "alice", "game-"), (["game-0", "game-1", "game-2"], ":4")),
        (("set-state", "game", "D"), (["DenyNewCall"], ":4")),
        (("link", "--namespace", "kube-s"), (["kube-system"], ":4")),
        (("import", ""), ([], ":0")),  # a file
    ],
    ids=["commands", "routes", "pods", "states", "namespaces", "files"],
)
def test_kubectl_is_answered(
    words: tuple[str, ...], offer: Offer, statefulroute: Command, answered: Callable[..., Offer]
) -> None:
    told = (word.format(statefulroute.namespace) for word in words)
    assert answered(statefulroute.kubeconfig, *told) == offer


def test_where_there_is_no_cluster_nothing_is_offered_and_nothing_is_said(answered: Callable[..., Offer]) -> None:
    assert answered(Path("/nowhere"), "link", "") == ([], ":0")


def test_kubectl_offers_what_it_is_answered(statefulroute: Command) -> None:
    asked = ("link", "--namespace", statefulroute.namespace, "game", "alice", "")
    assert ask_kubectl(statefulroute, *asked) == (["game-0", "game-1", "game-2"], ":4")
