"""Writes the version of the project where pages and examples name it: `python -m release.mentions [--check] [ROOT]`.

Pages tell readers to install this version, and examples are built on its image. With --check, writes nothing; the exit
code is 1 if a file names another version.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

#: What is before the version in the names of images, charts, archives and tags.
_BEFORE = (
    r"statefulroute(?:-crds|-bundle)?[:-]",
    r"/statefulroute --version ",
    r"release\.yaml@refs/tags/v",
    r"/store/statefulroute/v",
    r"newTag: ",
    r"- name: statefulroute\n +version: ",
)

#: A mention of the version; builds of main have another one.
_MENTION = re.compile(rf"({'|'.join(_BEFORE)})\d+\.\d+\.\d+(?!-main)(?:-(?:alpha|beta|rc)\.\d+)?")


def with_version(text: str, version: str) -> str:
    """Returns a text whose mentions of the project's version are this one, such as 1.2.3 or 1.2.3-rc.1."""
    return _MENTION.sub(rf"\g<1>{version}", text)


def outdated(root: Path) -> Iterator[tuple[Path, str]]:
    """Yields each page and each file of an example that names another version, with the text that names this one."""
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    examples = (*(root / "examples").rglob("Dockerfile"), *(root / "examples").rglob("*.yaml"))
    for path in (root / "README.md", *sorted((root / "docs").rglob("*.md")), *sorted(examples)):
        text = path.read_text(encoding="utf-8")
        if (current := with_version(text, version)) != text:
            yield path, current


def main(arguments: list[str] | None = None) -> int:
    """Writes the files, or with --check only compares them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m release.mentions", description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=Path.cwd(), help="the root of the repository")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file names another version")
    options = parser.parse_args(arguments)
    files = list(outdated(options.root))
    for path, text in files:
        if options.check:
            sys.stderr.write(f"{path} names another version: run `make generate` and commit it\n")
        else:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path}\n")
    return 1 if options.check and files else 0


if __name__ == "__main__":
    sys.exit(main())
