"""Tests that the shipped roles suffice for the resolver, and grant nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from localcluster import LocalCluster
from resolver.stub_service import StubService
from resolver.test_authenticator import token_of
from resolver.test_process import fetch
from support.api_user import APIUser
from support.kubectl import Kubectl
from support.rbac import RBAC_FOLDER, apply_role, create_account
from support.resolver_process import ResolverProcess
from support.waiting import eventually


@pytest.fixture
def restricted(cluster: LocalCluster, installed: Kubectl, stub_service: StubService, tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of an account with the resolver's Role and the permission to review tokens."""
    if installed.run("get", "--raw", "/apis/rbac.authorization.k8s.io/v1").code:
        pytest.skip("this cluster has no RBAC")
    namespaced = installed.within(stub_service.namespace)
    own = apply_role(namespaced, "resolver-in-namespace").replace("-in-namespace", "")
    reviews = yaml.safe_load((RBAC_FOLDER / "resolver-tokens.yaml").read_text(encoding="utf-8"))
    name = f"reviews-{stub_service.namespace}"
    installed.create({**reviews, "metadata": {"name": name}})
    reviewing = ("create", "clusterrolebinding", name, f"--clusterrole={name}")
    with create_account(namespaced, "resolver", own):
        installed.run(*reviewing, f"--serviceaccount={stub_service.namespace}:resolver").expect_success()
        api_user = APIUser.of(cluster.kubeconfig, stub_service.namespace).as_account("resolver")
        yield api_user.write_kubeconfig(tmp_path / "kubeconfig")
    installed.run("delete", "clusterrole,clusterrolebinding", name).expect_success()
    namespaced.run("delete", "serviceaccount", "resolver").expect_success()


def test_roles_suffice_for_all_operations(
    cluster: LocalCluster, restricted: Path, stub_service: StubService, tmp_path: Path
) -> None:
    options = ("--watch-namespace", stub_service.namespace, "--token-audience", "resolver")
    process = ResolverProcess(restricted, tmp_path / "log", *options)
    headers = {"Authorization": f"Bearer {token_of(cluster, stub_service, 'default', 'resolver')}"}
    stub_service.link("alice", 1)
    process.start()
    links = f"{stub_service.path}/links"
    assert fetch(process.lookups, f"{links}/alice")[0] == 401
    assert fetch(process.lookups, f"{links}/alice", headers=headers)[1]["podName"] == "game-1"
    assert fetch(process.lookups, f"{links}/alice?consistency=strong", headers=headers)[0] == 200
    assert fetch(process.lookups, f"{links}/bob", "POST", headers)[0] == 200
    stub_service.link("carol", None)  # a waiting link is patched
    assert fetch(process.lookups, f"{links}/carol", "POST", headers)[0] == 200
    assert stub_service.stored_pods().keys() == {"alice", "bob", "carol"}
    process.stop()
    assert [line for line in process.lines if "forbidden" in str(line)] == []
    assert process.errors() == []


def test_unlinking_needs_one_more_role(
    installed: Kubectl, restricted: Path, stub_service: StubService, tmp_path: Path
) -> None:
    options = ("--watch-namespace", stub_service.namespace, "--link-changes")
    process = ResolverProcess(restricted, tmp_path / "log", *options)
    for uid in ("alice", "bob"):
        stub_service.link(uid, 1)
    process.start()
    assert any("every client may unlink and move users" in str(line) for line in process.lines)
    links = f"{stub_service.path}/links"
    status, problem = fetch(process.lookups, f"{links}/alice", "DELETE")
    assert (status, problem["type"].rpartition(":")[2]) == (502, "refused")
    assert "cannot delete resource" in problem["detail"]
    namespaced = installed.within(stub_service.namespace)
    role = apply_role(namespaced, "resolver-link-changes-in-namespace").replace("-in-namespace", "")
    binding = ("create", "rolebinding", "changes", f"--role={role.partition('/')[2]}")
    namespaced.run(*binding, f"--serviceaccount={stub_service.namespace}:resolver").expect_success()
    eventually(
        lambda: fetch(process.lookups, f"{links}/alice?graceSeconds=0", "DELETE")[0] == 204, "the right is effective"
    )
    process.stop()
    assert stub_service.stored_pods().keys() == {"bob"}
    namespaced.run("delete", "role,rolebinding", "changes", role.partition("/")[2], "--ignore-not-found")


def test_the_account_may_do_nothing_else(installed: Kubectl, restricted: Path, stub_service: StubService) -> None:
    kubectl = Kubectl(installed.program, restricted, installed.cache, stub_service.namespace)
    for allowed in ("create podlinks", "patch podlinks", "watch podlinks", "list pods", "watch statefulroutes"):
        assert kubectl.run("auth", "can-i", *allowed.split()).stdout == "yes\n", allowed
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
        assert kubectl.run("auth", "can-i", *forbidden.split()).stdout == "no\n", forbidden
