"""Runs the unit tests on every supported Python that this machine has; where one is missing, it says so.

Each gets an environment of its own beside the development environment, installed from the same lock.
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
    """The path of a Python of this version: on PATH, installed by uv, or installed by pyenv; None without one."""
    command = [str(UV), "python", "find", "--no-python-downloads", "--no-project", "--system", version]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT.parent)
    if found.returncode == 0:
        return found.stdout.strip()
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return next((str(python) for python in pyenv.glob(f"versions/{version}.*/bin/python")), None)


def create_environment(version: str, python: str) -> Path:
    """An environment of this Python with everything that the lock names."""
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
    """Run a command in the repository; the first that fails ends the program with its exit code."""
    done = subprocess.run(command, check=False, cwd=ROOT, env={**os.environ, "VIRTUAL_ENV": ""})
    if done.returncode:
        sys.exit(done.returncode)


def main() -> None:
    """Run the unit tests on each version but the development environment's own, which `pytest` has run."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    for version in SUPPORTED:
        if version == own:
            continue
        python = find_interpreter(version)
        if python is None:
            print(f"Python {version}: skipped, this machine has none")  # noqa: T201
            continue
        print(f"Python {version}: the unit tests", flush=True)  # noqa: T201
        run(str(create_environment(version, python) / "bin/python"), "-m", "pytest", "-q", "tests/unit")


if __name__ == "__main__":
    main()
