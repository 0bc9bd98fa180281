"""Prometheus' own tool, which judges metrics and rules."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from localcluster.debian_packages import debian_program
from localcluster.progress import PlainProgress


@dataclass(frozen=True, slots=True)
class Promtool:
    """The program.

    Attributes:
        program: where it is.
    """

    program: Path

    @classmethod
    def find(cls) -> "Promtool":
        """The machine's own, or that of Debian's package.

        Raises:
            LocalClusterError: It is not here and cannot be had.
        """
        return cls(debian_program("promtool", "prometheus", PlainProgress()))

    def run(self, *arguments: str | Path, given: str = "") -> str:
        """What it complains of; nothing where all is well."""
        done = subprocess.run([self.program, *arguments], input=given, capture_output=True, text=True, check=False)
        return "" if not done.returncode else (done.stdout + done.stderr).strip() or f"it ended with {done.returncode}"
