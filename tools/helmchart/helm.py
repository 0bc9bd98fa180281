"""Runs Helm without a cluster: to render the chart, and to pack it."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from localcluster.errors import LocalClusterError


def render(helm: Path, chart: Path, release: str, namespace: str, *options: str) -> str:
    """The manifests of an installation, as YAML.

    Args:
        helm: The Helm to run.
        chart: The chart's folder.
        release: The name of the release.
        namespace: Its namespace.
        options: More options of `helm template`.

    Raises:
        LocalClusterError: Helm refuses; the message is Helm's.
    """
    return _run(helm, ["template", release, str(chart), "--namespace", namespace, *options])


def pack(helm: Path, chart: Path, destination: Path) -> Path:
    """Pack the chart into an archive in the folder `destination`; gives the archive.

    Raises:
        LocalClusterError: Helm refuses; the message is Helm's.
    """
    said = _run(helm, ["package", str(chart), "--destination", str(destination)])
    return Path(said.strip().rpartition(": ")[2])


def _run(helm: Path, arguments: Sequence[str]) -> str:
    done = subprocess.run([helm, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalClusterError(f"helm {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout
