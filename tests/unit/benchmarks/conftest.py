"""The benchmarks' package, from beside its programs."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"

# No longer than it takes to find it: the folder has programs of the names of folders of tests.
sys.path.append(str(BENCHMARKS))
import measuring  # noqa: E402, F401

sys.path.remove(str(BENCHMARKS))
