"""Options and variables that have the meaning that they have in kubectl, compared with kubectl itself."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
from support.jsonpath_cases import INVALID_TEMPLATES, ITEMS, TEMPLATES
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
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


@pytest.fixture(scope="module")
def template_namespace(installed: Kubectl, independent_client: IndependentClient) -> Iterator[str]:
    """The name of a namespace with the routes of the templates."""
    with fresh_namespace(installed) as name:
        for number, item in enumerate(ITEMS):
            metadata = {**item["metadata"], "labels": {"n": f"{number % 2}"}}
            independent_client.create({**item, "metadata": metadata}, name)
        yield name


@dataclass(frozen=True, slots=True)
class Both:
    """kubectl and the command, with the same routes."""

    kubectl: Kubectl
    command: Command

    def outputs(self, *options: str) -> tuple[str, str]:
        """Returns the output of kubectl and that of the command."""
        expected = self.kubectl.run("get", "statefulroutes", *options).expect_success()
        result = self.command.run_quickly("routes", *options).expect_success()
        return expected.stdout, result.stdout


@pytest.fixture(scope="module")
def both(installed: Kubectl, cluster: LocalCluster, template_namespace: str) -> Both:
    return Both(installed.within(template_namespace), Command(cluster.kubeconfig, template_namespace))


def test_templates_print_what_kubectl_prints(both: Both) -> None:
    # kubectl would loop over what follows an open loop.
    closed = {text: output for text, output in TEMPLATES.items() if text.count("{range") == text.count("{end}")}
    kubectl, command = both.outputs("-o", "jsonpath=" + "\n--\n".join(closed))
    assert dict(zip(closed, kubectl.split("\n--\n"), strict=True)) == closed
    assert command == kubectl


def test_json_of_a_template_is_that_of_kubectl(both: Both) -> None:
    template = "{.items[*].spec}{.items[0].metadata.name}{.items[*].nothing}"
    kubectl, command = both.outputs("-o", f"jsonpath-as-json={template}")
    assert command == kubectl


@pytest.mark.parametrize(("template", "message"), INVALID_TEMPLATES.items(), ids=INVALID_TEMPLATES)
def test_invalid_templates_have_the_messages_of_kubectl(both: Both, template: str, message: str) -> None:
    kubectl = both.kubectl.run("get", "statefulroutes", "-o", f"jsonpath={template}")
    assert (kubectl.code, message in kubectl.stderr) == (1, True)
    result = both.command.run_quickly("routes", "-o", f"jsonpath={template}")
    assert (result.code > 0, message in " ".join(result.stderr.split())) == (True, True)


@pytest.mark.parametrize(
    "options",
    [
        ["-o", "custom-columns=NAME:.metadata.name,PORT:spec.port,P:.spec.pods[*].index,TAGS:{.spec.tags}"],
        ["-o", "custom-columns=A:.spec.placement,PODS:.spec.pods", "--no-headers"],
        ["-l", "n=1", "-o", "name"],
        ["-l", "n!=1", "-o", "name"],
        ["-l", "nothing", "-o", "name"],
        ["-l", "nothing", "-o", "custom-columns=NAME:.metadata.name"],
        ["--selector", "n in (0,1)", "--sort-by", "spec.tags[0]", "-o", "jsonpath={.items[*].metadata.name}"],
        ["--sort-by", ".metadata.labels.n", "-o", "name"],
        ["--sort-by", "{.metadata.creationTimestamp}", "-o", "name"],
        ["lobby", "-o", "jsonpath={.metadata.name}"],
        ["lobby", "chat", "-o", "jsonpath={.items[*].metadata.name}"],
        ["lobby", "game", "-o", "custom-columns=NAME:.metadata.name", "--sort-by", "metadata.name"],
    ],
    ids=" ".join,
)
def test_list_options_select_sort_and_print_as_those_of_kubectl(both: Both, options: list[str]) -> None:
    kubectl, command = both.outputs(*options)
    assert command == kubectl


def test_templates_are_read_from_files(both: Both, tmp_path: Path) -> None:
    (tmp_path / "template").write_text("{.items[*].metadata.name}")
    (tmp_path / "columns").write_text("NAME           PORT\nmetadata.name  {.spec.port}\n")
    for option in (f"jsonpath-file={tmp_path / 'template'}", f"custom-columns-file={tmp_path / 'columns'}"):
        kubectl, command = both.outputs("-o", option)
        assert command == kubectl


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sort-by", ".nothing"], 'couldn\'t find any field with path "{.nothing}" in the list of objects'),
        (["--sort-by", "{.a}{.b}"], "unexpected path string, expected"),
        (["--sort-by", "spec.port"], "spec.port"),  # a number and a text
        (["game", "-l", "n=1"], "name cannot be provided when a selector is specified"),
    ],
    ids=str,
)
def test_impossible_list_options_have_the_messages_of_kubectl(both: Both, options: list[str], message: str) -> None:
    for result in (
        both.kubectl.run("get", "statefulroutes", *options, "-o", "name"),
        both.command.run_quickly("routes", *options, "-o", "name"),
    ):
        assert (result.code > 0, message in " ".join(result.stderr.split())) == (True, True), result


def test_links_and_pods_have_the_list_options_too(statefulroute: Command, namespaced_kubectl: Kubectl) -> None:
    columns = "custom-columns=UID:.spec.uid,POD:.status.podName"
    options = ("--sort-by", ".spec.uid", "-o", columns)
    expected = namespaced_kubectl.run("get", "podlinks", *options).expect_success().stdout
    shown = statefulroute.run_quickly("links", *options).stdout
    assert shown.split() == expected.split()  # kubectl aligns wide characters as if they were narrow
    assert statefulroute.run_quickly("links", "-l", "app=game", "-o", "name").stdout == ""
    pods = namespaced_kubectl.get_json("sr", "game")["status"]["pods"]
    by_links = [pod["name"] for pod in sorted(pods, key=lambda pod: pod.get("links", -1))]
    shown = statefulroute.run_quickly("pods", "game", "-o", "jsonpath={[*].name}", "--sort-by", "links").stdout
    assert shown.split() == by_links
    table = statefulroute.run_quickly("pods", "game", "-o", "custom-columns=N:.name", "--sort-by", "links").stdout
    assert table.split() == ["N", *by_links]
    whereis = statefulroute.run_quickly("whereis", "alice", "-o", "jsonpath={.items[*].served}").stdout
    assert whereis == "true false"


def test_a_watch_prints_changes_by_a_template(both: Both) -> None:
    line = ("routes", "--watch", "--sort-by", "metadata.name", "-o", "jsonpath={.metadata.name}{'\\n'}")
    watch = both.command.launch(*line)
    try:
        assert watch.stdout is not None
        assert [watch.stdout.readline().strip() for _ in ITEMS] == ["chat", "game", "lobby"]
        both.kubectl.run("label", "sr", "game", "n=7", "--overwrite").expect_success()
        assert watch.stdout.readline().strip() == "game"
        assert watch.stderr is not None
        assert watch.stderr.readline().startswith("warning: --watch requested, --sort-by will be ignored")
    finally:
        watch.kill()
        watch.communicate()


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
