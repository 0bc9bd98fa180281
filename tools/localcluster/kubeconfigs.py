"""Writes kubeconfig files, and reads what is needed of others."""

import base64
import json
from pathlib import Path
from typing import Any

import yaml

from localcluster.certificates import KeyPair, write_private
from localcluster.errors import LocalClusterError


def write(path: Path, cluster: str, server: str, authority: bytes, client: KeyPair) -> None:
    """Writes a kubeconfig (as JSON, which is valid YAML) for one client of one server."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": cluster,
                "cluster": {"server": server, "certificate-authority-data": _encoded(authority)},
            }
        ],
        "users": [
            {
                "name": path.stem,
                "user": {
                    "client-certificate-data": _encoded(client.certificate),
                    "client-key-data": _encoded(client.key),
                },
            }
        ],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": path.stem}}],
        "current-context": cluster,
    }
    write_private(path, json.dumps(content, indent=2).encode())


def server_of(path: Path) -> str:
    """Returns the URL of the server of a kubeconfig's current context.

    Raises:
        LocalClusterError: The file does not exist, or is not a kubeconfig with a current context.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        context = _named(content["contexts"], content["current-context"])["context"]
        return str(_named(content["clusters"], context["cluster"])["cluster"]["server"])
    except FileNotFoundError as error:
        raise LocalClusterError(f"There is no kubeconfig at {path}.") from error
    except (OSError, yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
        raise LocalClusterError(
            f"{path} is not a kubeconfig with a current context: choose one with "
            f"`kubectl --kubeconfig {path} config use-context NAME`."
        ) from error


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
