"""The folders: what is kept between clusters, and what is removed with one."""

import os
import stat
import sys
import tempfile
from pathlib import Path

from localcluster.errors import LocalClusterError


def cache_folder() -> Path:
    """Returns the user's folder of built programs and of the Go toolchain, kept between clusters."""
    standard = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or standard) / "statefulroute" / "localcluster"


def runtime_folder() -> Path:
    """Returns the user's folder of running clusters, with one folder per cluster; creates it as a private folder.

    Raises:
        LocalClusterError: The folder belongs to another user or is open to others: it holds private keys.
    """
    session_folder = os.environ.get("XDG_RUNTIME_DIR")
    folder = (
        Path(session_folder) / "statefulroute"
        if session_folder
        else Path(tempfile.gettempdir()) / f"statefulroute-{os.getuid()}"
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise LocalClusterError(
            f"{folder} cannot be created ({error.strerror}): set XDG_RUNTIME_DIR to a folder that you may write to."
        ) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise LocalClusterError(
            f"{folder} must be a folder that only you can read, because it holds the clusters' private keys: "
            "run `chmod 700` on it, or set XDG_RUNTIME_DIR to another folder."
        )
    return folder


def sources_folder() -> Path:
    """Returns the folder of the Go modules and kwok's stages: beside the package, or inside it once installed."""
    package = Path(__file__).parent
    return next(folder for folder in (package / "sources", package.parent) if (folder / "controlplane").is_dir())
