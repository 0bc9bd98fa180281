"""Tests installations from what `make image` and `make chart` write, in real pods and without an address outside.

The commands are those of docs/guides/air-gap.md. The first cluster has addresses of IPv4 and IPv6, the second one only
those of IPv6.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from pykube.objects import Pod
from pykube.objects import Service as KubernetesService

from chart.releases import Helm, Release, previous_chart
from helmchart import programs
from localcluster import LocalCluster
from localcluster.components import DUAL_STACK_POD_RANGE, IPV6_POD_RANGE
from localcluster.node import prerequisites
from localcluster.node.components import PAUSE_IMAGE
from localcluster.progress import PlainProgress
from node.bastion import NAMESPACE, REGISTRY, Bastion, Instructions, carry
from node.images import VERSION
from node.previous_release import REPOSITORY as PREVIOUS_REPOSITORY
from node.previous_release import VERSION as PREVIOUS_VERSION
from node.previous_release import build_previous_image
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.scale import IS_LONG
from support.service import Service
from support.waiting import eventually

is_long = pytest.mark.skipif(not IS_LONG, reason="only the long form installs this often: make test-node")

LINKS = 1000
#: The pods of the chart, by default and with the value.
OPERATORS, RESOLVERS = 2, 2
RESOLVER = "resolver.enabled=true"
IMAGE = f"{REGISTRY}/statefulroute"


@pytest.fixture(scope="module")
def carried(image_builders: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:  # noqa: ARG001
    """The folder with what is carried over the air gap."""
    folder = tmp_path_factory.mktemp("carried")
    carry(folder)
    yield folder
    shutil.rmtree(folder)  # it is large


def start_cluster(pod_range: str) -> LocalCluster:
    """Starts a cluster whose node has the families of the pods; skips the test if the machine lacks one."""
    if missing := prerequisites.missing_prerequisites(pod_range):
        pytest.skip(missing[0])
    return LocalCluster.start(name=f"installed-{uuid4().hex[:6]}", provider="node", pod_range=pod_range)


@pytest.fixture(scope="module")
def real_cluster(carried: Path) -> Iterator[LocalCluster]:  # noqa: ARG001 - it is built first, with all processors
    """A cluster with both families, without images."""
    with start_cluster(DUAL_STACK_POD_RANGE) as cluster:
        yield cluster


def bastion_of(cluster: LocalCluster, carried: Path, folder: Path) -> Bastion:
    """Returns a bastion in the network of a cluster."""
    progress = PlainProgress()
    return Bastion(cluster, carried, {"helm": programs.helm4(progress), "crane": programs.crane(progress)}, folder)


def deploy_game(kubectl: Kubectl, client: IndependentClient, namespace: str) -> Service:
    """Deploys three pods that do nothing, with a route to them."""
    kubectl.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    game = Service(kubectl.within(namespace), client)
    template = game.pod_template()
    template["spec"] = {"containers": [{"name": "still", "image": PAUSE_IMAGE}], "terminationGracePeriodSeconds": 0}
    game.create_pods(3, template=template)
    game.create_route(port=7777)
    game.await_pods(3)
    return game


def stored_links(game: Service) -> dict[str, tuple[str, str, int]]:
    """Returns uid, version and pod of each link: any write changes the version."""
    links = [(link["metadata"], link["spec"]) for link in game.links()]
    return {of["name"]: (of["uid"], of["resourceVersion"], spec["podIndex"]) for of, spec in links}


def containers(client: IndependentClient, namespace: str) -> dict[str, tuple[str, int]]:
    """Returns the image and the number of restarts of each pod's container."""
    found = {}
    for pod in client.all(Pod, namespace):
        (status,) = pod["status"]["containerStatuses"]
        found[pod["metadata"]["name"]] = pod["spec"]["containers"][0]["image"], status["restartCount"]
    return found


def running(client: IndependentClient, number: int) -> set[tuple[str, int]]:
    """Returns images and numbers of restarts of the release's pods, when those of an earlier revision are gone."""
    eventually(lambda: len(client.all(Pod, NAMESPACE)) == number, f"{number} pods of the release are left")
    return {*containers(client, NAMESPACE).values()}


def await_no_pods(client: IndependentClient) -> None:
    """Waits until no pod of the release is left."""
    eventually(lambda: not client.all(Pod, NAMESPACE), "the pods of the release are gone")


@dataclass(frozen=True)
class Hosts:
    """The addresses of a release, as they stand before a port."""

    operators: list[str]
    resolvers: list[str]
    service: list[str]


def hosts_of(client: IndependentClient) -> Hosts:
    """Returns the addresses of operators and resolvers, and of the Service of the resolvers."""
    pods: dict[str, list[str]] = {"operator": [], "resolver": []}
    for pod in client.all(Pod, NAMESPACE):
        addresses = [host(each["ip"]) for each in pod["status"]["podIPs"]]
        pods[pod["metadata"]["labels"]["app.kubernetes.io/component"]] += addresses
    service = client.get(KubernetesService, "statefulroute-resolver", NAMESPACE)["spec"]["clusterIPs"]
    return Hosts(pods["operator"], pods["resolver"], [host(each) for each in service])


def host(address: str) -> str:
    """Returns an address as it stands before a port."""
    return f"[{address}]" if ":" in address else address


def check_answers(bastion: Bastion, hosts: Hosts, game: Service, link: str) -> None:
    """Checks that probes, look-ups and gRPC work at every address, and that look-ups return the pod of the link."""
    probes = [f"{each}:8080" for each in hosts.operators] + [f"{each}:8081" for each in hosts.resolvers]
    bastion.fetch(*(f"http://{each}/readyz" for each in probes))
    served = [*hosts.resolvers, *hosts.service]
    path = f"/v1/namespaces/{game.namespace}/routes/{game.name}/links/{game.get(link)['spec']['uid']}"
    pod = game.get(link)["status"]["podName"]
    address = host(game.client.get(Pod, pod, game.namespace)["status"]["podIP"])
    answers = [json.loads(body) for body in bastion.fetch(*(f"http://{each}:8080{path}" for each in served))]
    assert {(each["podName"], each["address"]) for each in answers} == {(pod, f"{address}:7777")}
    bastion.connect(*(f"{each}:9002" for each in served))


@pytest.fixture(scope="module")
def bastion(real_cluster: LocalCluster, carried: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    """A bastion of the first cluster, with a registry."""
    bastion = bastion_of(real_cluster, carried, tmp_path_factory.mktemp("bastion"))
    with bastion.registry():
        yield bastion


@is_long
def test_upgrade_from_the_previous_program_and_back_touches_neither_links_nor_their_pods(  # noqa: PLR0913, PLR0917 - the fixtures it needs
    real_cluster: LocalCluster,
    carried: Path,
    admin: Kubectl,
    independent_client: IndependentClient,
    helm: Helm,
    tmp_path: Path,
) -> None:
    previous_image = build_previous_image(tmp_path, PlainProgress())
    for archive in (previous_image, carried / "dist/statefulroute-image.tar"):
        real_cluster.load_image(archive)
    previous_image.unlink()  # it is large
    release = Release(helm, "statefulroute", NAMESPACE)
    release.install("--create-namespace", f"--set=image.repository={PREVIOUS_REPOSITORY}", chart=previous_chart())
    game = deploy_game(admin, independent_client, "game")
    game.link_all([f"user-{number}" for number in range(LINKS)])
    game.await_all_bound(LINKS)
    links, pods, ids = stored_links(game), containers(independent_client, game.namespace), game.pod_ids()

    upgrade = partial(release.upgrade, "--reset-then-reuse-values", f"--set=image.repository={IMAGE}")
    upgrade(chart=carried / f"dist/statefulroute-{VERSION}.tgz")
    assert running(independent_client, OPERATORS) == {(f"{IMAGE}:{VERSION}", 0)}
    game.await_bound(game.link("after-the-upgrade"))
    assert stored_links(game).items() >= links.items()

    release.rollback(1)
    assert running(independent_client, OPERATORS) == {(f"{PREVIOUS_REPOSITORY}:{PREVIOUS_VERSION}", 0)}
    game.await_bound(game.link("after-the-rollback"))
    assert stored_links(game).items() >= links.items()

    upgrade(chart=carried / f"dist/statefulroute-{VERSION}.tgz")
    assert running(independent_client, OPERATORS) == {(f"{IMAGE}:{VERSION}", 0)}
    game.await_bound(game.link("after-the-second-upgrade"))
    release.uninstall()
    await_no_pods(independent_client)
    assert len(game.links()) == LINKS + 3
    assert stored_links(game).items() >= links.items()
    assert containers(independent_client, game.namespace) == pods
    assert game.pod_ids() == ids


@is_long
def test_page_installs_from_a_registry_without_an_address_outside(
    bastion: Bastion, admin: Kubectl, independent_client: IndependentClient
) -> None:
    bastion.run(f"ctr --namespace=k8s.io images remove {IMAGE}:{VERSION}").expect_success()
    with bastion.no_packet_leaves():
        bastion.follow(
            Instructions.read().with_a_registry, RESOLVER, "resolver.service.ipFamilyPolicy=RequireDualStack"
        )
        assert running(independent_client, OPERATORS + RESOLVERS) == {(f"{IMAGE}:{VERSION}", 0)}
        hall = deploy_game(admin, independent_client, "hall")
        link = hall.link("alice")
        hall.await_bound(link)
        # Every address of every pod and Service, of both families.
        hosts = hosts_of(independent_client)
        assert {host.startswith("[") for host in hosts.operators} == {True, False}
        assert len(hosts.operators) == len(hosts.resolvers) == 4
        assert {host.startswith("[") for host in hosts.service} == {True, False}
        check_answers(bastion, hosts, hall, link)
        bastion.run(f"helm uninstall statefulroute --namespace {NAMESPACE} --wait").expect_success()
    await_no_pods(independent_client)
    assert hall.exists(PodLink, link)


def test_operator_and_resolver_work_in_a_cluster_with_ipv6_alone(carried: Path, tmp_path: Path) -> None:
    with start_cluster(IPV6_POD_RANGE) as cluster:
        admin, client = Kubectl(cluster.kubectl, cluster.kubeconfig, tmp_path), IndependentClient(cluster.kubeconfig)
        bastion = bastion_of(cluster, carried, tmp_path)
        with bastion.no_packet_leaves():
            bastion.follow(Instructions.read().without_a_registry, RESOLVER, "replicas=1,resolver.replicas=1")
            assert running(client, 2) == {(f"{IMAGE}:{VERSION}", 0)}
            hall = deploy_game(admin, client, "hall")
            link = hall.link("alice")
            hall.await_bound(link)
            hosts = hosts_of(client)
            assert all(host.startswith("[") for host in (*hosts.operators, *hosts.resolvers, *hosts.service))
            assert len(hosts.operators) == len(hosts.resolvers) == 1
            check_answers(bastion, hosts, hall, link)
