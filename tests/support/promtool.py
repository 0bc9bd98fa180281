"""Runs promtool, which checks metrics and rules."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from localcluster.debian_packages import debian_program
from localcluster.progress import PlainProgress


@dataclass(frozen=True, slots=True)
class Promtool:
    """The program promtool.

    Attributes:
        program: The path.
    """

    program: Path

    @classmethod
    def find(cls) -> "Promtool":
        """Returns the machine's promtool, or that of Debian's package.

        Raises:
            LocalClusterError: It is not installed and cannot be downloaded.
        """
        return cls(debian_program("promtool", "prometheus", PlainProgress()))

    def run(self, *arguments: str | Path, given: str = "") -> str:
        """Returns the errors that it prints; empty for valid input."""
        result = subprocess.run([self.program, *arguments], input=given, capture_output=True, text=True, check=False)
        return (
            ""
            if not result.returncode
            else (result.stdout + result.stderr).strip() or f"it ended with {result.returncode}"
        )
