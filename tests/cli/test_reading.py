"""`routes`, `pods`, `links` and `whereis`: tables, objects and errors."""

import base64
import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from localcluster import LocalCluster
from statefulroute.api.vocabulary import LinkPhase
from statefulroute.cli.commands.links import PhaseChoice
from statefulroute.cli.output.terminal import width
from statefulroute.domain.keys import link_name
from support.command import Command
from support.example_objects import create_example_objects
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.objects import pod_link, stateful_route
from support.rbac import create_account
from support.terminal import TerminalSession

TABLES = ("routes", "pods game", "links", "whereis alice")
NO_TERMINAL = 0
"""A width that stands for no terminal."""

#: The tables with bars, and the widths of terminals on which they fit.
BARS = {("routes", 160), ("pods game", 80), ("pods game", 160)}

CASES = [
    *((table, columns, "") for table in TABLES for columns in (80, 160, NO_TERMINAL)),
    ("pods game", 80, "NO_COLOR=1"),
]


@pytest.fixture(scope="module", autouse=True)
def _showcase(independent_client: IndependentClient, namespace: str) -> None:
    create_example_objects(independent_client, namespace)


def _run(command: Command, arguments: str, columns: int, variable: str) -> tuple[int, str]:
    """Returns the exit code and the output of a kubectl command, on a terminal of this width or without one."""
    line = command.line(*arguments.split())
    if columns == NO_TERMINAL:
        environment = {
            name: value for name, value in command.environment.items() if name not in {"COLUMNS", "NO_COLOR"}
        }
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.stderr == ""
        return done.returncode, done.stdout
    more = dict([variable.split("=")]) if variable else {}
    with TerminalSession(line, columns, command.environment, more) as session:
        return session.close()


@pytest.fixture(scope="module")
def outputs(statefulroute: Command, _showcase: None) -> Mapping[tuple[str, int, str], tuple[int, str]]:
    """The output of each command; they run concurrently, because each takes a second to start."""
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CASES, pool.map(lambda case: _run(statefulroute, *case), CASES), strict=True))


def stable(text: str) -> str:
    """Returns the output with fixed ages of the same width, and with readable colors."""
    text = re.sub(r"\b(\d\ds|\ds ?)(?= |$)", "30s", text, flags=re.MULTILINE)
    return re.sub(r"\x1b\[(\d*)m", lambda match: f"<{match[1].strip('0') or '/'}>", text)


@pytest.mark.parametrize(("arguments", "columns", "variable"), CASES)
def test_table_matches_the_snapshot(
    outputs: Mapping[tuple[str, int, str], tuple[int, str]],
    snapshot: SnapshotAssertion,
    arguments: str,
    columns: int,
    variable: str,
) -> None:
    code, shown = outputs[arguments, columns, variable]
    assert code == 0
    assert stable(shown) == snapshot
    plain = re.sub(r"\x1b\[\d*m", "", shown)
    if columns != NO_TERMINAL:
        assert max(map(width, plain.splitlines())) <= columns
    if columns == NO_TERMINAL or variable:
        assert plain == shown
    assert ("█" in plain) == ((arguments, columns) in BARS)


@pytest.mark.parametrize("arguments", ["routes", "pods game", "links", "whereis alice"])
def test_wide_output_has_more_columns(statefulroute: Command, snapshot: SnapshotAssertion, arguments: str) -> None:
    result = statefulroute.run_quickly(*arguments.split(), "-o", "wide").expect_success()
    assert stable(result.stdout) == snapshot
    narrow = statefulroute.run_quickly(*arguments.split(), "--no-headers").expect_success()
    assert len(narrow.stdout.splitlines()) == len(result.stdout.splitlines()) - 1


def test_all_namespaces_adds_a_namespace_column(statefulroute: Command, namespace: str) -> None:
    for arguments in ("routes", "links", "whereis alice"):
        lines = statefulroute.run_quickly(*arguments.split(), "-A").expect_success().stdout.splitlines()
        assert lines[0].split()[0] == "NAMESPACE"
        assert namespace in {line.split()[0] for line in lines[1:]}


@pytest.mark.parametrize(("command", "kind"), [("routes", "statefulroutes"), ("links", "podlinks")])
def test_json_yaml_and_names_are_equal_to_those_of_kubectl(
    statefulroute: Command, namespaced_kubectl: Kubectl, command: str, kind: str
) -> None:
    items = namespaced_kubectl.get_json(kind)["items"]
    assert statefulroute.run_quickly(command, "-o", "json").object == {
        "apiVersion": "v1",
        "kind": "List",
        "items": items,
    }
    assert yaml.safe_load(statefulroute.run_quickly(command, "-o", "yaml").stdout)["items"] == items
    names = namespaced_kubectl.run("get", kind, "-o", "name").expect_success().stdout
    assert statefulroute.run_quickly(command, "-o", "name").stdout == names


def test_one_named_route_is_printed_as_an_object(statefulroute: Command, namespaced_kubectl: Kubectl) -> None:
    game = namespaced_kubectl.get_json("statefulroute", "game")
    assert statefulroute.run_quickly("routes", "game", "-o", "json").object == game
    assert yaml.safe_load(statefulroute.run_quickly("routes", "game", "-o", "yaml").stdout) == game
    two = statefulroute.run_quickly("routes", "lobby", "game", "-o", "name").stdout.split()
    assert two == ["statefulroute.statefulroute.io/lobby", "statefulroute.statefulroute.io/game"]


def test_pods_are_printed_as_in_the_status(statefulroute: Command, namespaced_kubectl: Kubectl) -> None:
    pods = namespaced_kubectl.get_json("statefulroute", "game")["status"]["pods"]
    assert json.loads(statefulroute.run_quickly("pods", "game", "-o", "json").stdout) == pods
    assert yaml.safe_load(statefulroute.run_quickly("pods", "game", "-o", "yaml").stdout) == pods
    assert statefulroute.run_quickly("pods", "game", "-o", "name").stdout.split()[:2] == ["pod/game-0", "pod/game-1"]


def test_pods_show_the_links_of_other_routes_to_them(statefulroute: Command) -> None:
    shown = statefulroute.run_quickly("pods", "chat").stdout
    assert [" (" in line for line in shown.splitlines()[1:]] == [False, True]
    assert "4 (6 in all)" in shown


GUEST, JAPAN = link_name("game", "Guest 7"), link_name("game", "日本")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("game", ["game.alice", "game.carol", GUEST, JAPAN]),
        ("chat --uid alice", ["chat.alice"]),
        ("--uid alice", ["chat.alice", "game.alice"]),
        ("--uid 'Guest 7'", [GUEST]),
        ("--uid 日本 --phase lost", [JAPAN]),
        ("--phase Bound", ["chat.alice", "game.alice", GUEST]),
        ("game --phase Pending", ["game.carol"]),
        ("--pod game-2", ["game.alice", JAPAN]),
        ("--pod 2", ["game.alice", JAPAN]),
        ("game --pod 0", [GUEST]),
        ("game --pod game-2 --uid alice", ["game.alice"]),
        ("--pod game-2 --uid alice --phase Bound", ["game.alice"]),
        ("--pod chat-5d8f-x2", ["chat.alice"]),
        ("chat --pod chat-5d8f-x2", ["chat.alice"]),
        ("--uid 'a,spec.uid=alice'", []),
        ("--uid 'a\\'", []),
    ],
)
def test_links_filters_by_route_uid_pod_and_phase(statefulroute: Command, options: str, found: list[str]) -> None:
    result = statefulroute.run_quickly("links", *shlex.split(options), "-o", "name").expect_success()
    assert result.stdout.split() == [f"podlink.statefulroute.io/{name}" for name in found]


def test_phase_option_has_every_phase() -> None:
    assert [*PhaseChoice] == [*LinkPhase.known()]


def test_whereis_reads_one_link_per_route_and_lists_none(
    statefulroute: Command, independent_client: IndependentClient
) -> None:
    count = independent_client.count_requests()
    result = statefulroute.run_quickly("whereis", "alice", "-o", "name").expect_success()
    assert result.stdout.split() == ["podlink.statefulroute.io/chat.alice", "podlink.statefulroute.io/game.alice"]
    assert count.total("GET", "podlinks") == 3  # one a route
    assert count.total("LIST", "podlinks") == 0


@pytest.fixture
def orphan(independent_client: IndependentClient, namespace: str) -> Iterator[str]:
    """The user of a link whose route does not exist."""
    link = pod_link("gone.orphan", routeName="gone", uid="orphan", podIndex=1)
    independent_client.create(link, namespace)
    yield "orphan"
    independent_client.delete(PodLink, "gone.orphan", namespace)


def test_whereis_finds_a_link_whose_route_does_not_exist(statefulroute: Command, orphan: str, namespace: str) -> None:
    (row,) = statefulroute.run_quickly("whereis", orphan, "--no-headers").expect_success().stdout.splitlines()
    assert row.split() == ["gone", "#1", "-", "RouteNotFound", "-", "-"]
    everywhere = statefulroute.run_quickly("whereis", orphan, "-A", "-o", "wide", "--no-headers").expect_success()
    assert everywhere.stdout.split()[:5] == [namespace, "gone", "#1", "-", "RouteNotFound"]
    (link,) = statefulroute.run_quickly("whereis", orphan, "-o", "json").object["items"]
    assert (link["served"], link["notServingReason"], link["address"]) == (False, "RouteNotFound", None)


@pytest.mark.usefixtures("orphan")
def test_whereis_without_permission_to_list_links_says_what_it_does_not_know(
    statefulroute: Command, namespaced_kubectl: Kubectl
) -> None:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reads-links"}}
    rules = [
        {"apiGroups": ["statefulroute.io"], "resources": ["podlinks"], "verbs": ["get"]},
        {"apiGroups": ["statefulroute.io"], "resources": ["statefulroutes"], "verbs": ["list"]},
    ]
    namespaced_kubectl.create({**role, "rules": rules})
    with create_account(namespaced_kubectl, "reader", "Role/reads-links"):
        reader = f"reader-{namespaced_kubectl.namespace}"
        result = statefulroute.run_quickly("whereis", "orphan", "--as", reader)
    assert (result.code, result.stdout) == (0, "")
    note, empty = result.stderr.splitlines()
    assert note.startswith("note: you do not have the permission to list links")
    assert empty.startswith("No links of orphan found in ")


def test_whereis_json_has_the_address_and_whether_the_pod_serves_beside_the_link(
    statefulroute: Command, namespaced_kubectl: Kubectl
) -> None:
    chat, game = statefulroute.run_quickly("whereis", "alice", "-o", "json").object["items"]
    (guest,) = statefulroute.run_quickly("whereis", "Guest 7", "-o", "json").object["items"]
    added = [{field: item.pop(field) for field in ("address", "served", "notServingReason")} for item in (chat, game)]
    assert added == [
        {"address": "10.1.2.4:7777", "served": True, "notServingReason": None},
        {"address": None, "served": False, "notServingReason": "Shutdown"},
    ]
    assert guest["address"] == "10.1.2.1:7777"  # by the name of its port
    assert game == namespaced_kubectl.get_json("podlink", "game.alice")


@pytest.mark.parametrize(("uid", "lines"), [("Guest 7", 2), ("日本", 2), ("dave", 0)])
def test_whereis_finds_encoded_uids_and_ignores_expired_links(statefulroute: Command, uid: str, lines: int) -> None:
    assert len(statefulroute.run_quickly("whereis", uid).expect_success().stdout.splitlines()) == lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("links --uid nobody", "No links found in {namespace} namespace.\n"),
        ("links lobby", "No links found in {namespace} namespace.\n"),
        ("whereis nobody", "No links of nobody found in {namespace} namespace.\n"),
        (
            "pods lobby",
            "No pods of lobby found in {namespace} namespace: StatefulSet 'lobby' does not exist.\n",
        ),
    ],
)
def test_empty_list_prints_a_message_and_exits_with_0(
    statefulroute: Command, namespace: str, arguments: str, message: str
) -> None:
    result = statefulroute.run_quickly(*arguments.split())
    assert (result.code, result.stdout, result.stderr) == (0, "", message.format(namespace=namespace))


def test_a_missing_route_is_reported_with_the_only_other_one(
    statefulroute: Command, namespaced_kubectl: Kubectl, independent_client: IndependentClient
) -> None:
    with fresh_namespace(namespaced_kubectl) as name:
        command = Command(statefulroute.kubeconfig, name)
        message = f"error: StatefulRoute 'hall' does not exist in namespace {name!r}: there"
        assert command.run_quickly("pods", "hall").stderr == f"{message} is none\n"
        independent_client.create(stateful_route("room"), name)
        assert command.run_quickly("pods", "hall").stderr == f"{message} is: room\n"


def test_a_missing_namespace_is_reported(cluster: LocalCluster) -> None:
    result = Command(cluster.kubeconfig, "desert").run_quickly("pods", "game")
    assert (result.code, result.stdout, result.stderr) == (1, "", "error: namespace 'desert' does not exist\n")


def test_routes_of_an_empty_namespace_prints_a_message(cluster: LocalCluster) -> None:
    result = Command(cluster.kubeconfig, "desert").run_quickly("routes")
    assert (result.code, result.stdout, result.stderr) == (0, "", "No routes found in desert namespace.\n")


NO_ROUTE = "error: StatefulRoute 'nope' does not exist in namespace '{namespace}': there are: chat, game, lobby\n"
NO_POD = "error: 'game' has no pod 'other-1': name one of game-0, game-1, game-2, game-3, or its index\n"
NO_NAME = (
    "error: route must be a DNS label (lower-case letters, digits and '-', at most 63 characters): "
    "it is the name of a StatefulRoute\n"
)
ALL_NAMESPACES = "error: this command works in one namespace: leave out --all-namespaces\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("routes nope", NO_ROUTE),
        ("routes game nope", NO_ROUTE),
        ("pods nope", NO_ROUTE),
        ("links nope", NO_ROUTE),
        ("links nope --pod 1", NO_ROUTE),
        ("events nope", NO_ROUTE),
        ("routes game -A", ALL_NAMESPACES),
        ("links game --pod other-1", NO_POD),
        ("routes ''", NO_NAME),
        ("pods ''", NO_NAME),
        ("routes a/b", NO_NAME),
        ("links --uid ''", "error: uid must not be empty\n"),
        ("whereis ''", "error: uid must not be empty\n"),
        ("top", "error: top needs a terminal: use `pods --watch` or `events` without one\n"),
    ],
)
def test_impossible_request_prints_one_error_message(
    statefulroute: Command, namespace: str, arguments: str, message: str
) -> None:
    result = statefulroute.run_quickly(*shlex.split(arguments))
    assert (result.code, result.stderr) == (1, message.format(namespace=namespace))


READING = ("routes", "routes game", "pods game", "links", "links game --pod 1", "whereis alice", "events")


@pytest.fixture(scope="module")
def kubeconfig_with(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes kubeconfigs of the cluster with another server or token."""
    known = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))

    def write(server: str | None = None, token: str | None = None) -> Path:
        changed: dict[str, Any] = json.loads(json.dumps(known))
        if server is not None:
            changed["clusters"][0]["cluster"]["server"] = server
        if token is not None:
            changed["users"][0]["user"] = {"token": token}
        file = tmp_path_factory.mktemp("kubeconfigs") / "config"
        file.write_text(yaml.safe_dump(changed), encoding="utf-8")
        return file

    return write


def test_reports_a_response_of_another_server(kubeconfig_with: Callable[..., Path]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), LoginPage) as server, ThreadPoolExecutor(1) as pool:
        serving = pool.submit(server.serve_forever)
        result = Command(kubeconfig_with(server=f"http://127.0.0.1:{server.server_port}"), "play").run_quickly("routes")
        server.shutdown()
        serving.result()
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: the response is not that of an API server (JSON is malformed")
    assert result.stderr.count("\n") == 1


class LoginPage(BaseHTTPRequestHandler):
    """Responds to every request with an HTML page, as a proxy does that requires a login."""

    def do_GET(self) -> None:
        """Respond."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>Log in</html>")

    def log_message(self, *_: object) -> None:
        """Do not log."""


@pytest.mark.parametrize("arguments", READING)
def test_reports_an_unreachable_api_server(kubeconfig_with: Callable[..., Path], arguments: str) -> None:
    command = Command(kubeconfig_with(server="https://127.0.0.1:1"), "play")
    result = command.run_quickly(*arguments.split())
    assert (result.code, result.stdout) == (1, "")
    assert re.fullmatch(
        r"error: the API server does not answer \(GET .*\): is the cluster up, and is this the right --context\?\n",
        result.stderr,
    )


@pytest.mark.parametrize("arguments", READING)
def test_reports_a_cluster_without_the_kinds(
    cluster: LocalCluster, kubeconfig_with: Callable[..., Path], arguments: str
) -> None:
    # For a path that it does not know, the API server returns the same error as for an unknown API group.
    command = Command(kubeconfig_with(server=f"{cluster.server}/apis/none.example.com"), "play")
    result = command.run_quickly(*arguments.split())
    assert (result.code, result.stdout) == (1, "")
    kind = "PodLink" if arguments == "links" else "StatefulRoute"
    assert result.stderr == (
        f"error: kind {kind} is not installed: kubectl apply -f crds, or choose another --context\n"
    )


@pytest.mark.parametrize("arguments", READING)
def test_reports_the_missing_permission_of_a_user(
    namespaced_kubectl: Kubectl, kubeconfig_with: Callable[..., Path], powerless_token: str, arguments: str
) -> None:
    assert namespaced_kubectl.namespace is not None
    result = Command(kubeconfig_with(token=powerless_token), namespaced_kubectl.namespace).run_quickly(
        *arguments.split()
    )
    assert (result.code, result.stdout) == (1, "")
    assert re.fullmatch(
        r"error: you do not have the permission: request it, or choose another --namespace or --context: "
        r"(statefulroutes|podlinks)\.statefulroute\.io (\"game\" )?is forbidden: User .*\n",
        result.stderr,
    )


@pytest.fixture(scope="module")
def powerless_token(namespaced_kubectl: Kubectl) -> str:
    """The token of a user without permissions."""
    namespaced_kubectl.run("create", "serviceaccount", "nobody").expect_success()
    return namespaced_kubectl.run("create", "token", "nobody").expect_success().stdout.strip()


def test_whereis_without_permission_to_read_pods_prints_no_addresses(
    namespaced_kubectl: Kubectl, kubeconfig_with: Callable[..., Path]
) -> None:
    rules = [{"apiGroups": ["statefulroute.io"], "resources": ["*"], "verbs": ["get", "list"]}]
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "sees-links"}}
    namespaced_kubectl.create({**kind, "rules": rules})
    with create_account(namespaced_kubectl, "seer", "Role/sees-links"):
        token = namespaced_kubectl.run("create", "token", "seer").expect_success().stdout.strip()
        assert namespaced_kubectl.namespace is not None
        result = Command(kubeconfig_with(token=token), namespaced_kubectl.namespace).run_quickly(
            "whereis", "alice", "--no-headers"
        )
    assert result.code == 0
    chat, game = (line.split() for line in result.stdout.splitlines())
    assert chat == ["chat", "chat-5d8f-x2", "Bound", "Yes", "-", "-"]
    assert game == ["game", "game-2", "Bound", "Shutdown", "-", "game-2.game.play.svc"]
    assert result.stderr == "note: you do not have the permission to read pods: their addresses are not known\n"


def test_reports_rejected_credentials(kubeconfig_with: Callable[..., Path]) -> None:
    stranger = Command(kubeconfig_with(token=base64.b64encode(b"stranger").decode()), "play")
    assert stranger.run_quickly("routes").stderr == (
        "error: the API server does not accept your credentials: log in again, or choose another --context\n"
    )


@pytest.mark.parametrize("arguments", ["--context nowhere", "--kubeconfig /nowhere/config"])
def test_reports_a_missing_kubeconfig_or_context(statefulroute: Command, arguments: str) -> None:
    for result in (statefulroute.run_quickly(command, *arguments.split()) for command in ("routes", "links", "events")):
        assert (result.code, result.stdout) == (1, "")
        _assert_missing_config(result.stderr)


def test_kubectl_plugin_prints_an_error_as_one_line(statefulroute: Command) -> None:
    result = statefulroute.run("routes", "--context", "nowhere")
    assert (result.code, result.stdout) == (1, "")
    _assert_missing_config(result.stderr)


def _assert_missing_config(errors: str) -> None:
    (line,) = errors.splitlines()
    assert line.startswith("error: cannot load the cluster's configuration (")
    assert line.endswith("name a kubeconfig with --kubeconfig or $KUBECONFIG, and a context of it with --context")
