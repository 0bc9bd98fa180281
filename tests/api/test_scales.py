"""Reads scales of built-in and custom kinds from a real API server."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from localcluster import LocalCluster
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import APIError, NotFoundError
from statefulroute.cluster.scales import ForbiddenError, NoSelectorError, ScaleReader, UnsupportedKindError
from statefulroute.domain.selector import Selector
from support.kubectl import Kubectl
from support.waiting import eventually

GROUP = "tests.statefulroute.io"
VERSION = f"{GROUP}/v1"

SCALE = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}


def definition(kind: str, *, scale: bool = True, scope: str = "Namespaced") -> dict[str, Any]:
    """Returns the CRD of a test kind."""
    integer = {"type": "integer"}
    spec = {"type": "object", "properties": {"replicas": integer}}
    status = {"type": "object", "properties": {"replicas": integer, "selector": {"type": "string"}}}
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": scope,
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}} | ({"scale": SCALE} if scale else {}),
                    "schema": {
                        "openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}},
                    },
                }
            ],
        },
    }


def in_discovery(kubectl: Kubectl) -> set[str]:
    """Returns the resources of the test group in the discovery of the API server."""
    response = kubectl.run("get", "--raw", f"/apis/{VERSION}")
    return set() if response.code else {each["name"] for each in response.object["resources"]}


@pytest.fixture(scope="module")
def kinds(installed: Kubectl) -> Iterator[Kubectl]:
    """Creates Halls, which have a scale, and Sheds and Towns, which are not supported."""
    created = [definition("Hall"), definition("Shed", scale=False), definition("Town", scope="Cluster")]
    for each in created:
        installed.create(each)
    expected = {"halls/scale", "halls", "sheds", "towns", "towns/scale"}
    eventually(lambda: expected <= in_discovery(installed), "discovery knows the kinds")
    yield installed
    for each in created:
        installed.run("delete", "crd", each["metadata"]["name"]).expect_success()


@pytest.fixture
async def scales(cluster: LocalCluster) -> AsyncIterator[ScaleReader]:
    async with connect(cluster.kubeconfig) as connection, Client(connection) as client:
        yield ScaleReader(client)


def make_hall(here: Kubectl, selector: str | None, kind: str = "Hall", **spec: Any) -> dict[str, Any]:
    created = here.create({"apiVersion": VERSION, "kind": kind, "metadata": {"name": "game"}, "spec": spec})
    if selector is None:
        return created
    change = {"status": {"selector": selector, "replicas": 1}}
    here.patch(kind, "game", change, "--subresource=status").expect_success()
    return here.get_json(kind, "game")


async def test_scale_of_a_custom_resource_is_read(
    kinds: Kubectl, here: Kubectl, namespace: str, scales: ScaleReader
) -> None:
    del kinds
    metadata = make_hall(here, "app=game,tier in (a,b)", replicas=4)["metadata"]
    scale = await scales.read(namespace, VERSION, "Hall", "game")
    assert scale.uid == metadata["uid"]
    assert scale.resource_version == int(metadata["resourceVersion"])
    assert scale.replicas == 4
    assert scale.selector == Selector.parse("tier in (a,b),app=game")


async def test_path_is_that_of_the_object(kinds: Kubectl, here: Kubectl, scales: ScaleReader) -> None:
    created = make_hall(here, None, replicas=1)
    path = await scales.path(created["metadata"]["namespace"], VERSION, "Hall", "game")
    assert kinds.run("get", "--raw", path).expect_success().object["metadata"]["uid"] == created["metadata"]["uid"]


SELECTOR = {"matchLabels": {"app": "game"}, "matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["y"]}]}


@pytest.mark.parametrize(
    ("api_version", "kind", "selector", "expected"),
    [
        ("apps/v1", "Deployment", SELECTOR, "app=game,x notin (y)"),
        ("apps/v1", "ReplicaSet", SELECTOR, "app=game,x notin (y)"),
        ("apps/v1", "StatefulSet", SELECTOR, "app=game,x notin (y)"),
        ("v1", "ReplicationController", {"app": "game"}, "app=game"),
    ],
)
async def test_scales_of_kubernetes_workloads_are_read(  # noqa: PLR0913, PLR0917 - fixtures and parameters
    here: Kubectl,
    namespace: str,
    scales: ScaleReader,
    api_version: str,
    kind: str,
    selector: dict[str, Any],
    expected: str,
) -> None:
    pod = {
        "metadata": {"labels": {"app": "game"}},
        "spec": {"containers": [{"name": "game", "image": "game"}]},
    }
    spec = {"replicas": 0, "selector": selector, "template": pod}
    created = here.create({"apiVersion": api_version, "kind": kind, "metadata": {"name": "game"}, "spec": spec})
    scale = await scales.read(namespace, api_version, kind, "game")
    assert (scale.uid, scale.replicas, scale.selector) == (created["metadata"]["uid"], 0, Selector.parse(expected))
    here.patch(kind, "game", {"spec": {"replicas": 2}}).expect_success()
    later = await scales.read(namespace, api_version, kind, "game")
    assert later.replicas == 2
    assert later.resource_version > scale.resource_version


UNSUPPORTED = {
    "a kind without a scale": (VERSION, "Shed", f"Kind Shed of {VERSION} has no scale subresource"),
    "a kind of the whole cluster": (VERSION, "Town", f"Kind Town of {VERSION} is not namespaced"),
    "an unknown kind": (VERSION, "House", f"Kind House of {VERSION} is not known to the API server"),
    "a kind in another case": (
        VERSION,
        "hALL",
        f"Kind hALL of {VERSION} is not known to the API server: did you mean Hall?",
    ),
    "the plural of a kind": (VERSION, "halls", f"Kind halls of {VERSION} is not known to the API server"),
    "an unknown version": (f"{GROUP}/v2", "Hall", f"Kind Hall of {GROUP}/v2 is not known to the API server"),
    "an unknown group": ("unknown.io/v1", "Hall", "Kind Hall of unknown.io/v1 is not known to the API server"),
    "a workload in the core group": ("v1", "Deployment", "Kind Deployment of v1 is not known to the API server"),
    "a daemon set": ("apps/v1", "DaemonSet", "Kind DaemonSet of apps/v1 has no scale subresource"),
    "a pod": ("v1", "Pod", "Kind Pod of v1 has no scale subresource"),
}


@pytest.mark.parametrize(("api_version", "kind", "message"), UNSUPPORTED.values(), ids=UNSUPPORTED)
async def test_unsupported_kind_is_an_error(
    kinds: Kubectl, scales: ScaleReader, api_version: str, kind: str, message: str
) -> None:
    del kinds
    with pytest.raises(UnsupportedKindError) as error:
        await scales.read("default", api_version, kind, "game")
    assert str(error.value) == message


@pytest.mark.parametrize(("api_version", "kind"), [(VERSION, "Hall"), ("apps/v1", "Deployment")])
async def test_missing_workload_is_not_found(
    kinds: Kubectl, namespace: str, scales: ScaleReader, api_version: str, kind: str
) -> None:
    del kinds
    for searched_namespace in (namespace, "no-such-namespace"):
        with pytest.raises(NotFoundError, match='"game" not found'):
            await scales.read(searched_namespace, api_version, kind, "game")


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        (None, "the scale of Hall 'game' has no label selector"),
        ("", "the scale of Hall 'game' has no label selector"),
        ("a=b=c", "the scale of Hall 'game' has a selector that cannot be read"),
    ],
)
async def test_scale_without_a_valid_selector_is_an_error(  # noqa: PLR0913, PLR0917 - fixtures and parameters
    kinds: Kubectl, here: Kubectl, namespace: str, scales: ScaleReader, selector: str | None, message: str
) -> None:
    del kinds
    make_hall(here, selector, replicas=1)
    with pytest.raises(NoSelectorError, match=message):
        await scales.read(namespace, VERSION, "Hall", "game")


async def test_workload_without_replicas_is_an_error_of_the_api_server(
    kinds: Kubectl, here: Kubectl, namespace: str, scales: ScaleReader
) -> None:
    del kinds
    make_hall(here, "app=game")
    with pytest.raises(APIError, match=r'the spec replicas field "\.spec\.replicas" does not exist'):
        await scales.read(namespace, VERSION, "Hall", "game")


async def test_changed_and_deleted_kinds_are_discovered(
    installed: Kubectl, here: Kubectl, namespace: str, scales: ScaleReader
) -> None:
    kind = definition("Tent")
    name = kind["metadata"]["name"]
    installed.create(kind)
    eventually(lambda: "tents/scale" in in_discovery(installed), "discovery knows the kind")
    make_hall(here, "app=game", "Tent", replicas=1)
    assert (await scales.read(namespace, VERSION, "Tent", "game")).replicas == 1

    installed.run("replace", "--filename=-", stdin=_changed(installed, name)).expect_success()
    eventually(lambda: "tents/scale" not in in_discovery(installed), "the scale is gone")
    with pytest.raises(UnsupportedKindError, match=r"Kind Tent of .* has no scale subresource"):
        await scales.read(namespace, VERSION, "Tent", "game")

    installed.run("delete", "crd", name).expect_success()
    eventually(lambda: "tents" not in in_discovery(installed), "the kind is gone")
    with pytest.raises(UnsupportedKindError, match=r"Kind Tent of .* is not known to the API server"):
        await scales.read(namespace, VERSION, "Tent", "game")


def _changed(kubectl: Kubectl, name: str) -> dict[str, Any]:
    """Returns a stored CRD without its scale subresource."""
    stored = kubectl.get_json("crd", name)
    del stored["spec"]["versions"][0]["subresources"]["scale"]
    return stored


@pytest.fixture
def kubeconfig_without_permissions(here: Kubectl, tmp_path: Path) -> Path:
    """Returns the kubeconfig of a ServiceAccount that can only use discovery."""
    if here.run("get", "--raw", "/apis/rbac.authorization.k8s.io/v1").code:
        pytest.skip("this cluster has no RBAC")
    here.run("create", "serviceaccount", "no-permissions").expect_success()
    token = here.run("create", "token", "no-permissions").expect_success().stdout
    config = here.run("config", "view", "--raw", "--minify", "--flatten", "--output=json").expect_success().object
    path = tmp_path / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(json.dumps({**config, "users": [{"name": config["users"][0]["name"], "user": {"token": token}}]}))
    return path


@pytest.mark.parametrize(
    ("api_version", "kind", "permission"),
    [
        (VERSION, "Hall", f"halls/scale in group {GROUP}"),
        ("apps/v1", "Deployment", "deployments/scale in group apps"),
        ("v1", "ReplicationController", "replicationcontrollers/scale in the core group"),
    ],
)
async def test_error_names_the_missing_permission(  # noqa: PLR0913, PLR0917 - fixtures and parameters
    kinds: Kubectl, kubeconfig_without_permissions: Path, namespace: str, api_version: str, kind: str, permission: str
) -> None:
    del kinds
    async with connect(kubeconfig_without_permissions) as connection, Client(connection) as client:
        with pytest.raises(ForbiddenError) as error:
            await ScaleReader(client).read(namespace, api_version, kind, "game")
    assert str(error.value) == (
        f"the operator may not get {permission}: allow it in a ClusterRole that is bound to the operator"
    )
