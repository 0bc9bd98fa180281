"""Kubeconfigs, right and wrong."""

import json
from pathlib import Path
from typing import Any


def kubeconfig(server: str, user: dict[str, Any] | None = None, **cluster: Any) -> dict[str, Any]:
    """A kubeconfig of one context, `here`; without a user unless one is given."""
    whom = {} if user is None else {"user": "me"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "there", **whom}}],
        "clusters": [{"name": "there", "cluster": {"server": server, **cluster}}],
        "users": [] if user is None else [{"name": "me", "user": user}],
    }


def write_kubeconfig(path: Path, server: str, user: dict[str, Any] | None = None, **cluster: Any) -> Path:
    """Write such a kubeconfig; JSON is YAML as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kubeconfig(server, user, **cluster)))
    return path
