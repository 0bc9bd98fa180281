"""Writes the OpenAPI documents of the HTTP APIs: `python -m openapidocs [--check] [ROOT]`.

With --check, writes nothing; the exit code is 1 if a document differs from the types.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from statefulroute.resolver.http import openapi as resolver
from statefulroute.sidecar import openapi as sidecar

#: The document of each API, by its path relative to the root of the repository.
DOCUMENTS: Mapping[Path, Callable[[], bytes]] = {
    Path("docs/openapi/resolver.json"): resolver.document,
    Path("docs/openapi/sidecar.json"): sidecar.document,
}


def text_of(document: Callable[[], bytes]) -> str:
    """Returns a document as it is committed: one line for each value."""
    return json.dumps(json.loads(document()), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Writes the documents, or with --check only compares them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m openapidocs", description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=Path.cwd(), help="the root of the repository")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a document differs")
    options = parser.parse_args(arguments)
    stale = 0
    for path, document in DOCUMENTS.items():
        file, text = options.root / path, text_of(document)
        if file.exists() and file.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if options.check:
            sys.stderr.write(f"{path} differs from the types: run `make generate` and commit it\n")
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path}\n")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
