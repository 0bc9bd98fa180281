"""The operator as people run it: real pods of the image, which Helm installs, and the chat's pods around them."""

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

#: Who it runs as, and whether it could write to its root.
WHO = "import os; print(os.getuid(), os.access('/', os.W_OK), os.access('/opt/statefulroute', os.W_OK))"


@pytest.fixture
def restricted_kubectl(admin: Kubectl) -> Kubectl:
    """A kubectl in a namespace where Pod Security `restricted` is enforced."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    admin.create(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RESTRICTED_NAMESPACE, "labels": labels}}
    )
    return admin.within(RESTRICTED_NAMESPACE)


def versions(chat: Service, *links: str) -> list[str]:
    """The links as they are stored: whoever rewrites one changes its version."""
    return [chat.get(link)["metadata"]["resourceVersion"] for link in links]


def leader(restricted_kubectl: Kubectl) -> str:
    """The pod of the operator that works."""
    held = restricted_kubectl.get_json("lease", "statefulroute-operator")["spec"]["holderIdentity"]
    return str(held).partition("_")[0]


def certificate(folder: Path) -> list[str]:
    """The files of a certificate that is its own authority, good for servers and clients, as options of kubectl."""
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
    subprocess.run(["openssl", *made, *named], check=True, capture_output=True)  # noqa: S607 - the machine's own
    return [f"--from-file=tls.crt={issued}", f"--from-file=tls.key={key}", f"--from-file=ca.crt={issued}"]


def test_links_hold_in_real_pods_through_what_happens_to_these_to_the_operator_and_to_the_node(  # noqa: PLR0913, PLR0917 - whom it takes
    real: LocalCluster,
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
    asked = restricted_kubectl.run(
        "exec", "deployment/statefulroute-operator", "--", "python3", "-c", WHO
    ).expect_success()
    assert asked.stdout.split() == ["65532", "False", "False"]
    release.test()

    chat = deploy_chat(admin, independent_client)
    alice, bob, carol = (chat.link(uid, podIndex=index) for index, uid in enumerate(("alice", "bob", "carol")))
    for link in (alice, bob, carol):
        chat.await_bound(link)
        await_greeting(chat, link)

    # A gateway asks the resolver for everybody's pod, and has a newcomer bound.
    deploy_gateway(chat)
    for link in (alice, bob, carol):
        await_greeting(chat, link, ADDRESS)
    await_message(chat, ADDRESS, "frank", "* frank is at chat-")
    await_greeting(chat, "chat.frank", ADDRESS)

    # One pod is drained, and deleted.
    Command(real.kubeconfig, NAMESPACE).run("drain", "chat", "0", "--shutdown").expect_success()
    chat.await_moved(alice, 0)
    await_greeting(chat, alice)
    await_greeting(chat, alice, ADDRESS)
    before = versions(chat, alice, bob, carol)
    chat.kubectl.run("delete", "pod", "chat-0", "--timeout=50s").expect_success()
    Command(real.kubeconfig, NAMESPACE).run("undrain", "chat", "0").expect_success()
    chat.await_pods(3)

    # One is killed, and comes back under its name: nobody moves, and nothing is written.
    kill_container(real, independent_client, "chat-1", NAMESPACE)
    await_greeting(chat, bob)
    assert versions(chat, alice, bob, carol) == before

    # The operator that works is killed.
    kill_container(real, independent_client, leader(restricted_kubectl), RESTRICTED_NAMESPACE)
    dave = chat.link("dave")
    chat.await_bound(dave)
    await_greeting(chat, dave)

    # The kubelet is killed, and started again: what ran runs on.
    containers = [container(chat, f"chat-{index}")["containerID"] for index in range(3)]
    real.part("kubelet").kill()
    eventually(lambda: chat.kubectl.run("exec", "guest", "--", "true").code, "no kubelet answers")
    erin = chat.link("erin")
    chat.await_bound(erin)
    real.part("kubelet").restart()
    await_greeting(chat, erin)
    release.test()
    assert [container(chat, f"chat-{index}")["containerID"] for index in range(3)] == containers
    assert versions(chat, alice, bob, carol) == before

    # The resolver lets in only who shows a token and a certificate, as the release's own test does.
    restricted_kubectl.run("create", "secret", "generic", "resolver-tls", *certificate(tmp_path)).expect_success()
    release.upgrade(
        "--set=resolver.authentication.tokenAudience=resolver",
        "--set=resolver.tls.secretName=resolver-tls,resolver.tls.clientCertificates=true",
    )
    release.test()

    # The release goes, then its namespace and the chat's: nothing holds them.
    assert FINALIZER in chat.route()["metadata"]["finalizers"]
    release.uninstall()
    assert len(chat.links()) == 6
    admin.run("delete", "namespace", NAMESPACE, RESTRICTED_NAMESPACE, "--wait=false").expect_success()
    eventually(lambda: not chat.exists(PodLink, alice), "the links go with their namespace")
    eventually(lambda: not independent_client.terminating_namespaces(), "nothing holds the namespaces", seconds=120)
