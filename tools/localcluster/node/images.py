"""Loads images into the node, which has no registry to pull from."""

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.node.components import PAUSE_IMAGE
from localcluster.node.machine_exec import run

EXECUTABLE = 0o755
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def load(folder: Path, archive: Path) -> None:
    """Loads the images of an archive (of `docker save`, or an OCI archive) into the node of the cluster in `folder`.

    Raises:
        LocalClusterError: The cluster has no real node, or containerd rejects the archive.
    """
    completed = _ctr(folder, "images", "import", str(archive))
    if completed.returncode:
        raise LocalClusterError(f"{archive} cannot be loaded into the node: {completed.stderr.strip()}")


def is_ready(folder: Path) -> bool:
    """Returns whether the node's containerd responds."""
    return not _ctr(folder, "version").returncode


def write_pause_archive(program: Path, archive: Path) -> None:
    """Writes the pause image, which every pod starts with: it contains only one program."""
    layer = _tar({"pause": program.read_bytes()}, EXECUTABLE)
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]
    texts = {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
    archive.write_bytes(_tar({**texts, "layer.tar": layer}))


def _ctr(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "ctr", "--namespace=k8s.io", *arguments)


def _tar(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
