"""Prints the newest release of each supported minor version: `python -m release.supported < RELEASES`.

RELEASES is the output of `gh release list --json tagName,publishedAt`. docs/reference/versions.md says how long a
version is supported. The line that is printed has the form of an output of a step.
"""

import json
import re
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

_TAG = re.compile(r"v(\d+)\.(\d+)\.(\d+)")

#: A minor version is supported for this time, and until so many later ones are released.
_SUPPORT = timedelta(days=366)
_LATER_VERSIONS = 2


def supported_releases(releases: Mapping[str, date], today: date) -> list[str]:
    """Returns the newest patch version of each minor version that gets fixes of vulnerabilities, the newest first.

    Args:
        releases: The tags of releases, each with its day; those of pre-releases are left out.
        today: The present day.
    """
    minor_versions: dict[tuple[int, int], dict[int, date]] = {}
    for tag, day in releases.items():
        if found := _TAG.fullmatch(tag):
            major, minor, patch = map(int, found.groups())
            minor_versions.setdefault((major, minor), {})[patch] = day
    newest_first = sorted(minor_versions.items(), reverse=True)
    return [
        f"{major}.{minor}.{max(patches)}"
        for later, ((major, minor), patches) in enumerate(newest_first)
        if later < _LATER_VERSIONS or today - min(patches.values()) <= _SUPPORT
    ]


def main() -> None:
    """Prints the versions as JSON."""
    releases = {each["tagName"]: datetime.fromisoformat(each["publishedAt"]).date() for each in json.load(sys.stdin)}
    versions = supported_releases(releases, datetime.now(UTC).date())
    sys.stdout.write(f"versions={json.dumps(versions)}\n")


if __name__ == "__main__":
    main()
