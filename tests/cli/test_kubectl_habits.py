"""Options and variables that have the meaning that they have in kubectl, compared with kubectl itself."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from localcluster import LocalCluster
from support.command import PROGRAMS, Command
from support.connect_proxy import run_connect_proxy
from support.example_objects import create_example_objects
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.proxy_cases import PROXY_CASES


@pytest.fixture(scope="module", autouse=True)
def _showcase(independent_client: IndependentClient, namespace: str) -> None:
    create_example_objects(independent_client, namespace)


@pytest.fixture(scope="module")
def kubeconfig_with(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes kubeconfigs of the cluster with further fields of the user and the cluster."""
    known = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))

    def write(user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None) -> Path:
        changed: dict[str, Any] = json.loads(json.dumps(known))
        changed["users"][0]["user"].update(user or {})
        changed["clusters"][0]["cluster"].update(cluster or {})
        file = tmp_path_factory.mktemp("kubeconfigs") / "config"
        file.write_text(yaml.safe_dump(changed), encoding="utf-8")
        return file

    return write


@pytest.mark.parametrize(
    "before", [("--namespace", "{}"), ("-n", "{}"), ("-n{}",), ("--namespace={}", "-o", "name")], ids=" ".join
)
def test_options_may_precede_the_subcommand(
    statefulroute: Command, namespaced_kubectl: Kubectl, before: tuple[str, ...]
) -> None:
    options = [option.format(statefulroute.namespace) for option in before]
    names = namespaced_kubectl.run("get", "statefulroutes", "-o", "name").expect_success().stdout
    done = subprocess.run(
        [PROGRAMS / "kubectl", "statefulroute", *options, "routes", *(() if "-o" in options else ("-o", "name"))],
        capture_output=True,
        text=True,
        check=False,
        env=statefulroute.environment,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, names, "")


def test_kubectl_completes_behind_options_that_precede_the_subcommand(statefulroute: Command) -> None:
    words = ("-n", statefulroute.namespace, "pods", "")
    done = subprocess.run(
        [PROGRAMS / "kubectl", "__complete", "statefulroute", *words],
        capture_output=True,
        text=True,
        check=True,
        env=statefulroute.environment,
    )
    assert done.stdout.split() == ["chat", "game", "lobby", ":4"]


#: Users of a kubeconfig, options, and whether the routes can be read.
IMPERSONATIONS = [
    ({}, "", True),
    ({"as": "nobody"}, "", False),
    ({"as": "nobody", "as-groups": ["system:masters"]}, "", True),
    ({"as": "nobody"}, "--as-group system:masters", True),
    ({"as": "nobody", "as-groups": ["system:masters"]}, "--as somebody", True),
    ({"as": "nobody", "as-groups": ["system:masters"]}, "--as somebody --as-group players", False),
    ({"as": "nobody", "as-uid": "7", "as-user-extra": {"game": ["chess"]}}, "", False),
    ({}, "--as nobody", False),
    ({}, "--as nobody --as-group players --as-group system:masters", True),
    ({}, "--as nobody --as-uid 7 --as-group system:masters", True),
    ({}, "--as-group system:masters", False),
]


@pytest.mark.parametrize(("user", "options", "is_allowed"), IMPERSONATIONS, ids=str)
def test_impersonates_as_kubectl_does(  # noqa: PLR0913, PLR0917 - a column each
    statefulroute: Command,
    namespaced_kubectl: Kubectl,
    kubeconfig_with: Callable[..., Path],
    user: dict[str, Any],
    options: str,
    is_allowed: bool,
) -> None:
    file = kubeconfig_with(user)
    ours = Command(file, statefulroute.namespace).run_quickly("routes", "-o", "name", *options.split())
    kubectl = replace(namespaced_kubectl, kubeconfig=file).run("get", "sr", "-o", "name", *options.split())
    assert (ours.code, ours.stdout) == (kubectl.code, kubectl.stdout)
    assert (ours.code == 0) is is_allowed
    refused = re.search(r'User "\w+" cannot list', kubectl.stderr)
    assert refused is None or refused[0] in ours.stderr


def test_writes_are_made_as_the_impersonated_user(statefulroute: Command, kubeconfig_with: Callable[..., Path]) -> None:
    nobody = Command(kubeconfig_with({"as": "nobody"}), statefulroute.namespace)
    refused = nobody.run_quickly("unlink", "game", "alice")
    assert (refused.code, 'User "nobody" cannot' in refused.stderr) == (1, True)
    group = ("--as", "nobody", "--as-group", "system:masters")
    assert statefulroute.run_quickly("link", "lobby", "masked", "0", *group).stdout == "masked: lobby-0\n"


def test_requests_use_the_proxy_of_the_environment(
    cluster: LocalCluster,
    statefulroute: Command,
    namespaced_kubectl: Kubectl,
    kubeconfig_with: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = urlsplit(cluster.server)
    # Requests to loopback addresses use no proxy; the proxy forwards those to another name.
    host = f"api.example.invalid:{address.port}"
    file = kubeconfig_with(cluster={"server": f"https://{host}", "tls-server-name": address.hostname})
    assert address.port is not None
    with run_connect_proxy(("127.0.0.1", address.port)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        shown = replace(namespaced_kubectl, kubeconfig=file).run("get", "sr", "-o", "name").expect_success().stdout
        by_kubectl = len(proxy.targets)
        command = Command(file, statefulroute.namespace)
        assert command.run_quickly("routes", "-o", "name").stdout == shown
        assert command.run_quickly("link", "lobby", "proxied", "0").stdout == "proxied: lobby-0\n"
    assert {*proxy.targets} == {host}
    assert len(proxy.targets) > by_kubectl > 0


_READ = ("--token=none", "get", "--raw=/", "--request-timeout=0.3s")


@pytest.mark.parametrize(("server", "exceptions", "is_used"), PROXY_CASES)
def test_no_proxy_has_the_meaning_that_it_has_in_kubectl(
    kubectl: Kubectl, server: str, exceptions: str, is_used: bool
) -> None:
    """Holds kubectl to the cases that a unit test holds the command to."""
    with run_connect_proxy(None) as proxy:
        environment = {
            **os.environ,
            "HTTPS_PROXY": proxy.url,
            "NO_PROXY": exceptions,
            "KUBECACHEDIR": str(kubectl.cache),
        }
        subprocess.run(
            [kubectl.program, f"--kubeconfig={os.devnull}", f"--server={server}", *_READ],
            capture_output=True,
            check=False,
            env=environment,
        )
    assert bool(proxy.targets) is is_used
