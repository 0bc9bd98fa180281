"""Prints which version a run of the release workflow publishes: `python -m release.version REF COMMIT`.

REF is what was pushed, and COMMIT its commit. A tag such as v1.2.3 or v1.2.3-rc.1 publishes the version in
pyproject.toml, which must be that of the tag. The branch main publishes a build of each commit, whose version is lower
than that of any release.

The lines have the form of the outputs of a step.
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path

#: The pre-releases of SemVer that are also some of Python: its packages have a version such as 1.2.3rc1.
_VERSION = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}(-(alpha|beta|rc)\.(0|[1-9]\d*))?")
_TAG = "refs/tags/v"
_MAIN = "refs/heads/main"

#: The digits of a commit in a version.
_DIGITS = 12


class VersionError(Exception):
    """Nothing can be published."""


def published_version(ref: str, commit: str, project_version: str) -> str:
    """Returns the version that is published.

    Args:
        ref: The full name of the tag or the branch, such as `refs/tags/v1.2.3`.
        commit: The digits of its commit.
        project_version: The version in pyproject.toml.

    Raises:
        VersionError: The tag is not the one of the project's version, or the version has another form.
    """
    if ref == _MAIN:
        # One identifier of SemVer, which may begin with 0 because it is no number.
        return f"0.0.0-main-{commit[:_DIGITS]}"
    if not _VERSION.fullmatch(project_version):
        raise VersionError(f"the version {project_version} in pyproject.toml has not the form 1.2.3 or 1.2.3-rc.1")
    if ref != f"{_TAG}{project_version}":
        raise VersionError(
            f"{ref} was pushed, but the version in pyproject.toml is {project_version}: tag the commit of that version"
        )
    return project_version


def is_prerelease(version: str) -> bool:
    """Returns whether a version precedes a release."""
    return "-" in version


def main() -> None:
    """Prints the outputs of the step, or an error of GitHub Actions."""
    parser = argparse.ArgumentParser(prog="python -m release.version", description=__doc__)
    parser.add_argument("ref", help="the full name of the tag or the branch, such as refs/tags/v1.2.3")
    parser.add_argument("commit", help="its commit")
    options = parser.parse_args()
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    try:
        version = published_version(options.ref, options.commit, project["version"])
    except VersionError as error:
        sys.exit(f"::error::{error}")
    sys.stdout.write(f"version={version}\nprerelease={str(is_prerelease(version)).lower()}\n")


if __name__ == "__main__":
    main()
