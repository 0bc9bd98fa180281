"""Prints whether a release is the latest one: `python -m release.latest VERSION < RELEASES`.

RELEASES is the output of `gh release list --json tagName`. A fix of an earlier version is published after later ones,
and GitHub would show it as the latest. The line that is printed has the form of an output of a step.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable

_RELEASE = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


def is_latest(version: str, tags: Iterable[str]) -> bool:
    """Returns whether no release is later than a version, and it is no pre-release.

    Args:
        version: The version that is published, such as 1.2.3 or 1.2.3-rc.1.
        tags: The tags of the published releases; those of pre-releases do not count.
    """
    published = _order(version)
    return published is not None and all((_order(tag) or published) <= published for tag in tags)


def _order(version: str) -> tuple[int, ...] | None:
    """Returns the numbers of a release; None if it is a pre-release."""
    found = _RELEASE.fullmatch(version)
    return tuple(map(int, found.groups())) if found else None


def main() -> None:
    """Prints the output of the step."""
    parser = argparse.ArgumentParser(prog="python -m release.latest", description=__doc__)
    parser.add_argument("version", help="the version that is published")
    version = parser.parse_args().version
    latest = is_latest(version, [each["tagName"] for each in json.load(sys.stdin)])
    sys.stdout.write(f"latest={str(latest).lower()}\n")


if __name__ == "__main__":
    main()
