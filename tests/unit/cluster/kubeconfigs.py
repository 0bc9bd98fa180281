"""Kubeconfigs for tests."""

import json
from pathlib import Path
from typing import Any


def kubeconfig(server: str, user: dict[str, Any] | None = None, **cluster: Any) -> dict[str, Any]:
    """Returns a kubeconfig with one context, `here`; without a user if none is given."""
    user_reference = {} if user is None else {"user": "me"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "there", **user_reference}}],
        "clusters": [{"name": "there", "cluster": {"server": server, **cluster}}],
        "users": [] if user is None else [{"name": "me", "user": user}],
    }


def write_kubeconfig(path: Path, server: str, user: dict[str, Any] | None = None, **cluster: Any) -> Path:
    """Writes such a kubeconfig; JSON is valid YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kubeconfig(server, user, **cluster)))
    return path
