"""Runs the unit tests on every supported Python of this machine, and reports those that are missing.

Each version gets its own environment beside the development environment, installed from the same lock file.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
ROOT = Path(__file__).parent.parent
UV = Path(sys.executable).parent / "uv"


def find_interpreter(version: str) -> str | None:
    """Returns the path of a Python of this version (on PATH, from uv, or from pyenv), or None."""
    command = [str(UV), "python", "find", "--no-python-downloads", "--no-project", "--system", version]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT.parent)
    if found.returncode == 0:
        return found.stdout.strip()
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return next((str(python) for python in pyenv.glob(f"versions/{version}.*/bin/python")), None)


def create_environment(version: str, python: str) -> Path:
    """Creates an environment of this Python with all locked packages."""
    folder = ROOT / f".venv-{version}"
    lock = ROOT / "requirements/dev.txt"
    stamp = folder / ".synced"
    if not stamp.exists() or stamp.read_text() != lock.read_text():
        shutil.rmtree(folder, ignore_errors=True)
        run(str(UV), "venv", "--quiet", "--python", python, str(folder))
        into = ("--quiet", "--python", str(folder / "bin/python"))
        run(str(UV), "pip", "sync", *into, "--require-hashes", str(lock))
        run(str(UV), "pip", "install", *into, "--no-deps", "-e", str(ROOT), "-e", str(ROOT / "tools"))
        stamp.write_text(lock.read_text())
    return folder


def run(*command: str) -> None:
    """Runs a command in the repository; exits with the command's exit code if it fails."""
    done = subprocess.run(command, check=False, cwd=ROOT, env={**os.environ, "VIRTUAL_ENV": ""})
    if done.returncode:
        sys.exit(done.returncode)


def main() -> None:
    """Runs the unit tests on each version except that of the development environment."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    for version in SUPPORTED:
        if version == own:
            continue
        python = find_interpreter(version)
        if python is None:
            print(f"Python {version}: skipped, this machine has none")  # noqa: T201
            continue
        print(f"Python {version}: the unit tests", flush=True)  # noqa: T201
        interpreter = str(create_environment(version, python) / "bin/python")
        run(interpreter, "-m", "pytest", "-q", "--numprocesses", "2", "tests/unit")


if __name__ == "__main__":
    main()
