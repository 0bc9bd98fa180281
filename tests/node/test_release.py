"""Tests the operator as users run it: real pods, installed by Helm, beside the chat's pods."""

import subprocess
from pathlib import Path

import pytest
from pykube.objects import Pod

from chart.releases import RESTRICTED_NAMESPACE, Helm, Release
from localcluster import LocalCluster
from node.chat import NAMESPACE, await_greeting, await_message, container, deploy_chat, kill_container
from node.gateway import ADDRESS, deploy_gateway
from statefulroute.api.group import FINALIZER
from support.command import Command
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.service import Service
from support.waiting import eventually

#: Prints the user id, and whether the root is writable.
SHOW_IDENTITY = "import os; print(os.getuid(), os.access('/', os.W_OK), os.access('/opt/statefulroute', os.W_OK))"


@pytest.fixture
def restricted_kubectl(admin: Kubectl) -> Kubectl:
    """A kubectl in a namespace that enforces Pod Security `restricted`."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    admin.create(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RESTRICTED_NAMESPACE, "labels": labels}}
    )
    return admin.within(RESTRICTED_NAMESPACE)


def versions(chat: Service, *links: str) -> list[str]:
    """Returns the links' versions: any write changes one."""
    return [chat.get(link)["metadata"]["resourceVersion"] for link in links]


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


def test_links_survive_restarts_of_pods_operator_and_kubelet_in_a_real_node(  # noqa: PLR0913, PLR0917 - the fixtures it needs
    real_cluster: LocalCluster,
    helm: Helm,
    admin: Kubectl,
    restricted_kubectl: Kubectl,
    independent_client: IndependentClient,
    tmp_path: Path,
) -> None:
    release = Release(helm, "statefulroute", RESTRICTED_NAMESPACE, {"resolver": {"enabled": True}})
    release.install()
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
    deploy_gateway(chat)
    for link in (alice, bob, carol):
        await_greeting(chat, link, ADDRESS)
    await_message(chat, ADDRESS, "frank", "* frank is at chat-")
    await_greeting(chat, "chat.frank", ADDRESS)

    # One pod is drained, and deleted.
    Command(real_cluster.kubeconfig, NAMESPACE).run("drain", "chat", "0", "--shutdown").expect_success()
    chat.await_moved(alice, 0)
    await_greeting(chat, alice)
    await_greeting(chat, alice, ADDRESS)
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
    eventually(lambda: chat.kubectl.run("exec", "guest", "--", "true").code, "the kubelet does not respond")
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
