"""Reads the CustomResourceDefinitions of the gateways' kinds from their Go modules."""

from pathlib import Path
from typing import Any

import yaml

from localcluster.errors import LocalClusterError
from localcluster.modules import download_modules
from localcluster.progress import Progress

MODULES = Path(__file__).parent / "definitions"

#: The kinds that deploy/gateways uses, by their module: the folder in the module, and their plural names.
_MODULE_CRDS = {
    "sigs.k8s.io/gateway-api": ("config/crd/standard", ("gateways", "httproutes", "referencegrants")),
    "sigs.k8s.io/gateway-api-inference-extension": (
        "config/crd/bases",
        ("inferencepools.inference.networking.k8s.io",),
    ),
    "github.com/projectcontour/contour": ("examples/contour", ("extensionservices", "httpproxies")),
    "istio.io/api": ("kubernetes", ("destinationrules",)),
    "github.com/envoyproxy/gateway": (
        "charts/gateway-crds-helm/templates/generated",
        ("backendtrafficpolicies", "clienttrafficpolicies", "securitypolicies"),
    ),
}


def gateway_crds(progress: Progress) -> list[dict[str, Any]]:
    """Returns the CustomResourceDefinitions of the kinds that deploy/gateways uses.

    Raises:
        LocalClusterError: A module cannot be downloaded, or no longer defines one of them.
    """
    folders = download_modules(_MODULE_CRDS, MODULES, progress)
    return [
        _find_definition(folders[module] / folder, name)
        for module, (folder, names) in _MODULE_CRDS.items()
        for name in names
    ]


def _find_definition(folder: Path, name: str) -> dict[str, Any]:
    for file in sorted(folder.glob("*.yaml")):
        text = file.read_text(encoding="utf-8")
        # Helm's actions stand before and after a definition, never inside it.
        plain = "\n".join(line for line in text.splitlines() if not line.startswith("{{"))
        for item in yaml.load_all(plain, Loader=yaml.CSafeLoader):
            if item and item["kind"] == "CustomResourceDefinition" and _is_named(item["metadata"]["name"], name):
                return dict(item)
    raise LocalClusterError(f"{folder} does not define {name}: check the version of the module.")


def _is_named(full: str, name: str) -> bool:
    return f"{full}.".startswith(f"{name}.")
