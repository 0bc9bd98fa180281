"""Checks what a benchmark needs before it begins, instead of after minutes of preparation."""

import sys
from collections.abc import Callable
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.progress import PlainProgress, Progress


def require(*programs: Callable[[Progress], Path]) -> None:
    """Gets the programs of a benchmark; exits with one sentence if one cannot be had."""
    for program in programs:
        try:
            program(PlainProgress())
        except LocalClusterError as error:
            sys.exit(str(error).partition("\n")[0])
