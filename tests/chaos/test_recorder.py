"""Tests that the recorder misses nothing while the API server or the store is killed."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from chaos.record import Gap, Link, Record, RecordWriter
from chaos.recorder import recording
from chaos.system import store_url
from localcluster import LocalCluster
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.objects import pod_link

CRDS = Path(__file__).parents[2] / "crds"

#: The cluster's programs may have to be built first, which takes minutes.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def killable_cluster() -> Iterator[LocalCluster]:
    """A cluster whose components may be killed, with links and without an operator."""
    if os.environ.get("STATEFULROUTE_KUBECONFIG"):
        pytest.skip("kills the API server and its store: not possible in STATEFULROUTE_KUBECONFIG's cluster")
    flags = ("--storage-media-type=application/json",)
    with LocalCluster.start(name=f"recorder-{os.getpid()}", nodes=1, apiserver_flags=flags) as started:
        yield started


@pytest.fixture(scope="module")
def admin(killable_cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    kubectl = Kubectl(
        killable_cluster.kubectl, killable_cluster.kubeconfig, tmp_path_factory.mktemp("cache"), "default"
    )
    kubectl.run("apply", "--filename", str(CRDS)).expect_success()
    kubectl.run("wait", "--for=condition=Established", "--filename", str(CRDS)).expect_success()
    return kubectl


@pytest.mark.parametrize("component", ["apiserver", "etcd"])
def test_every_version_is_recorded_when_a_component_is_killed(
    killable_cluster: LocalCluster, admin: Kubectl, tmp_path: Path, component: str
) -> None:
    del admin
    independent_client = IndependentClient(killable_cluster.kubeconfig)
    uid = f"{component}-user"
    written = RecordWriter(tmp_path / "record.jsonl")
    with recording(store_url(killable_cluster), written, "default"):
        name = independent_client.create(pod_link(uid=uid, podIndex=0), "default")["metadata"]["name"]
        for pod in range(1, 20):
            independent_client.patch(PodLink, name, "default", {"spec": {"podIndex": pod}})
        killable_cluster.part(component).kill()
        killable_cluster.part(component).restart()
        independent_client = IndependentClient(killable_cluster.kubeconfig)
        for pod in range(20, 40):
            independent_client.patch(PodLink, name, "default", {"spec": {"podIndex": pod}})
        last = int(independent_client.get(PodLink, name, "default")["metadata"]["resourceVersion"])
        independent_client.delete(PodLink, name, "default")
    written.close()
    record = Record.read(tmp_path / "record.jsonl")
    versions = [each for each in record.all(Link) if each.name == name]
    assert [each.pod for each in versions[:-1]] == list(range(40))
    assert versions[-1].is_gone
    assert versions[-2].revision == last < versions[-1].revision
    assert versions[0].key == ("game", uid)
    assert all(each.at <= time.time() for each in versions)
    assert not record.all(Gap)


def test_compacted_revisions_are_recorded_as_a_gap(
    killable_cluster: LocalCluster, admin: Kubectl, tmp_path: Path
) -> None:
    created = admin.create(pod_link(uid="compacted", podIndex=0))
    revision = int(created["metadata"]["resourceVersion"])
    answer = requests.post(
        f"{store_url(killable_cluster)}/v3/kv/compaction", json={"revision": str(revision)}, timeout=10
    )
    answer.raise_for_status()
    written = RecordWriter(tmp_path / "record.jsonl")
    with recording(store_url(killable_cluster), written, "default"):
        pass
    written.close()
    record = Record.read(tmp_path / "record.jsonl")
    assert [gap.revision for gap in record.all(Gap)] == [revision]
    assert [each.revision for each in record.all(Link) if each.name == "game.compacted"] == [revision]
