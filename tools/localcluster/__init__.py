"""Starts a real Kubernetes control plane on loopback in seconds.

    from localcluster import LocalCluster

    with LocalCluster.start(name="e2e", nodes=3) as cluster:
        subprocess.run([cluster.kubectl, "--kubeconfig", cluster.kubeconfig, "get", "nodes"])

The exported names are loaded when they are first used: the guardian process imports this package, too, and must start
in a few milliseconds with only the standard library.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localcluster.cluster import LocalCluster, Part
    from localcluster.errors import AlreadyRunningError, LocalClusterError, NotRunningError

__all__ = ["AlreadyRunningError", "LocalCluster", "LocalClusterError", "NotRunningError", "Part"]


def __getattr__(name: str) -> object:
    """Loads an exported name from its module (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "localcluster.errors" if name.endswith("Error") else "localcluster.cluster"
    return getattr(import_module(home), name)
