"""Images for the node: there is no registry that it could pull from, so they are put into it."""

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
    """Put the images of an archive (of `docker save`, or OCI's) into the node of the cluster in `folder`.

    Raises:
        LocalClusterError: The cluster has no node of ours, or containerd refuses the archive.
    """
    done = _ctr(folder, "images", "import", str(archive))
    if done.returncode:
        raise LocalClusterError(f"{archive} cannot be put into the node: {done.stderr.strip()}")


def is_ready(folder: Path) -> bool:
    """Whether the node's containerd answers."""
    return not _ctr(folder, "version").returncode


def write_pause_archive(program: Path, archive: Path) -> None:
    """Write the image that every pod begins with: one program, and nothing else."""
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
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()
