"""The credentials for the API server, and for the proxy in front of it."""

import base64
import json
from pathlib import Path
from typing import Any

import yaml

from localcluster.certificates import Authority, write_private

_ADDRESS = "127.0.0.1"


class ProxiedKubeconfig:
    """The files of a proxy and of its client.

    Args:
        kubeconfig: the client's, with one context.
        folder: the folder of the files; it is created.
    """

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._known: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
        self._cluster: dict[str, Any] = self._known["clusters"][0]["cluster"]
        self._user: dict[str, Any] = self._known["users"][0]["user"]
        self._rotations = 0

    def of(self, kubeconfig: Path) -> "ProxiedKubeconfig":
        """Returns the same files for a client with another token."""
        files = ProxiedKubeconfig(kubeconfig, self._folder)
        files._rotations = self._rotations
        return files

    @property
    def arguments(self) -> tuple[str, str, str, str]:
        """The proxy's arguments: server, authority, client certificate, own certificate."""
        authority = self._folder / "upstream-ca.crt"
        write_private(authority, base64.b64decode(self._cluster["certificate-authority-data"]))
        client = ""
        if data := self._user.get("client-certificate-data"):
            pair = base64.b64decode(self._user["client-key-data"]) + base64.b64decode(data)
            write_private(self._folder / "client.pem", pair)
            client = str(self._folder / "client.pem")
        return self._cluster["server"], str(authority), client, str(self.rotate_authority())

    def write(self, port: int) -> Path:
        """Writes the client's kubeconfig, and returns its path."""
        cluster = {"server": f"https://{_ADDRESS}:{port}", "certificate-authority": str(self._folder / "ca.crt")}
        user = {}
        if token := self._user.get("token"):
            self.rotate_token(token)
            user["tokenFile"] = str(self._folder / "token")
        clusters = [{**self._known["clusters"][0], "cluster": cluster}]
        users = [{**self._known["users"][0], "user": user}]
        path = self._folder / "kubeconfig"
        write_private(path, json.dumps({**self._known, "clusters": clusters, "users": users}).encode())
        return path

    def rotate_authority(self) -> Path:
        """Lets the client trust a new authority, and returns a file with a key and a certificate of it."""
        self._rotations += 1
        authority = Authority()
        pair = authority.server((_ADDRESS,))
        serving = self._folder / f"serving-{self._rotations}.pem"
        write_private(serving, pair.key + pair.certificate)
        self._replace("ca.crt", authority.certificate)
        return serving

    def rotate_token(self, token: str) -> None:
        """Writes another token for the client."""
        self._replace("token", token.encode())

    def _replace(self, name: str, content: bytes) -> None:
        """Replaces a file atomically, as a kubelet does."""
        new = self._folder / f"{name}.new"
        write_private(new, content)
        new.replace(self._folder / name)
