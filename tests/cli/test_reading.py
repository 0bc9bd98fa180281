"""`routes`, `pods`, `links` and `whereis`, as somebody types them: tables, objects, and what stands in their way."""

import base64
import json
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
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
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.rbac import create_account
from support.terminal import TerminalSession

TABLES = ("routes", "pods game", "links", "whereis alice")
NOWHERE = 0
"""Stands for no terminal."""

CASES = [
    *((table, columns, "") for table in TABLES for columns in (80, 160, NOWHERE)),
    ("pods game", 80, "NO_COLOR=1"),
]


@pytest.fixture(scope="module", autouse=True)
def _furnished(independent_client: IndependentClient, namespace: str) -> None:
    create_example_objects(independent_client, namespace)


def _see(command: Command, arguments: str, columns: int, says: str) -> tuple[int, str]:
    """What a command that is run by kubectl shows: on a terminal of this width, or without one."""
    line = command.line(*arguments.split())
    if columns == NOWHERE:
        environment = {
            name: value for name, value in command.environment.items() if name not in {"COLUMNS", "NO_COLOR"}
        }
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.stderr == ""
        return done.returncode, done.stdout
    more = dict([says.split("=")]) if says else {}
    with TerminalSession(line, columns, command.environment, more) as session:
        return session.close()


@pytest.fixture(scope="module")
def seen(statefulroute: Command, _furnished: None) -> Mapping[tuple[str, int, str], tuple[int, str]]:
    """What each command shows, all of them run at the same time: each takes a second to start."""
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CASES, pool.map(lambda case: _see(statefulroute, *case), CASES), strict=True))


def stable(text: str) -> str:
    """The same with ages of a fixed time, of the same width, and with colours that can be read."""
    text = re.sub(r"\b(\d\ds|\ds ?)(?= |$)", "30s", text, flags=re.MULTILINE)
    return re.sub(r"\x1b\[(\d*)m", lambda found: f"<{found[1].strip('0') or '/'}>", text)


@pytest.mark.parametrize(("arguments", "columns", "says"), CASES)
def test_a_table_looks_like_this(
    seen: Mapping[tuple[str, int, str], tuple[int, str]],
    snapshot: SnapshotAssertion,
    arguments: str,
    columns: int,
    says: str,
) -> None:
    code, shown = seen[arguments, columns, says]
    assert code == 0
    assert stable(shown) == snapshot
    plain = re.sub(r"\x1b\[\d*m", "", shown)
    if columns != NOWHERE:
        assert max(map(width, plain.splitlines())) <= columns
    if columns == NOWHERE or says:
        assert plain == shown
    assert ("█" in plain) == (arguments in {"routes", "pods game"} and columns != NOWHERE)


@pytest.mark.parametrize("arguments", ["routes", "pods game", "links", "whereis alice"])
def test_wide_adds_columns(statefulroute: Command, snapshot: SnapshotAssertion, arguments: str) -> None:
    result = statefulroute.run_quickly(*arguments.split(), "-o", "wide").expect_success()
    assert stable(result.stdout) == snapshot
    narrow = statefulroute.run_quickly(*arguments.split(), "--no-headers").expect_success()
    assert len(narrow.stdout.splitlines()) == len(result.stdout.splitlines()) - 1


def test_every_namespace_is_named_before_its_objects(statefulroute: Command, namespace: str) -> None:
    for arguments in ("routes", "links", "whereis alice"):
        lines = statefulroute.run_quickly(*arguments.split(), "-A").expect_success().stdout.splitlines()
        assert lines[0].split()[0] == "NAMESPACE"
        assert namespace in {line.split()[0] for line in lines[1:]}


@pytest.mark.parametrize(("command", "kind"), [("routes", "statefulroutes"), ("links", "podlinks")])
def test_objects_are_those_that_kubectl_gives(statefulroute: Command, here: Kubectl, command: str, kind: str) -> None:
    items = here.get_json(kind)["items"]
    assert statefulroute.run_quickly(command, "-o", "json").object == {
        "apiVersion": "v1",
        "kind": "List",
        "items": items,
    }
    assert yaml.safe_load(statefulroute.run_quickly(command, "-o", "yaml").stdout)["items"] == items
    names = here.run("get", kind, "-o", "name").expect_success().stdout
    assert statefulroute.run_quickly(command, "-o", "name").stdout == names


def test_one_route_is_no_list(statefulroute: Command, here: Kubectl) -> None:
    game = here.get_json("statefulroute", "game")
    assert statefulroute.run_quickly("routes", "game", "-o", "json").object == game
    assert yaml.safe_load(statefulroute.run_quickly("routes", "game", "-o", "yaml").stdout) == game
    two = statefulroute.run_quickly("routes", "lobby", "game", "-o", "name").stdout.split()
    assert two == ["statefulroute.statefulroute.io/lobby", "statefulroute.statefulroute.io/game"]


def test_pods_are_given_as_the_status_has_them(statefulroute: Command, here: Kubectl) -> None:
    pods = here.get_json("statefulroute", "game")["status"]["pods"]
    assert json.loads(statefulroute.run_quickly("pods", "game", "-o", "json").stdout) == pods
    assert yaml.safe_load(statefulroute.run_quickly("pods", "game", "-o", "yaml").stdout) == pods
    assert statefulroute.run_quickly("pods", "game", "-o", "name").stdout.split()[:2] == ["pod/game-0", "pod/game-1"]


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
def test_links_are_selected(statefulroute: Command, options: str, found: list[str]) -> None:
    result = statefulroute.run_quickly("links", *shlex.split(options), "-o", "name").expect_success()
    assert result.stdout.split() == [f"podlink.statefulroute.io/{name}" for name in found]


def test_the_phases_are_those_of_links() -> None:
    assert [*PhaseChoice] == [*LinkPhase]


def test_a_user_is_found_in_every_service_and_nobody_is_searched_for(
    statefulroute: Command, independent_client: IndependentClient
) -> None:
    count = independent_client.count_requests()
    result = statefulroute.run_quickly("whereis", "alice", "-o", "name").expect_success()
    assert result.stdout.split() == ["podlink.statefulroute.io/chat.alice", "podlink.statefulroute.io/game.alice"]
    assert count.total("GET", "podlinks") == 3  # one a route
    assert count.total("LIST", "podlinks") == 0


def test_a_program_is_told_the_address_beside_the_link(statefulroute: Command, here: Kubectl) -> None:
    chat, game = statefulroute.run_quickly("whereis", "alice", "-o", "json").object["items"]
    assert (
        game.pop("address")
        == statefulroute.run_quickly("whereis", "alice", "--no-headers").stdout.splitlines()[1].split()[3]
    )
    assert game == here.get_json("podlink", "game.alice")
    assert "address" in chat


@pytest.mark.parametrize(("uid", "lines"), [("Guest 7", 2), ("日本", 2), ("dave", 0)])
def test_a_uid_that_cannot_stand_in_a_name_is_found_and_an_expired_link_is_none(
    statefulroute: Command, uid: str, lines: int
) -> None:
    assert len(statefulroute.run_quickly("whereis", uid).expect_success().stdout.splitlines()) == lines


@pytest.mark.parametrize(
    ("arguments", "says"),
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
def test_an_empty_list_is_told_of_and_is_no_error(
    statefulroute: Command, namespace: str, arguments: str, says: str
) -> None:
    result = statefulroute.run_quickly(*arguments.split())
    assert (result.code, result.stdout, result.stderr) == (0, "", says.format(namespace=namespace))


def test_an_empty_namespace_has_no_routes(cluster: LocalCluster) -> None:
    result = Command(cluster.kubeconfig, "desert").run_quickly("routes")
    assert (result.code, result.stdout, result.stderr) == (0, "", "No routes found in desert namespace.\n")


NO_ROUTE = "error: StatefulRoute 'nope' does not exist in namespace '{namespace}': there are chat, game, lobby\n"
NO_POD = "error: 'game' has no pod 'other-1': name one of game-0, game-1, game-2, game-3, or its index\n"
NO_NAME = (
    "error: route must be a DNS label (lower-case letters, digits and '-', at most 63 characters): "
    "it is the name of a StatefulRoute\n"
)
EVERYWHERE = "error: this command works in one namespace: leave out --all-namespaces\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("routes nope", NO_ROUTE),
        ("routes game nope", NO_ROUTE),
        ("pods nope", NO_ROUTE),
        ("links nope", NO_ROUTE),
        ("links nope --pod 1", NO_ROUTE),
        ("events nope", NO_ROUTE),
        ("routes game -A", EVERYWHERE),
        ("links game --pod other-1", NO_POD),
        ("routes ''", NO_NAME),
        ("pods ''", NO_NAME),
        ("routes a/b", NO_NAME),
        ("links --uid ''", "error: uid must not be empty\n"),
        ("whereis ''", "error: uid must not be empty\n"),
        ("top", "error: top needs a terminal: use `pods --watch` or `events` without one\n"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(
    statefulroute: Command, namespace: str, arguments: str, says: str
) -> None:
    result = statefulroute.run_quickly(*shlex.split(arguments))
    assert (result.code, result.stderr) == (1, says.format(namespace=namespace))


READING = ("routes", "routes game", "pods game", "links", "links game --pod 1", "whereis alice", "events")


@pytest.fixture(scope="module")
def configured(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes kubeconfigs that are like the cluster's own but for a server, or a token."""
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


def test_what_answers_and_is_no_api_server_is_told_of(configured: Callable[..., Path]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), LoginPage) as server, ThreadPoolExecutor(1) as pool:
        serving = pool.submit(server.serve_forever)
        result = Command(configured(server=f"http://127.0.0.1:{server.server_port}"), "play").run_quickly("routes")
        server.shutdown()
        serving.result()
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: the response is not that of an API server (JSON is malformed")
    assert result.stderr.count("\n") == 1


class LoginPage(BaseHTTPRequestHandler):
    """Answers whatever is asked for with a page for people, as a proxy does that wants somebody to log in."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>Log in</html>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("arguments", READING)
def test_an_api_server_that_does_not_answer_is_told_of(configured: Callable[..., Path], arguments: str) -> None:
    command = Command(configured(server="https://127.0.0.1:1"), "play")
    result = command.run_quickly(*arguments.split())
    assert (result.code, result.stdout) == (1, "")
    assert re.fullmatch(
        r"error: the API server does not answer \(GET .*\): is the cluster up, and is this the right --context\?\n",
        result.stderr,
    )


@pytest.mark.parametrize("arguments", READING)
def test_a_cluster_without_the_two_kinds_is_told_of(
    cluster: LocalCluster, configured: Callable[..., Path], arguments: str
) -> None:
    # Below a path that it does not know, the API server answers as it does where it does not know a group.
    command = Command(configured(server=f"{cluster.server}/apis/none.example.com"), "play")
    result = command.run_quickly(*arguments.split())
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr == (
        "error: PodLink and StatefulRoute are not installed in this cluster: install their definitions "
        "(kubectl apply -f crds), or choose another --context\n"
    )


@pytest.mark.parametrize("arguments", READING)
def test_somebody_without_rights_is_told_which_one_is_missing(
    here: Kubectl, configured: Callable[..., Path], nobody: str, arguments: str
) -> None:
    assert here.namespace is not None
    result = Command(configured(token=nobody), here.namespace).run_quickly(*arguments.split())
    assert (result.code, result.stdout) == (1, "")
    assert re.fullmatch(
        r"error: you do not have the permission: request it, or choose another --namespace or --context: "
        r"(statefulroutes|podlinks)\.statefulroute\.io (\"game\" )?is forbidden: User .*\n",
        result.stderr,
    )


@pytest.fixture(scope="module")
def nobody(here: Kubectl) -> str:
    """The token of somebody who may do nothing."""
    here.run("create", "serviceaccount", "nobody").expect_success()
    return here.run("create", "token", "nobody").expect_success().stdout.strip()


def test_without_the_right_to_read_pods_all_but_their_addresses_is_found(
    here: Kubectl, configured: Callable[..., Path]
) -> None:
    rules = [{"apiGroups": ["statefulroute.io"], "resources": ["*"], "verbs": ["get", "list"]}]
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "sees-links"}}
    here.create({**kind, "rules": rules})
    with create_account(here, "seer", "Role/sees-links"):
        token = here.run("create", "token", "seer").expect_success().stdout.strip()
        assert here.namespace is not None
        result = Command(configured(token=token), here.namespace).run_quickly("whereis", "alice", "--no-headers")
    assert result.code == 0
    assert result.stdout.splitlines()[1].split() == ["game", "game-2", "Bound", "-", "game-2.game.play.svc"]
    assert result.stderr == "note: you do not have the permission to read pods: their addresses are not known\n"


def test_somebody_whom_the_api_server_does_not_know_is_told_so(configured: Callable[..., Path]) -> None:
    stranger = Command(configured(token=base64.b64encode(b"stranger").decode()), "play")
    assert stranger.run_quickly("routes").stderr == (
        "error: the API server does not accept your credentials: log in again, or choose another --context\n"
    )


@pytest.mark.parametrize("arguments", ["--context nowhere", "--kubeconfig /nowhere/config"])
def test_a_configuration_that_is_not_there_is_told_of(statefulroute: Command, arguments: str) -> None:
    for result in (statefulroute.run_quickly(command, *arguments.split()) for command in ("routes", "links", "events")):
        assert (result.code, result.stdout) == (1, "")
        _says_what_to_name(result.stderr)


def test_through_kubectl_an_error_is_one_line_too(statefulroute: Command) -> None:
    result = statefulroute.run("routes", "--context", "nowhere")
    assert (result.code, result.stdout) == (1, "")
    _says_what_to_name(result.stderr)


def _says_what_to_name(errors: str) -> None:
    (line,) = errors.splitlines()
    assert line.startswith("error: cannot load the cluster's configuration (")
    assert line.endswith("name a kubeconfig with --kubeconfig or $KUBECONFIG, and a context of it with --context")
