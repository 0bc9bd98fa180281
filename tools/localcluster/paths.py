"""Where things live: what is kept between clusters, and what dies with one."""

import os
import stat
import sys
import tempfile
from pathlib import Path

from localcluster.errors import LocalClusterError


def cache_folder() -> Path:
    """The user's folder of built programs and of the Go toolchain, kept between clusters."""
    standard = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or standard) / "statefulroute" / "localcluster"


def runtime_folder() -> Path:
    """The user's folder of running clusters, one folder a cluster; made private when it is not there.

    Raises:
        LocalClusterError: The folder belongs to somebody else or is open to others: it holds private keys.
    """
    session = os.environ.get("XDG_RUNTIME_DIR")
    folder = (
        Path(session) / "statefulroute" if session else Path(tempfile.gettempdir()) / f"statefulroute-{os.getuid()}"
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise LocalClusterError(
            f"{folder} cannot be made ({error.strerror}): set XDG_RUNTIME_DIR to a folder that you may write to."
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise LocalClusterError(
            f"{folder} must be a folder that only you can read, because it holds the clusters' private keys: "
            "run `chmod 700` on it, or set XDG_RUNTIME_DIR to another folder."
        )
    return folder


def sources_folder() -> Path:
    """The folder of the Go modules and kwok's stages: beside the package, or inside it once installed."""
    package = Path(__file__).parent
    return next(folder for folder in (package / "sources", package.parent) if (folder / "controlplane").is_dir())
