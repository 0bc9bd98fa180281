"""Loads self-contained kubeconfigs: one file, without plugins.

Most kubeconfigs are of this kind, and the Kubernetes library takes longer to import than a command takes to run. All
other kubeconfigs, including malformed ones, are left to that library and its error messages.
"""

import ssl
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeVar

import msgspec
import yaml

from statefulroute.cluster.api_server import Connection, Credentials
from statefulroute.cluster.errors import NotConnectedError
from statefulroute.cluster.impersonation import KUBECONFIG_FIELDS, Impersonation
from statefulroute.cluster.service_account import TokenFile
from statefulroute.cluster.system_trust import system_context


class _Cluster(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    server: str
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str | None = None
    proxy_url: str | None = None
    extensions: Any = None


class _User(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    username: str = ""
    password: str = ""
    extensions: Any = None


class _Context(msgspec.Struct):
    cluster: str
    user: str = ""
    namespace: str = ""


class _NamedCluster(msgspec.Struct):
    name: str
    cluster: _Cluster


class _NamedContext(msgspec.Struct):
    name: str
    context: _Context


class _NamedUser(msgspec.Struct):
    name: str
    user: dict[str, Any] | None = None


class _Kubeconfig(msgspec.Struct, rename="kebab"):
    clusters: list[_NamedCluster]
    contexts: list[_NamedContext]
    current_context: str = ""
    users: list[_NamedUser] | None = None


class _Named(Protocol):
    name: str


N = TypeVar("N", bound=_Named)


def plain_connection(path: Path, context: str | None = None) -> Connection | None:
    """Loads the connection from a kubeconfig, or returns None if the Kubernetes library must load it.

    Args:
        path: the path of the file.
        context: the context to use; None is the current context.
    """
    try:
        return _SelectedContext.read(path.expanduser(), context).connection()
    # The file may be missing, or contain invalid YAML, types, Base64 or certificates.
    except (LookupError, OSError, ValueError, yaml.YAMLError, NotConnectedError):
        return None


@dataclass(frozen=True, slots=True)
class _SelectedContext:
    """The cluster, the user and the namespace of the selected context."""

    directory: Path
    cluster: _Cluster
    user: _User
    impersonation: Impersonation
    namespace: str

    @classmethod
    def read(cls, path: Path, context: str | None) -> "_SelectedContext":
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader, if available, is ten times as fast
        content = yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506 - both loaders are safe
        kubeconfig = msgspec.convert(content, _Kubeconfig)
        selected = _find(kubeconfig.contexts, context or kubeconfig.current_context).context
        user = (_find(kubeconfig.users or (), selected.user).user if selected.user else None) or {}
        return cls(
            directory=path.parent,
            cluster=_find(kubeconfig.clusters, selected.cluster).cluster,
            user=msgspec.convert({name: user[name] for name in user.keys() - KUBECONFIG_FIELDS}, _User),
            impersonation=Impersonation.from_kubeconfig(user),
            namespace=selected.namespace or "default",
        )

    def connection(self) -> Connection:
        if not self.cluster.server:
            raise ValueError("the cluster has no server")
        return Connection(
            server=self.cluster.server.rstrip("/"),
            tls=self._tls(),
            ca_file=self._ca_file(),
            credentials=self._credentials(),
            server_name=self.cluster.tls_server_name or None,
            proxy=self.cluster.proxy_url or None,
            impersonation=self.impersonation,
            namespace=self.namespace,
        )

    def _tls(self) -> ssl.SSLContext:
        cluster, user = self.cluster, self.user
        authority = self._pem(cluster.certificate_authority, cluster.certificate_authority_data)
        if not authority and not cluster.insecure_skip_tls_verify:
            tls = system_context()
        else:
            tls = ssl.create_default_context(cadata=authority.decode("ascii") or None)
        if cluster.insecure_skip_tls_verify:
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        certificate = self._pem(user.client_certificate, user.client_certificate_data)
        key = self._pem(user.client_key, user.client_key_data)
        if certificate:
            # Python's ssl loads a client certificate from files only. Only this user can read the folder.
            with TemporaryDirectory() as folder:
                pair = Path(folder, "pair.pem")
                pair.write_bytes(certificate + b"\n" + key)
                tls.load_cert_chain(pair)
        return tls

    def _ca_file(self) -> Path | None:
        cluster = self.cluster
        file = cluster.certificate_authority if not cluster.certificate_authority_data else ""
        return self.directory / file if file else None

    def _pem(self, file: str, data: str) -> bytes:
        """Returns a field's data, or the content of its file; paths are relative to the kubeconfig."""
        return b64decode(data) if data else (self.directory / file).read_bytes() if file else b""

    def _credentials(self) -> Credentials | None:
        user = self.user
        if user.token_file:  # takes precedence over the token, as in kubectl
            return TokenFile(self.directory / user.token_file)
        if user.token:
            return _StaticCredentials(f"Bearer {user.token.strip()}")
        if user.username:
            pair = b64encode(f"{user.username}:{user.password}".encode()).decode()
            return _StaticCredentials(f"Basic {pair}")
        return None


@dataclass(frozen=True, slots=True)
class _StaticCredentials:
    """Credentials that do not change."""

    header: str

    async def authorization(self) -> str:
        return self.header

    async def refresh(self) -> str:
        return self.header


def _find(entries: Sequence[N], name: str) -> N:
    matches = [entry for entry in entries if entry.name == name]
    if len(matches) != 1:
        raise LookupError(name)
    return matches[0]
