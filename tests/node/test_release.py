"""Tests the operator as users run it: real pods, installed by Helm, beside the chat's pods."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pykube.objects import Pod, StatefulSet

from chart.releases import RESTRICTED_NAMESPACE, Helm, Release
from localcluster import LocalCluster
from node.chat import (
    NAMESPACE,
    await_greeting,
    await_handed_over,
    await_message,
    container,
    deploy_chat,
    deploy_guest,
    kill_container,
)
from node.gateway import deploy_gateway
from node.images import SANDBOX
from node.metrics import SERVICES, VALUES, Monitoring
from node.rooms import VERSION, Users, await_gateway, deploy_rooms
from node.sandbox import RealSandboxes
from node.sidecar import NAMESPACE as SIDECAR_NAMESPACE
from node.sidecar import SidecarPod
from statefulroute.api.group import FINALIZER
from support.command import Command
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.service import Service
from support.waiting import eventually

#: Prints the user id, and whether the root is writable.
SHOW_IDENTITY = "import os; print(os.getuid(), os.access('/', os.W_OK), os.access('/opt/statefulroute', os.W_OK))"


@pytest.fixture(scope="module")
def restricted_kubectl(admin: Kubectl) -> Kubectl:
    """A kubectl in a namespace that enforces Pod Security `restricted`."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    admin.create(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RESTRICTED_NAMESPACE, "labels": labels}}
    )
    return admin.within(RESTRICTED_NAMESPACE)


@pytest.fixture(scope="module")
def monitoring(admin: Kubectl, restricted_kubectl: Kubectl) -> Monitoring:  # noqa: ARG001
    """Two pods that may and may not read metrics, and the certificate of these."""
    monitoring = Monitoring(admin)
    monitoring.deploy()
    return monitoring


@pytest.fixture(scope="module")
def release(helm: Helm, monitoring: Monitoring) -> Release:  # noqa: ARG001
    """The operator with the resolver. The last test uninstalls it."""
    release = Release(helm, "statefulroute", RESTRICTED_NAMESPACE, {"resolver": {"enabled": True}, **VALUES})
    release.install()
    return release


def pods_with_metrics(independent_client: IndependentClient) -> list[tuple[str, str]]:
    """Returns the Service of the metrics and the IP address of each pod of the release; none has restarted."""
    services = dict(zip(("operator", "resolver"), SERVICES, strict=True))
    pods = independent_client.all(Pod, RESTRICTED_NAMESPACE)
    assert [restarts(pod) for pod in pods] == [0] * 4
    component = "app.kubernetes.io/component"
    return [(services[pod["metadata"]["labels"][component]], pod["status"]["podIP"]) for pod in pods]


def restarts(pod: dict[str, Any]) -> int:
    """Returns how often the only container of a Ready pod has restarted."""
    (status,) = pod["status"]["containerStatuses"]
    assert status["ready"]
    return int(status["restartCount"])


def versions(chat: Service, *links: str) -> list[str]:
    """Returns the links' versions: any write changes one."""
    return [chat.get(link)["metadata"]["resourceVersion"] for link in links]


def template_revisions(rooms: Service) -> dict[str, str]:
    """Returns the revision of the template that each pod of the StatefulSet has."""
    pods = [pod["metadata"] for pod in rooms.client.all(Pod, rooms.namespace)]
    label = "controller-revision-hash"
    return {pod["name"]: pod["labels"][label] for pod in pods if label in pod.get("labels", {})}


def leader(restricted_kubectl: Kubectl) -> str:
    """Returns the pod of the leader."""
    held = restricted_kubectl.get_json("lease", "statefulroute-operator")["spec"]["holderIdentity"]
    return str(held).partition("_")[0]


def certificate(folder: Path) -> list[str]:
    """Creates a self-signed certificate for servers and clients; returns its files as options of kubectl."""
    issued, key = folder / "tls.crt", folder / "tls.key"
    usages = ("-addext", "keyUsage=critical,digitalSignature,keyCertSign")
    made = (
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        *usages,
    )
    named = ("-subj", "/CN=statefulroute-resolver", "-out", issued, "-keyout", key)
    subprocess.run(["openssl", *made, *named], check=True, capture_output=True)  # noqa: S607 - the machine's openssl
    return [f"--from-file=tls.crt={issued}", f"--from-file=tls.key={key}", f"--from-file=ca.crt={issued}"]


@pytest.mark.usefixtures("release")
def test_metrics_are_read_with_the_token_of_an_account_and_a_renewed_certificate_is_used(
    monitoring: Monitoring, restricted_kubectl: Kubectl, independent_client: IndependentClient
) -> None:
    monitoring.await_ready()
    for service in SERVICES:
        assert monitoring.read(service)[:2] == (200, True)
        assert monitoring.read(service, has_token=False)[:2] == (401, False)
        assert monitoring.read(service, pod="stranger")[:2] == (403, False)

    pods = pods_with_metrics(independent_client)
    (before,) = {monitoring.read(service, host=host).serial for service, host in pods}
    monitoring.issue(RESTRICTED_NAMESPACE)
    # A change of a pod lets the kubelet update its files at once, instead of within a minute or more.
    restricted_kubectl.run("annotate", "pods", "--all", "example.com/renewed=true").expect_success()
    for service, host in pods:
        eventually(
            lambda service=service, host=host: monitoring.read(service, host=host).serial != before,
            f"{host} uses the renewed certificate",
            seconds=120,
            poll_seconds=1,
        )
    assert pods_with_metrics(independent_client) == pods, "the probes have not failed"
    monitoring.delete()


@pytest.mark.usefixtures("release")
def test_rollout_of_real_pods_fails_no_request_and_moves_no_user(
    admin: Kubectl, independent_client: IndependentClient
) -> None:
    rooms = deploy_rooms(admin, independent_client)
    deploy_guest(rooms.kubectl)
    first = {f"first-{pod}": {"podIndex": pod} for pod in range(3)}
    rooms.link_each(first)
    rooms.await_all_bound(3)
    before, stays = template_revisions(rooms), {}
    gateway = deploy_gateway(rooms)
    for uid in first:
        await_gateway(rooms, gateway, uid)
    with Users(rooms, gateway) as users:
        for uid in first:
            users.come(uid)
        rooms.kubectl.run("set", "env", "statefulset/room", f"{VERSION}=2").expect_success()
        # New users come during the whole rollout, which the users of each pod delay.
        for pod in ("room-2", "room-1", "room-0"):
            rooms.await_closing(pod, "Rollout")
            assert users.come(f"beside-{pod}") != pod
            for uid in [uid for uid, at in users.present.items() if at == pod]:
                stays[uid] = users.leave(uid)
        rooms.await_condition("RolledOut", "True", "RolledOut")
        for uid in tuple(users.present):
            stays[uid] = users.leave(uid)
    assert {uid: stay.failures for uid, stay in stays.items() if stay.failures} == {}
    # One process of one pod has answered each user from the first request to the last.
    assert {uid: stay.places for uid, stay in stays.items() if len(stay.places) != 1} == {}
    assert all(stay.visits == [*range(stay.visits[0], stay.visits[-1] + 1)] for stay in stays.values())
    assert stays["first-0"].places == {("room-0", "1")}
    assert {version for _, version in stays["beside-room-0"].places} == {"2"}
    latest = independent_client.get(StatefulSet, "room", rooms.namespace)["status"]["updateRevision"]
    assert template_revisions(rooms) == dict.fromkeys(before, latest)
    assert latest not in before.values()
    admin.run("delete", "namespace", rooms.namespace, "--wait=false").expect_success()


def test_native_sidecar_starts_before_its_server_restarts_alone_and_ends_after_it(
    real_cluster: LocalCluster, admin: Kubectl, release: Release, independent_client: IndependentClient
) -> None:
    del release  # it runs the operator
    pod = SidecarPod(real_cluster, admin, independent_client)
    pod.deploy()
    pod.await_log("started, running: True\nwon: True\n")
    link = independent_client.get(PodLink, "rooms.rooms-0", SIDECAR_NAMESPACE)
    assert link["spec"]["podIndex"] == 0
    assert pod.read()["metadata"]["annotations"]["statefulroute.io/routing-state"] == "Ready"

    pod.kill_sidecar()
    assert pod.read()["status"]["containerStatuses"][0]["restartCount"] == 0

    before = pod.read()["metadata"]["uid"]
    with ThreadPoolExecutor() as pool:
        log = pool.submit(pod.kubectl.run, "logs", "--follow", "rooms-0")
        pod.kubectl.run("delete", "pod", "rooms-0", "--timeout=90s").expect_success()
        # The sidecar has served it until then. Where the container is gone, the kubelet adds an error to the log.
        assert "\nstopped, running: False\n" in log.result().stdout
    pod.await_ready()
    assert pod.read()["metadata"]["uid"] != before
    pod.await_log("started, running: True\nwon: True\n")
    pod.delete()


def test_files_and_processes_of_a_sandbox_end_with_its_session(
    real_cluster: LocalCluster, admin: Kubectl, release: Release, independent_client: IndependentClient
) -> None:
    del release  # it runs the operator, which scales the sandboxes
    sandboxes = RealSandboxes(real_cluster, admin, independent_client)
    sandboxes.deploy()
    pod = sandboxes.open("alice")
    assert sandboxes.send(pod, "alice", "echo secret > file; cat file; id -u") == [200, "secret\n2000\n"]
    assert sandboxes.send(pod, "bob", "cat file")[0] == 503

    # Commands see no token, no owner, and no process of the server, and write to no other folder than their own.
    processes = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c [s]erver.py"
    hidden = f"ls -d /var/run/secrets /run/owner; {processes}; touch /x"
    status, text = sandboxes.send(pod, "alice", hidden)
    assert status == 200
    assert text.count("No such file or directory") == 2
    assert "\n0\n" in text
    assert "Read-only file system" in text

    # A process that refuses to end, ends with the session.
    stubborn = "trap '' TERM HUP INT; while true; do sleep 1; done # stubborn-7319"
    sandboxes.send(pod, "alice", f'setsid sh -c "{stubborn}" > /dev/null 2>&1 & sleep 1')
    assert sandboxes.processes("stubborn-7319")
    assert sandboxes.files_of(pod)
    sandboxes.end(pod, "alice")
    other = sandboxes.open("bob")
    assert other["metadata"]["uid"] != pod["metadata"]["uid"]
    assert sandboxes.send(other, "bob", "ls -A") == [200, ""]
    sandboxes.await_phase(pod, "Succeeded")
    eventually(lambda: not sandboxes.processes("stubborn-7319"), "the process has ended")
    eventually(lambda: not sandboxes.files_of(pod), "the kubelet removes the files")

    # A server that is killed is not started again beside the files of its user.
    sandboxes.send(other, "bob", "echo secret > file")
    sandboxes.kill_server(other)
    sandboxes.await_phase(other, "Failed")
    assert sandboxes.restarts(other) == 0
    eventually(lambda: not sandboxes.files_of(other), "the kubelet removes the files")
    sandboxes.service.await_deleted("sandbox.bob")
    sandboxes.delete()


@pytest.mark.usefixtures("release")
def test_a_shell_is_added_to_a_pod_of_the_operator_which_has_none(restricted_kubectl: Kubectl, tmp_path: Path) -> None:
    pod = leader(restricted_kubectl)
    refused = restricted_kubectl.run("exec", pod, "--", "sh")
    assert refused.code
    assert '"sh": executable file not found' in refused.stderr
    user = tmp_path / "user.json"
    user.write_text('{"securityContext": {"runAsUser": 65532}}', encoding="utf-8")
    options = (
        f"--image={SANDBOX}",
        "--container=shell",
        "--target=operator",
        "--profile=restricted",
        f"--custom={user}",
    )
    restricted_kubectl.run("debug", pod, *options, "--", "sh", "-c", "ls /proc/1/root/opt").expect_success()
    eventually(
        lambda: restricted_kubectl.run("logs", pod, "--container=shell").stdout == "statefulroute\n",
        "the shell shows the files of the operator",
    )


def test_links_survive_restarts_of_pods_operator_and_kubelet_in_a_real_node(  # noqa: PLR0913, PLR0917 - the fixtures it needs
    real_cluster: LocalCluster,
    release: Release,
    admin: Kubectl,
    restricted_kubectl: Kubectl,
    independent_client: IndependentClient,
    tmp_path: Path,
) -> None:
    pods = independent_client.all(Pod, RESTRICTED_NAMESPACE)
    assert [pod["status"]["phase"] for pod in pods] == ["Running"] * 4
    assert all(pod["spec"]["nodeName"] == "node-0" for pod in pods)
    result = restricted_kubectl.run(
        "exec", "deployment/statefulroute-operator", "--", "python3", "-c", SHOW_IDENTITY
    ).expect_success()
    assert result.stdout.split() == ["65532", "False", "False"]
    release.test()

    chat = deploy_chat(admin, independent_client)
    alice, bob, carol = (chat.link(uid, podIndex=index) for index, uid in enumerate(("alice", "bob", "carol")))
    for link in (alice, bob, carol):
        chat.await_bound(link)
        await_greeting(chat, link)

    # A gateway asks the resolver for each user's pod, which binds a new user.
    gateway = deploy_gateway(chat)
    for link in (alice, bob, carol):
        await_greeting(chat, link, gateway)
    await_message(chat, gateway, "frank", "* frank is at chat-")
    await_greeting(chat, "chat.frank", gateway)

    # One pod is drained: it sends its room to another one. Then it is deleted.
    await_message(chat, f"{chat.get(alice)['status']['host']}:8080", "alice?name=Grace", "* alice is at chat-0")
    Command(real_cluster.kubeconfig, NAMESPACE).run("drain", "chat", "0", "--shutdown").expect_success()
    await_handed_over(chat, alice, 0, "* members: Grace")
    await_greeting(chat, alice)
    await_greeting(chat, alice, gateway)
    before = versions(chat, alice, bob, carol)
    chat.kubectl.run("delete", "pod", "chat-0", "--timeout=50s").expect_success()
    Command(real_cluster.kubeconfig, NAMESPACE).run("undrain", "chat", "0").expect_success()
    chat.await_pods(3)

    # One pod is killed, and returns under its name: no user moves, and nothing is written.
    kill_container(real_cluster, independent_client, "chat-1", NAMESPACE)
    await_greeting(chat, bob)
    assert versions(chat, alice, bob, carol) == before

    # The leader is killed.
    kill_container(real_cluster, independent_client, leader(restricted_kubectl), RESTRICTED_NAMESPACE)
    dave = chat.link("dave")
    chat.await_bound(dave)
    await_greeting(chat, dave)

    # The kubelet is killed and restarted: the containers keep running.
    containers = [container(chat, f"chat-{index}")["containerID"] for index in range(3)]
    real_cluster.part("kubelet").kill()
    eventually(lambda: chat.kubectl.run("exec", "guest", "--", "python", "-c", "").code, "the kubelet does not respond")
    erin = chat.link("erin")
    chat.await_bound(erin)
    real_cluster.part("kubelet").restart()
    await_greeting(chat, erin)
    release.test()
    assert [container(chat, f"chat-{index}")["containerID"] for index in range(3)] == containers
    assert versions(chat, alice, bob, carol) == before

    # The resolver requires a token and a client certificate, which the release's test has.
    restricted_kubectl.run("create", "secret", "generic", "resolver-tls", *certificate(tmp_path)).expect_success()
    release.upgrade(
        "--set=resolver.authentication.tokenAudience=resolver",
        "--set=resolver.tls.secretName=resolver-tls,resolver.tls.clientCertificates=true",
    )
    release.test()

    # The release is uninstalled, then both namespaces are deleted: no finalizer blocks them.
    assert FINALIZER in chat.route()["metadata"]["finalizers"]
    release.uninstall()
    assert len(chat.links()) == 6
    admin.run("delete", "namespace", NAMESPACE, RESTRICTED_NAMESPACE, "--wait=false").expect_success()
    eventually(lambda: not chat.exists(PodLink, alice), "the links go with their namespace")
    eventually(lambda: not independent_client.terminating_namespaces(), "no namespace is terminating", seconds=120)
