"""Fuzzes one target with Atheris: `run.py TARGET SECONDS`. Adds inputs with new coverage to the corpus."""

import logging
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris
import structlog

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))
from fuzz.archives import add, archive_of, unpack  # noqa: E402


def main(name: str, seconds: str) -> int:
    """Fuzzes a target in a subprocess, which Atheris stops. An exit code other than 0 means a crash.

    The input of a crash is added to the corpus, too.
    """
    archive = archive_of(name)
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as made:
        folder = Path(made)
        unpack(archive, folder)
        try:
            return subprocess.run([sys.executable, __file__, name, seconds, folder], check=False).returncode
        finally:
            added = add(archive, folder)
            sys.stdout.write(f"{name}: {added} new cases in {archive.name}\n")


def fuzz(name: str, seconds: str, folder: str) -> None:
    """Fuzzes a target with the cases of a folder, and writes new cases to it. It does not return."""
    with atheris.instrument_imports(include=["statefulroute", "fuzz"]):
        from fuzz.targets import TARGETS  # noqa: PLC0415 - Atheris instruments it during the import
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    )  # otherwise it logs millions of lines
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], folder, f"-artifact_prefix={folder}/finding-", *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) > 3:  # with a folder: the subprocess
        fuzz(*sys.argv[1:])
    else:
        sys.exit(main(*sys.argv[1:]))
