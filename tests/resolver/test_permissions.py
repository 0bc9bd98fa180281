"""The resolver needs no more than the roles that are shipped with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness.accounts import Person
from harness.kubectl import Kubectl
from harness.resolver import ResolverProcess
from harness.rights import SHIPPED, account, shipped_role
from localcluster import LocalCluster
from resolver.place import Place
from resolver.test_callers import token_of
from resolver.test_process import fetch


@pytest.fixture
def restricted(cluster: LocalCluster, installed: Kubectl, place: Place, tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of an account that has the resolver's Role, and may review tokens."""
    if installed.run("get", "--raw", "/apis/rbac.authorization.k8s.io/v1").code:
        pytest.skip("this cluster has no RBAC")
    here = installed.within(place.namespace)
    own = shipped_role(here, "resolver-in-namespace").replace("-in-namespace", "")
    reviews = yaml.safe_load((SHIPPED / "resolver-tokens.yaml").read_text(encoding="utf-8"))
    name = f"reviews-{place.namespace}"
    installed.create({**reviews, "metadata": {"name": name}})
    reviewing = ("create", "clusterrolebinding", name, f"--clusterrole={name}")
    with account(here, "resolver", own):
        installed.run(*reviewing, f"--serviceaccount={place.namespace}:resolver").expect_success()
        person = Person.of(cluster.kubeconfig, place.namespace).account("resolver")
        yield person.write_kubeconfig(tmp_path / "kubeconfig")
    installed.run("delete", "clusterrole,clusterrolebinding", name).expect_success()
    here.run("delete", "serviceaccount", "resolver").expect_success()


def test_with_those_roles_alone_it_does_all_that_it_does(
    cluster: LocalCluster, restricted: Path, place: Place, tmp_path: Path
) -> None:
    options = ("--watch-namespace", place.namespace, "--token-audience", "resolver")
    process = ResolverProcess(restricted, tmp_path / "log", *options)
    bearing = {"Authorization": f"Bearer {token_of(cluster, place, 'default', 'resolver')}"}
    place.link("alice", 1)
    process.start()
    links = f"{place.path}/links"
    assert fetch(process.lookups, f"{links}/alice")[0] == 401
    assert fetch(process.lookups, f"{links}/alice", headers=bearing)[1]["podName"] == "game-1"
    assert fetch(process.lookups, f"{links}/alice?consistency=strong", headers=bearing)[0] == 200
    assert fetch(process.lookups, f"{links}/bob", "POST", bearing)[0] == 200
    place.link("carol", None)  # a link that is there and waits is patched
    assert fetch(process.lookups, f"{links}/carol", "POST", bearing)[0] == 200
    assert place.stored().keys() == {"alice", "bob", "carol"}
    process.stop()
    assert [line for line in process.lines if "forbidden" in str(line)] == []
    assert process.complaints() == []


def test_the_account_may_do_nothing_else(installed: Kubectl, restricted: Path, place: Place) -> None:
    asker = Kubectl(installed.program, restricted, installed.cache, place.namespace)
    for allowed in ("create podlinks", "patch podlinks", "watch podlinks", "list pods", "watch statefulroutes"):
        assert asker.run("auth", "can-i", *allowed.split()).stdout == "yes\n", allowed
    for forbidden in (
        "delete podlinks",
        "update podlinks",
        "patch podlinks --subresource=status",
        "patch pods",
        "delete pods",
        "create pods",
        "patch statefulroutes",
        "get secrets",
        "list podlinks --all-namespaces",
    ):
        assert asker.run("auth", "can-i", *forbidden.split()).stdout == "no\n", forbidden
