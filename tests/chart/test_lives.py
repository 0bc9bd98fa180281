"""A release from its installation to its end, by either Helm, in a namespace where Pod Security is `restricted`.

Two operators run, and for a time two resolvers, as the processes that the chart's pods ask for, and with the rights
that the chart gives.
"""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from chart.kubelet import HELD_BACK, Kubelet
from chart.releases import GUARDED, Helm, Release, previous_chart
from harness.kubectl import Kubectl
from harness.namespaces import fresh_namespace
from harness.patience import eventually
from harness.service import Service
from harness.witness import StatefulRoute, Witness
from localcluster import LocalCluster
from statefulroute.api.group import FINALIZER

LINKS = 25

#: A resolver whose pods the tests' kubelet looks after.
RESOLVER = {"resolver": {"enabled": True, "podAnnotations": HELD_BACK, "drainSeconds": 0}}

#: What Helm leaves.
DEFINITIONS = {
    f"customresourcedefinition.apiextensions.k8s.io/{plural}.statefulroute.io"
    for plural in ("podlinks", "statefulroutes")
}


@pytest.fixture
def game(chief: Kubectl, witness: Witness) -> Iterator[Service]:
    """A service whose users are to be held over all that happens to the release."""
    with fresh_namespace(chief) as namespace:
        yield Service(chief.within(namespace), witness)


@pytest.fixture
def doomed(chief: Kubectl, witness: Witness) -> Service:
    """A service whose namespace the test deletes, when no operator runs any more."""
    made = chief.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "doomed-"}})
    return Service(chief.within(made["metadata"]["name"]), witness)


def versions(service: Service) -> dict[str, tuple[str, str]]:
    """The links as they are stored: whoever rewrites one changes its version."""
    metadata = [link["metadata"] for link in service.links()]
    return {each["name"]: (each["uid"], each["resourceVersion"]) for each in metadata}


def test_a_release_lives_from_installation_to_uninstallation_and_no_link_is_lost_or_rewritten(  # noqa: PLR0913, PLR0917 - whom it takes
    helm: Helm, apart: LocalCluster, guarded: Kubectl, running: Kubelet, game: Service, doomed: Service
) -> None:
    release = Release(helm.within(apart.kubeconfig), "statefulroute", GUARDED, {"podAnnotations": HELD_BACK})

    release.install(chart=previous_chart())
    assert running.operators == 2
    game.start(3)
    game.link_all([f"user-{i}" for i in range(LINKS)])
    game.await_all_bound(LINKS)
    links = versions(game)
    doomed.make_route()
    doomed.await_observed()
    assert FINALIZER in doomed.route()["metadata"]["finalizers"]
    release.test()
    assert [each.code for each in running.commands("link") + running.commands("unlink")] == [0, 0]
    assert not {name for name in release.left(guarded) if name.endswith("-test")}

    resolving = replace(release, values={**release.values, **RESOLVER})
    resolving.upgrade("--set=parallelWrites=8")
    game.await_bound(game.link("after-the-upgrade"))
    assert running.resolvers == 2
    resolving.test()
    assert [json.loads(each.output)["uid"] for each in running.commands("look-up")] == ["helm-test"]
    release.rollback(1)
    eventually(lambda: not running.resolvers, "no resolver runs any more")
    game.await_bound(game.link("after-the-rollback"))

    release.uninstall()
    assert running.operators == 0
    assert [each.code for each in running.commands("release")] == [0]
    eventually(lambda: release.left(guarded) == DEFINITIONS, "only the definitions are left of it")
    guarded.run("delete", "namespace", doomed.namespace, "--wait=false").expect_success()
    eventually(lambda: not doomed.exists(StatefulRoute, doomed.name), "nothing holds its route")
    game.link("while-no-operator-runs")

    release.install()
    game.await_all_bound(LINKS + 3)
    assert versions(game).items() >= links.items()

    resolving.upgrade("--set=crds.keep=false,resolver.autoscaling.enabled=true")
    release.uninstall()
    eventually(lambda: not release.left(guarded), "the definitions are gone, too")
    eventually(lambda: doomed.namespace not in doomed.witness.ending_namespaces(), "nor its namespace")
    assert not running.complaints()
    assert {each.code for each in running.commands("operator") + running.commands("resolver")} == {0}
