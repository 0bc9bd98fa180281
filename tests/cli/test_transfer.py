"""`export` and `import`: a backup, or a move to another cluster."""

import json
import logging
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from statefulroute.api.group import GROUP
from support.command import Command
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.objects import ABSENT, encoded_name, pod_link
from support.scale import scaled
from support.terminal import TerminalSession

LATER = "2099-01-01T00:00:00Z"

NO_GUESTS = "guests are not linked here"

#: Runs a command and prints its peak memory. A direct child of the tests would start as a copy of their large process.
MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""

log = logging.getLogger(__name__)

Spec = dict[str, Any]


@pytest.fixture
def own_namespace(installed: Kubectl) -> Iterator[str]:
    """The name of a namespace for one test, which no operator watches."""
    with fresh_namespace(installed) as name:
        yield name


@pytest.fixture
def command(statefulroute: Command, own_namespace: str) -> Command:
    """`kubectl statefulroute` in the namespace of the test."""
    return Command(statefulroute.kubeconfig, own_namespace)


def specs(independent_client: IndependentClient, namespace: str) -> dict[str, Spec]:
    """Returns the specs of all links by name."""
    return {link["metadata"]["name"]: link["spec"] for link in independent_client.all(PodLink, namespace)}


def line(**fields: Any) -> str:
    return json.dumps(fields)


def make_specs(number: int) -> list[Spec]:
    """Returns the links of many users on three pods; every tenth link is temporary."""
    return [
        {"routeName": "game", "uid": f"user-{n}", "podIndex": n % 3}
        | ({"ttlSeconds": 600, "renewTime": LATER} if n % 10 == 0 else {})
        for n in range(number)
    ]


def write_lines(path: Path, lines: list[Spec]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def test_export_and_import_keep_every_field_of_a_spec(
    command: Command, independent_client: IndependentClient, installed: Kubectl
) -> None:
    independent_client.create(pod_link(podIndex=0), command.namespace)
    independent_client.create(
        pod_link(encoded_name("game", "Guest 7"), uid="Guest 7", podName="game-x"), command.namespace
    )
    independent_client.create(pod_link(uid="open"), command.namespace)
    independent_client.create(pod_link(uid="for-now", podIndex=2, ttlSeconds=60, renewTime=LATER), command.namespace)
    independent_client.create(pod_link(uid="over", ttlSeconds=1, renewTime="2020-01-01T00:00:00Z"), command.namespace)
    independent_client.create(pod_link(routeName="chat", podIndex=1), command.namespace)
    independent_client.create(pod_link("game.x-slot-7", uid=ABSENT, slot=7, podIndex=1), command.namespace)
    exported = command.run("export").expect_success().stdout
    assert [json.loads(each) for each in sorted(exported.splitlines())] == [
        {"routeName": "chat", "uid": "alice", "podIndex": 1},
        {"routeName": "game", "uid": "Guest 7", "podName": "game-x"},
        {"routeName": "game", "uid": "alice", "podIndex": 0},
        {"routeName": "game", "uid": "for-now", "podIndex": 2, "ttlSeconds": 60, "renewTime": LATER},
        {"routeName": "game", "uid": "open"},
    ]
    with fresh_namespace(installed) as other:
        elsewhere = Command(command.kubeconfig, other)
        result = elsewhere.run("import", stdin=exported).expect_success()
        assert (result.stdout, result.stderr) == ("5 created, 0 kept\n", "")
        before = specs(independent_client, command.namespace)
        del before["game.over"]  # it has expired
        del before["game.x-slot-7"]  # the operator creates the links of slots
        assert specs(independent_client, other) == before


def test_export_of_one_route_reports_a_mistyped_name(command: Command, independent_client: IndependentClient) -> None:
    independent_client.create(pod_link(podIndex=0), command.namespace)
    independent_client.create(pod_link(routeName="chat", podIndex=1), command.namespace)
    assert command.run_quickly("export", "chat").stdout == '{"routeName":"chat","uid":"alice","podIndex":1}\n'
    mistyped = command.run_quickly("export", "caht")
    assert (mistyped.code, mistyped.stdout) == (1, "")
    assert mistyped.stderr.startswith("error: StatefulRoute 'caht' does not exist in namespace ")


def test_export_keeps_the_expiry_of_a_temporary_link(command: Command, independent_client: IndependentClient) -> None:
    creation_time = independent_client.create(pod_link(ttlSeconds=3600), command.namespace)["metadata"][
        "creationTimestamp"
    ]
    assert json.loads(command.run_quickly("export").stdout)["renewTime"] == creation_time


def test_import_keeps_existing_links_unless_overwrite_is_set(
    command: Command, independent_client: IndependentClient, tmp_path: Path
) -> None:
    independent_client.create(pod_link(podIndex=2), command.namespace)
    independent_client.create(pod_link(uid="same", podIndex=1), command.namespace)
    wanted = [{"routeName": "game", "uid": uid, "podIndex": 1} for uid in ("alice", "same", "new")]
    file = str(write_lines(tmp_path / "links", wanted))
    assert command.run_quickly("import", file).stdout == "1 created, 2 kept\n"
    assert specs(independent_client, command.namespace)["game.alice"]["podIndex"] == 2
    for mode, suffix in (("server", "(server dry run)"), ("client", "(dry run)")):
        dry_run = command.run_quickly("import", file, "--overwrite", f"--dry-run={mode}")
        assert dry_run.stdout == f"0 created, 2 kept, 1 overwritten {suffix}\n"
    assert specs(independent_client, command.namespace)["game.alice"]["podIndex"] == 2
    assert command.run_quickly("import", file, "--overwrite").stdout == "0 created, 2 kept, 1 overwritten\n"
    assert specs(independent_client, command.namespace)["game.alice"]["podIndex"] == 1


def test_import_uses_the_first_of_two_lines_with_the_same_user(
    command: Command, independent_client: IndependentClient, tmp_path: Path
) -> None:
    twice = [{"routeName": "game", "uid": f"user-{n}", "podIndex": pod} for n in range(20) for pod in (0, 1, 2)]
    assert command.run_quickly("import", str(write_lines(tmp_path / "links", twice))).stdout == "20 created, 40 kept\n"
    assert {spec["podIndex"] for spec in specs(independent_client, command.namespace).values()} == {0}


GOOD = {"routeName": "game", "uid": "good"}

BAD_LINES = [
    b"{",
    b"no json at all",
    b'{"routeName": "game", "uid": "\xff"}',
    b'["game", "alice"]',
    b"7",
    line(kind="PodLink", metadata={"name": "game.alice"}, spec=GOOD).encode(),
    line(**GOOD, podindex=1).encode(),
    b'{"routeName": "game", "uid": "a", "uid": "b"}',
    line(uid="alice").encode(),
    line(routeName="game").encode(),
    line(routeName="Game", uid="alice").encode(),
    line(routeName="game", uid="").encode(),
    line(routeName="game", uid=7).encode(),
    line(routeName="game", uid="U" * 94).encode(),
    line(routeName="game", uid="a\tb").encode(),
    line(routeName="game", uid="\ud800").encode(),
    line(**GOOD, podIndex=-1).encode(),
    line(**GOOD, podIndex=2**31).encode(),
    line(**GOOD, podIndex=1.5).encode(),
    line(**GOOD, podIndex="1").encode(),
    line(**GOOD, podIndex=True).encode(),
    line(**GOOD, podName="game 1").encode(),
    line(**GOOD, podName=1).encode(),
    line(**GOOD, podIndex=1, podName="game-1").encode(),
    line(**GOOD, ttlSeconds=0).encode(),
    line(**GOOD, ttlSeconds="60").encode(),
    line(**GOOD, renewTime=LATER).encode(),
    line(**GOOD, ttlSeconds=60, renewTime="tomorrow").encode(),
    line(**GOOD, ttlSeconds=60, renewTime="2099-01-01T00:00:00").encode(),
    b"[" * 30_000,
    b'{"routeName": "game", "uid": "' + b"a" * 200_000 + b'"}',
]


def test_import_reports_invalid_lines_and_imports_all_others(
    command: Command, independent_client: IndependentClient, snapshot: SnapshotAssertion
) -> None:
    good = [line(routeName="game", uid=f"user-{n}", podIndex=n % 3).encode() for n in range(len(BAD_LINES) + 1)]
    between = [each for pair in zip(good, BAD_LINES, strict=False) for each in pair]
    text = b"\xef\xbb\xbf" + b"\n".join([*between, b"", good[-1]])  # without a newline at the end
    result = command.run("import", "-", stdin=text)
    assert (result.code, result.stdout) == (1, f"{len(good)} created, 0 kept, {len(BAD_LINES)} refused\n")
    assert sorted(specs(independent_client, command.namespace)) == sorted(f"game.user-{n}" for n in range(len(good)))
    assert sorted(result.stderr.splitlines(), key=_line_number) == snapshot


def _line_number(message: str) -> int:
    return int(message.removeprefix("line ").partition(":")[0])


def test_import_continues_after_a_link_that_the_api_server_rejects(
    command: Command, namespaced_kubectl: Kubectl, independent_client: IndependentClient, tmp_path: Path
) -> None:
    text = "".join(line(routeName="game", uid=f"{kind}-{n}") + "\n" for n in range(2) for kind in ("guest", "member"))
    (tmp_path / "links").write_text(text)
    with _without_guests(namespaced_kubectl.within(command.namespace)):
        result = command.run_quickly("import", str(tmp_path / "links"))
    assert (result.code, result.stdout) == (1, "2 created, 0 kept, 2 refused\n"), result
    assert result.stderr.count(NO_GUESTS) == 2
    assert sorted(specs(independent_client, command.namespace)) == ["game.member-0", "game.member-1"]


@contextmanager
def _without_guests(kubectl: Kubectl) -> Iterator[None]:
    """Returns a context in which a policy of the namespace rejects links of guests."""
    name = f"no-guests.{kubectl.namespace}"
    rule = {"apiGroups": [GROUP], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["podlinks"]}
    policy = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "!object.spec.uid.startsWith('guest')", "message": NO_GUESTS}],
    }
    own = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": kubectl.namespace}}}
    binding = {"policyName": name, "validationActions": ["Deny"], "matchResources": own}
    for kind, spec in (("ValidatingAdmissionPolicy", policy), ("ValidatingAdmissionPolicyBinding", binding)):
        head = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}}
        kubectl.create({**head, "spec": spec})
    try:
        _wait_until(lambda: NO_GUESTS in kubectl.dry_run(pod_link(uid="guest", namespace=kubectl.namespace)).stderr)
        yield
    finally:
        for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
            kubectl.run("delete", kind, name).expect_success()


@pytest.mark.timeout(900)
def test_import_that_was_killed_creates_the_rest_when_run_again(
    command: Command, independent_client: IndependentClient, tmp_path: Path
) -> None:
    wanted = make_specs(scaled(300, 10_000))
    file = str(write_lines(tmp_path / "links", wanted))
    first = command.launch("import", file, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_until(lambda: _count(independent_client, command.namespace) > len(wanted) // 3)
    first.send_signal(signal.SIGKILL)
    assert first.wait(20) == -signal.SIGKILL
    created = _settled_count(independent_client, command.namespace)
    assert 0 < created < len(wanted)
    second = command.run_quickly("import", file).expect_success()
    assert second.stdout == f"{len(wanted) - created:,} created, {created:,} kept\n"
    assert specs(independent_client, command.namespace) == {f"game.{each['uid']}": each for each in wanted}
    assert command.run_quickly("import", file).stdout == f"0 created, {len(wanted):,} kept\n"


def test_import_shows_its_progress_on_a_terminal(command: Command, tmp_path: Path) -> None:
    file = str(write_lines(tmp_path / "links", make_specs(150)))
    with TerminalSession(command.line("import", file), 100, command.environment, {"NO_COLOR": "1"}) as terminal:
        code, shown = terminal.close()
    assert code == 0
    *steps, end = shown.split("\r\x1b[K")
    assert re.search(r"\r[^\r]+  line \d+: \d+ created", "".join(steps))
    assert end == "150 created, 0 kept\n"


def test_import_stops_with_a_message_if_no_link_can_be_written(command: Command, tmp_path: Path) -> None:
    missing = command.run_quickly("import", str(tmp_path / "nothing"))
    assert (missing.code, missing.stderr) == (
        1,
        f"error: cannot read {tmp_path / 'nothing'}: No such file or directory\n",
    )
    directory = command.run_quickly("import", str(tmp_path))
    assert (directory.code, directory.stderr) == (
        1,
        f"error: cannot read {tmp_path}: it is a directory, not a file of links\n",
    )
    file = str(write_lines(tmp_path / "links", make_specs(50)))
    nowhere = Command(command.kubeconfig, "nowhere").run_quickly("import", file)
    assert (nowhere.code, nowhere.stdout) == (1, "")
    stopped, error = nowhere.stderr.splitlines()
    assert stopped == "stopped: 0 created, 0 kept. Run it again: it continues where it stopped"
    assert error == 'error: namespaces "nowhere" not found'


@pytest.mark.timeout(1800)
def test_export_holds_one_page_in_memory(command: Command, tmp_path: Path) -> None:
    number = scaled(700, 100_000)
    file = str(write_lines(tmp_path / "links", make_specs(number)))
    command.run_quickly("import", file).expect_success()
    start = time.monotonic()
    with (tmp_path / "out").open("wb") as out:
        exporting = command.launch("export", within=[sys.executable, "-c", MEASURED], stdout=out)
        _wait_until(lambda: (tmp_path / "out").stat().st_size > 0, pause=0.01)
        first = time.monotonic() - start
        _, peak_kib = exporting.communicate(timeout=300)
    total, peak = time.monotonic() - start, int(peak_kib) / 1024
    log.info("%d links: the first after %.2f s, all after %.1f s, %.0f MiB", number, first, total, peak)
    assert exporting.returncode == 0
    assert len((tmp_path / "out").read_bytes().splitlines()) == number
    assert peak < 150
    assert first < 10  # mostly the start of Python


def _settled_count(independent_client: IndependentClient, namespace: str) -> int:
    """Returns the number of links once the API server has finished all requests."""
    counts = [-1]

    def is_settled() -> bool:
        counts.append(_count(independent_client, namespace))
        return counts[-1] == counts[-2]

    _wait_until(is_settled, pause=1)
    return counts[-1]


def _count(independent_client: IndependentClient, namespace: str) -> int:
    return sum(1 for _ in PodLink.objects(independent_client.http).filter(namespace=namespace))


def _wait_until(holds: Any, pause: float = 0.05) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(pause)
