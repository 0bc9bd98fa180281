"""Writes the generated pages of the reference: `python -m referencepages [--check] [ROOT]`.

With --check, writes nothing; the exit code is 1 if a page differs from what it describes.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from referencepages.alerts import alerts_page
from referencepages.chart_values import chart_values_page
from referencepages.commands import commands_page
from referencepages.http_api import http_api_page
from referencepages.licenses import licenses_page
from referencepages.metrics import metrics_page

_FOLDER = Path("docs/reference")


def pages(root: Path) -> Iterator[tuple[Path, str]]:
    """Yields the path, relative to the root of the repository, and the text of each page."""
    yield _FOLDER / "commands.md", commands_page()
    yield _FOLDER / "chart-values.md", chart_values_page()
    yield _FOLDER / "alerts.md", alerts_page(root / "deploy/monitoring/alerts.yaml")
    yield _FOLDER / "metrics.md", metrics_page()
    yield _FOLDER / "third-party-licenses.md", licenses_page(root)
    for name in ("resolver", "sidecar"):
        yield _FOLDER / f"{name}-api.md", http_api_page(root / f"docs/openapi/{name}.json")


def main(arguments: list[str] | None = None) -> int:
    """Writes the pages, or with --check only compares them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m referencepages", description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=Path.cwd(), help="the root of the repository")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page differs")
    options = parser.parse_args(arguments)
    stale = 0
    for path, text in pages(options.root):
        file = options.root / path
        if file.exists() and file.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if options.check:
            sys.stderr.write(f"{path} differs from what it describes: run `make generate` and commit it\n")
        else:
            file.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path}\n")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
