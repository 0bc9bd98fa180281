"""Users of the API server with their own rights, and the responses that they get."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pykube

from support.kubectl import Object

TIMEOUT_SECONDS = 30

#: The content types of a PATCH, by kubectl's names for them.
PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}


@dataclass(frozen=True, slots=True)
class APIResponse:
    """A response of the API server.

    Attributes:
        code: The HTTP status.
        object: The body; empty for a stream.
    """

    code: int
    object: Mapping[str, Any]

    @property
    def error_message(self) -> str | None:
        """The API server's message for a refused request; None for a successful one."""
        return str(self.object["message"]) if self.code >= 400 else None

    def expect_success(self) -> Mapping[str, Any]:
        """Returns the body of a successful request and fails for any other."""
        assert self.error_message is None, self.error_message
        return self.object


class APIUser:
    """A user who sends requests about the objects of one namespace.

    Args:
        config: The cluster and the credentials.
        namespace: The namespace of the objects.
        headers: Headers that each request adds.
    """

    def __init__(self, config: pykube.KubeConfig, namespace: str, headers: Mapping[str, str] | None = None) -> None:
        self._config = config
        self._client = pykube.HTTPClient(config, timeout=TIMEOUT_SECONDS)
        self._client.session.trust_env = False  # which looks for proxies and passwords at each request
        self._client.session.headers.update(headers or {})
        self.namespace = namespace

    @classmethod
    def of(cls, kubeconfig: Path, namespace: str) -> Self:
        """Returns the user of a kubeconfig."""
        return cls(pykube.KubeConfig.from_file(str(kubeconfig)), namespace)

    def create_token(
        self, account: str, pod: Object | None = None, *, seconds: int = 600, audience: str | None = None
    ) -> str:
        """Returns a new token of a ServiceAccount with this lifetime, bound to a pod or to none.

        Without an audience, it is for the API server.
        """
        spec: dict[str, Any] = {"expirationSeconds": seconds, "audiences": [] if audience is None else [audience]}
        if pod is not None:
            bound = {field: pod["metadata"][field] for field in ("name", "uid")}
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", **bound}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        response = self.request("POST", f"serviceaccounts/{account}/token", request).expect_success()
        return str(response["status"]["token"])

    def as_account(self, name: str, pod: Object | None = None) -> Self:
        """Returns a user with a new token of a ServiceAccount, bound to a pod or to none."""
        return self.with_token(self.create_token(name, pod))

    def with_token(self, token: str) -> Self:
        """Returns a user with this token."""
        config = self._config.doc
        users = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        return type(self)(pykube.KubeConfig({**config, "users": users}, self._config.current_context), self.namespace)

    def write_kubeconfig(self, file: Path) -> Path:
        """Writes a kubeconfig with this user's credentials and namespace, and returns its path."""
        config = self._config.doc
        contexts = [
            {**each, "context": {**each["context"], "namespace": self.namespace}} for each in config["contexts"]
        ]
        file.touch(mode=0o600)  # the file contains credentials
        file.write_text(json.dumps({**config, "contexts": contexts}))
        return file

    def impersonating(self, user: str, **extra: str) -> Self:
        """Returns this user impersonating another, whose token names this pod (`pod_name`, `pod_uid`)."""
        kubernetes = "Impersonate-Extra-authentication.kubernetes.io%2F"
        extra_headers = {f"{kubernetes}{key.replace('_', '-')}": value for key, value in extra.items()}
        return type(self)(self._config, self.namespace, {"Impersonate-User": user, **extra_headers})

    def request(self, method: str, what: str, body: Any = None, *, patch: str = "merge") -> APIResponse:
        """Sends a request by a path in the namespace (`pods/game-0`) or from the root (`/api/...`)."""
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
        """Sends a patch."""
        return self.request("PATCH", what, change, patch=patch)


def _base(what: str) -> str:
    """Returns the base path of a resource of the core group, of this project's group, or of RBAC's."""
    resource = what.partition("/")[0].partition("?")[0]
    groups = {
        "podlinks": "statefulroute.io/v1alpha1",
        "statefulroutes": "statefulroute.io/v1alpha1",
        "roles": "rbac.authorization.k8s.io/v1",
        "rolebindings": "rbac.authorization.k8s.io/v1",
    }
    return f"/apis/{groups[resource]}" if resource in groups else "/api/v1"
