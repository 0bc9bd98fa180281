"""Writes the generated files of the chart: `python -m helmchart [--check] [ROOT]`.

Then Helm renders the kustomize base from the chart. With --check it writes nothing; the exit code is 1 if a file is out
of date.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from helmchart.files import generated_files
from helmchart.kustomize import kustomize_files
from helmchart.programs import helm4
from localcluster.errors import LocalClusterError
from localcluster.progress import PlainProgress


def main(arguments: list[str] | None = None) -> int:
    """Writes the generated files, or with --check only compares them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m helmchart", description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=Path.cwd(), help="the repository's root")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    options = parser.parse_args(arguments)
    try:
        stale = _write_or_compare(generated_files(options.root), options.root, check=options.check)
        helm = helm4(PlainProgress(lambda line: print(line, file=sys.stderr)))
        stale += _write_or_compare(kustomize_files(options.root, helm), options.root, check=options.check)
    except LocalClusterError as error:
        sys.stderr.write(f"helmchart: {error}\n")
        return 1
    return 1 if options.check and stale else 0


def _write_or_compare(files: Iterable[tuple[Path, str]], root: Path, *, check: bool) -> int:
    """Writes the files that differ, or only reports them; returns their number."""
    stale = [(path, text) for path, text in files if _differs(root / path, text)]
    for path, text in stale:
        if check:
            sys.stderr.write(f"{path} is out of date: run `make generate` and commit it\n")
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path}\n")
    return len(stale)


def _differs(path: Path, text: str) -> bool:
    return not path.exists() or path.read_text(encoding="utf-8") != text


if __name__ == "__main__":
    sys.exit(main())
