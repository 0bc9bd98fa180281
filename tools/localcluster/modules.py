"""Go modules of which files are read, and nothing is built."""

import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from localcluster.errors import LocalClusterError
from localcluster.progress import Progress
from localcluster.toolchain import find_go


def download_modules(names: Iterable[str], required_by: Path, progress: Progress) -> dict[str, Path]:
    """Where the files of modules are, by the modules' names; they are downloaded if need be.

    Args:
        names: The modules.
        required_by: The folder of the go.mod that says their versions.
        progress: Hears how it goes.

    Raises:
        LocalClusterError: One cannot be had.
    """
    go, wanted = find_go(progress), [*names]
    done = subprocess.run(
        [go.program, "mod", "download", "-json", *wanted],
        cwd=required_by,
        env=go.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LocalClusterError(
            f"{', '.join(wanted)} could not be had: check that Go's module proxy can be reached.\n"
            f"{done.stdout}{done.stderr}"
        )
    return {said["Path"]: Path(said["Dir"]) for said in _values(done.stdout)}


def _values(text: str) -> Iterator[dict[str, Any]]:
    """The JSON values that stand one after the other."""
    decoder, rest = json.JSONDecoder(), text.lstrip()
    while rest:
        value, end = decoder.raw_decode(rest)
        yield value
        rest = rest[end:].lstrip()
