"""Makes the benchmarks' package importable."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"

# Only until the package is imported: the folder has programs with the names of test folders.
sys.path.append(str(BENCHMARKS))
import measuring  # noqa: E402, F401

sys.path.remove(str(BENCHMARKS))
