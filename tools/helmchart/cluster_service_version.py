"""Builds the ClusterServiceVersion, by which the Operator Lifecycle Manager (OLM) installs the operator.

OLM creates the operator's account, roles and bindings itself, from the rules in it. The bundle has the other objects.
"""

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from helmchart.catalogue import CAPABILITIES, EXAMPLES, PLATFORMS, keywords, kinds, links
from helmchart.chart_file import OLDEST_KUBERNETES
from helmchart.kustomize import NAMESPACE
from localcluster.errors import LocalClusterError

Object = dict[str, Any]

_DESCRIPTION = """\
Sends each user, room, document or session to the pod that holds its state, and keeps it there.

A **StatefulRoute** selects a StatefulSet, Deployment or ReplicaSet. A **PodLink** binds a user to one of its pods: the
operator chooses the least loaded one, moves users off lost and drained pods, and can empty pods before they are
removed. Applications, gateways and `kubectl statefulroute` read and write the same links.

Apply the admission policies as well, which OLM cannot install: [the guide]({documentation}guides/olm/) has the command.
"""

#: The operator serves all namespaces. To serve some of them it needs other arguments, which OLM cannot give it.
_INSTALL_MODES = {"OwnNamespace": False, "SingleNamespace": False, "MultiNamespace": False, "AllNamespaces": True}

_ROLE_KINDS = ("ClusterRole", "Role")

#: The argument that names the namespace, which is the pod's without it.
_NAMESPACE_ARGUMENT = "--lease-namespace="

#: OpenShift assigns these to each namespace and refuses pods with others; elsewhere the image names its user.
_IDS = frozenset({"runAsUser", "runAsGroup", "fsGroup"})


@dataclass(frozen=True, slots=True)
class Release:
    """What the ClusterServiceVersion of a release contains apart from the objects.

    Attributes:
        project: the table `project` of pyproject.toml.
        date: the date of the release, as YYYY-MM-DD.
        image: the image of the operator.
        icon: the icon, as SVG.
    """

    project: dict[str, Any]
    date: str
    image: str
    icon: bytes

    @property
    def version(self) -> str:
        """The version."""
        return str(self.project["version"])


def cluster_service_version(release: Release, objects: Sequence[Object]) -> tuple[Object, list[Object]]:
    """Returns the ClusterServiceVersion, and the objects that are not in it.

    Args:
        release: the release.
        objects: all objects of an installation.

    Raises:
        LocalClusterError: there is not exactly one Deployment.
    """
    deployments = [item for item in objects if item["kind"] == "Deployment"]
    if len(deployments) != 1:
        raise LocalClusterError(f"the bundle must have one Deployment, and the chart renders {len(deployments)}.")
    account = deployments[0]["spec"]["template"]["spec"]["serviceAccountName"]
    bindings = [item for item in objects if _binds(item, account)]
    roles = {kind: _bound(objects, bindings, kind) for kind in _ROLE_KINDS}
    install = {
        "clusterPermissions": [_permissions(account, roles["ClusterRole"])],
        "permissions": [_permissions(account, roles["Role"])],
        "deployments": [_deployment(deployments[0])],
    }
    written = [*deployments, *bindings, *roles["ClusterRole"], *roles["Role"]]
    rest = [item for item in objects if item not in written and not _is(item, "ServiceAccount", account)]
    return _document(release, install), rest


def _is(item: Object, kind: str, name: str) -> bool:
    return bool(item["kind"] == kind and item["metadata"]["name"] == name)


def _binds(item: Object, account: str) -> bool:
    return any(_subject(each) == account for each in item.get("subjects", ()))


def _subject(subject: Object) -> str:
    return str(subject["name"]) if subject["kind"] == "ServiceAccount" else ""


def _bound(objects: Iterable[Object], bindings: Iterable[Object], kind: str) -> list[Object]:
    names = {binding["roleRef"]["name"] for binding in bindings if binding["roleRef"]["kind"] == kind}
    return [item for item in objects if item["kind"] == kind and item["metadata"]["name"] in names]


def _permissions(account: str, roles: Iterable[Object]) -> Object:
    return {"serviceAccountName": account, "rules": [rule for role in roles for rule in role["rules"]]}


def _deployment(deployment: Object) -> Object:
    """Returns the Deployment without namespace and user ids, which are chosen when the bundle is installed."""
    spec = json.loads(json.dumps(deployment["spec"]))
    pod = spec["template"]["spec"]
    pod["securityContext"] = {key: value for key, value in pod["securityContext"].items() if key not in _IDS}
    for container in pod["containers"]:
        container["args"] = [each for each in container["args"] if not each.startswith(_NAMESPACE_ARGUMENT)]
    return {"name": deployment["metadata"]["name"], "label": deployment["metadata"]["labels"], "spec": spec}


def _document(release: Release, install: Object) -> Object:
    project = release.project
    return {
        "apiVersion": "operators.coreos.com/v1alpha1",
        "kind": "ClusterServiceVersion",
        "metadata": {
            "name": f"statefulroute.v{release.version}",
            "annotations": _annotations(release),
            "labels": dict.fromkeys(_platform_labels(), "supported"),
        },
        "spec": {
            "displayName": "StatefulRoute",
            "description": _DESCRIPTION.format(documentation=project["urls"]["Documentation"]),
            "version": release.version,
            "minKubeVersion": f"{OLDEST_KUBERNETES}.0",
            "maturity": "alpha",
            "keywords": keywords(project),
            "provider": {"name": project["authors"][0]["name"], "url": project["urls"]["Documentation"]},
            "links": links(project),
            "icon": [{"base64data": base64.b64encode(release.icon).decode(), "mediatype": "image/svg+xml"}],
            "customresourcedefinitions": {"owned": kinds()},
            "installModes": [{"type": mode, "supported": value} for mode, value in _INSTALL_MODES.items()],
            "install": {"strategy": "deployment", "spec": install},
            "relatedImages": [{"name": "operator", "image": release.image}],
        },
    }


def _annotations(release: Release) -> dict[str, str]:
    return {
        "alm-examples": json.dumps(EXAMPLES, indent=2),
        "capabilities": CAPABILITIES,
        "categories": "Networking",
        "certified": "false",
        "containerImage": release.image,
        "createdAt": f"{release.date}T00:00:00Z",
        "description": str(release.project["description"]),
        "olm.skipRange": f"<{release.version}",  # every earlier version can be upgraded to this one directly
        "operatorframework.io/suggested-namespace": NAMESPACE,
        "repository": str(release.project["urls"]["Source"]),
        "support": str(release.project["authors"][0]["name"]),
    }


def _platform_labels() -> list[str]:
    systems = sorted({platform.partition("/")[0] for platform in PLATFORMS})
    architectures = [platform.split("/")[1] for platform in PLATFORMS]
    names = [f"os.{system}" for system in systems] + [f"arch.{architecture}" for architecture in architectures]
    return [f"operatorframework.io/{name}" for name in names]
