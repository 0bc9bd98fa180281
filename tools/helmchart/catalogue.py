"""What the entries of StatefulRoute in catalogues have in common: in Artifact Hub's and in OLM's."""

from typing import Any

from localcluster.images import Platform
from statefulroute.api.group import API_VERSION, POD_LINK, STATEFUL_ROUTE, VERSION
from statefulroute.api.podlink import PodLink
from statefulroute.api.statefulroute import StatefulRoute

#: The level of the capability model of both catalogues: metrics, alerts and their runbooks.
CAPABILITIES = "Deep Insights"

#: The platforms of the released image.
PLATFORMS = tuple(Platform)

EXAMPLES = (
    {
        "apiVersion": API_VERSION,
        "kind": STATEFUL_ROUTE.kind,
        "metadata": {"name": "game", "namespace": "play"},
        "spec": {"workloadRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "game"}},
    },
    {
        "apiVersion": API_VERSION,
        "kind": POD_LINK.kind,
        "metadata": {"name": "game.alice", "namespace": "play"},
        "spec": {"routeName": "game", "uid": "alice"},
    },
)


def kinds() -> list[dict[str, str]]:
    """Returns the kinds with the fields that both catalogues ask for."""
    return [_kind(model) for model in (PodLink, StatefulRoute)]


def links(project: dict[str, Any]) -> list[dict[str, str]]:
    """Returns the links of a project beside its source.

    Args:
        project: The table `project` of pyproject.toml.
    """
    return [{"name": label, "url": url} for label, url in project["urls"].items() if label != "Source"]


def keywords(project: dict[str, Any]) -> list[str]:
    """Returns the keywords of a project that say what it is for. The argument is as above."""
    return [word for word in project["keywords"] if word != "kopf"]


def _kind(model: type[PodLink | StatefulRoute]) -> dict[str, str]:
    summary = (model.__doc__ or "").partition("\n\n")[0]
    return {
        "kind": model.names.kind,
        "version": VERSION,
        "name": model.names.crd_name,
        "displayName": model.names.kind,
        "description": " ".join(summary.split()),
    }
