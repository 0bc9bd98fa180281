"""People with rights of their own, and what the API server answers them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pykube

from support.kubectl import Object

TIMEOUT_SECONDS = 30

#: What a PATCH can be, by the word that kubectl has for it.
PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}


@dataclass(frozen=True, slots=True)
class APIResponse:
    """What the API server answered.

    Attributes:
        code: The status of HTTP.
        object: What it sent; nothing where it began to stream.
    """

    code: int
    object: Mapping[str, Any]

    @property
    def error_message(self) -> str | None:
        """Why the request was refused, in the API server's words; None for one that was not."""
        return str(self.object["message"]) if self.code >= 400 else None

    def expect_success(self) -> Mapping[str, Any]:
        """The object that it sent."""
        assert self.error_message is None, self.error_message
        return self.object


class APIUser:
    """Somebody who asks the API server, always about the objects of one namespace.

    Args:
        config: The cluster, and who asks.
        namespace: Where the objects are.
        headers: What each request says besides.
    """

    def __init__(self, config: pykube.KubeConfig, namespace: str, headers: Mapping[str, str] | None = None) -> None:
        self._config = config
        self._client = pykube.HTTPClient(config, timeout=TIMEOUT_SECONDS)
        self._client.session.headers.update(headers or {})
        self.namespace = namespace

    @classmethod
    def of(cls, kubeconfig: Path, namespace: str) -> Self:
        """The one whose kubeconfig this is."""
        return cls(pykube.KubeConfig.from_file(str(kubeconfig)), namespace)

    def create_token(self, account: str, pod: Object | None = None, *, seconds: int = 600) -> str:
        """A new token of this ServiceAccount, for so long: bound to this pod, or to none."""
        spec: dict[str, Any] = {"expirationSeconds": seconds}
        if pod is not None:
            bound = {field: pod["metadata"][field] for field in ("name", "uid")}
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", **bound}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = self.request("POST", f"serviceaccounts/{account}/token", request).expect_success()
        return str(answer["status"]["token"])

    def as_account(self, name: str, pod: Object | None = None) -> Self:
        """Somebody who has a new token of this ServiceAccount: bound to this pod, or to none."""
        return self.with_token(self.create_token(name, pod))

    def with_token(self, token: str) -> Self:
        """Whoever has this token."""
        known = self._config.doc
        users = [{"name": user["name"], "user": {"token": token}} for user in known["users"]]
        return type(self)(pykube.KubeConfig({**known, "users": users}, self._config.current_context), self.namespace)

    def write_kubeconfig(self, file: Path) -> Path:
        """Write a kubeconfig with which a command asks as this person does, in this namespace; gives its path."""
        known = self._config.doc
        contexts = [{**each, "context": {**each["context"], "namespace": self.namespace}} for each in known["contexts"]]
        file.touch(mode=0o600)  # it holds credentials
        file.write_text(json.dumps({**known, "contexts": contexts}))
        return file

    def impersonating(self, user: str, **extra: str) -> Self:
        """The same person in the place of a user, whose token says this of its pod (`pod_name`, `pod_uid`)."""
        kubernetes = "Impersonate-Extra-authentication.kubernetes.io%2F"
        says = {f"{kubernetes}{key.replace('_', '-')}": value for key, value in extra.items()}
        return type(self)(self._config, self.namespace, {"Impersonate-User": user, **says})

    def request(self, method: str, what: str, body: Any = None, *, patch: str = "merge") -> APIResponse:
        """Ask for something of the namespace, by its path there, or by a path from the root (`/api/...`)."""
        path = what if what.startswith("/") else f"{_base(what)}/namespaces/{self.namespace}/{what}"
        streams = "watch=true" in path
        response = self._client.session.request(
            method,
            f"{self._client.url}{path}",
            json=body,
            headers={"Content-Type": PATCH_TYPES[patch] if method == "PATCH" else "application/json"},
            timeout=TIMEOUT_SECONDS,
            stream=streams,
        )
        with response:
            return APIResponse(response.status_code, {} if streams and response.ok else response.json())

    def patch(self, what: str, change: Any, patch: str = "merge") -> APIResponse:
        """Change something."""
        return self.request("PATCH", what, change, patch=patch)


def _base(what: str) -> str:
    """Where a resource is: those of the core, the kinds of this group, and RBAC's."""
    resource = what.partition("/")[0].partition("?")[0]
    groups = {
        "podlinks": "statefulroute.io/v1alpha1",
        "statefulroutes": "statefulroute.io/v1alpha1",
        "roles": "rbac.authorization.k8s.io/v1",
        "rolebindings": "rbac.authorization.k8s.io/v1",
    }
    return f"/apis/{groups[resource]}" if resource in groups else "/api/v1"
