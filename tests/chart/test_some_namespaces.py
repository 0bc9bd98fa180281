"""A release that serves some namespaces: with rights in these alone, and from a namespace that it does not serve."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from chart.kubelet import HELD_BACK, Kubelet
from chart.releases import GUARDED, Helm, Release
from harness.kubectl import Kubectl
from harness.namespaces import fresh_namespace
from harness.patience import eventually
from harness.service import Service
from harness.witness import Witness
from localcluster import LocalCluster


@pytest.fixture
def games(chief: Kubectl, witness: Witness) -> Iterator[list[Service]]:
    """Three services, each in a namespace of its own."""
    with ExitStack() as stack:
        namespaces = [stack.enter_context(fresh_namespace(chief)) for _ in range(3)]
        yield [Service(chief.within(namespace), witness) for namespace in namespaces]


def test_an_operator_serves_the_namespaces_that_it_is_given_and_has_rights_in_these_alone(
    helm4: Helm, apart: LocalCluster, guarded: Kubectl, running: Kubelet, games: list[Service]
) -> None:
    *served, other = games
    values = {"podAnnotations": HELD_BACK, "watchNamespaces": [game.namespace for game in served]}
    release = Release(helm4.within(apart.kubeconfig), "some", GUARDED, values)

    release.install("--set=crds.keep=false")
    assert not {name for name in release.left(guarded) if name.startswith("clusterrole")}
    other.make_pods(1)
    other.make_route()
    unheard = other.link("alice")
    for game in served:
        game.start(1)
        game.await_bound(game.link("alice"))
    assert "status" not in other.get(unheard)
    release.test()
    assert [each.code for each in running.commands("link") + running.commands("unlink")] == [0, 0]

    release.uninstall()
    assert [each.code for each in running.commands("release-0") + running.commands("release")] == [0, 0]
    eventually(lambda: not release.left(guarded), "nothing is left of it")
    assert not running.complaints()
