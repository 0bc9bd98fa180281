"""Downloads Go modules to read files from them, without building anything."""

import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from localcluster.errors import LocalClusterError
from localcluster.progress import Progress
from localcluster.toolchain import find_go


def download_modules(names: Iterable[str], required_by: Path, progress: Progress) -> dict[str, Path]:
    """Returns the folders of modules by module name; downloads them if needed.

    Args:
        names: The modules.
        required_by: The folder of the go.mod that contains their versions.
        progress: Reports the progress.

    Raises:
        LocalClusterError: A module cannot be downloaded.
    """
    go, modules = find_go(progress), [*names]
    completed = subprocess.run(
        [go.program, "mod", "download", "-json", *modules],
        cwd=required_by,
        env=go.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode:
        raise LocalClusterError(
            f"{', '.join(modules)} could not be downloaded: check that Go's module proxy can be reached.\n"
            f"{completed.stdout}{completed.stderr}"
        )
    return {module["Path"]: Path(module["Dir"]) for module in _values(completed.stdout)}


def _values(text: str) -> Iterator[dict[str, Any]]:
    """Decodes a sequence of JSON values."""
    decoder, remaining = json.JSONDecoder(), text.lstrip()
    while remaining:
        value, end = decoder.raw_decode(remaining)
        yield value
        remaining = remaining[end:].lstrip()
