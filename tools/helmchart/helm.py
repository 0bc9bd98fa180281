"""Runs Helm without a cluster: renders and packs the chart."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from localcluster.errors import LocalClusterError


def render(helm: Path, chart: Path, release: str, namespace: str, *options: str) -> str:
    """Returns the manifests of an installation as YAML.

    Args:
        helm: The Helm to run.
        chart: The chart's folder.
        release: The name of the release.
        namespace: Its namespace.
        options: Further options of `helm template`.

    Raises:
        LocalClusterError: Helm fails; the message is Helm's.
    """
    return _run(helm, ["template", release, str(chart), "--namespace", namespace, *options])


def pack(helm: Path, chart: Path, destination: Path, version: str) -> Path:
    """Packs the chart into an archive in the folder `destination`; returns the archive.

    Args:
        helm: The Helm to run.
        chart: The chart's folder.
        destination: The folder of the archive.
        version: The version that the archive has, as that of the chart and of the program.

    Raises:
        LocalClusterError: Helm fails; the message is Helm's.
    """
    versions = ["--version", version, "--app-version", version]
    output = _run(helm, ["package", str(chart), "--destination", str(destination), *versions])
    return Path(output.strip().rpartition(": ")[2])


def _run(helm: Path, arguments: Sequence[str]) -> str:
    completed = subprocess.run([helm, *arguments], capture_output=True, text=True, check=False)
    if completed.returncode:
        raise LocalClusterError(f"helm {arguments[0]} failed: {completed.stderr.strip()}")
    return completed.stdout
