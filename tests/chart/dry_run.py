"""Validates objects with the API server without storing them."""

import json
from pathlib import Path
from typing import Any

import pykube

from support.kubectl import Object

TIMEOUT_SECONDS = 30

_MANAGER = {"fieldManager": "helm", "force": "true"}


class DryRunValidator:
    """Applies objects by a server-side dry run, each only once.

    Args:
        kubeconfig: the kubeconfig of the cluster and its user.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._client = pykube.HTTPClient(pykube.KubeConfig.from_file(str(kubeconfig)), timeout=TIMEOUT_SECONDS)
        self._resources: dict[str, dict[str, Any]] = {}
        self._passed: set[str] = set()

    def errors(self, item: Object) -> list[str]:
        """Returns the errors and warnings of the API server for an object."""
        return self._once("PATCH", item)

    def pod_errors(self, item: Object) -> list[str]:
        """Returns the errors and warnings of the API server for a new pod."""
        return self._once("POST", item)

    def _once(self, method: str, item: Object) -> list[str]:
        known = json.dumps([method, item], sort_keys=True)
        if known in self._passed:
            return []
        complaints = self._request(method, item)
        if not complaints:
            self._passed.add(known)
        return complaints

    def _request(self, method: str, item: Object) -> list[str]:
        collection, name = self._path(item), item["metadata"]["name"]
        response = self._client.session.request(
            method,
            f"{self._client.url}{collection}" + (f"/{name}" if method == "PATCH" else ""),
            params={"dryRun": "All", "fieldValidation": "Strict"} | (_MANAGER if method == "PATCH" else {}),
            data=json.dumps(item),
            headers={"Content-Type": "application/apply-patch+yaml" if method == "PATCH" else "application/json"},
            timeout=TIMEOUT_SECONDS,
        )
        refusals = [] if response.ok else [response.json()["message"]]
        warnings = [response.headers["Warning"]] if "Warning" in response.headers else []
        return [f"{item['kind']} {name}: {complaint}" for complaint in [*refusals, *warnings]]

    def _path(self, item: Object) -> str:
        """Returns the path of the collection of an object."""
        version = str(item["apiVersion"])
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if version not in self._resources:
            response = self._client.session.get(f"{self._client.url}{base}", timeout=TIMEOUT_SECONDS)
            response.raise_for_status()
            self._resources[version] = {
                each["kind"]: each for each in response.json()["resources"] if "/" not in each["name"]
            }
        resource = self._resources[version][str(item["kind"])]
        prefix = f"/namespaces/{item['metadata']['namespace']}" if resource["namespaced"] else ""
        return f"{base}{prefix}/{resource['name']}"
