"""The providers of clusters, one module each, and the choice between them.

A provider is one function: it receives a `ClusterSpec`, the cluster's folder and the guardian of that folder, and
returns when the cluster is ready. It registers what must be removed at the end with the guardian before it creates it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.guardian_client import GuardianClient
from localcluster.progress import Progress

KUBECONFIG_VARIABLE = "STATEFULROUTE_KUBECONFIG"
ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
KUBERNETES_VARIABLE = "STATEFULROUTE_KUBERNETES"


DEFAULT_NODE_COUNT = 3


class ProviderName(StrEnum):
    """The providers' names."""

    BUILTIN = "builtin"
    ENVTEST = "envtest"
    EXISTING = "existing"
    KIND = "kind"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """The specification of a cluster.

    Attributes:
        name: The cluster's name.
        node_count: The number of nodes.
        kubeconfig: The kubeconfig of an existing cluster.
        apiserver_flags: Additional flags of the API server.
        pod_range: The addresses of pods, as a CIDR; on a real node also two, of IPv4 and IPv6, joined by a comma.
        kubernetes: The minor version of Kubernetes, like `1.31`; None is the provider's choice.
        environment: The environment variables.
        progress: Reports the progress.
    """

    name: str
    node_count: int
    kubeconfig: Path | None
    apiserver_flags: Sequence[str]
    pod_range: str
    kubernetes: str | None
    environment: Mapping[str, str]
    progress: Progress


@dataclass(frozen=True, slots=True)
class ProvidedCluster:
    """A cluster that is ready; the attributes are those of `state.Record`."""

    server: str
    kubeconfig: Path
    kubectl: Path
    version: str
    has_controllers: bool


Provider = Callable[[ClusterSpec, Path, GuardianClient], ProvidedCluster]


def choose_provider(explicit: str | None, kubeconfig: Path | None, environment: Mapping[str, str]) -> ProviderName:
    """Returns the explicit provider, else the one that the environment implies, else the built-in one.

    Raises:
        LocalClusterError: There is no provider with this name, or it cannot use a kubeconfig.
    """
    if explicit is not None and explicit not in list(ProviderName):
        raise LocalClusterError(f"There is no provider {explicit!r}: use one of {', '.join(ProviderName)}.")
    if kubeconfig is not None and explicit not in (None, ProviderName.EXISTING):
        raise LocalClusterError(
            f"A kubeconfig belongs to the provider 'existing', not to {explicit!r}: leave one of the two out."
        )
    if explicit is not None:
        return ProviderName(explicit)
    if kubeconfig is not None or environment.get(KUBECONFIG_VARIABLE):
        return ProviderName.EXISTING
    return ProviderName.ENVTEST if environment.get(ASSETS_VARIABLE) else ProviderName.BUILTIN


def provider_function(name: ProviderName) -> Provider:
    """Returns the function of a provider."""
    from localcluster.providers import builtin, envtest, existing, kind, node  # noqa: PLC0415 - they import this module

    return {
        ProviderName.BUILTIN: builtin.provide,
        ProviderName.ENVTEST: envtest.provide,
        ProviderName.EXISTING: existing.provide,
        ProviderName.KIND: kind.provide,
        ProviderName.NODE: node.provide,
    }[name]


def default_node_count(name: ProviderName) -> int:
    """Returns the default number of nodes of a provider."""
    return 1 if name is ProviderName.NODE else DEFAULT_NODE_COUNT
