"""The ways to come by a cluster, one module each, and the choice between them.

A provider is one function: it is given an `Order`, the cluster's own folder and the guardian of that folder, and
returns once the cluster can be used. What must be removed in the end, it tells the guardian before it makes it.
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
    """What is wanted of a provider.

    Attributes:
        name: The cluster's name.
        node_count: How many nodes it shall have.
        kubeconfig: The kubeconfig of a cluster that is there already.
        apiserver_flags: Flags that the API server gets besides.
        pod_range: The addresses that pods get, as a CIDR.
        environment: The environment variables.
        progress: Hears how it goes.
    """

    name: str
    node_count: int
    kubeconfig: Path | None
    apiserver_flags: Sequence[str]
    pod_range: str
    environment: Mapping[str, str]
    progress: Progress


@dataclass(frozen=True, slots=True)
class ProvidedCluster:
    """A cluster that can be used; the attributes are those of `state.Record`."""

    server: str
    kubeconfig: Path
    kubectl: Path
    version: str
    has_controllers: bool


Provider = Callable[[ClusterSpec, Path, GuardianClient], ProvidedCluster]


def choose_provider(explicit: str | None, kubeconfig: Path | None, environment: Mapping[str, str]) -> ProviderName:
    """The provider: the one that was asked for, else the one that the environment implies, else ours.

    Raises:
        LocalClusterError: There is no provider of that name, or it cannot use a kubeconfig.
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
    """What the provider of this name does."""
    from localcluster.providers import builtin, envtest, existing, kind, node  # noqa: PLC0415 - they import this module

    return {
        ProviderName.BUILTIN: builtin.provide,
        ProviderName.ENVTEST: envtest.provide,
        ProviderName.EXISTING: existing.provide,
        ProviderName.KIND: kind.provide,
        ProviderName.NODE: node.provide,
    }[name]


def default_node_count(name: ProviderName) -> int:
    """How many nodes a cluster of this provider has where nobody says."""
    return 1 if name is ProviderName.NODE else DEFAULT_NODE_COUNT
